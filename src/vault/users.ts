/**
 * Users: made when a verified token first names them, kept up to date by newer tokens, deactivated and removed by operators.
 * A user alone may do nothing; grants and delegations say what an agent may do for one.
 */
import { randomUUID } from 'node:crypto';
import { AlterError } from '../domain/errors.ts';
import { type User, type UserClaims, type UserStatus, userLabel } from '../domain/user.ts';
import type { LastUses } from './last-uses.ts';
import type { TokenEndings } from './oauth/token-endings.ts';
import type { EmbeddedSessions } from './sessions.ts';
import type { VaultState } from './state.ts';

const MIN_ID_PREFIX_LENGTH = 8;

export interface VaultUsers {
  list(): User[];
  /** By id, the beginning of an id, e-mail or subject. @throws AlterError not_found, conflict */
  find(name: string): User;
  /**
   * The user of verified claims: at once when they say nothing new.
   * @throws AlterError audit_unavailable, vault_unavailable
   */
  admit(claims: UserClaims): User | Promise<User>;
  /** @throws AlterError not_found, conflict, audit_unavailable, vault_unavailable */
  changeStatus(name: string, status: UserStatus): Promise<User>;
  /** Removes the user with the user's grants and delegations. @throws AlterError not_found, conflict, audit_unavailable, vault_unavailable */
  remove(name: string): Promise<void>;
  /** Notes that the user came or went. Call it when it is done. @throws AlterError audit_unavailable */
  noteSignIn(user: User, action: 'user.signed_in' | 'user.signed_out'): Promise<void>;
}

export class EmbeddedUsers implements VaultUsers {
  readonly #state: VaultState;
  readonly #sessions: EmbeddedSessions;
  readonly #uses: LastUses;
  readonly #endings: Pick<TokenEndings, 'prepare'>;
  #byIdentity: ReadonlyMap<string, User>;
  /** The newest token of each user, also when it said nothing new: an older one must not undo it. */
  readonly #newest = new Map<string, number>();

  constructor(state: VaultState, sessions: EmbeddedSessions, uses: LastUses, endings: Pick<TokenEndings, 'prepare'>) {
    this.#state = state;
    this.#sessions = sessions;
    this.#uses = uses;
    this.#endings = endings;
    this.#byIdentity = indexOf(state.authority.users);
    let indexed = state.authority.users;
    state.onAuthorityChange(({ users }) => {
      if (users === indexed) return;
      indexed = users;
      this.#byIdentity = indexOf(users);
    });
  }

