/**
 * Composition root of the daemon: makes every room, joins them, and stops them in order. The only place that knows all of them.
 */
import { createPublicKey, randomBytes } from 'node:crypto';
import { existsSync, readFileSync, unlinkSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { CaInfo, DaemonFacts, ReloadReport } from './api/deps.ts';
import { type ApiServer, deferredApi, serveApi } from './api/server.ts';
import { type LocalCa, rotateAuthority } from './ca/authority.ts';
import { LeafIssuer } from './ca/leaf.ts';
import { builtinProvidersDir } from './config/catalogue.ts';
import type { LoadedConfig } from './config/load.ts';
import type { Paths } from './config/paths.ts';
import { openProviderLibrary } from './config/provider-library.ts';
import type { Config, KeyPath } from './config/schema.ts';
import { changedKeys } from './config/view.ts';
import type { MasterKey } from './crypto/master-key.ts';
import type { AuditPort } from './domain/audit.ts';
import { AlterError } from './domain/errors.ts';
import { type Identity, openIdentity } from './identity/identity.ts';
import { masterKeyLoader, openAuthority, prepareFiles, writeClientFiles } from './installation.ts';
import { keyIdOf } from './journal/checkpoint.ts';
import { type Journal, openJournal } from './journal/journal.ts';
import { openSigningKey, type SigningKey } from './journal/signing-key.ts';
import { type DaemonLog, notifySystemd } from './log.ts';
import { ProcessMeter } from './metrics/process-meter.ts';
import { RequestMeter } from './metrics/request-meter.ts';
import { scrapeText } from './metrics/scrape.ts';
import { Notifier } from './notices/notifier.ts';
import { noticeTargets } from './notices/targets.ts';
import { ENDED, event, hostPort, metricsListener, readAgain, sinksOf, withEvents } from './observation.ts';
import type { SavedLimit } from './policy/limit-ledger.ts';
import { AuthorityView } from './proxy/authority-view.ts';
import type { DataPlane, LiveConnection } from './proxy/data-plane.ts';
import { httpsCaller } from './proxy/egress/https-call.ts';
import { Listener } from './proxy/listener.ts';
import { LiveCheck } from './proxy/live-check.ts';
import { Policies } from './proxy/policies.ts';
import { Roster } from './proxy/roster.ts';
import { type PlaneSettings, planeSettings } from './proxy/settings.ts';
import { Sweeper } from './proxy/sweeper.ts';
import { Tunnels } from './proxy/tunnel.ts';
import { PoolRegistry } from './proxy/upstream/registry.ts';
import type { Sinks } from './sinks/sinks.ts';
import { Approvals } from './vault/approvals.ts';
import { ConnectSessions } from './vault/connect-sessions.ts';
import { continuityFault } from './vault/continuity.ts';
import { LimitKeeper, savedLimits } from './vault/limit-keeper.ts';
import { openVault, type Vault, type VaultOptions } from './vault/vault.ts';
import { ConnectPages } from './web/pages.ts';

export interface DaemonOptions {
  readonly paths: Paths;
  readonly loaded: LoadedConfig;
  /** Loads the configuration again, for a reload. @throws AlterError invalid_input */
  readonly reloadConfig: () => LoadedConfig;
  readonly log: DaemonLog;
  /** The operator restored an older vault, or lost the journal, and wants to go on with what is there. */
  readonly acceptRestore?: boolean;
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
/** What the sinks get to deliver the last rows at a stop; what is left is due at the next start. */
const SINK_DRAIN_MS = 2_000;

/** Keys that only a restart puts in force. */
const NEEDS_RESTART: ReadonlySet<string> = new Set<KeyPath>([
  'listen.tcp',
  'listen.unix',
  'audit.sync',
  'audit.sync_interval_ms',
  'audit.segment_bytes',
  'audit.retention_days',
  'audit.sink',
  'metrics.listen',
  'keys.source',
  'ca.name_constraints',
  'connect.listen',
  'connect.public_url',
  'connect.tls_cert_file',
  'connect.tls_key_file',
]);

export const VERSION: string = (
  JSON.parse(readFileSync(fileURLToPath(new URL('../package.json', import.meta.url)), 'utf8')) as { version: string }
).version;

/** The plane's settings are replaced on reload; everything that uses them sees them as read-only. */
type MutablePlane = { -readonly [K in keyof DataPlane]: DataPlane[K] };

/**
 * Starts everything on an existing or a fresh installation.
 * @throws AlterError of the room that failed; nothing is left running then
 */
export async function startDaemon(options: DaemonOptions): Promise<RunningDaemon> {
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
    const rooms = await openRooms(paths, loaded.config, { catalogue, https, log, meter }, undo);
    const { vault, journal } = rooms;
    await joinHistory(vault, journal, log, options.acceptRestore === true);
    let ca = rooms.ca;
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
    const plane: MutablePlane = joinPlane(loaded.config, vault, journal, approvals, log, () => listener.tcp, saved);
    const limitKeeper = await LimitKeeper.open(vault.policies, limits, plane.policies.ledger, journal);
    undo.push(() => limitKeeper.close());
    undo.push(() => plane.pools.destroy());
    const identity = joinIdentity(plane, vault, () => loaded.config);
    undo.push(() => identity.logins.close());
    const tunnels = new Tunnels(plane, new LeafIssuer(ca));
    const listener: Listener = new Listener(plane, tunnels);
    undo.push(() => listener.destroy());
    await listen(listener, loaded.config, paths);
    const pages = new ConnectPages({
      config: loaded.config.connect,
      sessions: new ConnectSessions({ audit: journal, findAgent: (name) => vault.agents.find(name) }),
      flows: vault.connect,
      providers: catalogue,
      clients: vault.clients,
      onFault: (error) =>
        log.error({ stack: (error as Error | undefined)?.stack }, 'the Connect page failed in an unexpected way'),
    });
    undo.push(() => pages.close());
    // Behind a name of its own, the page answers from the start; else the port is opened when it is first needed.
    if (loaded.config.connect.publicUrl !== null && loaded.config.connect.listen !== null) await pages.open();
    const sinks = sinksOf(loaded.config, paths, journal, listener.tcp, log);
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
      tunnels: listener.openTunnels,
      sinks: sinks.status,
      notices: notifier.status,
      requests: { ended: meter.ended, denied: meter.denied },
      metrics: metrics === null ? null : hostPort(metrics),
    });
    const reload = async (): Promise<ReloadReport> => {
      const next = await readAgain(options.reloadConfig, journal);
      const settings = settingsOf(next.config, plane.loopNonce, () => listener.tcp);
      const targets = noticeTargets(next.config.approvals);
      const policiesChanged = await reloadPolicies(vault, log);
      const changed = [...changedKeys(loaded.view, next.view), ...(policiesChanged ? ['policies'] : [])];
      await journal.record(event('config.reloaded', { changed: changed.join(' ') }), ENDED);
      Object.assign(plane, settings);
      plane.pools.renew();
      notifier.replace(targets);
      log.setLevel(next.config.log.level);
      loaded = next;
      identity.tokens.clear();
      catalogue.refresh();
      return { changed, restartRequired: changed.filter((key) => NEEDS_RESTART.has(key)) };
    };
    const api = await serveApi(
      deferredApi({
        vault,
        approvals,
        operator: { name: `operator (uid ${process.getuid?.() ?? 'unknown'})`, userId: null },
        journal,
        identity,
        providers: withEvents(catalogue, journal),
        ca: {
          info: () => infoOf(ca, paths),
          rotate: async () => {
            await journal.record(event('ca.rotated', { fingerprint: ca.fingerprintSha256 }), ENDED);
            ca = rotateAuthority(paths.caDir, { sealKey: rooms.key });
            writeClientFiles(paths, ca);
            tunnels.issuer = new LeafIssuer(ca);
            return infoOf(ca, paths);
          },
        },
        connect: pages,
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
        await stopAll(plane, listener, api, vault, journal, approvals, limitKeeper, sinks, loaded.config, log);
      },
    };
  } catch (thrown) {
    for (const step of undo.reverse()) await step();
    throw thrown;
  }
}

