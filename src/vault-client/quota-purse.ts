/**
 * Slices of limits that all hosts share, as this host has them in hand: drawn from the vault, spent here, and given back when they are
 * not needed. They live in memory alone: what a crash forgets counts as spent at the vault until its end, so nothing is spent twice.
 * SECURITY: nothing passes that is not in hand. While the vault is away that is what was drawn before, to its end, and no more.
 */
import { randomBytes } from 'node:crypto';
import { AlterError, toAlterError } from '../domain/errors.ts';
import { specText } from '../policy/limit-ledger.ts';
import { ASK, type LimitUse, type SharedLimits } from '../policy/shared-limits.ts';
import { type ClockSource, type Lease, type Moment, momentOf, remainingMs } from './lease-clock.ts';
import type { QuotaCall, QuotaSlice, VaultCalls } from './vault-calls.ts';

export interface QuotaPurseOptions {
  readonly calls: Pick<VaultCalls, 'quotas'>;
  readonly clock: ClockSource;
  /** Whether the vault says of this rule that all hosts share it: `POLICY/RULE`. */
  readonly isShared: (rule: string) => boolean;
  readonly isAway: () => boolean;
}

export interface PurseStatus {
  /** Requests that may pass without asking. */
  readonly inHand: number;
  /** Requests drawn since the start. */
  readonly drawn: number;
}

interface Held {
  readonly id: string;
  readonly count: number;
  readonly lease: Lease;
  used: number;
  /** By performance.now(). */
  usedAt: number;
}

interface Purse {
  use: LimitUse;
  slices: Held[];
  /** Done with, and not told yet. */
  done: Held[];
  asking: Promise<void> | null;
  /** Of an ask without an answer: asked again by the same, it draws nothing twice. */
  askId: string | null;
  /** The latest version of the counter that the vault has told. */
  seen: number;
  emptyUntil: number;
  failed: { readonly error: AlterError; readonly until: number } | null;
  waiting: number;
  /** Passed on credit. */
  debt: number;
  /** Requests of this second and of the one before. */
  second: number;
  passed: number;
  passedBefore: number;
}

const TICK_MS = 500;
/** What is not spent for so long is given back. */
const IDLE_MS = 1_000;
/** Of the requests of a second. */
const AHEAD = 1 / 4;
const FORGET_MS = 60_000;
const RETRY_AFTER_MS = 1_000;
/** A short window gives something free all the time: it is fetched in lots. */
const SHORTEST_EMPTY_MS = 50;
/** The clock of the machine is told in hundredths of a second. */
const MARGIN_MS = 20;
const MAX_BATCH = 100;
const MAX_SETTLED = 64;
const MAX_WANT = 1_000_000;
const CLOSE_MS = 1_000;

export class QuotaPurse implements SharedLimits {
  readonly #options: QuotaPurseOptions;
  readonly #purses = new Map<string, Purse>();
  readonly #timer: NodeJS.Timeout;
  #queue: Purse[] = [];
  #drawn = 0;
  #closed = false;

  constructor(options: QuotaPurseOptions) {
    this.#options = options;
    this.#timer = setInterval(() => this.#tick(), TICK_MS).unref();
  }

  covers({ spec, rule }: LimitUse): boolean {
    return spec.scope === 'fleet' && this.#options.isShared(rule);
  }

