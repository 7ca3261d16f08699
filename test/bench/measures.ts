/** The tests: what the load generator is asked for each, and the figures that are made of its answer. */
import type { Job, JobResult } from './load/job.ts';
import { HOSTS, type TestName, TOKEN } from './names.ts';
import { rssBytes, treeOf } from './process-tree.ts';
import type { Running, Target } from './targets/target.ts';

const MIB = 1024 * 1024;
const LARGE_BYTES = 10 * MIB;
const WARM_MS = 700;
const BURST_CONNECTIONS = 16;
const EVENT_STREAMS = 50;
const EVENT_MS = 50;
const IDLE_STEPS = [256, 1000];
const HTTP2_SESSIONS = 4;

export interface Bench {
  readonly originPort: number;
  readonly seconds: number;
  readonly warmSeconds: number;
  run(job: Job): Promise<JobResult>;
}

export type Values = Readonly<Record<string, number>>;

/** Runs one test once on a running target. @throws Error when it failed as a whole */
export type Measure = (bench: Bench, target: Target, running: Running) => Promise<Values>;

function jobOf(bench: Bench, running: Running, more: Partial<Job>): Job {
  return {
    kind: 'closed',
    via: running.via,
    caFile: running.caFile,
    originPort: bench.originPort,
    path: '/json',
    connections: 16,
    seconds: bench.seconds,
    warmMs: WARM_MS,
    watch: running.pid === null ? [] : treeOf(running.pid),
    ...more,
  };
}

/** CPU is that of the target for each request: NaN for a target without a process. */
function valuesOf(running: Running, result: JobResult): Values {
  if (result.requests === 0) throw new Error(result.firstError ?? 'no request ended');
  return {
    cpu: running.pid === null ? Number.NaN : result.cpuUs / result.requests,
    rps: result.requests / result.seconds,
    p50: result.p50Us,
    p99: result.p99Us,
    mibps: result.bytes / MIB / result.seconds,
    share: running.pid === null ? Number.NaN : result.cpuUs / (result.seconds * 1e6),
    errors: result.errors,
  };
}

const load =
  (more: Partial<Job>): Measure =>
  async (bench, _target, running) =>
    valuesOf(running, await bench.run(jobOf(bench, running, more)));

/** @throws Error when the origin saw anything but the credential, whatever the speed */
const check: Measure = async (bench, target, running) => {
  const result = await bench.run(jobOf(bench, running, { kind: 'check', path: '/echo' }));
  // The origin says it backwards: what is injected is scrubbed from an answer that holds it as it is.
  const seen = result.texts.map((text) => [...text].reverse().join(''));
  const { authorization } = target;
  const wanted = target.injects ? `Bearer ${TOKEN}` : '';
  const isRight = (text: string): boolean => (authorization === undefined ? text === wanted : authorization.test(text));
  if (seen.length === 0 || !seen.every(isRight)) throw new CheckFailure(target.name);
  return { requests: result.requests };
};

/** The one thing that fails a run: a proxy that does not inject is not worth measuring. */
export class CheckFailure extends Error {
  constructor(name: string) {
    super(`${name}: the origin did not receive what was to be injected, on every request`);
  }
}

const warm: Measure = async (bench, _target, running) =>
  valuesOf(running, await bench.run(jobOf(bench, running, { connections: 64, seconds: bench.warmSeconds, warmMs: 0 })));

const sse: Measure = async (bench, _target, running) => {
  const seconds = Math.max(2, bench.seconds);
  // Longer than the window: a stream that ends in it counts as an error.
  const count = Math.ceil((seconds + 4) * (1000 / EVENT_MS));
  const path = `/sse?ms=${EVENT_MS}&count=${count}`;
  const job = jobOf(bench, running, { kind: 'sse', path, connections: EVENT_STREAMS, seconds });
  const result = await bench.run(job);
  const firsts = [...result.numbers].sort((a, b) => a - b);
  if (firsts.length === 0) throw new Error(result.firstError ?? 'no event came');
  return { ...valuesOf(running, result), first: firsts[firsts.length >> 1] as number, streams: firsts.length };
};

const burst = (): Partial<Job> => ({ kind: 'newconn', connections: BURST_CONNECTIONS });

/** Two bursts of new connections, for what they leave behind. */
const bursts: Measure = async (bench, _target, running) => {
  await bench.run(jobOf(bench, running, burst()));
  const values = valuesOf(running, await bench.run(jobOf(bench, running, burst())));
  return { ...values, rss: running.pid === null ? Number.NaN : rssBytes(treeOf(running.pid)) / MIB };
};

const memory: Measure = async (bench, _target, running) => {
  if (running.pid === null) throw new Error('no process');
  await new Promise((resolve) => setTimeout(resolve, 1000));
  const idle = rssBytes(treeOf(running.pid));
  const result = await bench.run(jobOf(bench, running, { kind: 'idle', steps: IDLE_STEPS }));
  const [at256 = Number.NaN, at1000 = Number.NaN] = result.numbers;
  return {
    idle: idle / MIB,
    rss256: at256 / MIB,
    rss1000: at1000 / MIB,
    perConnection: (at1000 - idle) / 1024 / 1000,
    errors: result.errors,
  };
};

const firstVisit: Measure = async (bench, _target, running) =>
  valuesOf(running, await bench.run(jobOf(bench, running, { kind: 'hosts', hosts: HOSTS })));

const large: Partial<Job> = { path: '/10m', connections: 4 };
const upload: Partial<Job> = { path: '/sink', connections: 4, bodyBytes: LARGE_BYTES };

/** On a target that runs on from test to test. */
export const MEASURES: Partial<Record<TestName, Measure>> = {
  check,
  warm,
  ka1: load({ connections: 1 }),
  ka16: load({ connections: 16 }),
  ka64: load({ connections: 64 }),
  ka256: load({ connections: 256 }),
  h2: load({ kind: 'h2', connections: HTTP2_SESSIONS }),
  rate200: load({ kind: 'rate', rate: 200, connections: 16 }),
  rate1000: load({ kind: 'rate', rate: 1000, connections: 32 }),
  dl64k: load({ path: '/64k' }),
  dl10m: load(large),
  up10m: load(upload),
  sse,
  newconn: load(burst()),
  bursts,
  'dl10m-after': load(large),
  'up10m-after': load(upload),
};

/** On a process that was started for this test alone. */
export const FRESH_MEASURES: Partial<Record<TestName, Measure>> = {
  memory,
  'burst-memory': bursts,
  'first-visit': firstVisit,
  startup: async (_bench, _target, running) => ({ ms: running.pid === null ? Number.NaN : running.startMs }),
};

/** Whether the test says anything about the target. */
export function applies(test: TestName, target: Target): boolean {
  if (target.tests !== undefined && !target.tests.includes(test)) return false;
  if (test === 'h2') return target.http2 === true;
  if (test === 'first-visit') return target.oneCertificate !== true;
  if (test === 'memory' || test === 'burst-memory' || test === 'startup') return target.name !== 'direct';
  return true;
}
