/**
 * What a central vault costs: lease calls of its hosts, the streams that they hold, and both with many grants in the vault. Each part is
 * one test of the run, over SQLite and over PostgreSQL.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { createPrivateKey } from 'node:crypto';
import { mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { SignedClient } from '../../../src/vault-client/signed-client.ts';
import { median, percentile, type Sample } from '../arithmetic.ts';
import { VAULT_NAMES } from '../names.ts';
import type { Options } from '../options.ts';
import { LOAD_CPU, pinned, rssBytes, threadMicros, treeOf } from '../process-tree.ts';
import { daemonAt, newDatabase, postgresAbsent, type Replica, type RunningReplica, replicaAt } from './replica.ts';
import { addGrants, addHosts, agentId, type BenchHost, grantIdOf, LENT } from './stock.ts';
import type { CallsJob, CallsResult, HostJob, HostStage, StreamsResult } from './wire.ts';

const MIB = 1024 * 1024;
const FEW = 100;
const MANY = 100_000;
const CALLING_HOSTS = 100;
const HOLDING_HOSTS = 1_000;
/** Different ones, among those. */
const VIEWS = 10;
const CONNECTIONS = 48;
/** Half of what a replica has to answer in a second. */
const HALF_RATE = 750;
const CHANGES = 11;
const STARTS = 3;
/** Until pings have gone out on each stream. */
const SETTLE_MS = 6_000;

type Values = Record<string, number>;

export interface FleetContext {
  readonly options: Options;
  readonly dir: string;
  readonly say: (line: string) => void;
}

const TESTS = { leases, streams, grants } as const;

/** Never rejects for what a vault does. */
export async function measureFleet(context: FleetContext): Promise<{ samples: Sample[]; notes: string[] }> {
  const samples: Sample[] = [];
  const notes: string[] = [];
  for (const test of ['leases', 'streams', 'grants'] as const) {
    if (!context.options.tests.includes(test)) continue;
    for (const target of [...VAULT_NAMES, 'alterd'] as const) {
      const absent = target === 'vault-postgres' ? postgresAbsent() : null;
      if (absent !== null) notes.push(`${target}: ${absent}`);
      // A daemon has no hosts.
      const says = target !== 'alterd' || test === 'grants';
      if (absent !== null || !says || !context.options.targets.includes(target)) continue;
      const record = (round: number, values: Values): void => {
        samples.push({ test, target, round, values });
        const text = Object.entries(values).map(([key, value]) => `${key} ${value.toFixed(value < 10 ? 2 : 0)}`);
        context.say(`${test}#${round} ${target.padEnd(16)} ${text.join('  ')}`);
      };
      try {
        await TESTS[test](context, target, record);
      } catch (error) {
        const failed = (error as Error).message;
        samples.push({ test, target, round: 0, values: {}, failed });
        context.say(`${test}#0 ${target.padEnd(16)} FAILED ${failed}`);
      }
    }
  }
  return { samples, notes: [...new Set(notes)] };
}

type FleetTarget = (typeof VAULT_NAMES)[number] | 'alterd';
type Recorder = (round: number, values: Values) => void;

let places = 0;

/** A vault with one secret and this many grants. */
async function freshVault({ dir }: FleetContext, target: FleetTarget, grantCount: number): Promise<Replica> {
  const home = join(dir, `${target}-${++places}`);
  mkdirSync(home, { recursive: true, mode: 0o700 });
  const replica = target === 'alterd' ? daemonAt(home) : replicaAt(home, target === 'vault-postgres' ? newDatabase() : null);
  const first = await replica.start();
  await first.api.send('/v1/secrets', { name: LENT, provider: 'bearer', fields: { token: 'SEKRET-marker-bench' } });
  await first.stop();
  await addGrants(replica, 0, grantCount);
  return replica;
}

/** The simulated hosts, in a process of their own beside the vault's CPU. */
class Hosts {
  readonly #child: ChildProcess;

