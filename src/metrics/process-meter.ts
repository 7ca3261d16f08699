/** What the process costs: CPU, memory, descriptors, and how late its event loop is. */
import { readdirSync } from 'node:fs';
import { type IntervalHistogram, monitorEventLoopDelay } from 'node:perf_hooks';
import type { Reading } from './families.ts';

/** A finer look would wake an idle daemon more often than its requests do. */
const RESOLUTION_MS = 100;

export class ProcessMeter {
  /** Since the first scrape: who never asks pays nothing. */
  #delay: IntervalHistogram | null = null;
  readonly #startedAt: number;

  constructor(startedAt: number) {
    this.#startedAt = startedAt;
  }

  readings(): Reading[] {
    const { user, system } = process.cpuUsage();
    const gauge = (name: string, help: string, value: number): Reading => ({ name, help, type: 'gauge', values: [{ value }] });
    return [
      {
        name: 'process_cpu_seconds_total',
        help: 'CPU of the process, in seconds.',
        type: 'counter',
        values: [{ value: (user + system) / 1e6 }],
      },
      gauge('process_resident_memory_bytes', 'Resident memory.', process.memoryUsage.rss()),
      gauge('process_open_fds', 'Open file descriptors.', openDescriptors()),
      gauge('process_start_time_seconds', 'Start of the daemon, in seconds since 1970.', this.#startedAt / 1000),
      {
        name: 'alterd_event_loop_lag_seconds',
        help: 'How late the event loop was since the scrape before.',
        type: 'gauge',
        label: 'quantile',
        values: this.#lag(),
      },
    ];
  }

  close(): void {
    this.#delay?.disable();
  }

  #lag(): Reading['values'] {
    if (this.#delay === null) {
      this.#delay = monitorEventLoopDelay({ resolution: RESOLUTION_MS });
      this.#delay.enable();
    }
    const delay = this.#delay;
    // What it measures is the interval itself with the delay upon it.
    const seconds = (nanos: number): number => (delay.count === 0 ? 0 : Math.max(0, nanos / 1e9 - RESOLUTION_MS / 1000));
    const values = [
      { label: '0.5', value: seconds(delay.percentile(50)) },
      { label: '0.99', value: seconds(delay.percentile(99)) },
      { label: '1', value: seconds(delay.max) },
    ];
    delay.reset();
    return values;
  }
}

function openDescriptors(): number {
  try {
    return readdirSync('/proc/self/fd').length;
  } catch {
    return Number.NaN;
  }
}
