/**
 * Permits in the vault: rows of their own under its MAC, so that they outlive the daemon and nobody else can add one.
 * SECURITY: a permit is worth what it rests on. It never answers for an agent, a user, a grant, a delegation or a credential that
 * ended, and it is removed with them, so that nothing that is connected, delegated or let in again later brings it back.
 */
import { randomBytes } from 'node:crypto';
import { isDelegationLive } from '../domain/delegation.ts';
import { AlterError } from '../domain/errors.ts';
import { type CallPattern, type Permit, type PermitTerm, patternKey } from '../domain/permit.ts';
import { isMember, type User } from '../domain/user.ts';
import { indexDelegations } from '../policy/delegated-grants.ts';
import type { DelegationRow, GrantRow, PermitRow, StoreSnapshot } from '../store/rows.ts';
import { isLive } from './authority.ts';
import type { VaultEvent } from './events.ts';
import type { VaultState } from './state.ts';

export interface VaultPermits {
  /** Those that are in force, in order of creation. */
  list(): readonly Permit[];
  /** The permit for calls of this kind, when one is in force. */
  match(pattern: CallPattern): Permit | undefined;
  /** Takes the place of an earlier one for the same calls. @throws AlterError conflict, audit_unavailable, vault_unavailable */
  create(pattern: CallPattern, term: PermitTerm, from: { readonly approvalId: string; readonly by: string }): Promise<Permit>;
  /** @throws AlterError not_found, audit_unavailable, vault_unavailable */
  revoke(id: string, by: string): Promise<Permit>;
  /** Removes what ended while no daemon ran. */
  endDue(): void;
}

interface PermitIndex {
  readonly rows: readonly PermitRow[];
  readonly byPattern: ReadonlyMap<string, PermitRow>;
}

const MAX_PERMITS = 10_000;

export class EmbeddedPermits implements VaultPermits {
  readonly #state: VaultState;
  /** Of the rows that it was made of; others replace it. */
  #index: PermitIndex;
  /** On their way out. */
  readonly #ending = new Set<string>();

  constructor(state: VaultState) {
    this.#state = state;
    this.#index = indexOf(state.rows.permits);
    state.onAuthorityChange(() => this.endDue());
  }

  list(): readonly Permit[] {
    return this.#state.rows.permits.filter((row) => this.#isInForce(row));
  }

  match(pattern: CallPattern): Permit | undefined {
    const { permits } = this.#state.rows;
    if (permits.length === 0) return undefined;
    if (this.#index.rows !== permits) this.#index = indexOf(permits);
    const found = this.#index.byPattern.get(patternKey(pattern));
    return found !== undefined && this.#isInForce(found) ? found : undefined;
  }

  create(
    pattern: CallPattern,
    term: PermitTerm,
    { approvalId, by }: { readonly approvalId: string; readonly by: string },
  ): Promise<Permit> {
    const state = this.#state;
    return state.exclusive(async () => {
      const key = patternKey(pattern);
      const replaced = state.rows.permits.filter((row) => patternKey(row) === key);
      if (state.rows.permits.length >= MAX_PERMITS)
        throw new AlterError('conflict', {
          reason: `There are ${MAX_PERMITS} permits already`,
          hint: 'Revoke some: `alterd approvals permits list`.',
        });
      const now = state.now();
      const { agentId, userId, grantId, rule, method, origin, path } = pattern;
      const row: PermitRow = {
        ...{ agentId, userId, grantId, rule, method, origin, path },
        delegationId: this.#delegationOf(pattern),
        id: `prm_${randomBytes(12).toString('base64url')}`,
        approvalId,
        createdBy: by,
        createdAt: now,
        expiresAt: term === 'standing' ? null : now + term,
      };
      const reason = endOf(row, state.rows, now);
      if (reason !== null)
        throw new AlterError('conflict', { reason: `No permit can be made: ${reason}`, hint: 'See `alterd grant list`.' });
      await state.commit(this.#event('permit.created', row, { by, approval: approvalId, expires_at: row.expiresAt }), [
        ...replaced.map(({ id }) => ({ remove: 'permit', id }) as const),
        { put: 'permit', row },
      ]);
      return row;
    });
  }