  private constructor() {
    const program = fileURLToPath(new URL('./host-load.ts', import.meta.url));
    const [command = '', ...rest] = [...pinned(LOAD_CPU), process.execPath, '--import', 'tsx', program];
    this.#child = spawn(command, rest, { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] });
  }

  static async of(hosts: readonly BenchHost[], { port, caFile }: RunningReplica): Promise<Hosts> {
    const made = new Hosts();
    await made.#ask({ hosts, port, caFile } satisfies HostStage);
    return made;
  }

  calls(job: Omit<CallsJob, 'kind'>): Promise<CallsResult> {
    return this.#ask({ kind: 'calls', ...job }) as Promise<CallsResult>;
  }

  streams(kind: 'hold' | 'changed' | 'release'): Promise<StreamsResult> {
    return this.#ask({ kind }) as Promise<StreamsResult>;
  }

  stop(): void {
    this.#child.kill('SIGKILL');
  }

  #ask(message: HostStage | HostJob): Promise<unknown> {
    return new Promise((resolve, reject) => {
      const ended = (): void => reject(new Error('the process of the hosts ended'));
      this.#child.once('exit', ended);
      this.#child.once('message', (answer: { result: unknown } | { failed: string }) => {
        this.#child.off('exit', ended);
        if ('failed' in answer) reject(new Error(answer.failed));
        else resolve(answer.result);
      });
      this.#child.send(message);
    });
  }
}

interface Stage {
  readonly replica: Replica;
  readonly running: RunningReplica;
  readonly hosts: Hosts;
  /** Of the view of the first host. */
  readonly etag: string;
}

async function onStage<T>(replica: Replica, hosts: readonly BenchHost[], work: (stage: Stage) => Promise<T>): Promise<T> {
  const running = await replica.start();
  try {
    const load = await Hosts.of(hosts, running);
    try {
      return await work({ replica, running, hosts: load, etag: await etagOf(running, hosts[0] as BenchHost) });
    } finally {
      load.stop();
    }
  } finally {
    await running.stop();
  }
}

async function etagOf({ url, caFile }: RunningReplica, { id, key }: BenchHost): Promise<string> {
  const identity = { hostId: id, signing: createPrivateKey(key) };
  const client = new SignedClient({ url, ca: readFileSync(caFile, 'utf8'), identity });
  try {
    return `"${(await client.call<{ digest: string }>('GET', '/v1/host/bundle')).body.digest}"`;
  } finally {
    client.close();
  }
}

const KINDS = {
  /** Nothing changed: the lease begins anew. */
  renew: { target: '/v1/host/bundle', body: null },
  view: { target: '/v1/host/bundle', body: null },
  secret: { target: '/v1/host/materials', body: JSON.stringify({ grant_ids: [grantIdOf(0)] }) },
} as const;

async function ask(stage: Stage, options: Options, kind: keyof typeof KINDS, rate: number | null): Promise<CallsResult> {
  const result = await stage.hosts.calls({
    ...KINDS[kind],
    ...{ etag: kind === 'renew' ? stage.etag : null, connections: CONNECTIONS, rate },
    ...{ seconds: options.seconds, warmMs: 1_000 },
    ...{ vault: treeOf(stage.running.pid), database: stage.replica.databasePids() },
  });
  if (result.calls === 0 || result.errors > 0) throw new Error(`${kind}: ${result.errors} failed: ${result.firstError}`);
  return result;
}

async function leases(context: FleetContext, target: FleetTarget, record: Recorder): Promise<void> {
  const { options } = context;
  const replica = await freshVault(context, target, FEW);
  const hosts = await addHosts(replica, CALLING_HOSTS, 1);
  await onStage(replica, hosts, async (stage) => {
    for (let round = 0; round < options.rounds; round++) {
      const values: Values = {};
      for (const kind of ['renew', 'view', 'secret'] as const) {
        const all = await ask(stage, options, kind, null);
        values[`${kind}Rate`] = all.calls / all.seconds;
        values[`${kind}Us`] = all.vaultUs / all.calls;
        if (target === 'vault-postgres') values[`${kind}DatabaseUs`] = all.databaseUs / all.calls;
        const half = await ask(stage, options, kind, HALF_RATE);
        values[`${kind}P50`] = half.p50Ms;
        values[`${kind}P99`] = half.p99Ms;
      }
      record(round, values);
    }
  });
}

