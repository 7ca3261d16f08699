/**
 * Every configuration key: its path in the TOML file, its default and its reader, and the typed value that the daemon uses.
 * One table drives the file, the environment, the flags and `alterd config show`. A key that holds a secret does not exist:
 * secrets are named by the file that holds them.
 */

import type { PrivateException, UpstreamProxy } from './address-reader.ts';
import { listenAddress, metricsAddress, privateException, resolveOverrides, upstreamProxy } from './address-reader.ts';
import { connectListen, connectProblems, publicUrl } from './connect-reader.ts';
import { type IssuerConfig, issuers } from './issuer-reader.ts';
import { noticeProblems, noticeUrl } from './notice-reader.ts';
import { type HostPort, integer, listOf, oneOf, optionalFile, type Reader, readHost, toggle } from './reader.ts';
import { type SinkConfig, sinkList } from './sink.ts';
import { databaseUrl, optionalId, type PublicName, publicNames, serverListen, vaultProblems, vaultUrl } from './vault-reader.ts';

const MIB = 1024 * 1024;
const DAY_MS = 86_400_000;

interface Key<T> {
  /** In the shape that TOML gives. */
  readonly initial: unknown;
  readonly reader: Reader<T>;
}

const key = <T>(initial: unknown, reader: Reader<T>): Key<T> => ({ initial, reader });
const durationMs = (initial: number): Key<number> => key(initial, integer(1, DAY_MS));
const count = (initial: number, max: number): Key<number> => key(initial, integer(1, max));

const hostName = listOf((raw) => {
  const reading = readHost(raw);
  if ('problem' in reading) return reading;
  return reading.value.family === 0 ? { value: reading.value.host } : { problem: 'must be a name, not an address' };
});

export const KEYS = {
  egress: key('tunnel', oneOf('tunnel', 'refuse', 'ask')),
  allow_private: key([], listOf(privateException)),
  'listen.tcp': key('127.0.0.1:4780', listenAddress),
  'listen.unix': key(true, toggle),
  'upstream.ca_file': key('', optionalFile),
  'upstream.crl_file': key('', optionalFile),
  'upstream.resolve': key({}, resolveOverrides),
  'upstream.proxy': key('', upstreamProxy),
  'upstream.proxy_auth_file': key('', optionalFile),
  'timeouts.client_head_ms': durationMs(15_000),
  'timeouts.client_idle_ms': durationMs(300_000),
  'timeouts.connect_ms': durationMs(10_000),
  'timeouts.tls_handshake_ms': durationMs(10_000),
  'timeouts.response_head_ms': durationMs(300_000),
  'timeouts.body_idle_ms': durationMs(300_000),
  'timeouts.upstream_idle_ms': durationMs(4_000),
  'timeouts.drain_ms': durationMs(10_000),
  'limits.head_bytes': key(65_536, integer(4_096, 4 * MIB)),
  'limits.headers': count(200, 10_000),
  'limits.path_bytes': key(16_384, integer(256, MIB)),
  'limits.rule_body_bytes': key(MIB, integer(1_024, 64 * MIB)),
  'limits.tunnels': count(4_096, 1_000_000),
  'limits.tunnels_per_agent': count(1_024, 1_000_000),
  'limits.upstream_per_destination': count(256, 1_000_000),
  'approvals.hold_ms': key(45_000, integer(0, 600_000)),
  'approvals.expire_ms': durationMs(600_000),
  'approvals.pending_per_agent': count(20, 10_000),
  'approvals.webhook_url': key('', noticeUrl),
  'approvals.webhook_key_file': key('', optionalFile),
  'approvals.slack_webhook_file': key('', optionalFile),
  'approvals.webhook_private': key(false, toggle),
  'audit.sync': key('interval', oneOf('interval', 'before_egress')),
  'audit.sync_interval_ms': key(50, integer(1, 60_000)),
  'audit.segment_bytes': key(4 * MIB, integer(65_536, 1024 * MIB)),
  'audit.retention_days': key(365, integer(1, 36_500)),
  'audit.bodies_bytes': key(1024 * MIB, integer(0, 1024 * 1024 * MIB)),
  'audit.sink': key([], sinkList),
  'metrics.listen': key('off', metricsAddress),
  'keys.source': key('auto', oneOf('auto', 'file', 'systemd', 'keyring')),
  'ca.name_constraints': key([], hostName),
  'log.level': key('info', oneOf('trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent')),
  'identity.require_peer_uid': key(false, toggle),
  'identity.issuer': key([], issuers),
  'connect.listen': key('127.0.0.1:4781', connectListen),
  'connect.public_url': key('', publicUrl),
  'connect.tls_cert_file': key('', optionalFile),
  'connect.tls_key_file': key('', optionalFile),
  'vault.url': key('', vaultUrl),
  'vault.ca_file': key('', optionalFile),
  'vault.host_id': key('', optionalId),
  'vault.vault_id': key('', optionalId),
  'vault.max_unsent_rows': count(1_000_000, 1_000_000_000),
  'vault_server.listen': key('127.0.0.1:4790', serverListen),
  'vault_server.public_names': key([], publicNames),
  'vault_server.tls_cert_file': key('', optionalFile),
  'vault_server.tls_key_file': key('', optionalFile),
  'vault_server.tls_ca_file': key('', optionalFile),
  'vault_server.database': key('', databaseUrl),
  'vault_server.database_password_file': key('', optionalFile),
  'vault_server.lease_ms': key(900_000, integer(1_000, DAY_MS)),
} as const satisfies Record<string, Key<unknown>>;