interface Rooms {
  readonly vault: Vault;
  readonly journal: Journal;
  readonly ca: LocalCa;
  readonly key: MasterKey;
}

/** Vault, journal and CA. The journal starts as soon as the master key is there, while the vault goes on opening. */
async function openRooms(
  paths: Paths,
  config: Config,
  {
    catalogue,
    https,
    log,
    meter,
  }: Pick<VaultOptions, 'catalogue' | 'https'> & { readonly log: DaemonLog; readonly meter: RequestMeter },
  undo: (() => void | Promise<void>)[],
): Promise<Rooms> {
  let key: MasterKey | null = null;
  let opening: Promise<Journal> | null = null;
  let madeKey: SigningKey | null = null;
  const onLoaded = (loadedKey: MasterKey): void => {
    key = loadedKey;
    const signing = openSigningKey(join(paths.stateDir, 'audit.key'), loadedKey);
    if (signing.made) madeKey = signing;
    opening = openJournal({
      dir: paths.auditDir,
      sync: config.audit.sync,
      syncIntervalMs: config.audit.syncIntervalMs,
      segmentBytes: config.audit.segmentBytes,
      retentionDays: config.audit.retentionDays,
      headKey: loadedKey.derive('audit head'),
      signingKey: signing.privateKey,
      onEntry: (row, closing) => meter.observe(row, closing),
      onRemoved: (upTo) =>
        void opening?.then((journal) => journal.record(event('audit.rows_removed', { up_to: upTo }), ENDED)).catch(() => {}),
      onFault: (message) => log.error({}, message),
    });
    opening.catch(() => {});
  };
  const audit: AuditPort = {
    open: async (row) => (await (opening as Promise<Journal>)).open(row),
    record: async (row, closing) => (await (opening as Promise<Journal>)).record(row, closing),
  };
  let vault: Vault;
  try {
    vault = await openVault({
      dbFile: paths.vaultDb,
      masterKey: masterKeyLoader(paths, config, onLoaded),
      catalogue,
      audit,
      https,
      policiesDir: paths.policiesDir,
    });
  } catch (thrown) {
    await (opening as Promise<Journal> | null)?.then((journal) => journal.close()).catch(() => {});
    throw thrown;
  }
  undo.push(() => vault.close());
  const journal = await (opening as unknown as Promise<Journal>);
  undo.push(() => journal.close());
  const signing = madeKey as SigningKey | null;
  if (signing !== null)
    await journal.record(event('audit.key_created', { key: keyIdOf(createPublicKey(signing.privateKey)) }), ENDED);
  return { vault, journal, ca: openAuthority(paths, config, key as unknown as MasterKey), key: key as unknown as MasterKey };
}

