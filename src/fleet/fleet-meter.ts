/** Counts the calls of hosts. Paths are those of the table, so there are few; hosts are no labels: there is no end of them. */
import type { FleetHostStatus } from '../domain/fleet-host.ts';
import { Counters, Histogram, writeReading } from '../metrics/families.ts';

const BOUNDS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10];
const STATUSES: readonly FleetHostStatus[] = ['invited', 'active', 'paused', 'revoked'];

export interface FleetReadings {
  readonly hosts: readonly { readonly status: FleetHostStatus }[];
  readonly epoch: number;
  readonly quotas: { readonly drawn: number; readonly empty: number };
}

export class FleetMeter {
  readonly #calls = new Counters('alterd_fleet_calls_total', 'Calls of hosts that ended, by route and status.', [
    'route',
    'status',
  ]);
  readonly #refusals = new Counters('alterd_fleet_refusals_total', 'Calls that were refused, by the code of the error.', [
    'code',
  ]);
  readonly #latency = new Histogram(
    'alterd_fleet_call_duration_seconds',
    'From the head of a call to the end of its answer.',
    BOUNDS,
  );

  /** @param isStream it lasts as long as the host stays */
  observe(route: string, status: number, seconds: number, isStream: boolean): void {
    this.#calls.add(`${route} ${status}`, [route, String(status)]);
    if (!isStream) this.#latency.observe(seconds);
  }

  refuse(code: string): void {
    this.#refusals.add(code, [code]);
  }

  text({ hosts, epoch, quotas }: FleetReadings): string {
    const out: string[] = [];
    for (const family of [this.#calls, this.#refusals, this.#latency]) family.write(out);
    writeReading(out, {
      ...{ name: 'alterd_fleet_hosts', help: 'Hosts by their standing.', type: 'gauge', label: 'status' },
      values: STATUSES.map((label) => ({ label, value: hosts.filter(({ status }) => status === label).length })),
    });
    writeReading(out, {
      name: 'alterd_fleet_epoch',
      help: 'The epoch that this replica knows.',
      type: 'gauge',
      values: [{ value: epoch }],
    });
    writeReading(out, {
      name: 'alterd_fleet_quota_drawn_total',
      help: 'Requests under shared limits that this replica gave out.',
      type: 'counter',
      values: [{ value: quotas.drawn }],
    });
    writeReading(out, {
      name: 'alterd_fleet_quota_empty_total',
      help: 'Asks of hosts for which nothing was left of a shared limit.',
      type: 'counter',
      values: [{ value: quotas.empty }],
    });
    return `${out.join('\n')}\n`;
  }
}
