/** All metrics as one text. The names are those of the README; nothing here may name a host, an agent, a path or a person. */
import type { SinkStatus } from '../domain/sink-status.ts';
import type { VaultLinkStatus } from '../domain/vault-link.ts';
import { type Reading, writeReading } from './families.ts';
import type { ProcessMeter } from './process-meter.ts';
import type { RequestMeter } from './request-meter.ts';

/** What the daemon reads of its rooms for a scrape. */
export interface RoomReadings {
  readonly tunnels: number;
  readonly agentSockets: number;
  readonly underWay: number;
  readonly pools: number;
  readonly upstreamSockets: number;
  readonly audit: {
    readonly rows: number;
    readonly open: number;
    readonly healthy: boolean;
    readonly backlogSegments: number;
  };
  readonly sinks: readonly SinkStatus[];
  /** Of a host that borrows from a central vault. */
  readonly link?: VaultLinkStatus | undefined;
}

export const METRICS_TYPE = 'text/plain; version=0.0.4; charset=utf-8';

export function scrapeText(requests: RequestMeter, own: ProcessMeter, rooms: RoomReadings): string {
  const out: string[] = [];
  requests.write(out);
  for (const reading of [...roomReadings(rooms), ...own.readings()]) writeReading(out, reading);
  return `${out.join('\n')}\n`;
}

function linkReadings(link: VaultLinkStatus): Reading[] {
  const gauge = (name: string, help: string, value: number): Reading => ({ name, help, type: 'gauge', values: [{ value }] });
  const counter = (name: string, help: string, value: number): Reading => ({ name, help, type: 'counter', values: [{ value }] });
  return [
    gauge('alterd_vault_streaming', '1 while changes of the central vault come at once.', link.state === 'streaming' ? 1 : 0),
    gauge(
      'alterd_vault_answers',
      '1 while the central vault answers this host.',
      link.state === 'away' || link.state === 'ended' ? 0 : 1,
    ),
    gauge('alterd_vault_lease_seconds', 'What is left of the lease of this host.', Math.round(link.leaseLeftMs / 1_000)),
    gauge('alterd_vault_lent_secrets', 'Grants whose secret is lent to this host.', link.held),
    gauge(
      'alterd_vault_quota_in_hand',
      'Requests under shared limits that may pass without asking the vault.',
      link.quotas.inHand,
    ),
    counter('alterd_vault_quota_drawn_total', 'Requests under shared limits that were drawn from the vault.', link.quotas.drawn),
    counter('alterd_vault_streams_lost_total', 'Streams of changes that ended.', link.streamsLost),
    counter('alterd_vault_polls_total', 'Times that the vault was asked for want of a stream.', link.polls),
  ];
}

function roomReadings({ audit, sinks, link, ...rooms }: RoomReadings): Reading[] {
  const gauge = (name: string, help: string, value: number): Reading => ({ name, help, type: 'gauge', values: [{ value }] });
  const each = (name: string, help: string, read: (sink: SinkStatus) => number, type: Reading['type'] = 'gauge'): Reading => ({
    name,
    help,
    type,
    label: 'sink',
    values: sinks.map((sink) => ({ label: sink.name, value: read(sink) })),
  });
  return [
    gauge('alterd_tunnels_open', 'Open tunnels of agents.', rooms.tunnels),
    gauge('alterd_agent_sockets_open', 'Open sockets of agents.', rooms.agentSockets),
    gauge('alterd_exchanges_under_way', 'Requests, WebSockets and blind tunnels under way.', rooms.underWay),
    gauge('alterd_upstream_pools', 'Pools of sockets to providers.', rooms.pools),
    gauge('alterd_upstream_sockets_open', 'Open sockets to providers.', rooms.upstreamSockets),
    gauge('alterd_audit_rows', 'Rows of the audit journal.', audit.rows),
    gauge('alterd_audit_open_entries', 'Audit entries that have not ended yet.', audit.open),
    gauge(
      'alterd_audit_healthy',
      '1 while the journal takes rows, 0 while requests are refused for its sake.',
      audit.healthy ? 1 : 0,
    ),
    gauge('alterd_audit_backlog_segments', 'Segments of the journal that wait for the database.', audit.backlogSegments),
    ...(link === undefined ? [] : linkReadings(link)),
    ...(sinks.length === 0
      ? []
      : [
          each('alterd_audit_sink_lag_rows', 'Rows that a sink has yet to deliver.', ({ lag }) => lag),
          each(
            'alterd_audit_sink_delivered_total',
            'Rows and checkpoints that a sink delivered.',
            ({ delivered }) => delivered,
            'counter',
          ),
          each('alterd_audit_sink_failures', 'Attempts that failed since the last that did not.', ({ failures }) => failures),
          each(
            'alterd_audit_sink_skipped_total',
            'Rows that retention removed before a sink had them.',
            ({ skipped }) => skipped,
            'counter',
          ),
        ]),
  ];
}
