/** Audit events of the vault: who or what was changed, in the columns of the journal. Never a secret, never a field value. */
import type { AuditClosing, AuditOpening } from '../domain/audit.ts';
import { BLANK_EVENT } from '../domain/audit-event.ts';
import { type User, userLabel } from '../domain/user.ts';

export type VaultAction =
  | 'agent.created'
  | 'agent.changed'
  | 'agent.paused'
  | 'agent.resumed'
  | 'agent.revoked'
  | 'agent.removed'
  | 'key.created'
  | 'key.derived'
  | 'key.rotated'
  | 'key.revoked'
  | 'session.created'
  | 'session.revoked'
  | 'user.created'
  | 'user.updated'
  | 'user.signed_in'
  | 'user.signed_out'
  | 'user.deactivated'
  | 'user.activated'
  | 'user.removed'
  | 'delegation.created'
  | 'delegation.revoked'
  | 'secret.created'
  | 'secret.rotated'
  | 'secret.removed'
  | 'grant.created'
  | 'grant.changed'
  | 'grant.revoked'
  | 'grant.removed'
  | 'grant.expired'
  | 'policy.created'
  | 'policy.replaced'
  | 'policy.removed'
  | 'policies.loaded'
  | 'policies.refused'
  | 'permit.created'
  | 'permit.revoked'
  | 'permit.ended'
  | 'host.invited'
  | 'host.enrolled'
  | 'host.rekeyed'
  | 'host.updated'
  | 'host.assigned'
  | 'host.unassigned'
  | 'host.paused'
  | 'host.resumed'
  | 'host.revoked'
  | 'host.removed'
  | 'fleet.authority_created'
  | 'vault.restore_accepted'
  | 'vault.exported'
  | 'vault.imported'
  | 'oauth.moved'
  | 'provider_client.set'
  | 'provider_client.removed'
  | 'oauth.connected'
  | 'oauth.reconnected'
  | 'oauth.refresh_begun'
  | 'oauth.refreshed'
  | 'oauth.refresh_failed'
  | 'oauth.revoked'
  | 'vault.master_key_rotated'
  | 'vault.data_key_created'
  | 'vault.data_key_rotated';

export interface VaultEvent {
  readonly action: VaultAction;
  readonly agent?: { readonly id: string; readonly name: string } | undefined;
  readonly key?: { readonly id: string; readonly prefix: string } | undefined;
  readonly sessionId?: string | undefined;
  readonly user?: Pick<User, 'id' | 'email' | 'subject'> | undefined;
  readonly delegationId?: string | undefined;
  readonly grant?:
    | { readonly id: string; readonly label: string; readonly principal: { readonly type: string; readonly group?: string } }
    | undefined;
  readonly credential?: { readonly name: string; readonly providerId: string } | undefined;
  readonly details?: Readonly<Record<string, string | number | boolean | null>> | undefined;
}

/** @param epoch the epoch that the change leads to; null for what is not stored. */
export function openingOf(event: VaultEvent, at: number, epoch: number | null): AuditOpening {
  return {
    ...BLANK_EVENT,
    at,
    action: event.action,
    agent_id: event.agent?.id ?? null,
    agent: event.agent?.name ?? null,
    key_id: event.key?.id ?? null,
    key_prefix: event.key?.prefix ?? null,
    session_id: event.sessionId ?? null,
    user_id: event.user?.id ?? null,
    user: event.user === undefined ? null : userLabel(event.user),
    delegation_id: event.delegationId ?? null,
    group: event.grant?.principal.group ?? null,
    grant_id: event.grant?.id ?? null,
    grant_label: event.grant?.label ?? null,
    principal_type: event.grant?.principal.type ?? null,
    provider_id: event.credential?.providerId ?? null,
    credential: event.credential?.name ?? null,
    details: epoch === null ? (event.details ?? null) : { ...event.details, epoch },
  };
}

/**
 * @param error the code of what stopped the change after it was announced; null when it was made
 * @param isUnknown it may have been made all the same
 */
export const closingOf = (error: string | null, isUnknown = false): AuditClosing => ({
  outcome: error === null ? 'success' : isUnknown ? 'unknown' : 'refused',
  status: null,
  error,
  latency_ms: 0,
  bytes_in: 0,
  bytes_out: 0,
});
