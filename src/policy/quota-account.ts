/**
 * The arithmetic of a limit that several hosts share: how much of it is in whose hands. A host draws a slice and spends it by itself;
 * what it gives back is free again. Never more is out, or was spent, than the limit lets through. Pure: plain numbers and `now`.
 * SECURITY: what is not known for certain counts as spent: a slice whose host says nothing, as late as it may have been spent.
 */
import type { LimitSpec } from '../domain/policy.ts';

/** [id, host, requests, end of its use] */
type Slice = readonly [id: string, host: string, count: number, endsAt: number];
/** [host, requests, when they count no more] */
type Spent = readonly [host: string, count: number, until: number];

/** What is kept of an account between two draws. */
export interface AccountState {
  /** Time only goes forward. */
  readonly at: number;
  readonly slices: readonly Slice[];
  readonly spent: readonly Spent[];
  /** Of a bucket, at `at`. */
  readonly tokens: number;
}

export interface Draw {
  /** 0: there is nothing now. */
  readonly count: number;
  /** How long it may be spent, from the moment at which it was asked for. */
  readonly validMs: number;
  /** How long there is nothing more to draw; 0: there is. */
  readonly retryMs: number;
}

export interface AccountUse {
  readonly host: string;
  /** In its hands, and spent or not known. */
  readonly held: number;
  readonly spent: number;
}

/** A slice of a sliding window or of a bucket may be spent for this part of the window. */
const VALID_SHARE = 10;
const SHORTEST_MS = 1_000;
const LONGEST_MS = 60_000;
/** Of the limit, below which no slice is made smaller while there is as much. */
const SMALLEST_SHARE = 100;
/** Spent requests are remembered by this part of a sliding window, so that a state has an end. */
const GRAIN_SHARE = 100;
/** While others have something that they may give back, it is worth asking again this soon. */
const RECHECK_MS = 1_000;
/** A sum of fractions that misses a whole number by the width of a rounding is that number. */
const ROUNDING = 1e-9;

export class QuotaAccount {
  readonly #spec: LimitSpec;
  #at: number;
  #slices: Slice[];
  #spent: Spent[];
  #tokens: number;

  constructor(spec: LimitSpec, state: AccountState | null, now: number) {
    this.#spec = spec;
    this.#at = state?.at ?? now;
    this.#slices = [...(state?.slices ?? [])];
    this.#spent = [...(state?.spent ?? [])];
    this.#tokens = Math.min(spec.burst, state?.tokens ?? spec.burst);
    this.#advance(now);
  }