  list(): User[] {
    return [...this.#state.authority.users.values()].map((user) => this.#seen(user));
  }

  find(name: string): User {
    const { users } = this.#state.authority;
    const exact = users.get(name);
    if (exact !== undefined) return this.#seen(exact);
    const all = [...users.values()];
    const byLabel = all.filter((user) => user.email === name || user.subject === name);
    const byId = name.length < MIN_ID_PREFIX_LENGTH ? [] : all.filter((user) => user.id.startsWith(name));
    const found = byLabel.length > 0 ? byLabel : byId;
    if (found.length > 1)
      throw new AlterError('conflict', { reason: `Several users match "${name}"`, hint: 'Give the id: `alterd user list`.' });
    if (found[0] === undefined) throw new AlterError('not_found', { what: 'user', name, list_command: 'alterd user list' });
    return this.#seen(found[0]);
  }

  admit(claims: UserClaims): User | Promise<User> {
    const known = this.#byIdentity.get(identityOf(claims));
    if (known !== undefined) {
      this.#uses.note('user', known.id, this.#state.now());
      if (this.#updated(known, claims) === null) {
        this.#newest.set(known.id, Math.max(claims.issuedAt, this.#newest.get(known.id) ?? 0));
        return known;
      }
    }
    return this.#state.exclusive(() => this.#store(claims));
  }

  changeStatus(name: string, status: UserStatus): Promise<User> {
    return this.#state.exclusive(async () => {
      const before = this.find(name);
      if (before.status === status) return before;
      const row: User = { ...before, status };
      const action = status === 'active' ? 'user.activated' : 'user.deactivated';
      await this.#state.commit({ action, user: row }, [{ put: 'user', row }], {
        // Sessions end; a user who is let in again starts new ones.
        beforePublishing: () => status !== 'active' && this.#sessions.endAllOfUser(row.id),
      });
      return row;
    });
  }

  remove(name: string): Promise<void> {
    return this.#state.exclusive(async () => {
      const user = this.find(name);
      const { grants, delegations } = this.#state.rows;
      const owned = grants.filter(({ principal }) => principal.type === 'user' && principal.userId === user.id);
      const details = {
        grants: owned.length,
        delegations: delegations.filter((delegation) => delegation.userId === user.id).length,
      };
      const ending = await this.#endings.prepare(owned.map((grant) => grant.id));
      await this.#state.commit({ action: 'user.removed', user, details }, [{ remove: 'user', id: user.id }, ...ending.changes], {
        beforePublishing: () => {
          this.#sessions.endAllOfUser(user.id);
          ending.beforePublishing();
        },
      });
      ending.afterwards();
    });
  }

  noteSignIn(user: User, action: 'user.signed_in' | 'user.signed_out'): Promise<void> {
    return this.#state.exclusive(() => this.#state.commitInMemory({ action, user, details: { issuer: user.issuer } }, () => {}));
  }

  /** Inside exclusive(): somebody else may have stored the same claims in the meantime. */
  async #store(claims: UserClaims): Promise<User> {
    const { issuer, subject, email, name, groups, issuedAt } = claims;
    const now = this.#state.now();
    const known = this.#byIdentity.get(identityOf(claims));
    if (known === undefined) {
      const base = { issuer, subject, email, name, groups, claimsAt: issuedAt, status: 'active' as const };
      const row: User = { ...base, id: randomUUID(), createdAt: now, lastUsedAt: now };
      await this.#state.commit({ action: 'user.created', user: row, details: { issuer, groups: groups.length } }, [
        { put: 'user', row },
      ]);
      return row;
    }
    const row = this.#updated(known, claims);
    if (row === null) return known;
    const left = known.groups.filter((group) => !row.groups.includes(group)).join(' ');
    const joined = row.groups.filter((group) => !known.groups.includes(group)).join(' ');
    await this.#state.commit({ action: 'user.updated', user: row, details: { issuer, left, joined } }, [{ put: 'user', row }]);
    return row;
  }

  /**
   * The user as newer claims say; null when they change nothing.
   * SECURITY: a token is good until it expires, so one from before somebody left a group may still come: it must not put them back.
   * Of two tokens of the same second nobody knows which is the later, so they can only take groups away.
   */
  #updated(user: User, claims: UserClaims): User | null {
    const latest = Math.max(user.claimsAt, this.#newest.get(user.id) ?? 0);
    if (claims.issuedAt < latest) return null;
    const groups = claims.issuedAt === latest ? user.groups.filter((group) => claims.groups.includes(group)) : claims.groups;
    const isSame =
      user.email === claims.email &&
      user.name === claims.name &&
      user.groups.length === groups.length &&
      user.groups.every((group) => groups.includes(group));
    if (isSame) return null;
    return { ...user, email: claims.email, name: claims.name, groups, claimsAt: claims.issuedAt };
  }

  #seen(user: User): User {
    return { ...user, lastUsedAt: this.#uses.latest('user', user.id, user.lastUsedAt) };
  }
}

/** No line break can stand in a URL. */
const identityOf = ({ issuer, subject }: Pick<User, 'issuer' | 'subject'>): string => `${issuer}\n${subject}`;

const indexOf = (users: ReadonlyMap<string, User>): ReadonlyMap<string, User> =>
  new Map([...users.values()].map((user) => [identityOf(user), user]));

/** A user as the operator's messages name one. */
export const userText = (user: User): string => `"${userLabel(user)}"`;
