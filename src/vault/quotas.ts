/**
 * Limits that all hosts share, at the vault: slices of them are given out and taken back. What is out is a row behind the Store port that
 * each replica changes by comparing its version, so that two of them never give out the same request. It keeps nothing that another
 * replica would have to know.
 * SECURITY: a slice is given only after it was written down: what a crash forgets, nobody spends.
 */
import { AlterError } from '../domain/errors.ts';
import type { LimitSpec } from '../domain/policy.ts';
import { limitKey, specText } from '../policy/limit-ledger.ts';
import { type AccountState, type AccountUse, QuotaAccount, type Draw as Slice } from '../policy/quota-account.ts';
import type { QuotaRow, QuotaStore } from '../store/store.ts';
import type { VaultPolicies } from './policies.ts';

export interface QuotaAsk {
  readonly hostId: string;
  /** `POLICY/RULE` */
  readonly rule: string;
  readonly agentId: string;
  readonly grantId: string;
  /** Chosen by the host: the same id again gets the same slice. */
  readonly id: string;
  /** 0: it only gives back. */
  readonly want: number;
  readonly settled: readonly { readonly id: string; readonly used: number; readonly idleMs: number }[];
  /** The last version of the counter that the host was told; 0: none. */
  readonly seen: number;
}

export interface Draw extends Slice {
  /** Rises with each change of the counter. */
  readonly version: number;
}

export interface QuotaUse {
  readonly rule: string;
  readonly agentId: string;
  readonly grantId: string;
  readonly limit: LimitSpec;
  readonly left: number;
  readonly hosts: readonly AccountUse[];
}

export interface VaultQuotas {
  /** Takes back what a host is done with, and gives it a slice. @throws AlterError not_found for a rule that shares nothing, vault_unavailable */
  draw(ask: QuotaAsk): Promise<Draw>;
  /** What is out, by limit. @throws AlterError vault_unavailable */
  list(): Promise<QuotaUse[]>;
  /** Of this replica, since its start. */
  readonly counts: QuotaCounts;
}

export interface QuotaCounts {
  /** Requests that were given out. */
  readonly drawn: number;
  /** Asks for which nothing was left. */
  readonly empty: number;
}

interface Kept {
  readonly limit: LimitSpec;
  /** Version of the policies by which it was given out last. */
  readonly policies: number;
  readonly account: AccountState;
}

interface Job {
  readonly ask: QuotaAsk;
  readonly resolve: (draw: Draw) => void;
  readonly reject: (error: unknown) => void;
}

interface Line {
  waiting: Job[];
  isBusy: boolean;
  /** The row as this replica knows it, and when it knew. */
  known: { readonly row: QuotaRow; readonly at: number } | null;
}

/** A rule, its limit, and the version of the policies that say so. */
interface Ruled {
  readonly limit: LimitSpec;
  readonly version: number;
}

/** What is known of a database that was put back. */
interface Past {
  readonly restoredAt: number | null;
  /** The latest version that any of the hosts was told. */
  readonly seen: number;
}

const TRIES = 40;
const LONGEST_PAUSE_MS = 20;
const REMEMBER_MS = 60_000;
const FORGET_AFTER_MS = 600_000;
const FORGET_EVERY_MS = 60_000;
/** How soon a replica knows the policies that another one knows. */
const FOLLOW_MS = 100;
const MAX_LINES = 10_000;
/** How far ahead the clock of another replica may be that a version was made by. */
const AHEAD_MS = 60_000;
/** No rule has such a name. */
const RESTORED = '-restored';
const FAR_MS = 400 * 86_400_000;

export class EmbeddedQuotas implements VaultQuotas {
  readonly #store: QuotaStore;
  readonly #policies: Pick<VaultPolicies, 'set' | 'version'>;
  readonly #now: () => number;
  readonly #lines = new Map<string, Line>();
  #restoredAt: Promise<number | null> | null = null;
  #forgotAt = 0;
  #counts: QuotaCounts = { drawn: 0, empty: 0 };

