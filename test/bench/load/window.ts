/** The measured window of a job: what ended inside it, and what the watched processes spent between its edges. */
import { percentile } from '../arithmetic.ts';
import { cpuMicros } from '../process-tree.ts';
import type { Job, JobResult } from './job.ts';

const MAX_LATENCIES = 2_000_000;

export class Window {
  readonly #watch: readonly number[];
  #open = false;
  #startedAt = 0;
  #endedAt = 0;
  #cpuUs = 0;
  #requests = 0;
  #errors = 0;
  #firstError: string | null = null;
  #bytes = 0;
  readonly #latencies: number[] = [];

  constructor(watch: readonly number[]) {
    this.#watch = watch;
  }

  begin(): void {
    this.#cpuUs = cpuMicros(this.#watch);
    this.#startedAt = performance.now();
    this.#open = true;
  }

  end(): void {
    this.#open = false;
    this.#endedAt = performance.now();
    this.#cpuUs = cpuMicros(this.#watch) - this.#cpuUs;
  }

  /** Warm-up, window, end: for jobs that run by themselves meanwhile. */
  async run(job: Job): Promise<void> {
    await waitMs(job.warmMs);
    this.begin();
    await waitMs(job.seconds * 1000);
    this.end();
  }

  success(sinceMs: number, bytes: number): void {
    if (!this.#open) return;
    this.#requests++;
    this.#bytes += bytes;
    if (this.#latencies.length < MAX_LATENCIES) this.#latencies.push((performance.now() - sinceMs) * 1000);
  }

  latency(us: number): void {
    if (this.#open && this.#latencies.length < MAX_LATENCIES) this.#latencies.push(us);
  }

  count(): void {
    if (this.#open) this.#requests++;
  }

  failure(error: Error): void {
    this.#errors++;
    this.#firstError ??= error.message;
  }

  result(more: Partial<JobResult> = {}): JobResult {
    return {
      requests: this.#requests,
      errors: this.#errors,
      firstError: this.#firstError,
      seconds: (this.#endedAt - this.#startedAt) / 1000,
      bytes: this.#bytes,
      p50Us: percentile(this.#latencies, 50),
      p99Us: percentile(this.#latencies, 99),
      cpuUs: this.#cpuUs,
      texts: [],
      numbers: [],
      ...more,
    };
  }
}

export const waitMs = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));
