/**
 * Wire shapes of users, delegations and paths of access.
 * SECURITY: members one by one, as in views.ts; a sign-in's handle is in one answer only, and no token is in any.
 */
import type { Delegation } from '../domain/delegation.ts';
import type { User } from '../domain/user.ts';
import { userLabel } from '../domain/user.ts';
import type { AccessPath } from '../policy/access.ts';
import type { VaultRooms } from '../vault/vault-rooms.ts';
import { destinationText } from './views.ts';

export interface UserView {
  readonly id: string;
  readonly issuer: string;
  readonly subject: string;
  readonly email: string | null;
  readonly name: string | null;
  readonly groups: readonly string[];
  readonly status: User['status'];
  readonly created_at: string;
  readonly last_seen_at: string | null;
}

export interface DelegationView {
  readonly id: string;
  /** E-mail or subject; null for every member of the group. */
  readonly user: string | null;
  readonly user_id: string | null;
  readonly group: string | null;
  readonly agent: string | null;
  readonly grant_id: string;
  readonly grant_label: string;
  readonly provider: string | null;
  readonly status: 'active' | 'revoked' | 'expired';
  readonly created_at: string;
  readonly expires_at: string | null;
  readonly revoked_at: string | null;
  readonly revoked_by: Delegation['revokedBy'];
}

export interface AccessView {
  readonly path: AccessPath['path'];
  readonly agent: string;
  readonly user: string | null;
  readonly user_id: string | null;
  readonly group: string | null;
  readonly grant_id: string;
  readonly grant_label: string;
  readonly delegation_id: string | null;
  readonly provider: string;
  readonly secret: string;
  readonly hosts: readonly string[];
  readonly methods: readonly string[] | null;
  readonly expires_at: string | null;
}

const iso = (at: number): string => new Date(at).toISOString();
const isoOrNull = (at: number | null): string | null => (at === null ? null : iso(at));

export const userView = (user: User): UserView => ({
  id: user.id,
  issuer: user.issuer,
  subject: user.subject,
  email: user.email,
  name: user.name,
  groups: user.groups,
  status: user.status,
  created_at: iso(user.createdAt),
  last_seen_at: isoOrNull(user.lastUsedAt),
});

/** The e-mail or subject of a user by id. */
export const userNamer =
  ({ authority }: Pick<VaultRooms, 'authority'>) =>
  (id: string): string | null => {
    const user = authority.users.get(id);
    return user === undefined ? null : userLabel(user);
  };

export function delegationView(delegation: Delegation, vault: Pick<VaultRooms, 'authority'>, now: number): DelegationView {
  const { agents, grants } = vault.authority;
  const grant = grants.find((each) => each.id === delegation.grantId);
  const isExpired = delegation.expiresAt !== null && delegation.expiresAt <= now;
  return {
    id: delegation.id,
    user: delegation.userId === null ? null : userNamer(vault)(delegation.userId),
    user_id: delegation.userId,
    group: grant?.principal.type === 'group' ? grant.principal.group : null,
    agent: agents.get(delegation.agentId)?.name ?? null,
    grant_id: delegation.grantId,
    grant_label: grant?.label ?? '',
    provider: grant?.providerId ?? null,
    status: delegation.status === 'active' && isExpired ? 'expired' : delegation.status,
    created_at: iso(delegation.createdAt),
    expires_at: isoOrNull(delegation.expiresAt),
    revoked_at: isoOrNull(delegation.revokedAt),
    revoked_by: delegation.revokedBy,
  };
}

export const accessView = ({ path, agent, user, delegation, grant, expiresAt }: AccessPath): AccessView => ({
  path,
  agent: agent.name,
  user: user === null ? null : userLabel(user),
  user_id: user?.id ?? null,
  group: grant.principal.type === 'group' ? grant.principal.group : null,
  grant_id: grant.id,
  grant_label: grant.label,
  delegation_id: delegation?.id ?? null,
  provider: grant.providerId,
  secret: grant.credentialName,
  hosts: grant.destinations.map(destinationText),
  methods: grant.methods,
  expires_at: isoOrNull(expiresAt),
});
