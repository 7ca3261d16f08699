/** What the process of the simulated hosts is asked and what it answers. Plain values: they cross between processes. */
import type { BenchHost } from './stock.ts';

export interface CallsJob {
  readonly kind: 'calls';
  readonly target: string;
  /** A POST of this; null for a GET. */
  readonly body: string | null;
  /** Sent as If-None-Match; null: not at all. */
  readonly etag: string | null;
  readonly connections: number;
  readonly seconds: number;
  readonly warmMs: number;
  /** Calls a second at fixed times; null: as fast as they go. */
  readonly rate: number | null;
  /** Whose CPU is taken at the edges of the window: the vault's, and its database's. */
  readonly vault: readonly number[];
  readonly database: readonly number[];
}

/** `hold` opens a stream for each host, `changed` waits until each was told of a change, `release` closes them. */
export type HostJob = CallsJob | { readonly kind: 'hold' | 'changed' | 'release' };

/** Who is simulated, and where the vault is. */
export interface HostStage {
  readonly hosts: readonly BenchHost[];
  readonly port: number;
  readonly caFile: string;
}

export interface CallsResult {
  readonly calls: number;
  readonly errors: number;
  readonly firstError: string | null;
  readonly seconds: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly vaultUs: number;
  readonly databaseUs: number;
}

/** `at`: when each stream was told, by the clock of the machine, epoch milliseconds. */
export interface StreamsResult {
  readonly at: readonly number[];
}