export type KeyPath = keyof typeof KEYS;
export const KEY_PATHS = Object.keys(KEYS) as readonly KeyPath[];

export type Values = { readonly [P in KeyPath]: (typeof KEYS)[P] extends Key<infer T> ? T : never };

/** The effective configuration. Immutable; a reload makes a new one. */
export interface Config {
  /** What happens to hosts that no grant covers. */
  readonly egress: 'tunnel' | 'refuse' | 'ask';
  /** Private addresses that traffic without a grant may reach. */
  readonly allowPrivate: readonly PrivateException[];
  readonly listen: {
    /** null: no TCP listener. Always a loopback address; port 0 lets the kernel choose. */
    readonly tcp: HostPort | null;
    readonly unix: boolean;
  };
  readonly upstream: {
    /** PEM file of CAs trusted besides the built-in ones. */
    readonly caFile: string | null;
    /** PEM file of revocation lists that certificates of origins are held against. */
    readonly crlFile: string | null;
    /** `host:port` (what follows `://` in Destination.origin) to the address dialled in its place. */
    readonly resolve: ReadonlyMap<string, HostPort>;
    readonly proxy: UpstreamProxy | null;
    /** File with `user:password` for the upstream proxy. */
    readonly proxyAuthFile: string | null;
  };
  readonly timeouts: {
    readonly clientHeadMs: number;
    readonly clientIdleMs: number;
    readonly connectMs: number;
    readonly tlsHandshakeMs: number;
    readonly responseHeadMs: number;
    readonly bodyIdleMs: number;
    readonly upstreamIdleMs: number;
    readonly drainMs: number;
  };
  readonly limits: {
    readonly headBytes: number;
    readonly headers: number;
    readonly pathBytes: number;
    /** How much of a request's body a rule about it may hold. */
    readonly ruleBodyBytes: number;
    readonly tunnels: number;
    readonly tunnelsPerAgent: number;
    readonly upstreamPerDestination: number;
  };
  readonly approvals: {
    /** How long a request is held for a decision before it is answered. */
    readonly holdMs: number;
    /** How long a question stays open, and an approval that nobody used. */
    readonly expireMs: number;
    readonly pendingPerAgent: number;
    /** Where notices are posted, signed with the key in the file. */
    readonly webhookUrl: string | null;
    readonly webhookKeyFile: string | null;
    /** File with the URL of an incoming webhook of Slack, or of what is compatible. */
    readonly slackWebhookFile: string | null;
    /** Whether the two may have a private address. */
    readonly webhookPrivate: boolean;
  };
  readonly audit: {
    readonly sync: 'interval' | 'before_egress';
    readonly syncIntervalMs: number;
    readonly segmentBytes: number;
    readonly retentionDays: number;
    readonly bodiesBytes: number;
    readonly sinks: readonly SinkConfig[];
  };
  /** null: no TCP listener for metrics. Always a loopback address. */
  readonly metrics: { readonly listen: HostPort | null };
  readonly keys: { readonly source: 'auto' | 'file' | 'systemd' | 'keyring' };
  readonly ca: {
    /** Names (with their subdomains) that the local CA may sign for; empty means any. */
    readonly nameConstraints: readonly string[];
  };
  readonly log: { readonly level: Values['log.level'] };
  readonly identity: { readonly requirePeerUid: boolean; readonly issuers: readonly IssuerConfig[] };
  readonly connect: {
    /** Where the pages are served once somebody needs them; null for never. Beyond loopback only with TLS; port 0 lets the kernel choose. */
    readonly listen: HostPort | null;
    /** Origin under which browsers reach the pages; null: the one of `listen`. */
    readonly publicUrl: string | null;
    readonly tlsCertFile: string | null;
    readonly tlsKeyFile: string | null;
  };
  /** The central vault that this daemon borrows from; null url: it has a vault of its own. Written by `alterd enroll`. */
  readonly vault: {
    readonly url: string | null;
    readonly caFile: string | null;
    readonly hostId: string | null;
    readonly vaultId: string | null;
    /** Audit rows that the central vault has not got; beyond them requests are refused. */
    readonly maxUnsentRows: number;
  };
  /** For `alterd vault start`. */
  readonly vaultServer: {
    readonly listen: HostPort;
    /** How hosts reach it; empty: by the address of `listen`. */
    readonly publicNames: readonly PublicName[];
    /** How long a host may go on with what it was lent. */
    readonly leaseMs: number;
    /** The operator's own certificate; null: one of the vault's own authority. */
    readonly tlsCertFile: string | null;
    readonly tlsKeyFile: string | null;
    readonly tlsCaFile: string | null;
    /** null: the file in the state directory. */
    readonly database: string | null;
    readonly databasePasswordFile: string | null;
  };
}