  /** An account of which nothing is known counts as used up from `now` on. */
  static usedUp(spec: LimitSpec, now: number): QuotaAccount {
    const account = new QuotaAccount(spec, null, now);
    const endsAt = now + account.#validMs;
    if (!account.#isBucket) account.#spent.push(['', spec.requests, account.#countsUntil(endsAt)]);
    else {
      account.#tokens = 0;
      account.#slices.push(['', '', spec.burst, endsAt]);
    }
    return account;
  }

  /** A slice of at most `want`; the same again for an id that is known. */
  draw(id: string, host: string, want: number, now: number): Draw {
    this.#advance(now);
    const known = this.#slices.find((slice) => slice[0] === id && slice[1] === host);
    // SECURITY: an answer that was lost is given once more, not twice.
    if (known !== undefined) return { count: known[2], validMs: Math.max(0, known[3] - this.#at), retryMs: this.#retryMs(host) };
    const room = this.#room;
    const count = Math.min(Math.max(0, Math.floor(want)), room, this.#share(host, room));
    const validMs = this.#validMs;
    if (count > 0) {
      this.#slices.push([id, host, count, this.#at + validMs]);
      if (this.#isBucket) this.#tokens -= count;
    }
    return { count, validMs: count > 0 ? validMs : 0, retryMs: this.#room > 0 ? 0 : this.#retryMs(host) };
  }

  /** A host is done with a slice: it spent so much of it, the last `idleMs` ago. What is not known any more changes nothing. */
  settle(id: string, host: string, used: number, idleMs: number, now: number): void {
    this.#advance(now);
    const index = this.#slices.findIndex((slice) => slice[0] === id && slice[1] === host);
    const [slice] = index < 0 ? [] : this.#slices.splice(index, 1);
    if (slice === undefined) return;
    const [, , count, endsAt] = slice;
    const spent = Math.min(count, Math.max(0, Math.ceil(used)));
    if (this.#isBucket) this.#tokens = Math.min(this.#ceiling, this.#tokens + count - spent);
    // SECURITY: it was spent between its beginning and its end, whatever is said of when.
    const lastAt = Math.max(endsAt - this.#validMs, Math.min(endsAt, this.#at - Math.max(0, idleMs)));
    if (!this.#isBucket && spent > 0)
      this.#noteSpent(host, spent, this.#countsUntil(this.#spec.kind === 'fixed_window' ? endsAt : lastAt));
  }

  /**
   * What the same rule has of it after its limit was changed. SECURITY: nothing that is out or was spent is forgotten, or a limit that is
   * made tighter would begin with all of it: it counts as it did, or as long as the new limit remembers.
   */
  changed(spec: LimitSpec, now: number): QuotaAccount {
    this.#advance(now);
    const next = new QuotaAccount(spec, { ...this.state, spent: [], tokens: 0 }, now);
    if (next.#isBucket) {
      const left = this.#isBucket ? this.#tokens : spec.burst - this.#spent.reduce((sum, [, count]) => sum + count, 0);
      next.#tokens = Math.max(0, Math.min(next.#ceiling, left));
      return next;
    }
    next.#tokens = spec.burst;
    const until = next.#countsUntil(this.#at + 1);
    if (!this.#isBucket) for (const [host, count, end] of this.#spent) next.#noteSpent(host, count, Math.max(end, until));
    else {
      const spent = Math.max(0, Math.ceil(this.#spec.burst - this.#tokens - this.#out - ROUNDING));
      if (spent > 0) next.#noteSpent('', spent, until);
    }
    return next;
  }

  get state(): AccountState {
    return { at: this.#at, slices: this.#slices, spent: this.#spent, tokens: this.#tokens };
  }

  /** From then on it says what a new one says. */
  get expiresAt(): number {
    const { burst, requests, perMs } = this.#spec;
    const fillMs = this.#isBucket ? Math.ceil((burst * perMs) / requests) : 0;
    const ends = [...this.#slices.map((slice) => this.#releaseOf(slice)), ...this.#spent.map(([, , until]) => until)];
    return Math.max(this.#at + fillMs, ...ends) + perMs;
  }

  /** By host, for people. */
  uses(now: number): AccountUse[] {
    this.#advance(now);
    const hosts = new Map<string, { host: string; held: number; spent: number }>();
    const of = (host: string) => {
      const found = hosts.get(host) ?? { host, held: 0, spent: 0 };
      hosts.set(host, found);
      return found;
    };
    for (const [, host, count] of this.#slices) of(host).held += count;
    for (const [host, count] of this.#spent) of(host).spent += count;
    return [...hosts.values()];
  }

  /** What could be drawn now. */
  left(now: number): number {
    this.#advance(now);
    return this.#room;
  }

  get #isBucket(): boolean {
    return this.#spec.kind === 'token_bucket';
  }

  get #validMs(): number {
    const { kind, perMs } = this.#spec;
    if (kind === 'fixed_window') return perMs - (this.#at % perMs);
    return Math.min(LONGEST_MS, Math.max(SHORTEST_MS, Math.floor(perMs / VALID_SHARE)));
  }

  /** Until when a request counts that passed before an instant. */
  #countsUntil(at: number): number {
    const { kind, perMs } = this.#spec;
    if (kind === 'fixed_window') return Math.ceil(at / perMs) * perMs;
    const grain = Math.max(1, Math.floor(perMs / GRAIN_SHARE));
    return Math.ceil((at + perMs) / grain) * grain;
  }

  /** When a slice counts no more of which its host says nothing: it may have spent it at the very end. */
  #releaseOf([, , , endsAt]: Slice): number {
    return this.#isBucket ? endsAt : this.#countsUntil(endsAt);
  }

  get #out(): number {
    return this.#slices.reduce((sum, [, , count]) => sum + count, 0);
  }

  /** A bucket is not filled for what is still in somebody's hands: both together would let more through at once than it holds. */
  get #ceiling(): number {
    return this.#spec.burst - this.#out;
  }

  get #room(): number {
    if (this.#isBucket) return Math.max(0, Math.floor(this.#tokens + ROUNDING));
    return Math.max(0, this.#spec.requests - this.#out - this.#spent.reduce((sum, [, count]) => sum + count, 0));
  }

  /** Half of what each would have if all who draw had the same; so the last of it goes in small pieces to who needs it. */
  #share(host: string, room: number): number {
    const hosts = new Set([host, ...this.#slices.map((slice) => slice[1])]).size;
    const limit = this.#isBucket ? this.#spec.burst : this.#spec.requests;
    return Math.max(1, Math.floor(limit / SMALLEST_SHARE), Math.ceil(room / (2 * hosts)));
  }

  #retryMs(host: string): number {
    if (this.#room > 0) return 0;
    const { requests, perMs } = this.#spec;
    const ends = [...this.#slices.map((slice) => this.#releaseOf(slice)), ...this.#spent.map(([, , until]) => until)];
    if (this.#isBucket && this.#ceiling >= 1) ends.push(this.#at + ((1 - this.#tokens) * perMs) / requests);
    if (this.#slices.some((slice) => slice[1] !== host)) ends.push(this.#at + RECHECK_MS);
    return Math.max(1, Math.ceil(Math.min(...ends) - this.#at));
  }

  #noteSpent(host: string, count: number, until: number): void {
    const index = this.#spent.findIndex((each) => each[0] === host && each[2] === until);
    if (index < 0) this.#spent.push([host, count, until]);
    else this.#spent[index] = [host, (this.#spent[index] as Spent)[1] + count, until];
  }

  /** Lets go of what is over by then, in its order: a bucket's ceiling rises with each end, and not before. */
  #advance(now: number): void {
    const to = Math.max(this.#at, now);
    const over = this.#slices.filter((slice) => this.#releaseOf(slice) <= to).toSorted((a, b) => a[3] - b[3]);
    for (const slice of over) {
      this.#fill(Math.max(this.#at, slice[3]));
      this.#slices.splice(this.#slices.indexOf(slice), 1);
    }
    this.#fill(to);
    this.#spent = this.#spent.filter(([, , until]) => until > to);
  }

  #fill(to: number): void {
    if (this.#isBucket) {
      const { requests, perMs } = this.#spec;
      const ceiling = Math.max(0, this.#ceiling);
      this.#tokens = Math.max(
        Math.min(this.#tokens, ceiling),
        Math.min(ceiling, this.#tokens + ((to - this.#at) * requests) / perMs),
      );
    }
    this.#at = Math.max(this.#at, to);
  }
}