/**
 * Holds the vault against the journal before anyone is served, and keeps the two together from then on.
 * @throws AlterError vault_unavailable when one of them is an older copy, or gone
 */
async function joinHistory(vault: Vault, journal: Journal, log: DaemonLog, acceptRestore: boolean): Promise<void> {
  const facts = {
    vaultEpoch: vault.epoch,
    vaultJournal: vault.recordedJournal,
    journal: journal.mark,
    journalEpoch: journal.epochAtStart,
  };
  const fault = continuityFault(facts);
  if (fault !== null && !acceptRestore) throw new AlterError('vault_unavailable', { reason: fault }, { hint: RESTORE_HINT });
  vault.bindJournal(journal.mark);
  if (facts.journalEpoch !== null && facts.vaultEpoch > facts.journalEpoch)
    log.warn(
      { vault_epoch: facts.vaultEpoch, journal_epoch: facts.journalEpoch },
      'the audit journal does not know the last change of the vault: the daemon was killed in that moment, or the journal is an older copy',
    );
  if (fault !== null) {
    await vault.acceptRestore({ reason: fault, vault_epoch: facts.vaultEpoch, journal_epoch: facts.journalEpoch });
    log.warn({ reason: fault }, 'an operator accepted the vault as it is');
  }
  let noted = vault.epoch;
  const first = journal.noteEpoch(noted);
  if (fault !== null) await first;
  vault.onAuthorityChange(() => {
    if (vault.epoch === noted) return;
    noted = vault.epoch;
    void journal.noteEpoch(noted);
  });
}

const RESTORE_HINT =
  'If you restored a backup yourself: `alterd start --accept-restore`, once; it is recorded. If not: somebody put an older copy in place; ' +
  'bring back the newest state directory, or accept it and revoke again what was revoked (`alterd audit` knows).';

