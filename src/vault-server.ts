/**
 * Composition root of a central vault: the same vault, journal and management API as in a daemon, and a listener for hosts in the place
 * of the proxy. It forwards nothing for anybody; what it dials are token endpoints and sources of secrets.
 */
import { randomBytes } from 'node:crypto';
import { existsSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import type { CaInfo, DaemonFacts, FleetPort, ReloadReport } from './api/deps.ts';
import { deferredApi, serveApi } from './api/server.ts';
import { authorityFiles, authorityFromRecord, type LocalCa, mintAuthorityRecord } from './ca/authority.ts';
import { replaceFile } from './ca/own-file.ts';
import { builtinProvidersDir } from './config/catalogue.ts';
import type { Paths } from './config/paths.ts';
import { openProviderLibrary } from './config/provider-library.ts';
import type { Config } from './config/schema.ts';
import { centralStore } from './daemon/central-database.ts';
import { openPages } from './daemon/connect-pages.ts';
import { openEmbeddedSource } from './daemon/embedded-source.ts';
import { settingsOf } from './daemon/plane.ts';
import { reloadAll } from './daemon/reload.ts';
import type { DaemonOptions } from './daemon.ts';
import { AlterError } from './domain/errors.ts';
import { FleetMeter } from './fleet/fleet-meter.ts';
import { serveFleet } from './fleet/fleet-server.ts';
import { readiness } from './fleet/health-routes.ts';
import { fleetRoutes, openLending } from './fleet/routes.ts';
import { filesIdentity, ownIdentity, RENEW_EVERY_MS, type ServerIdentity } from './fleet/server-identity.ts';
import { openIdentity } from './identity/identity.ts';
import { prepareFiles } from './installation.ts';
import { notifySystemd } from './log.ts';
import { ProcessMeter } from './metrics/process-meter.ts';
import { RequestMeter } from './metrics/request-meter.ts';
import { scrapeText } from './metrics/scrape.ts';
import { ENDED, event, hostPort, localOperator, metricsListener, sinksOf, withEvents } from './observation.ts';
import { httpsCaller } from './proxy/egress/https-call.ts';
import type { PlaneSettings } from './proxy/settings.ts';
import { VERSION } from './runtime/version.ts';
import { Approvals } from './vault/approvals.ts';
import { isCentral } from './vault/fleet-identity.ts';
import type { Vault } from './vault/vault.ts';

export interface VaultServerOptions extends Omit<DaemonOptions, 'openSource'> {
  /** The vault was a daemon's own until now, which it can't be again: goes on when this does. */
  readonly onTakeOver?: (agents: number) => Promise<void>;
}

export interface RunningVaultServer {
  readonly facts: () => DaemonFacts;
  readonly fleet: FleetPort;
  /** Where hosts are served: HOST:PORT. */
  readonly address: string;
  readonly made: readonly string[];
  reload(): Promise<ReloadReport>;
  stop(): Promise<void>;
}

const MAX_PENDING_APPROVALS = 1_000;
const SINK_DRAIN_MS = 2_000;
const CA_NAME = 'alterd vault CA';

/**
 * Starts a central vault on an existing or a fresh installation.
 * @throws AlterError of the room that failed; nothing is left running then
 */
export async function startVaultServer(options: VaultServerOptions): Promise<RunningVaultServer> {
  const { paths, log } = options;
  const startedAt = Date.now();
  let loaded = options.loaded;
  const undo: (() => void | Promise<void>)[] = [];
  try {
    const made = await prepareFiles(paths);
    const catalogue = openProviderLibrary({ builtinDir: builtinProvidersDir(), userDir: paths.providersDir });
    for (const problem of catalogue.problems) log.warn({ problem }, 'a provider file can not be used');
    const meter = new RequestMeter();
    const own = new ProcessMeter(startedAt);
    undo.push(() => own.close());
    // There is no data plane: only the vault's own calls go out, by the same address policy.
    const loopNonce = randomBytes(16).toString('hex');
    let outbound: PlaneSettings = settingsOf(loaded.config, loopNonce, () => null);
    const https = httpsCaller(() => outbound);
    const { acceptRestore = false } = options;
    const openStore = centralStore(loaded.config);
    const { vault, journal, rotation, backup } = await openEmbeddedSource({
      ...{ paths, loaded, log, catalogue, https, meter, acceptRestore, openStore },
    });
    undo.push(() => journal.close());
    undo.push(() => vault.close());
    for (const problem of vault.policyProblems)
      log.error({ problem }, 'a policy file is wrong; the policies of before stay in force');
    requireNames(loaded.config);
    if (openStore === undefined && isDaemonsOwn(vault, paths)) await options.onTakeOver?.(vault.rows.agents.length);
    const { ca, vaultId } = await openIdentityOf(vault, join(paths.caDir, 'vault-ca.crt'));
    const identityOfServer = serverIdentity(loaded.config, ca);
    // Nothing waits here: approvals, and notices of them, are the business of the hosts.
    const approvals = new Approvals(
      journal,
      () => ({ ...loaded.config.approvals, pending: MAX_PENDING_APPROVALS }),
      vault.permits,
    );
    undo.push(() => approvals.close());
    const identity = openIdentity({
      call: https,
      users: vault.users,
      isActive: (userId) => vault.authority.users.get(userId)?.status === 'active',
      issuers: () => loaded.config.identity.issuers,
    });
    undo.push(() => identity.logins.close());
    const pages = await openPages({ config: loaded.config.connect, vault, journal, providers: catalogue, log });
    undo.push(() => pages.close());
    const sinks = sinksOf(loaded.config, paths, journal, null, log);
    undo.push(() => sinks.close(SINK_DRAIN_MS));
    const fleetMeter = new FleetMeter();
    const scrape = async (): Promise<string> => {
      const idle = { tunnels: 0, agentSockets: 0, underWay: 0, pools: 0, upstreamSockets: 0 };
      const rows = scrapeText(meter, own, { ...idle, audit: await journal.stats(), sinks: sinks.status });
      return rows + fleetMeter.text({ hosts: vault.hosts.list(), epoch: vault.epoch, quotas: vault.quotas.counts });
    };
    const metrics = await metricsListener(loaded.config, scrape, {
      '/healthz': () => ({ status: 200, body: { status: 'ok' } }),
      '/readyz': async () => {
        const body = await readiness({ vault });
        return { status: body.status === 'ready' ? 200 : 503, body };
      },
    });
    undo.push(() => metrics?.close());
    const onFault = (error: unknown, requestId: string): void =>
      log.error({ request_id: requestId, stack: (error as Error | undefined)?.stack }, 'the vault failed in an unexpected way');
    const { leaseMs } = loaded.config.vaultServer;
    const fleetDeps = { vault, vaultId, audit: journal, onFault, leaseMs };
    const lending = openLending(fleetDeps);
    const server = await serveFleet({
      ...fleetDeps,
      routes: fleetRoutes(fleetDeps, lending),
      meter: fleetMeter,
      listen: loaded.config.vaultServer.listen,
      tls: identityOfServer.tls(),
    });
    undo.push(() => server.close());
    // Before the server waits for its connections to end.
    undo.push(() => lending.streams.close());
    const renewal = setInterval(() => {
      try {
        server.renew(identityOfServer.tls());
      } catch (error) {
        log.error(
          { reason: (error as Error).message },
          'the certificate could not be renewed; the one of before is still served',
        );
      }
    }, RENEW_EVERY_MS).unref();
    undo.push(() => clearInterval(renewal));
    const fleet: FleetPort = {
      hosts: vault.hosts,
      audit: vault.hostAudit,
      quotas: vault.quotas,
      vaultId,
      url: urlOf(loaded.config, server.port),
      address: hostPort(server),
      fingerprint: identityOfServer.fingerprint,
    };
    const facts = (): DaemonFacts => ({
      ...{ version: VERSION, pid: process.pid, startedAt, proxy: { tcp: null, unix: null } },
      ...{ caFile: ca.caFile, bundleFile: paths.bundleFile, stateDir: paths.stateDir, configDir: paths.configDir },
      ...{ servesAt: fleet.url, tunnels: 0, sinks: sinks.status, notices: [] },
      requests: { ended: meter.ended, denied: meter.denied },
      metrics: metrics === null ? null : hostPort(metrics),
    });
    const reload = (): Promise<ReloadReport> =>
      reloadAll({
        ...{ reloadConfig: options.reloadConfig, before: loaded, journal, policies: vault.policies, log },
        settingsOf: (config) => settingsOf(config, loopNonce, () => null),
        apply: (next, settings) => {
          outbound = settings;
          log.setLevel(next.config.log.level);
          loaded = next;
          identity.tokens.clear();
          catalogue.refresh();
        },
      });
    const api = await serveApi(
      deferredApi({
        ...{ fleet, vault, approvals, journal, identity, connect: pages, backup, facts, metrics: scrape, reload, onFault },
        operator: localOperator(),
        masterKey: rotation,
        providers: withEvents(catalogue, journal),
        ca: { info: () => infoOf(ca, paths.bundleFile), rotate: () => Promise.reject(noRotation()) },
        config: () => loaded.view,
      }),
      paths.apiSocket,
    );
    undo.push(() => api.close());
    await journal.record(event('vault.started', { version: VERSION, pid: process.pid, vault_id: vaultId }), ENDED);
    notifySystemd('READY=1');
    let stopping: Promise<void> | undefined;
    return {
      ...{ facts, fleet, made, reload, address: hostPort(server) },
      stop: () => {
        stopping ??= (async () => {
          notifySystemd('STOPPING=1');
          await journal.record(event('vault.stopped', { pid: process.pid }), ENDED).catch(() => {});
          for (const step of undo.reverse()) await ended(step, log);
        })();
        return stopping;
      },
    };
  } catch (thrown) {
    for (const step of undo.reverse()) await step();
    throw thrown;
  }
}

/** One room that can't end as it should must not keep the journal from being written. */
async function ended(step: () => void | Promise<void>, log: VaultServerOptions['log']): Promise<void> {
  try {
    await step();
  } catch (error) {
    log.error({ reason: (error as Error).message }, 'a part did not stop as it should');
  }
}

/** A daemon has run on it, with agents or secrets of its own. */
const isDaemonsOwn = ({ rows }: Vault, { caDir }: Paths): boolean =>
  !isCentral(rows) && rows.agents.length + rows.credentials.length > 0 && existsSync(authorityFiles(caDir).key);

/** The authority of the vault, from its database; its certificate is written beside, for people. */
async function openIdentityOf(vault: Vault, caFile: string): Promise<{ readonly ca: LocalCa; readonly vaultId: string }> {
  const { authority, vaultId } = await vault.fleetIdentity(() => mintAuthorityRecord(CA_NAME));
  try {
    const ca = authorityFromRecord(authority, caFile);
    mkdirSync(join(caFile, '..'), { recursive: true, mode: 0o755 });
    replaceFile(caFile, ca.certPem, 0o644);
    return { ca, vaultId };
  } finally {
    authority.fill(0);
  }
}

function serverIdentity({ vaultServer }: Config, ca: LocalCa): ServerIdentity {
  const { tlsCertFile: certFile, tlsKeyFile: keyFile, tlsCaFile: caFile } = vaultServer;
  if (certFile !== null && keyFile !== null) return filesIdentity({ certFile, keyFile, caFile });
  return ownIdentity(ca, namesOf(vaultServer));
}

const namesOf = ({ listen, publicNames }: Config['vaultServer']): Config['vaultServer']['publicNames'] =>
  publicNames.length > 0 ? publicNames : isAny(listen.host) ? [] : [listen];

/** Before the vault becomes a central one: a start that fails must not leave it changed. @throws AlterError invalid_input */
function requireNames({ vaultServer }: Config): void {
  const { tlsCertFile, tlsKeyFile, listen } = vaultServer;
  if ((tlsCertFile !== null && tlsKeyFile !== null) || namesOf(vaultServer).length > 0) return;
  throw new AlterError(
    'invalid_input',
    { problems: [`vault_server.public_names must be set: hosts can't be sent to ${listen.host}`] },
    { hint: 'For example: public_names = ["vault.example.com"] under [vault_server].' },
  );
}

const isAny = (host: string): boolean => host === '0.0.0.0' || host === '::';

function urlOf({ vaultServer }: Config, port: number): string {
  const { host, family, port: own } = vaultServer.publicNames[0] ?? { ...vaultServer.listen, port: null };
  return `https://${family === 6 ? `[${host}]` : host}:${own ?? port}`;
}

const noRotation = (): AlterError =>
  new AlterError('conflict', {
    reason: 'The authority of a central vault is what its hosts pinned',
    hint: 'A new one means that each host is enrolled anew.',
  });

function infoOf(ca: LocalCa, bundleFile: string): CaInfo {
  return {
    ...{ fingerprintSha256: ca.fingerprintSha256, subject: ca.subject, notBefore: ca.notBefore, notAfter: ca.notAfter },
    ...{ caFile: ca.caFile, bundleFile, pem: ca.certPem },
  };
}
