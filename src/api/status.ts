/** `/v1/status`: where the daemon listens, what it holds, and whether it is well. */
import { Hono } from 'hono';
import type { NoticeStatus } from '../domain/notice-status.ts';
import type { SinkStatus } from '../domain/sink-status.ts';
import type { VaultLinkStatus } from '../domain/vault-link.ts';
import type { ApiDeps } from './deps.ts';

export interface StatusView {
  readonly version: string;
  readonly pid: number;
  readonly started_at: string;
  readonly uptime_ms: number;
  readonly proxy: { readonly tcp: string | null; readonly unix: string | null };
  readonly ca_file: string;
  readonly bundle_file: string;
  readonly state_dir: string;
  readonly config_dir: string;
  readonly agents: number;
  readonly grants: number;
  readonly secrets: number;
  readonly sessions: number;
  readonly authority_version: number;
  readonly audit: {
    readonly rows: number;
    readonly open: number;
    readonly head_hash: string;
    readonly healthy: boolean;
    readonly error: string | null;
    readonly backlog_segments: number;
  };
  readonly requests: { readonly ended: number; readonly denied: number };
  readonly metrics: string | null;
  readonly memory_rss_bytes: number;
  readonly tunnels: number;
  /** The central vault that this host borrows from; null: it has a vault of its own. */
  readonly vault: VaultLinkView | null;
  /** Where hosts reach the central vault that this is; null: it is none, and agents come here. */
  readonly serves_at: string | null;
  readonly sinks: readonly SinkView[];
  readonly notices: readonly NoticeView[];
}

export interface VaultLinkView {
  readonly url: string;
  readonly state: VaultLinkStatus['state'];
  readonly since: string;
  readonly answered_at: string | null;
  readonly reason: string | null;
  readonly epoch: number;
  readonly lease_left_ms: number;
  readonly held: number;
  readonly streams_lost: number;
  readonly polls: number;
}

const linkView = (link: VaultLinkStatus): VaultLinkView => ({
  url: link.url,
  state: link.state,
  since: new Date(link.since).toISOString(),
  answered_at: link.answeredAt === null ? null : new Date(link.answeredAt).toISOString(),
  reason: link.reason,
  epoch: link.epoch,
  lease_left_ms: link.leaseLeftMs,
  held: link.held,
  streams_lost: link.streamsLost,
  polls: link.polls,
});

export interface SinkView {
  readonly name: string;
  readonly kind: string;
  readonly n: number;
  readonly lag: number;
  readonly delivered: number;
  readonly failures: number;
  readonly error: string | null;
  readonly delivered_at: string | null;
  readonly skipped: number;
}

export interface NoticeView {
  readonly name: string;
  readonly host: string;
  readonly queued: number;
  readonly delivered: number;
  readonly failed: number;
  readonly error: string | null;
  readonly delivered_at: string | null;
}

const noticeView = (notice: NoticeStatus): NoticeView => ({
  name: notice.name,
  host: notice.host,
  queued: notice.queued,
  delivered: notice.delivered,
  failed: notice.failed,
  error: notice.error,
  delivered_at: notice.deliveredAt === null ? null : new Date(notice.deliveredAt).toISOString(),
});

const sinkView = (sink: SinkStatus): SinkView => ({
  name: sink.name,
  kind: sink.kind,
  n: sink.n,
  lag: sink.lag,
  delivered: sink.delivered,
  failures: sink.failures,
  error: sink.error,
  delivered_at: sink.deliveredAt === null ? null : new Date(sink.deliveredAt).toISOString(),
  skipped: sink.skipped,
});

export function statusRoutes({ vault, journal, facts, now = Date.now }: ApiDeps): Hono {
  const routes = new Hono();
  routes.get('/', async (c) => {
    const own = facts();
    const audit = await journal.stats();
    return c.json({
      version: own.version,
      pid: own.pid,
      started_at: new Date(own.startedAt).toISOString(),
      uptime_ms: now() - own.startedAt,
      proxy: { tcp: own.proxy.tcp, unix: own.proxy.unix },
      ca_file: own.caFile,
      bundle_file: own.bundleFile,
      state_dir: own.stateDir,
      config_dir: own.configDir,
      agents: vault.agents.list().length,
      grants: vault.grants.list().filter((grant) => grant.status === 'active').length,
      secrets: vault.secrets.list().length,
      sessions: vault.sessions.list().length,
      authority_version: vault.authority.version,
      audit: {
        rows: audit.rows,
        open: audit.open,
        head_hash: audit.headHash,
        healthy: audit.healthy,
        error: audit.error,
        backlog_segments: audit.backlogSegments,
      },
      requests: { ended: own.requests.ended, denied: own.requests.denied },
      metrics: own.metrics,
      memory_rss_bytes: process.memoryUsage.rss(),
      tunnels: own.tunnels,
      vault: own.vaultLink === undefined ? null : linkView(own.vaultLink),
      serves_at: own.servesAt ?? null,
      sinks: own.sinks.map(sinkView),
      notices: own.notices.map(noticeView),
    } satisfies StatusView);
  });
  return routes;
}