  constructor(store: QuotaStore, policies: Pick<VaultPolicies, 'set' | 'version'>, now: () => number) {
    this.#store = store;
    this.#policies = policies;
    this.#now = now;
  }

  draw(ask: QuotaAsk): Promise<Draw> {
    const key = limitKey(ask.rule, ask.agentId, ask.grantId);
    let line = this.#lines.get(key);
    if (line === undefined) this.#lines.set(key, (line = { waiting: [], isBusy: false, known: null }));
    return new Promise((resolve, reject) => {
      line.waiting.push({ ask, resolve, reject });
      if (!line.isBusy) void this.#work(key, line);
    });
  }

  get counts(): QuotaCounts {
    return this.#counts;
  }

  async list(): Promise<QuotaUse[]> {
    const now = this.#now();
    return (await this.#store.listQuotas()).flatMap(({ key, state, expiresAt }) => {
      const [rule = '', agentId = '', grantId = ''] = key.split(' ');
      if (key === RESTORED || expiresAt <= now) return [];
      const { limit, account: kept } = JSON.parse(state) as Kept;
      const account = new QuotaAccount(limit, kept, now);
      return [{ rule, agentId, grantId, limit, left: account.left(now), hosts: account.uses(now) }];
    });
  }

  /**
   * SECURITY: an older copy of the database does not know what was given out after it was made: each limit counts as used up from now on.
   * @throws AlterError vault_unavailable
   */
  async distrust(): Promise<void> {
    const at = this.#now();
    const { version: before = 0 } = (await this.#store.readQuota(RESTORED)) ?? {};
    const row = { key: RESTORED, version: Math.max(at, before + 1), state: String(at), expiresAt: at + FAR_MS };
    await this.#store.writeQuota(row, before);
    this.#restoredAt = Promise.resolve(at);
    this.#lines.clear();
  }

  async #work(key: string, line: Line): Promise<void> {
    line.isBusy = true;
    while (line.waiting.length > 0) {
      const jobs = line.waiting;
      line.waiting = [];
      try {
        const draws = await this.#drawAll(
          key,
          line,
          jobs.map(({ ask }) => ask),
        );
        for (const [i, { ask, resolve }] of jobs.entries()) {
          const draw = draws[i] as Draw;
          const empty = ask.want > 0 && draw.count === 0 ? 1 : 0;
          this.#counts = { drawn: this.#counts.drawn + draw.count, empty: this.#counts.empty + empty };
          resolve(draw);
        }
      } catch (thrown) {
        line.known = null;
        for (const job of jobs) job.reject(thrown);
      }
    }
    line.isBusy = false;
    this.#forget();
  }

  /** Those that came meanwhile go together, in one change. */
  async #drawAll(key: string, line: Line, asks: readonly QuotaAsk[]): Promise<Draw[]> {
    const fresh = performance.now() - REMEMBER_MS;
    const seen = Math.max(...asks.map((ask) => (ask.seen <= this.#now() + AHEAD_MS ? ask.seen : 0)));
    let row = line.known !== null && line.known.at > fresh && line.known.row.version >= seen ? line.known.row : undefined;
    let isRead = row === undefined;
    if (isRead) row = await this.#store.readQuota(key);
    const restoredAt = await this.#restored();
    for (let attempt = 1; attempt <= TRIES; attempt++) {
      const { slices, next } = this.#apply(key, row, { restoredAt, seen }, asks);
      const version = next?.version ?? row?.version ?? 0;
      const draws = slices.map((slice) => ({ ...slice, version }));
      if (next === null && isRead) return draws;
      if (next !== null && (await this.#store.writeQuota(next, row?.version ?? 0))) {
        line.known = { row: next, at: performance.now() };
        return draws;
      }
      if (isRead) await new Promise((resolve) => setTimeout(resolve, Math.random() * LONGEST_PAUSE_MS));
      row = await this.#store.readQuota(key);
      isRead = true;
    }
    throw new AlterError('vault_unavailable', { reason: 'too many replicas change the same limit at once' });
  }

  /** Pure: the row that follows; null when nothing changed. */
  #apply(
    key: string,
    row: QuotaRow | undefined,
    past: Past,
    asks: readonly QuotaAsk[],
  ): { readonly slices: Slice[]; readonly next: QuotaRow | null } {
    const now = this.#now();
    const { limit, version } = this.#ruled(asks[0] as QuotaAsk);
    const kept = row === undefined ? null : (JSON.parse(row.state) as Kept);
    // SECURITY: a replica that does not know the newest policies yet gives out nothing by the older ones.
    if (kept !== null && kept.policies > version)
      return { slices: asks.map(() => ({ count: 0, validMs: 0, retryMs: FOLLOW_MS })), next: null };
    // SECURITY: a host was told of a later state: this is an older copy, and nobody knows what was given out since.
    const isOlder = past.seen > (row?.version ?? 0);
    let account = isOlder ? QuotaAccount.usedUp(limit, now) : accountOf(limit, kept, past.restoredAt, now);
    if (!isOlder && kept !== null && specText(kept.limit) !== specText(limit)) account = account.changed(limit, now);
    const before = textOf(account);
    const slices = asks.map(({ id, hostId, want, settled }) => {
      for (const each of settled) account.settle(each.id, hostId, each.used, each.idleMs, now);
      return account.draw(id, hostId, want, now);
    });
    if (!isOlder && before === textOf(account)) return { slices, next: null };
    const state = JSON.stringify({ limit, policies: version, account: account.state } satisfies Kept);
    // A clock, so that a row which was forgotten does not begin with the versions of before.
    const next = Math.max((row?.version ?? 0) + 1, row === undefined || isOlder ? Math.max(now, past.seen + 1) : 0);
    return { slices, next: { key, version: next, state, expiresAt: account.expiresAt } };
  }

  /** SECURITY: what a limit is, the vault's own policies say, never a host. @throws AlterError not_found */
  #ruled({ rule }: QuotaAsk): Ruled {
    const { version } = this.#policies.version();
    const limit = this.#policies.set.rules.find(({ name }) => name === rule)?.rule.limit;
    if (limit?.scope !== 'fleet')
      throw new AlterError('not_found', { what: 'limit of all hosts', name: rule, list_command: 'alterd policy list' });
    return { limit, version };
  }

  #restored(): Promise<number | null> {
    this.#restoredAt ??= this.#store.readQuota(RESTORED).then(
      (row) => (row === undefined ? null : Number(row.state)),
      (thrown: unknown) => {
        this.#restoredAt = null;
        throw thrown;
      },
    );
    return this.#restoredAt;
  }

  #forget(): void {
    const now = performance.now();
    if (now - this.#forgotAt < FORGET_EVERY_MS) return;
    this.#forgotAt = now;
    if (this.#lines.size > MAX_LINES)
      for (const [key, { isBusy, waiting }] of this.#lines) if (!isBusy && waiting.length === 0) this.#lines.delete(key);
    // What is left in the table for longer does no harm.
    void this.#store.forgetQuotas(this.#now() - FORGET_AFTER_MS).catch(() => {});
  }
}

const textOf = ({ state: { slices, spent } }: QuotaAccount): string => JSON.stringify([slices, spent]);

function accountOf(limit: LimitSpec, kept: Kept | null, restoredAt: number | null, now: number): QuotaAccount {
  if (kept !== null && (restoredAt === null || kept.account.at > restoredAt))
    return new QuotaAccount(kept.limit, kept.account, now);
  return restoredAt === null ? new QuotaAccount(limit, null, now) : QuotaAccount.usedUp(limit, restoredAt);
}
