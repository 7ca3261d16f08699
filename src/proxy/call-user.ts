/**
 * For whom a request is made: the user of its session, or the one that the token in Alter-User-Token proves. The header is read here
 * and nowhere else, and like every Alter-* header it never leaves. Must never let a request choose a user other than its session's.
 */
import type { Authority } from '../domain/authority.ts';
import { AlterError } from '../domain/errors.ts';
import type { Grant } from '../domain/grant.ts';
import { userLabel } from '../domain/user.ts';
import type { ProvenUser } from '../domain/user-port.ts';
import type { DataPlane } from './data-plane.ts';
import { HeaderKind } from './header-kinds.ts';
import type { AgentRequest } from './message.ts';
import type { Route } from './route.ts';
import type { RowUser } from './row.ts';

/** Larger than any token that an identity provider issues, and small beside a head. */
const MAX_TOKEN_CHARACTERS = 16_384;

/** @throws AlterError malformed_request, policy_violation, re_auth_required, audit_unavailable, vault_unavailable */
export function callUserOf(
  plane: Pick<DataPlane, 'users'>,
  route: Route,
  request: AgentRequest,
): ProvenUser | null | Promise<ProvenUser> {
  const bound = route.caller.identity.userId;
  const ofSession = bound === null ? null : { userId: bound, expiresAt: Number.POSITIVE_INFINITY };
  if ((request.present & (1 << HeaderKind.selector)) === 0) return ofSession;
  const token = tokenIn(request.headers);
  if (token === null) return ofSession;
  const proven = plane.users.identifyUser(token);
  if (bound === null) return proven;
  return proven instanceof Promise ? proven.then((user) => sameUser(user, bound)) : sameUser(proven, bound);
}

/** SECURITY: a session is one user's; a second user's token in it would mix the two. */
function sameUser(user: ProvenUser, bound: string): ProvenUser {
  if (user.userId === bound) return user;
  throw new AlterError(
    'policy_violation',
    { policy_error: 'user_mismatch', rule: 'session.user', reason: 'The token is of another user than the session of this key.' },
    { hint: 'Use the session of that user, or a key without one.' },
  );
}

/** @throws AlterError malformed_request */
function tokenIn(headers: readonly string[]): string | null {
  let found: string | null = null;
  for (let i = 0; i < headers.length; i += 2) {
    const name = headers[i] as string;
    if ((name.length !== 16 && name.length !== 18) || !/^(x-)?alter-user-token$/i.test(name)) continue;
    const value = headers[i + 1] as string;
    if (found !== null) throw malformed('the header Alter-User-Token is there twice, or with and without X-');
    if (value.length > MAX_TOKEN_CHARACTERS) throw malformed('the header Alter-User-Token is too long');
    found = value;
  }
  return found;
}

const malformed = (reason: string): AlterError => new AlterError('malformed_request', { reason });

/**
 * SECURITY: asked again at every request, since a token may be good for hours after its user was let go.
 * @throws AlterError policy_violation, re_auth_required
 */
export function requireUser(authority: Authority, user: ProvenUser | null, now: number): void {
  if (user === null) return;
  if (user.expiresAt <= now) throw new AlterError('re_auth_required', { reason: 'the token has expired' });
  if (isUserActive(authority, user.userId)) return;
  throw new AlterError(
    'policy_violation',
    { policy_error: 'user_deactivated', rule: 'user.status', reason: 'The user of this request is not active here.' },
    { hint: 'An operator lets the user in again: `alterd user activate USER`.' },
  );
}

export const isUserActive = (authority: Authority, userId: string | null): boolean =>
  userId === null || authority.users.get(userId)?.status === 'active';

/**
 * The user in whose name a request goes out: the one who was proved, else the owner of the grant. Null when it is nobody's but the
 * agent's own.
 */
export const actingUserId = (user: ProvenUser | null, grant: Grant | null): string | null =>
  user?.userId ?? (grant?.principal.type === 'user' ? grant.principal.userId : null);

/** A user for people to read; nobody is named who is not known here. */
export function namedUser({ users }: Authority, userId: string | null): { userId: string | null; user: string | null } {
  const user = userId === null ? undefined : users.get(userId);
  return { userId, user: user === undefined ? null : userLabel(user) };
}

/** Who the request is for and by which delegation, as its row says it. */
export function rowUserOf(
  { vault, authority }: Pick<DataPlane, 'vault' | 'authority'>,
  route: Route,
  { user, grant }: { readonly user: ProvenUser | null; readonly grant: Grant | null },
): Required<RowUser> {
  const userId = user?.userId ?? null;
  const view = grant === null ? null : authority.compiled.grantsOf(route.caller.identity.agentId, userId);
  return {
    user: userId === null ? null : (vault.authority.users.get(userId) ?? null),
    delegation: grant === null || view === null ? null : view.delegationOf(grant),
  };
}