  waitMs(use: LimitUse): number {
    const purse = this.#of(use);
    if (this.#usable(purse) !== undefined) return 0;
    const left = purse.emptyUntil - performance.now();
    return left > 0 ? Math.ceil(left) : ASK;
  }

  take(use: LimitUse): void {
    const purse = this.#of(use);
    const now = performance.now();
    const slice = this.#usable(purse);
    if (slice === undefined) purse.debt++;
    else {
      slice.used++;
      slice.usedAt = now;
    }
    this.#notePassed(purse, now);
    // Before it is empty, so that the next request waits for nobody; where few come it is not worth holding more than they need.
    const isLow = leftOf(purse) * 2 < wantOf(purse);
    if (isLow && (slice === undefined || purse.passed > 1) && this.#mayAsk(purse, now)) void this.#ask(purse).catch(() => {});
  }

  async ask(uses: readonly LimitUse[], withinMs: number): Promise<void> {
    const purses = uses.map((use) => this.#of(use));
    const now = performance.now();
    for (const { failed, use } of purses) {
      if (failed !== null && now < failed.until) throw failed.error;
      if (this.#options.isAway()) throw uncounted(use.rule, 'it does not answer');
    }
    let timer: NodeJS.Timeout | undefined;
    for (const purse of purses) purse.waiting++;
    try {
      await Promise.race([
        Promise.all(purses.map((purse) => this.#ask(purse))),
        new Promise<never>((_resolve, reject) => {
          const late = () => reject(uncounted(purses[0]?.use.rule ?? '', 'it did not answer in time'));
          timer = setTimeout(late, Math.max(0, withinMs));
        }),
      ]);
    } finally {
      clearTimeout(timer);
      for (const purse of purses) purse.waiting--;
    }
  }

  get status(): PurseStatus {
    let inHand = 0;
    for (const purse of this.#purses.values()) inHand += leftOf(purse);
    return { inHand, drawn: this.#drawn };
  }

  /** The vault ended what this host may do. */
  clear(): void {
    this.#purses.clear();
  }

  /** Gives back what is left, when there is somebody to give it to. */
  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    clearInterval(this.#timer);
    if (this.#options.isAway()) return;
    for (const purse of this.#purses.values()) retire(purse, () => true);
    const due = [...this.#purses.values()].filter(({ done }) => done.length > 0);
    if (due.length === 0) return;
    const late = new Promise<void>((resolve) => setTimeout(resolve, CLOSE_MS).unref());
    await Promise.race([this.#send(due, false), late]);
  }

  #of(use: LimitUse): Purse {
    let purse = this.#purses.get(use.key);
    if (purse === undefined) {
      purse = {
        ...{ use, slices: [], done: [], asking: null, askId: null, seen: 0, emptyUntil: 0, failed: null },
        ...{ waiting: 0, debt: 0, second: 0, passed: 0, passedBefore: 0 },
      };
      this.#purses.set(use.key, purse);
    } else if (purse.use.spec !== use.spec) {
      // A limit that was changed begins with what the vault says now.
      if (specText(purse.use.spec) !== specText(use.spec)) {
        retire(purse, () => true);
        purse.emptyUntil = 0;
      }
      purse.use = use;
    }
    return purse;
  }

  /** The slice that ends first, of those that may still be spent. */
  #usable(purse: Purse): Held | undefined {
    const [first] = purse.slices;
    if (first === undefined) return undefined;
    const moment = momentOf(this.#options.clock);
    if (first.used < first.count && remainingMs(first.lease, moment) > MARGIN_MS) return first;
    retire(purse, (held) => held.used >= held.count || remainingMs(held.lease, moment) <= MARGIN_MS);
    return purse.slices[0];
  }

  #notePassed(purse: Purse, now: number): void {
    const second = Math.floor(now / 1_000);
    if (second !== purse.second) {
      purse.passedBefore = second === purse.second + 1 ? purse.passed : 0;
      purse.passed = 0;
      purse.second = second;
    }
    purse.passed++;
  }

  #mayAsk(purse: Purse, now: number): boolean {
    const hasFailed = purse.failed !== null && now < purse.failed.until;
    return purse.asking === null && now >= purse.emptyUntil && !hasFailed && !this.#options.isAway();
  }

  /** Asks for several at once when several are asked for in one turn. */
  #ask(purse: Purse): Promise<void> {
    if (purse.asking !== null) return purse.asking;
    let settle: () => void = () => {};
    let fail: (error: AlterError) => void = () => {};
    const asking = new Promise<void>((resolve, reject) => {
      settle = resolve;
      fail = reject;
    }).finally(() => {
      purse.asking = null;
    });
    purse.asking = asking;
    if (this.#queue.push(purse) === 1)
      setImmediate(() => {
        const due = this.#queue;
        this.#queue = [];
        void this.#send(due, true);
      });
    this.#answers.set(purse, { settle, fail });
    return asking;
  }

  readonly #answers = new WeakMap<Purse, { readonly settle: () => void; readonly fail: (error: AlterError) => void }>();

  async #send(due: readonly Purse[], wants: boolean): Promise<void> {
    for (let from = 0; from < due.length; from += MAX_BATCH) await this.#sendSome(due.slice(from, from + MAX_BATCH), wants);
  }

  async #sendSome(due: readonly Purse[], wants: boolean): Promise<void> {
    const since = momentOf(this.#options.clock);
    const asks = due.map((purse) => ({ purse, told: purse.done.slice(0, MAX_SETTLED), call: callOf(purse, wants) }));
    try {
      const { slices, failures } = await this.#options.calls.quotas(asks.map(({ call }) => call));
      for (const { purse, told, call } of asks) {
        const slice = slices.find(({ sliceId }) => sliceId === call.sliceId);
        const failure = failures.find(({ sliceId }) => sliceId === call.sliceId);
        purse.done = purse.done.filter((held) => !told.includes(held));
        if (slice !== undefined) this.#keep(purse, slice, since, call.want);
        else this.#fail(purse, failure?.error ?? new AlterError('vault_unavailable', { reason: 'it left it out' }), wants);
      }
    } catch (thrown) {
      for (const { purse } of asks) this.#fail(purse, toAlterError(thrown), wants);
    }
  }

  #keep(purse: Purse, { sliceId, count, validMs, retryMs, version }: QuotaSlice, since: Moment, want: number): void {
    const now = performance.now();
    purse.seen = Math.max(purse.seen, version);
    if (want > 0) purse.askId = null;
    if (count > 0) {
      const used = Math.min(purse.debt, count);
      purse.debt -= used;
      purse.slices.push({ id: sliceId, count, lease: { since, durationMs: validMs }, used, usedAt: now });
      this.#drawn += count;
    }
    if (want > 0) {
      purse.failed = null;
      purse.emptyUntil = retryMs > 0 ? now + Math.max(retryMs, SHORTEST_EMPTY_MS) : count === 0 ? now + RETRY_AFTER_MS : 0;
      this.#answers.get(purse)?.settle();
    }
  }

  #fail(purse: Purse, error: AlterError, wants: boolean): void {
    if (!wants) return;
    const reason = error.code === 'not_found' ? 'it knows no such limit' : String(error.message);
    const told = uncounted(purse.use.rule, reason);
    purse.failed = { error: told, until: performance.now() + RETRY_AFTER_MS };
    this.#answers.get(purse)?.fail(told);
  }

  /** Gives back what is over or idle, and forgets what nobody uses. */
  #tick(): void {
    const now = performance.now();
    const moment = momentOf(this.#options.clock);
    const isAway = this.#options.isAway();
    const due: Purse[] = [];
    for (const [key, purse] of this.#purses) {
      retire(
        purse,
        (held) =>
          held.used >= held.count ||
          remainingMs(held.lease, moment) <= MARGIN_MS ||
          // What can't be given back is kept: it is all that there is.
          (!isAway && now - held.usedAt > IDLE_MS),
      );
      if (purse.done.length > 0 && purse.asking === null && !isAway) due.push(purse);
      const isIdle = purse.slices.length === 0 && purse.done.length === 0 && purse.asking === null && now >= purse.emptyUntil;
      // SECURITY: what it was told last is how the vault finds out that its database is an older copy: for as long as a window remembers.
      const forgetMs = Math.max(FORGET_MS, purse.use.spec.perMs);
      if (isIdle && now / 1_000 - purse.second > forgetMs / 1_000) this.#purses.delete(key);
    }
    if (due.length > 0) void this.#send(due, false);
  }
}

const leftOf = ({ slices }: Purse): number => slices.reduce((sum, { count, used }) => sum + count - used, 0);

/** About what the next quarter of a second needs, and at least what waits: what lies here is nobody else's. */
const wantOf = ({ waiting, debt, passed, passedBefore }: Purse): number =>
  Math.min(MAX_WANT, Math.max(1, waiting + debt, Math.ceil(Math.max(passed, passedBefore) * AHEAD)));

function retire(purse: Purse, isDone: (held: Held) => boolean): void {
  const done = purse.slices.filter(isDone);
  if (done.length === 0) return;
  purse.slices = purse.slices.filter((held) => !done.includes(held));
  purse.done.push(...done);
}

function callOf(purse: Purse, wants: boolean): QuotaCall {
  const { seen } = purse;
  const { rule, agentId, grantId } = purse.use;
  const now = performance.now();
  if (wants) purse.askId ??= newId();
  const settled = purse.done.slice(0, MAX_SETTLED).map(({ id, used, usedAt }) => ({
    ...{ sliceId: id, used, idleMs: Math.max(0, Math.floor(now - usedAt)) },
  }));
  const sliceId = wants ? (purse.askId as string) : newId();
  return { rule, agentId, grantId, sliceId, seen, want: wants ? wantOf(purse) : 0, settled };
}

const newId = (): string => randomBytes(12).toString('base64url');

const uncounted = (rule: string, reason: string): AlterError =>
  new AlterError(
    'vault_unavailable',
    { reason: `the limit ${rule}, which all hosts share, can't be counted: ${reason.replace(/\.$/, '')}` },
    { hint: 'Is the vault up? On this host: `alterd status`. A limit with scope = "host" is counted without it.' },
  );
