/**
 * For how long this host may use what it was lent: by the monotonic clock between looks at the machine's clocks, which only ever make it
 * shorter (lease-clock.ts). Knows nothing of what was lent.
 */
import { type ClockSource, type Lease, momentOf, remainingMs } from './lease-clock.ts';

/** Of its lease, after which the view is asked for again. */
const RENEW_SHARE = 1 / 3;

export class HostLease {
  readonly #clock: ClockSource;
  #lease: Lease | null = null;
  /** By performance.now(). */
  #endsAt = 0;
  #renewAt = 0;

  constructor(clock: ClockSource) {
    this.#clock = clock;
  }

  /** What is kept of it; null before the first one, and after the end. */
  get kept(): Lease | null {
    return this.#lease;
  }

  get leftMs(): number {
    return this.#lease === null ? 0 : Math.max(0, Math.round(this.#endsAt - performance.now()));
  }

  get isDue(): boolean {
    return performance.now() >= this.#renewAt;
  }

  begin(lease: Lease): void {
    this.#lease = lease;
    const now = performance.now();
    const leftMs = remainingMs(lease, momentOf(this.#clock));
    this.#endsAt = now + leftMs;
    this.#renewAt = now + leftMs * RENEW_SHARE;
  }

  end(): void {
    this.#lease = null;
  }

  /** SECURITY: a look at the clocks brings the end nearer, never farther. */
  look(): void {
    if (this.#lease !== null)
      this.#endsAt = Math.min(this.#endsAt, performance.now() + remainingMs(this.#lease, momentOf(this.#clock)));
  }

  /** Runs for every request. `graceMs`: how long beyond its end it may be used, where it may. */
  lasts(graceMs: number): boolean {
    if (this.#lease === null) return false;
    if (performance.now() < this.#endsAt) return true;
    return graceMs > 0 && isWithin(this.#lease, graceMs, this.#clock);
  }
}

/** Whether a lease, with a grace behind it, is not over yet by the machine's clocks. */
export const isWithin = (lease: Lease, graceMs: number, clock: ClockSource): boolean =>
  remainingMs({ ...lease, durationMs: lease.durationMs + graceMs }, momentOf(clock)) > 0;