export function configOf(v: Values): Config {
  return {
    egress: v.egress,
    allowPrivate: v.allow_private,
    listen: { tcp: v['listen.tcp'], unix: v['listen.unix'] },
    upstream: {
      caFile: v['upstream.ca_file'],
      crlFile: v['upstream.crl_file'],
      resolve: v['upstream.resolve'],
      proxy: v['upstream.proxy'],
      proxyAuthFile: v['upstream.proxy_auth_file'],
    },
    timeouts: {
      clientHeadMs: v['timeouts.client_head_ms'],
      clientIdleMs: v['timeouts.client_idle_ms'],
      connectMs: v['timeouts.connect_ms'],
      tlsHandshakeMs: v['timeouts.tls_handshake_ms'],
      responseHeadMs: v['timeouts.response_head_ms'],
      bodyIdleMs: v['timeouts.body_idle_ms'],
      upstreamIdleMs: v['timeouts.upstream_idle_ms'],
      drainMs: v['timeouts.drain_ms'],
    },
    limits: {
      headBytes: v['limits.head_bytes'],
      headers: v['limits.headers'],
      pathBytes: v['limits.path_bytes'],
      ruleBodyBytes: v['limits.rule_body_bytes'],
      tunnels: v['limits.tunnels'],
      tunnelsPerAgent: v['limits.tunnels_per_agent'],
      upstreamPerDestination: v['limits.upstream_per_destination'],
    },
    approvals: {
      holdMs: v['approvals.hold_ms'],
      expireMs: v['approvals.expire_ms'],
      pendingPerAgent: v['approvals.pending_per_agent'],
      webhookUrl: v['approvals.webhook_url'],
      webhookKeyFile: v['approvals.webhook_key_file'],
      slackWebhookFile: v['approvals.slack_webhook_file'],
      webhookPrivate: v['approvals.webhook_private'],
    },
    audit: {
      sync: v['audit.sync'],
      syncIntervalMs: v['audit.sync_interval_ms'],
      segmentBytes: v['audit.segment_bytes'],
      retentionDays: v['audit.retention_days'],
      bodiesBytes: v['audit.bodies_bytes'],
      sinks: v['audit.sink'],
    },
    metrics: { listen: v['metrics.listen'] },
    keys: { source: v['keys.source'] },
    ca: { nameConstraints: v['ca.name_constraints'] },
    log: { level: v['log.level'] },
    identity: { requirePeerUid: v['identity.require_peer_uid'], issuers: v['identity.issuer'] },
    connect: {
      listen: v['connect.listen'],
      publicUrl: v['connect.public_url'],
      tlsCertFile: v['connect.tls_cert_file'],
      tlsKeyFile: v['connect.tls_key_file'],
    },
    vault: {
      url: v['vault.url'],
      caFile: v['vault.ca_file'],
      hostId: v['vault.host_id'],
      vaultId: v['vault.vault_id'],
      maxUnsentRows: v['vault.max_unsent_rows'],
    },
    vaultServer: {
      listen: v['vault_server.listen'],
      publicNames: v['vault_server.public_names'],
      leaseMs: v['vault_server.lease_ms'],
      tlsCertFile: v['vault_server.tls_cert_file'],
      tlsKeyFile: v['vault_server.tls_key_file'],
      tlsCaFile: v['vault_server.tls_ca_file'],
      database: v['vault_server.database'],
      databasePasswordFile: v['vault_server.database_password_file'],
    },
  };
}

