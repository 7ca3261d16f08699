/**
 * Counts over rows: by provider, agent, decision, error and status class, latency, hours. What it keeps does not grow with the
 * number of rows. Pure; runs in the journal's worker.
 */
import type { AuditEntry } from '../domain/audit.ts';
import type { AuditCount, AuditSummary } from './reader.ts';

const HOUR_MS = 3_600_000;
const LISTED = 20;
/** Distinct values that are counted one by one; later ones are `other`. */
const MAX_VALUES = 5000;
const MAX_HOURS = 24 * 366;
/** Latencies are kept by powers of this: percentiles are right within 1 %. */
const STEP = Math.log(1.02);

type By = keyof AuditSummary['by'];
type Row = Partial<AuditEntry> & Pick<AuditEntry, 'at' | 'kind'>;

const statusClass = (status: number): string => `${Math.floor(status / 100)}xx`;

export class Summary {
  readonly #by: Readonly<Record<By, Map<string, number>>> = {
    provider: new Map(),
    agent: new Map(),
    decision: new Map(),
    error: new Map(),
    status: new Map(),
  };
  readonly #hours = new Map<number, { requests: number; denied: number }>();
  readonly #latencies = new Map<number, number>();
  #answered = 0;
  #maxLatency = 0;
  #requests = 0;
  #events = 0;
  #denied = 0;
  #bytesIn = 0;
  #bytesOut = 0;
  #scrubbed = 0;
  #first = Number.POSITIVE_INFINITY;
  #last = Number.NEGATIVE_INFINITY;

  add(body: string): void {
    const row = JSON.parse(body) as Row;
    if (row.kind === 'event') {
      this.#events += 1;
      return;
    }
    this.#requests += 1;
    const isDenied = row.decision === 'deny' || row.outcome === 'refused';
    if (isDenied) this.#denied += 1;
    this.#bytesIn += row.bytes_in ?? 0;
    this.#bytesOut += row.bytes_out ?? 0;
    this.#scrubbed += row.scrubbed ?? 0;
    this.#first = Math.min(this.#first, row.at);
    this.#last = Math.max(this.#last, row.at);
    this.#count('provider', row.provider_id ?? 'none');
    this.#count('agent', row.agent ?? 'unknown');
    this.#count('decision', row.decision ?? 'none');
    if (row.error) this.#count('error', row.policy_error ? `${row.error} (${row.policy_error})` : row.error);
    if (row.status) this.#count('status', statusClass(row.status));
    this.#countHour(row.at, isDenied);
    // A tunnel lasts as long as it is used: that is no latency.
    if (row.kind === 'exchange' && row.outcome === 'success' && !isDenied && row.status !== 101)
      this.#addLatency(row.latency_ms ?? 0);
  }

  get result(): AuditSummary {
    return {
      requests: this.#requests,
      events: this.#events,
      denied: this.#denied,
      bytes_in: this.#bytesIn,
      bytes_out: this.#bytesOut,
      scrubbed: this.#scrubbed,
      first_at: this.#requests === 0 ? null : this.#first,
      last_at: this.#requests === 0 ? null : this.#last,
      by: {
        provider: listed(this.#by.provider),
        agent: listed(this.#by.agent),
        decision: listed(this.#by.decision),
        error: listed(this.#by.error),
        status: listed(this.#by.status),
      },
      latency_ms: this.#latency,
      hours: [...this.#hours].sort(([a], [b]) => a - b).map(([at, counts]) => ({ at, ...counts })),
    };
  }

  #count(by: By, value: string): void {
    const map = this.#by[by];
    const name = map.has(value) || map.size < MAX_VALUES ? value : 'other';
    map.set(name, (map.get(name) ?? 0) + 1);
  }

  #countHour(at: number, isDenied: boolean): void {
    const start = Math.floor(at / HOUR_MS) * HOUR_MS;
    let hour = this.#hours.get(start);
    if (hour === undefined) {
      if (this.#hours.size >= MAX_HOURS) return;
      this.#hours.set(start, (hour = { requests: 0, denied: 0 }));
    }
    hour.requests += 1;
    if (isDenied) hour.denied += 1;
  }

  #addLatency(ms: number): void {
    const place = Math.round(Math.log(Math.max(ms, 0.001)) / STEP);
    this.#latencies.set(place, (this.#latencies.get(place) ?? 0) + 1);
    this.#answered += 1;
    this.#maxLatency = Math.max(this.#maxLatency, ms);
  }

  get #latency(): AuditSummary['latency_ms'] {
    if (this.#answered === 0) return null;
    const places = [...this.#latencies].sort(([a], [b]) => a - b);
    const at = (share: number): number => {
      let left = Math.ceil(this.#answered * share);
      const found = places.find(([, count]) => (left -= count) <= 0);
      return Math.min(this.#maxLatency, Math.round(Math.exp((found?.[0] ?? 0) * STEP) * 1000) / 1000);
    };
    return { p50: at(0.5), p90: at(0.9), p99: at(0.99), max: this.#maxLatency };
  }
}

function listed(counts: ReadonlyMap<string, number>): AuditCount[] {
  const sorted = [...counts].sort(([a, x], [b, y]) => y - x || (a < b ? -1 : 1)).map(([name, requests]) => ({ name, requests }));
  if (sorted.length <= LISTED) return sorted;
  const rest = sorted.slice(LISTED - 1).reduce((sum, { requests }) => sum + requests, 0);
  return [...sorted.slice(0, LISTED - 1), { name: 'other', requests: rest }];
}
