/**
 * The arithmetic of rate limits, on plain numbers: how long until one more request fits, and taking it. Asking changes
 * nothing. A clock that was set back never gives anybody more: time of a counter only goes forward.
 */
import type { LimitSpec } from '../domain/policy.ts';

/** What has to be kept of a counter, also over a restart. */
export type LimitState = readonly number[];

export interface Counter {
  /** Milliseconds until one more fits; 0 when it does now. */
  waitMs(now: number): number;
  /** Takes one; only after waitMs answered 0 for the same instant. */
  take(now: number): void;
  readonly state: LimitState;
}

/** A counter that goes on from a state of the same specification; a state that does not fit counts as used up from `now` on. */
export function openCounter(spec: LimitSpec, state: LimitState | null, now: number): Counter {
  switch (spec.kind) {
    case 'token_bucket':
      return new TokenBucket(spec, state, now);
    case 'fixed_window':
      return new FixedWindow(spec, state, now);
    case 'sliding_window':
      return new SlidingWindow(spec, state, now);
  }
}

const isNumbers = (state: LimitState): boolean => state.every((value) => Number.isFinite(value));

/** A sum of fractions that misses 1 by the width of a rounding is 1. */
const ONE = 1 - 1e-9;

class TokenBucket implements Counter {
  readonly #spec: LimitSpec;
  #tokens: number;
  #at: number;

  constructor(spec: LimitSpec, state: LimitState | null, now: number) {
    this.#spec = spec;
    if (state === null) {
      this.#tokens = spec.burst;
      this.#at = now;
    } else if (state.length === 2 && isNumbers(state)) {
      this.#tokens = Math.min(spec.burst, state[0] as number);
      this.#at = state[1] as number;
    } else {
      this.#tokens = 0;
      this.#at = now;
    }
  }

  #fill(now: number): number {
    const passed = Math.max(0, now - this.#at);
    return Math.min(this.#spec.burst, this.#tokens + (passed * this.#spec.requests) / this.#spec.perMs);
  }

  waitMs(now: number): number {
    const missing = ONE - this.#fill(now);
    // A clock that was set back has to come to where it was first.
    const back = Math.max(0, this.#at - now);
    return missing <= 0 ? 0 : Math.max(1, Math.ceil((missing * this.#spec.perMs) / this.#spec.requests)) + back;
  }

  take(now: number): void {
    this.#tokens = Math.max(0, this.#fill(now) - 1);
    this.#at = Math.max(this.#at, now);
  }

  get state(): LimitState {
    return [this.#tokens, this.#at];
  }
}

/** Windows begin at whole multiples of their length since the epoch. */
class FixedWindow implements Counter {
  readonly #spec: LimitSpec;
  #window: number;
  #count: number;

  constructor(spec: LimitSpec, state: LimitState | null, now: number) {
    this.#spec = spec;
    const fits = state !== null && state.length === 2 && isNumbers(state);
    this.#window = fits ? (state[0] as number) : Math.floor(now / spec.perMs);
    this.#count = fits ? (state[1] as number) : state === null ? 0 : spec.requests;
  }

  #windowOf(now: number): number {
    return Math.max(this.#window, Math.floor(now / this.#spec.perMs));
  }

  waitMs(now: number): number {
    const window = this.#windowOf(now);
    if (window !== this.#window || this.#count < this.#spec.requests) return 0;
    return Math.max(1, (window + 1) * this.#spec.perMs - now);
  }

  take(now: number): void {
    const window = this.#windowOf(now);
    this.#count = window === this.#window ? this.#count + 1 : 1;
    this.#window = window;
  }

  get state(): LimitState {
    return [this.#window, this.#count];
  }
}

/** Exact: keeps the instants of the last `requests` that passed; the oldest of them must have left the window. */
class SlidingWindow implements Counter {
  readonly #spec: LimitSpec;
  readonly #ring: Float64Array;
  #next = 0;
  #last: number;

  constructor(spec: LimitSpec, state: LimitState | null, now: number) {
    this.#spec = spec;
    this.#ring = new Float64Array(spec.requests).fill(Number.NEGATIVE_INFINITY);
    this.#last = Number.NEGATIVE_INFINITY;
    if (state === null) return;
    const times = isNumbers(state) ? state.slice(-spec.requests) : new Array<number>(spec.requests).fill(now);
    for (const at of times) this.take(at);
  }

  waitMs(now: number): number {
    const at = Math.max(now, this.#last);
    const wait = (this.#ring[this.#next] as number) + this.#spec.perMs - at;
    return wait <= 0 ? 0 : Math.max(1, Math.ceil(wait + (at - now)));
  }

  take(now: number): void {
    this.#last = Math.max(this.#last, now);
    this.#ring[this.#next] = this.#last;
    this.#next = (this.#next + 1) % this.#ring.length;
  }

  get state(): LimitState {
    const ring = [...this.#ring.subarray(this.#next), ...this.#ring.subarray(0, this.#next)];
    return ring.filter((at) => at !== Number.NEGATIVE_INFINITY);
  }
}