  revoke(id: string, by: string): Promise<Permit> {
    const state = this.#state;
    return state.exclusive(async () => {
      const row = state.rows.permits.find((each) => each.id === id);
      if (row === undefined)
        throw new AlterError('not_found', { what: 'permit', name: id, list_command: 'alterd approvals permits list' });
      await state.commit(this.#event('permit.revoked', row, { by }), [{ remove: 'permit', id }]);
      return row;
    });
  }

  /** SECURITY: it rests on the very delegation that is there now: one that takes its place is another word, and is asked about anew. */
  #delegationOf({ agentId, userId, grantId }: CallPattern): string | null {
    const { authority } = this.#state;
    const grant = authority.grants.find(({ id }) => id === grantId);
    return (grant && indexDelegations(authority)(agentId, userId)?.delegationOf.get(grant)?.id) ?? null;
  }

  #isInForce(row: PermitRow): boolean {
    return !this.#ending.has(row.id) && endOf(row, this.#state.rows, this.#state.now()) === null;
  }

  endDue(): void {
    const now = this.#state.now();
    // Which ones is settled here, not when their turn comes: a change that waits already might bring back what they rested on.
    for (const row of this.#state.rows.permits) {
      const reason = this.#ending.has(row.id) ? null : endOf(row, this.#state.rows, now);
      if (reason === null) continue;
      this.#ending.add(row.id);
      // One that could not be removed stays ended here, and is looked at again by the next daemon.
      void this.#state.exclusive(() => this.#end(row, reason)).catch(() => {});
    }
  }

  async #end(row: PermitRow, reason: string): Promise<void> {
    // Revoked meanwhile, or gone with its agent or grant.
    if (!this.#state.rows.permits.some(({ id }) => id === row.id)) return;
    await this.#state.commit(this.#event('permit.ended', row, { reason }), [{ remove: 'permit', id: row.id }]);
    this.#ending.delete(row.id);
  }

  #event(action: VaultEvent['action'], row: PermitRow, details: NonNullable<VaultEvent['details']>): VaultEvent {
    const { authority, rows } = this.#state;
    const grant = rows.grants.find(({ id }) => id === row.grantId);
    return {
      action,
      agent: authority.agents.get(row.agentId),
      user: row.userId === null ? undefined : authority.users.get(row.userId),
      grant,
      delegationId: row.delegationId ?? undefined,
      credential: rows.credentials.find(({ id }) => id === grant?.credentialId),
      details: { permit: row.id, rule: row.rule, method: row.method, origin: row.origin, path: row.path, ...details },
    };
  }
}

/** Why it is over; null while it is in force. */
function endOf(row: PermitRow, rows: StoreSnapshot, now: number): string | null {
  if (row.expiresAt !== null && row.expiresAt <= now) return 'its time is over';
  const agent = rows.agents.find(({ id }) => id === row.agentId);
  if (agent === undefined || agent.status === 'revoked') return 'its agent ended';
  const user = rows.users.find(({ id }) => id === row.userId);
  if (row.userId !== null && user?.status !== 'active') return 'its user is not active';
  if (row.grantId === null) return null;
  const grant = rows.grants.find(({ id }) => id === row.grantId);
  if (grant === undefined || !isLive(grant, now)) return 'its grant ended';
  if (!isDelegated(row, grant, user, rows.delegations, now)) return 'its delegation ended';
  const credential = rows.credentials.find(({ id }) => id === grant.credentialId);
  return credential === undefined || credential.oauth?.state === 'revoked' ? 'its credential ended' : null;
}

/** True too for a grant that needs no delegation. */
function isDelegated(
  row: PermitRow,
  { principal }: GrantRow,
  user: User | undefined,
  delegations: readonly DelegationRow[],
  now: number,
): boolean {
  if (principal.type !== 'user' && principal.type !== 'group') return true;
  const delegation = delegations.find(({ id }) => id === row.delegationId);
  if (delegation === undefined || !isDelegationLive(delegation, now)) return false;
  // Who leaves the group has nothing of it any more.
  return principal.type === 'user' ? principal.userId === row.userId : user !== undefined && isMember(user, principal);
}

const indexOf = (rows: readonly PermitRow[]): PermitIndex => ({
  rows,
  byPattern: new Map(rows.map((row) => [patternKey(row), row])),
});
