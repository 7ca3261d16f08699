/**
 * What was delegated to the agent that asks, and giving one back. An agent sees and ends its own delegations, with its own key, and
 * never learns who else delegates what to whom: a user is named only to a caller who proved to be that user's.
 */
import type { CallerIdentity } from '../domain/agent.ts';
import { isDelegationLive } from '../domain/delegation.ts';
import type { DataPlane } from './data-plane.ts';

export interface InternalAnswer {
  readonly status: number;
  readonly document: object;
  /** Nothing is added to it. */
  readonly isWhole?: boolean;
}

const ONE = /^\/delegations\/([0-9a-f-]{36})$/;

/**
 * `GET /delegations` and `DELETE /delegations/ID`; null for anything else.
 * @throws AlterError not_found, audit_unavailable, vault_unavailable
 */
export async function answerDelegations(
  plane: Pick<DataPlane, 'vault'>,
  caller: CallerIdentity,
  method: string,
  path: string,
  userId: string | null,
): Promise<InternalAnswer | null> {
  if (method === 'GET' && path === '/delegations')
    return { status: 200, document: { delegations: listed(plane, caller, userId) } };
  const id = ONE.exec(path)?.[1];
  if (method !== 'DELETE' || id === undefined) return null;
  const dropped = await plane.vault.dropDelegation(caller, id);
  return { status: 200, document: { delegation_id: dropped.id, status: dropped.status } };
}

function listed({ vault }: Pick<DataPlane, 'vault'>, caller: CallerIdentity, userId: string | null): object[] {
  const now = Date.now();
  const labels = new Map(vault.authority.grants.map((grant) => [grant.id, grant.label]));
  return vault.authority.delegations
    .filter((delegation) => delegation.agentId === caller.agentId && isDelegationLive(delegation, now))
    .filter((delegation) => userId === null || delegation.userId === null || delegation.userId === userId)
    .map((delegation) => ({
      delegation_id: delegation.id,
      grant_id: delegation.grantId,
      label: labels.get(delegation.grantId) ?? '',
      expires_at: delegation.expiresAt === null ? null : new Date(delegation.expiresAt).toISOString(),
    }));
}
