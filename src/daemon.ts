/**
 * Composition root of the daemon: makes every room, joins them, and stops them in order. The only place that knows all of them.
 */
import type { Worker } from 'node:worker_threads';
import type { CaInfo, DaemonFacts, ReloadReport } from './api/deps.ts';
import { deferredApi, serveApi } from './api/server.ts';
import { type LocalCa, rotateAuthority } from './ca/authority.ts';
import { LeafIssuer } from './ca/leaf.ts';
import { builtinProvidersDir } from './config/catalogue.ts';
import type { LoadedConfig } from './config/load.ts';
import type { Paths } from './config/paths.ts';
import { openProviderLibrary } from './config/provider-library.ts';
import { explainerOf, openPages } from './daemon/connect-pages.ts';
import { keepRequestsYoung } from './daemon/heap.ts';
import { openOwnSource } from './daemon/own-source.ts';
import { joinIdentity, joinPlane, listen, type MutablePlane, settingsOf } from './daemon/plane.ts';
import { reloadAll } from './daemon/reload.ts';
import { stopAll } from './daemon/shutdown.ts';
import type { VaultSource } from './daemon/vault-source.ts';
import { openAuthority, prepareFiles, writeClientFiles } from './installation.ts';
import { type DaemonLog, notifySystemd } from './log.ts';
import { ProcessMeter } from './metrics/process-meter.ts';
import { RequestMeter } from './metrics/request-meter.ts';
import { scrapeText } from './metrics/scrape.ts';
import { Notifier } from './notices/notifier.ts';
import { noticeTargets } from './notices/targets.ts';
import { ENDED, event, hostPort, localOperator, metricsListener, sinksOf, withEvents } from './observation.ts';
import { httpsCaller } from './proxy/egress/https-call.ts';
import { Listener } from './proxy/listener.ts';
import { Tunnels } from './proxy/tunnel.ts';
import { VERSION } from './runtime/version.ts';
import { UnsentGuard } from './sinks/unsent-guard.ts';
import { Approvals } from './vault/approvals.ts';
import { LimitKeeper, savedLimits } from './vault/limit-keeper.ts';

export interface DaemonOptions {
  readonly paths: Paths;
  readonly loaded: LoadedConfig;
  /** Loads the configuration again, for a reload. @throws AlterError invalid_input */
  readonly reloadConfig: () => LoadedConfig;
  readonly log: DaemonLog;
  /** The operator restored an older vault, or lost the journal, and wants to go on with what is there. */
  readonly acceptRestore?: boolean;
  /** Where the vault is; in the state directory without it. */
  readonly openSource?: VaultSource;
  /** Of `startWriter`: the thread of the journal, started ahead. */
  readonly writer?: Worker;
}

export interface RunningDaemon {
  readonly facts: () => DaemonFacts;
  readonly ca: () => CaInfo;
  /** Files and directories that this start had to make. */
  readonly made: readonly string[];
  /** @throws AlterError invalid_input; then the old configuration stays in force */
  reload(): Promise<ReloadReport>;
  /** Stops accepting, lets requests under way finish within the drain time, writes the rest of the journal. */
  stop(): Promise<void>;
}

/** Of all agents; one agent has a limit of its own. */
const MAX_PENDING_APPROVALS = 1_000;

/**
 * Starts everything on an existing or a fresh installation.
 * @throws AlterError of the room that failed; nothing is left running then
 */
