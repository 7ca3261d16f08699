/**
 * Which grants of people an agent may use, for whom and by which delegation. The chain user, delegation, agent, grant is put
 * together here for each version of the authority, so what ended anywhere in it is gone with the next request.
 * Must never answer a grant whose owner did not delegate it to exactly this agent.
 */
import type { Authority } from '../domain/authority.ts';
import type { Delegation } from '../domain/delegation.ts';
import type { Grant } from '../domain/grant.ts';
import { isMember, type User } from '../domain/user.ts';

export interface DelegatedGrants {
  /** Grants that were delegated, those included whose user is not active now: they explain a refusal, and count as a user. */
  readonly grants: readonly Grant[];
  /** By what a grant may be used; one that is missing here may not. Expiry is asked at the time of use. */
  readonly delegationOf: ReadonlyMap<Grant, Delegation>;
}

/** @param userId the caller's user, null when none is known */
export type DelegationIndex = (agentId: string, userId: string | null) => DelegatedGrants | null;

/** Null for an agent to which nothing was delegated, whoever calls. */
export function indexDelegations(authority: Authority): DelegationIndex {
  const byAgent = new Map<string, { readonly delegation: Delegation; readonly grant: Grant }[]>();
  const grants = new Map<string, Grant>();
  if (authority.delegations.length > 0) for (const grant of authority.grants) grants.set(grant.id, grant);
  for (const delegation of authority.delegations) {
    const grant = grants.get(delegation.grantId);
    if (delegation.status !== 'active' || grant === undefined) continue;
    const list = byAgent.get(delegation.agentId);
    if (list === undefined) byAgent.set(delegation.agentId, [{ delegation, grant }]);
    else list.push({ delegation, grant });
  }
  return (agentId, userId) => {
    const list = byAgent.get(agentId);
    if (list === undefined) return null;
    const user = userId === null ? undefined : authority.users.get(userId);
    const found = new Set<Grant>();
    const delegationOf = new Map<Grant, Delegation>();
    for (const { delegation, grant } of list) {
      const usable = usability(authority, delegation, grant, userId, user);
      if (usable === null) continue;
      found.add(grant);
      if (usable && isLater(delegation, delegationOf.get(grant))) delegationOf.set(grant, delegation);
    }
    return { grants: [...found], delegationOf };
  };
}

/** True when the delegation lets the grant be used for this user, false when only its user is not active; null when it is none of theirs. */
function usability(
  authority: Authority,
  delegation: Delegation,
  grant: Grant,
  userId: string | null,
  user: User | undefined,
): boolean | null {
  const { principal } = grant;
  if (principal.type === 'user') {
    // SECURITY: only the owner's own word counts, and with a user at hand nobody else's grant is even looked at.
    if (delegation.userId !== principal.userId || (userId !== null && userId !== principal.userId)) return null;
    return authority.users.get(principal.userId)?.status === 'active';
  }
  if (principal.type !== 'group' || user === undefined) return null;
  if (delegation.userId !== null && delegation.userId !== user.id) return null;
  // SECURITY: membership is of the user as the vault knows it now, never of the token in hand, which may be older.
  return isMember(user, principal) ? user.status === 'active' : null;
}

function isLater(delegation: Delegation, other: Delegation | undefined): boolean {
  if (other === undefined || delegation.expiresAt === null) return true;
  return other.expiresAt !== null && delegation.expiresAt > other.expiresAt;
}
