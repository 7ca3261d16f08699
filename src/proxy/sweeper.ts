/**
 * One coarse timer for all deadlines of the data plane: a socket sets `deadlineAt`, the sweep calls `expire()` when it has
 * passed. Cheaper than a timer a request; never early, and late by at most two sweep intervals. Its time is `performance.now()`: a wall
 * clock that is set, or a machine that wakes up, ends no request.
 */

import { Roster, type Seat } from './roster.ts';

export interface Expiring {
  /** Milliseconds of `performance.now()`; Infinity for none. */
  deadlineAt: number;
  expire(): void;
}

const SWEEP_INTERVAL_MS = 500;

export class Sweeper {
  #members = new Roster<Expiring>();
  #timer: NodeJS.Timeout | null = null;
  /** The time of the last sweep: good enough for deadlines, and reading a clock several times a request is not free. */
  #lately = performance.now();

  /** An instant at least `ms` from now, and at most two sweeps later. */
  deadlineIn(ms: number): number {
    return this.#lately + ms + SWEEP_INTERVAL_MS;
  }

  add(member: Expiring): Seat {
    if (this.#timer === null) this.#lately = performance.now();
    this.#timer ??= setInterval(() => this.#sweep(performance.now()), SWEEP_INTERVAL_MS).unref();
    return this.#members.add(member);
  }

  close(): void {
    if (this.#timer !== null) clearInterval(this.#timer);
    this.#timer = null;
    this.#members = new Roster();
  }

  #sweep(now: number): void {
    this.#lately = now;
    for (const member of this.#members) {
      if (member.deadlineAt <= now) {
        member.deadlineAt = Number.POSITIVE_INFINITY;
        member.expire();
      }
    }
  }
}
