/**
 * How much is left of a lease. Time is that of the machine since it started, suspended or not, which nobody can set; the wall clock can
 * only make a lease shorter. A lease of before the last start of the machine is over: nothing says how long that was.
 * Must never make a lease longer, whatever any clock does.
 */
import { readFileSync } from 'node:fs';
import { uptime } from 'node:os';

/** One moment, by every clock. */
export interface Moment {
  /** Another one after each start of the machine. */
  readonly bootId: string;
  /** Milliseconds since that start. */
  readonly bootMs: number;
  /** Epoch milliseconds. */
  readonly wallMs: number;
}

/** A time from a moment on. */
export interface Lease {
  readonly since: Moment;
  readonly durationMs: number;
}

/** Milliseconds that are left, 0 when it is over. */
export function remainingMs({ since, durationMs }: Lease, now: Moment): number {
  if (since.bootId === '' || since.bootId !== now.bootId) return 0;
  const byMachine = now.bootMs - since.bootMs;
  // SECURITY: a clock of the machine that ran backwards was not that of this machine: a copied lease, or a forged one.
  if (!(byMachine >= -ROUNDING_MS) || !Number.isFinite(durationMs)) return 0;
  const elapsed = Math.max(byMachine, now.wallMs - since.wallMs, 0);
  return Math.max(0, durationMs - elapsed);
}

/** What the kernel tells is rounded to hundredths of a second. */
const ROUNDING_MS = 20;

export interface ClockSource {
  readonly bootId: string;
  readonly bootMs: () => number;
  readonly wallMs: () => number;
}

/** The clocks of this machine. Without a boot id there are no leases that outlast the process: '' never equals. */
export const machineClock = (): ClockSource => ({
  bootId: readBootId(),
  bootMs: () => uptime() * 1_000,
  wallMs: Date.now,
});

/** In one process the clock need not say which machine it is. */
function readBootId(): string {
  try {
    return readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim();
  } catch {
    // Not Linux: a name of this process alone, so that nothing of an earlier one is believed.
    return `process ${process.pid} ${process.hrtime.bigint()}`;
  }
}

export const momentOf = ({ bootId, bootMs, wallMs }: ClockSource): Moment => ({ bootId, bootMs: bootMs(), wallMs: wallMs() });