/** Problems that no single key shows. */
export function crossProblems(v: Values): { readonly path: KeyPath; readonly problem: string }[] {
  const found: { path: KeyPath; problem: string }[] = [];
  if (v['listen.tcp'] === null && !v['listen.unix']) {
    found.push({ path: 'listen.tcp', problem: 'must not be "off" while listen.unix is false: nothing could reach the proxy' });
  }
  if (v['upstream.proxy_auth_file'] !== null && v['upstream.proxy'] === null) {
    found.push({ path: 'upstream.proxy_auth_file', problem: 'has no meaning without upstream.proxy' });
  }
  if (v['limits.tunnels_per_agent'] > v['limits.tunnels']) {
    found.push({ path: 'limits.tunnels_per_agent', problem: 'must not be larger than limits.tunnels' });
  }
  if (v['limits.path_bytes'] > v['limits.head_bytes']) {
    found.push({ path: 'limits.path_bytes', problem: 'must not be larger than limits.head_bytes, of which it is a part' });
  }
  found.push(
    ...noticeProblems({
      url: v['approvals.webhook_url'],
      keyFile: v['approvals.webhook_key_file'],
      slackFile: v['approvals.slack_webhook_file'],
      isPrivate: v['approvals.webhook_private'],
    }),
  );
  found.push(
    ...connectProblems({
      listen: v['connect.listen'],
      publicUrl: v['connect.public_url'],
      hasCert: v['connect.tls_cert_file'] !== null,
      hasKey: v['connect.tls_key_file'] !== null,
    }),
    ...vaultProblems({
      url: v['vault.url'],
      hasCa: v['vault.ca_file'] !== null,
      hasHostId: v['vault.host_id'] !== null,
      hasVaultId: v['vault.vault_id'] !== null,
      hasCert: v['vault_server.tls_cert_file'] !== null,
      hasKey: v['vault_server.tls_key_file'] !== null,
    }),
  );
  return found;
}