function settingsOf(config: Config, loopNonce: string, tcp: () => { port: number } | null): PlaneSettings {
  return planeSettings(config, {
    loopNonce,
    ownPorts: () => {
      const bound = tcp();
      return bound === null ? [] : [bound.port];
    },
  });
}

function joinPlane(
  config: Config,
  vault: Vault,
  audit: AuditPort,
  approvals: Approvals,
  log: DaemonLog,
  tcp: () => { port: number } | null,
  saved: readonly SavedLimit[],
): MutablePlane {
  const loopNonce = randomBytes(16).toString('hex');
  const sweeper = new Sweeper();
  const live = new Roster<LiveConnection>();
  const plane = {
    ...settingsOf(config, loopNonce, tcp),
    vault,
    audit,
    approvals,
    sweeper,
    log,
    live,
    loopNonce,
  } as unknown as MutablePlane;
  plane.pools = new PoolRegistry(plane);
  const check = new LiveCheck(plane);
  plane.policies = new Policies({ version: () => vault.epoch, saved });
  plane.policies.replace(vault.policies.set);
  vault.policies.onChange((set) => plane.policies.replace(set));
  plane.authority = new AuthorityView(vault, () => check.run());
  sweeper.add(check);
  return plane;
}

/** Users come to the plane last: what verifies them dials through the plane itself. */
function joinIdentity(plane: MutablePlane, vault: Vault, config: () => Config): Identity {
  const identity = openIdentity({
    call: httpsCaller(() => plane),
    users: vault.users,
    isActive: (userId) => vault.authority.users.get(userId)?.status === 'active',
    issuers: () => config().identity.issuers,
  });
  plane.users = identity.tokens;
  return identity;
}

async function listen(listener: Listener, config: Config, paths: Paths): Promise<void> {
  const unix = config.listen.unix ? paths.proxySocket : null;
  if (unix !== null && existsSync(unix)) unlinkSync(unix); // the vault's lock is held: nobody else can be listening here
  try {
    await listener.listen({ tcp: config.listen.tcp, unix });
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException;
    if (code !== 'EADDRINUSE' && code !== 'EACCES' && code !== 'EADDRNOTAVAIL') throw cause;
    const where = config.listen.tcp === null ? unix : hostPort(config.listen.tcp);
    const reason = code === 'EADDRINUSE' ? `something else listens on ${where}` : `${where} can't be listened on (${code})`;
    throw new AlterError(
      'conflict',
      { reason, hint: 'Choose another port: `alterd start --listen 127.0.0.1:0`, or listen.tcp in the configuration.' },
      { cause },
    );
  }
}

async function stopAll(
  plane: DataPlane,
  listener: Listener,
  api: ApiServer,
  vault: Vault,
  journal: Journal,
  approvals: Approvals,
  limitKeeper: LimitKeeper,
  sinks: Sinks,
  config: Config,
  log: DaemonLog,
): Promise<void> {
  notifySystemd('STOPPING=1');
  listener.drain();
  approvals.close();
  plane.pools.close();
  const deadline = Date.now() + config.timeouts.drainMs;
  while (!listener.isIdle && Date.now() < deadline) await new Promise((resolve) => setTimeout(resolve, 20));
  if (!listener.isIdle)
    log.warn({ drain_ms: config.timeouts.drainMs }, 'requests were still under way at the end of the drain time');
  listener.destroy();
  for (const each of plane.live) each.destroy('stopping');
  plane.pools.destroy();
  plane.sweeper.close();
  plane.authority.close();
  await api.close();
  await journal.record(event('daemon.stopped', { pid: process.pid }), ENDED).catch(() => {});
  await limitKeeper.close();
  await vault.close();
  // Until the last row is in the database: only from there the sinks have it.
  await journal.stats().catch(() => {});
  await sinks.close(SINK_DRAIN_MS);
  await journal.close();
}

/** SECURITY: files that are wrong change nothing, neither here nor in the configuration that came with them (S-107). */
async function reloadPolicies(vault: Vault, log: DaemonLog): Promise<boolean> {
  try {
    return await vault.policies.apply(await vault.policies.check());
  } catch (thrown) {
    const problems = (thrown as { details?: { problems?: readonly string[] } }).details?.problems ?? [];
    log.error({ problems }, 'policy files are wrong; the policies of before stay in force');
    await vault.policies.noteRefusal(problems);
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