export async function startDaemon(options: DaemonOptions): Promise<RunningDaemon> {
  keepRequestsYoung();
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
    // Called by the vault once something is connected or renewed; by then there is a plane, and each call sees its settings of now.
    const https = httpsCaller(() => plane);
    const isEnrolled = loaded.config.vault.url !== null;
    // Loaded where it is needed: what speaks to a central vault.
    const openSource =
      options.openSource ?? (isEnrolled ? (await import('./daemon/enrolled-source.ts')).openEnrolledSource : openOwnSource);
    const { acceptRestore = false } = options;
    const { vault, journal, ring, rotation, link, shared, auditTo, backup } = await openSource({
      paths,
      loaded,
      log,
      catalogue,
      https,
      meter,
      acceptRestore,
      writer: options.writer,
    });
    undo.push(() => journal.close());
    undo.push(() => vault.close());
    const unsent = auditTo === undefined ? null : new UnsentGuard(journal, loaded.config.vault.maxUnsentRows);
    let ca = openAuthority(paths, loaded.config, ring);
    for (const problem of vault.policyProblems)
      log.error({ problem }, 'a policy file is wrong; the policies of before stay in force');
    const limits = await vault.policies.loadLimits();
    vault.permits.endDue();
    const approvals = new Approvals(
      journal,
      () => ({ ...loaded.config.approvals, pending: MAX_PENDING_APPROVALS }),
      vault.permits,
    );
    const notifier = new Notifier(https, (fields, message) => log.warn(fields, message));
    undo.push(() => notifier.close());
    notifier.replace(noticeTargets(loaded.config.approvals));
    approvals.onChange((approval) => notifier.notice(approval));
    const saved = savedLimits(limits);
    const plane: MutablePlane = joinPlane({
      ...{ config: loaded.config, vault, audit: unsent ?? journal, approvals, log, saved, shared },
      tcp: () => listener.tcp,
    });
    plane.alarms.onRaise = (alarm) => notifier.alarm(alarm);
    const limitKeeper = await LimitKeeper.open(vault.policies, limits, plane.policies.ledger, journal);
    undo.push(() => limitKeeper.close());
    undo.push(() => plane.pools.destroy());
    const identity = joinIdentity(plane, vault, () => loaded.config);
    undo.push(() => identity.logins.close());
    const tunnels = new Tunnels(plane, new LeafIssuer(ca));
    const listener: Listener = new Listener(plane, tunnels);
    undo.push(() => listener.destroy());
    await listen(listener, loaded.config, paths);
    const pages = await openPages({ config: loaded.config.connect, vault, journal, providers: catalogue, log });
    undo.push(() => pages.close());
    plane.explained = explainerOf(vault, pages);
    const sinks = sinksOf(loaded.config, paths, journal, listener.tcp, log, auditTo);
    unsent?.watch(sinks);
    undo.push(() => sinks.close(0));
    const scrape = async (): Promise<string> => {
      const { pools, sockets } = plane.pools.sizes;
      return scrapeText(meter, own, {
        tunnels: listener.openTunnels,
        agentSockets: listener.openSockets,
        underWay: plane.live.size,
        pools,
        upstreamSockets: sockets,
        audit: await journal.stats(),
        sinks: sinks.status,
        link: link?.(),
      });
    };
    const metrics = await metricsListener(loaded.config, scrape);
    undo.push(() => metrics?.close());
    const facts = (): DaemonFacts => ({
      version: VERSION,
      pid: process.pid,
      startedAt,
      proxy: { tcp: listener.tcp === null ? null : hostPort(listener.tcp), unix: listener.unix },
      caFile: paths.caFile,
      bundleFile: paths.bundleFile,
      stateDir: paths.stateDir,
      configDir: paths.configDir,
      ...(link === undefined ? {} : { vaultLink: link() }),
      tunnels: listener.openTunnels,
      sinks: sinks.status,
      notices: notifier.status,
      requests: { ended: meter.ended, denied: meter.denied },
      metrics: metrics === null ? null : hostPort(metrics),
    });
    const reload = (): Promise<ReloadReport> =>
      reloadAll({
        ...{ reloadConfig: options.reloadConfig, before: loaded, journal, policies: vault.policies, log },
        settingsOf: (config) => settingsOf(config, plane.loopNonce, () => listener.tcp),
        apply: (next, settings, targets) => {
          Object.assign(plane, settings);
          plane.pools.renew();
          notifier.replace(targets);
          log.setLevel(next.config.log.level);
          loaded = next;
          identity.tokens.clear();
          catalogue.refresh();
        },
      });
    const api = await serveApi(
      deferredApi({
        vault,
        managedAt: loaded.config.vault.url ?? undefined,
        approvals,
        operator: localOperator(),
        journal,
        identity,
        providers: withEvents(catalogue, journal),
        masterKey: rotation,
        ca: {
          info: () => infoOf(ca, paths),
          rotate: async () => {
            await journal.record(event('ca.rotated', { fingerprint: ca.fingerprintSha256 }), ENDED);
            ca = rotateAuthority(paths.caDir, { sealKey: ring });
            writeClientFiles(paths, ca);
            tunnels.issuer = new LeafIssuer(ca);
            return infoOf(ca, paths);
          },
        },
        connect: pages,
        backup,
        config: () => loaded.view,
        facts,
        metrics: scrape,
        reload,
        onFault: (error, requestId) =>
          log.error({ request_id: requestId, stack: (error as Error | undefined)?.stack }, 'the API failed in an unexpected way'),
      }),
      paths.apiSocket,
    );
    undo.push(() => api.close());
    await journal.record(event('daemon.started', { version: VERSION, pid: process.pid }), ENDED);
    notifySystemd('READY=1');
    return {
      facts,
      ca: () => infoOf(ca, paths),
      made,
      reload,
      stop: async () => {
        identity.logins.close();
        await pages.close();
        await metrics?.close();
        own.close();
        notifier.close();
        await stopAll({
          plane,
          listener,
          api,
          vault,
          journal,
          approvals,
          limitKeeper,
          sinks,
          config: loaded.config,
          log,
        });
      },
    };
  } catch (thrown) {
    for (const step of undo.reverse()) await step();
    throw thrown;
  }
}

function infoOf(ca: LocalCa, paths: Paths): CaInfo {
  return {
    fingerprintSha256: ca.fingerprintSha256,
    subject: ca.subject,
    notBefore: ca.notBefore,
    notAfter: ca.notAfter,
    caFile: paths.caFile,
    bundleFile: paths.bundleFile,
    pem: ca.certPem,
  };
}
