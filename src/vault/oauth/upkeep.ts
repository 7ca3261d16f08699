/**
 * Looks after connected accounts between requests, by one timer: renews the tokens of those that are in use before a request has to
 * wait for it, and ends those whose last grant has expired. It must never renew what nobody uses, nor begin many refreshes at a time.
 */

import type { CredentialRow } from '../../store/rows.ts';
import { grantOf, isLive } from '../authority.ts';
import type { DataKeys } from '../data-keys.ts';
import type { LastUses } from '../last-uses.ts';
import type { VaultState } from '../state.ts';
import type { Refresher } from './refresher.ts';
import type { TokenEndings } from './token-endings.ts';
import { termsOf } from './token-terms.ts';

export const UPKEEP_EVERY_MS = 30_000;
const IN_USE_MS = 60 * 60_000;
/** After a sleep of the machine every token may be due at once; the rest comes with the next round, or with its request. */
const MOST_AT_ONCE = 4;

export interface UpkeepParts {
  readonly state: VaultState;
  readonly dataKeys: DataKeys;
  readonly uses: LastUses;
  readonly refresher: Pick<Refresher, 'mayAsk' | 'mayRenew' | 'start' | 'underWay'>;
  readonly endings: Pick<TokenEndings, 'prepare'>;
}

interface Due {
  readonly version: number;
  /** Chosen once for each token: a jitter that is thrown again each round always ends early. */
  readonly at: number;
}

export class Upkeep {
  readonly #parts: UpkeepParts;
  #due = new Map<string, Due>();
  #round: Promise<void> = Promise.resolve();
  #isBusy = false;
  #timer: NodeJS.Timeout | undefined;

  constructor(parts: UpkeepParts) {
    this.#parts = parts;
  }

  start(everyMs: number): void {
    this.#timer = setInterval(() => this.#begin(), everyMs).unref();
  }

  /** Waits for the round that is under way. */
  async stop(): Promise<void> {
    clearInterval(this.#timer);
    this.#timer = undefined;
    await this.#round;
  }

  #begin(): void {
    if (this.#isBusy) return;
    this.#isBusy = true;
    // What could not be done is done in the next round; a journal or disk that fails tells of itself.
    this.#round = this.#once()
      .catch(() => {})
      .finally(() => {
        this.#isBusy = false;
      });
  }

  async #once(): Promise<void> {
    const { state, refresher } = this.#parts;
    for (const { id } of state.rows.credentials.filter((row) => this.#hasExpired(row))) await this.#end(id);
    const now = state.now();
    const due = state.rows.credentials
      .filter((row) => this.#isInUse(row, now) && this.#dueAt(row) <= now && refresher.mayAsk(row.id))
      .sort((a, b) => a.oauth!.expiresAt! - b.oauth!.expiresAt!);
    for (const row of due) {
      if (refresher.underWay >= MOST_AT_ONCE || this.#timer === undefined) break;
      if (await this.#isRenewable(row)) refresher.start(row.id);
    }
    const ids = new Set(state.rows.credentials.map(({ id }) => id));
    for (const id of this.#due.keys()) if (!ids.has(id)) this.#due.delete(id);
  }

  /** Used within the last hour, or since it got its token. */
  #isInUse(row: CredentialRow, now: number): boolean {
    if (row.oauth?.state !== 'ok' || row.oauth.expiresAt === null) return false;
    const usedAt = this.#parts.uses.latest('credential', row.id, row.lastUsedAt);
    if (usedAt === null || usedAt < Math.min(now - IN_USE_MS, row.rotatedAt ?? row.createdAt)) return false;
    return this.#parts.state.rows.grants.some((grant) => grant.credentialId === row.id && isLive(grant, now));
  }

  #dueAt(row: CredentialRow): number {
    const known = this.#due.get(row.id);
    if (known?.version === row.version) return known.at;
    const at = termsOf(row, true).dueAt;
    this.#due.set(row.id, { version: row.version, at });
    return at;
  }

  /** One without a refresh token serves to its end: to try would only end it earlier. */
  async #isRenewable(row: CredentialRow): Promise<boolean> {
    const { state, dataKeys, refresher } = this.#parts;
    const sealed = await state.store.readSealed(row.id);
    if (sealed === undefined || sealed.version !== row.version) return false;
    const mayRenew = refresher.mayRenew(row, dataKeys.open(sealed));
    if (!mayRenew) this.#due.set(row.id, { version: row.version, at: Number.POSITIVE_INFINITY });
    return mayRenew;
  }

  #hasExpired({ id, oauth }: CredentialRow): boolean {
    if (oauth === undefined || oauth.state === 'revoked') return false;
    const { rows, now } = this.#parts.state;
    const own = rows.grants.filter((grant) => grant.credentialId === id);
    return own.some((grant) => grant.status === 'active') && !own.some((grant) => isLive(grant, now()));
  }

  /** As when the last grant is revoked: the tokens are destroyed and the provider is told. */
  #end(credentialId: string): Promise<void> {
    const { state, endings } = this.#parts;
    return state.exclusive(async () => {
      const row = state.rows.credentials.find((each) => each.id === credentialId);
      // Since it was looked at, the account may have been connected again or removed.
      if (row === undefined || !this.#hasExpired(row)) return;
      const expired = state.rows.grants.filter((each) => each.credentialId === credentialId && each.status === 'active');
      const last = expired.reduce((a, b) => (b.expiresAt! > a.expiresAt! ? b : a));
      const { principal } = last;
      const agent = principal.type === 'agent' ? state.authority.agents.get(principal.agentId) : undefined;
      const user = principal.type === 'user' ? state.authority.users.get(principal.userId) : undefined;
      const ending = await endings.prepare([last.id]);
      await state.commit(
        {
          action: 'grant.expired',
          agent,
          user,
          grant: grantOf(last, row.name),
          credential: row,
          details: { expired_at: last.expiresAt, tokens: 'destroyed' },
        },
        ending.changes,
        ending,
      );
      ending.afterwards();
    });
  }
}