async function streams(context: FleetContext, target: FleetTarget, record: Recorder): Promise<void> {
  const replica = await freshVault(context, target, FEW);
  const hosts = await addHosts(replica, HOLDING_HOSTS, VIEWS);
  await onStage(replica, hosts, async ({ running, hosts: load }) => {
    const rss = (): number => rssBytes(treeOf(running.pid)) / MIB;
    const idle = rss();
    await load.streams('hold');
    await new Promise((resolve) => setTimeout(resolve, SETTLE_MS));
    const held = rss();
    const told = load.streams('changed');
    const before = performance.timeOrigin + performance.now();
    for (let n = 0; n < VIEWS; n++) await running.api.send(`/v1/grants/${grantIdOf(n)}/revoke`);
    const times = (await told).at.map((at) => at - before);
    record(0, { idle, held, told50: percentile(times, 50), told99: percentile(times, 99), streams: times.length });
    await load.streams('release');
  });
}

async function grants(context: FleetContext, target: FleetTarget, record: Recorder): Promise<void> {
  const { options } = context;
  const replica = await freshVault(context, target, FEW);
  const hosts = target === 'alterd' ? null : await addHosts(replica, CALLING_HOSTS, 1);
  const few = await costs(replica, hosts, options);
  await addGrants(replica, FEW, MANY);
  const many = await costs(replica, hosts, options);
  record(0, { ...prefixed('few', few), ...prefixed('many', many) });
  for (let n = 0; n < STARTS; n++) {
    const running = await replica.start();
    record(n + 1, { startMs: running.startMs, startCpuMs: running.startCpuMs });
    await running.stop();
  }
}

const prefixed = (prefix: string, values: Values): Values =>
  Object.fromEntries(Object.entries(values).map(([key, value]) => [`${prefix}${key}`, value]));

async function costs(replica: Replica, hosts: readonly BenchHost[] | null, options: Options): Promise<Values> {
  if (hosts !== null)
    return onStage(replica, hosts, async (stage) => {
      const renew = await ask(stage, options, 'renew', null);
      const secret = await ask(stage, options, 'secret', null);
      const lent = { RenewUs: renew.vaultUs / renew.calls, SecretUs: secret.vaultUs / secret.calls };
      return { ...lent, ...(await changeCosts(stage.running)), Rss: rssBytes(treeOf(stage.running.pid)) / MIB };
    });
  const running = await replica.start();
  try {
    return { ...(await changeCosts(running)), Rss: rssBytes(treeOf(running.pid)) / MIB };
  } finally {
    await running.stop();
  }
}

/** One grant made and revoked, again and again, by the API. */
async function changeCosts({ api, pid }: Pick<RunningReplica, 'api' | 'pid'>): Promise<Values> {
  const times: number[] = [];
  const pids = treeOf(pid);
  let before = 0;
  for (let n = 0; n < CHANGES; n++) {
    // The first ones are compiled.
    if (n === 3) before = threadMicros(pids);
    const startedAt = performance.now();
    const body = { credential: LENT, agent: agentId(0), hosts: ['api.good.test'], label: `change-${n}` };
    const { grant } = await api.send<{ grant: { id: string } }>('/v1/grants', body);
    await api.send(`/v1/grants/${grant.id}/revoke`);
    times.push((performance.now() - startedAt) / 2);
  }
  return { ChangeMs: median(times.slice(3)), ChangeCpuMs: (threadMicros(pids) - before) / 1000 / 2 / (CHANGES - 3) };
}
