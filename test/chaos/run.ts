/** A run: storms from a seed, each followed by a calm in which everything has to be as if there had been none. */
import { aboutASecond } from '../integration/fleet/enrolled.ts';
import { type Agent, Agents } from './agents.ts';
import { eventually, isCalm, isStreaming, judgeAccounts, judgeAudit, streamsLost } from './judgement.ts';
import { ChaosRecord } from './record.ts';
import { type Deed, deedText, type Planned, planStorm, type Size } from './schedule.ts';
import { FleetStage, type Part } from './stage.ts';

export interface ChaosOptions extends Omit<Size, 'agents'> {
  readonly seed: number;
  /** No new storm begins after this. */
  readonly forMs: number;
  readonly agentsPerDaemon: number;
  /** How long an agent pauses between requests, on average. */
  readonly askEveryMs: number;
  readonly leaseMs: number;
  readonly tokenLifeS: number;
  /** How long rows may be on their way, and accounts unusable because a replica died while it renewed them. */
  readonly settleMs: number;
  readonly print: (line: string) => void;
}

export interface ChaosResult {
  readonly problems: readonly string[];
  readonly story: readonly string[];
  /** What each process printed, by its name. */
  readonly logs: ReadonlyMap<string, string>;
  readonly requests: number;
  readonly storms: number;
}

/** A replica may serve for this long without an answer of its database. */
const STALE_MS = 5_000;

interface Fleet {
  readonly stage: FleetStage;
  readonly agents: Agents;
  readonly record: ChaosRecord;
  readonly options: ChaosOptions;
}

export async function runChaos(options: ChaosOptions): Promise<ChaosResult> {
  const record = new ChaosRecord(options.print);
  const stage = new FleetStage({ record, ...options });
  const agents = new Agents(stage, record);
  const fleet: Fleet = { stage, agents, record, options };
  let storms = 0;
  try {
    await stage.start();
    await agents.start(options.agentsPerDaemon);
    if (!(await eventually(10_000, () => isCalm(stage)))) throw new Error('the fleet does not come together');
    record.tell('the fleet is there');
    const end = performance.now() + options.forMs;
    do {
      await storm(planStorm(options.seed + storms++, { ...options, agents: agents.all.length }), fleet);
      await calm(fleet);
    } while (performance.now() < end && record.problems.length === 0);
  } catch (error) {
    record.fault((error as Error).stack ?? String(error));
  } finally {
    await agents.close();
    await stage.stop();
  }
  const logs = new Map(stage.parts.map(({ name, printed }) => [name, printed]));
  return { problems: record.problems, story: record.story, logs, requests: record.requests.size, storms };
}

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

async function storm(plan: readonly Planned[], fleet: Fleet): Promise<void> {
  const { record, agents, options } = fleet;
  record.tell(`storm of ${options.stormMs} ms, ${plan.length} deeds`);
  agents.run(options.askEveryMs);
  const startedAt = performance.now();
  const done = plan.map(async ({ atMs, deed }) => {
    await pause(startedAt + atMs - performance.now());
    record.tell(deedText(deed));
    await carryOut(deed, fleet);
  });
  await Promise.all(done);
  await pause(startedAt + options.stormMs - performance.now());
}

async function carryOut(deed: Deed, { stage, agents, options }: Fleet): Promise<void> {
  const place = (link: 'hosts' | 'database', n: number): Part => (link === 'hosts' ? stage.daemons : stage.replicas)[n] as Part;
  switch (deed.do) {
    case 'kill': {
      const part = (deed.what === 'replica' ? stage.replicas : stage.daemons)[deed.n] as Part;
      await stage.kill(part);
      await pause(deed.forMs);
      // Not awaited: it may have to wait for what else is down.
      void stage.revive(part);
      return;
    }
    case 'crash-database':
      await stage.crashDatabase();
      await pause(deed.forMs);
      return stage.beginDatabase();
    case 'break': {
      const { way } = place(deed.link, deed.n);
      way.set(deed.fault);
      await pause(deed.forMs);
      way.set(null);
      return;
    }
    case 'strike':
      place(deed.link, deed.n).way.strike(deed.fault, () => Math.random() < 0.5);
      return;
    case 'end-grant': {
      const agent = agents.all[deed.n];
      if (agent === undefined) return;
      // Past the lease of whoever heard nothing, from a replica that had heard nothing either.
      const boundMs = options.leaseMs + STALE_MS + aboutASecond();
      if ((await agents.endGrant(agent, boundMs)) !== null) await agents.newGrant(agent);
    }
  }
}

async function calm(fleet: Fleet): Promise<void> {
  const { stage, agents, record, options } = fleet;
  for (const part of stage.parts) part.way.set(null);
  await Promise.all(stage.parts.map((part) => stage.revive(part)));
  const startedAt = performance.now();
  if (!(await eventually(45_000, () => isCalm(stage))))
    record.fault('the faults are over, but not every daemon hears of changes');
  record.tell(`calm after ${Math.round(performance.now() - startedAt)} ms`);
  await Promise.all(agents.all.map((agent) => endsInASecond(agent, fleet)));
  await judgeAccounts(stage, agents, record, options.settleMs);
  await agents.stop();
  await judgeAudit(stage, record, options.settleMs);
}

/**
 * With a stream: what is ended is refused about a second later, and what is granted is there. Where the machine is so busy that a stream is
 * lost though nothing is broken, the lease was the bound, and it is tried again.
 */
async function endsInASecond(agent: Agent, { agents, record, options }: Fleet): Promise<undefined> {
  const { name, daemon } = agent;
  for (let attempt = 1; ; attempt++) {
    let last = '';
    // A connection that died without a word is found when a call over it takes too long.
    const isUsable = await eventually(30_000, async () => {
      const { status, answer } = await agents.ask(agent);
      last = `${status} ${answer}`;
      return status === 200;
    });
    if (!isUsable) return record.fault(`${name} has a grant and a daemon that hears of changes, but can't use it: ${last}`);
    if (!(await eventually(30_000, () => isStreaming(daemon)))) return record.fault(`${daemon.name} hears of no changes`);
    const lost = await streamsLost(daemon);
    const boundMs = aboutASecond();
    const marker = await agents.endGrant(agent, options.leaseMs + STALE_MS + boundMs);
    if (marker === null) return;
    const isRefused = await eventually(boundMs, async () => (await agents.ask(agent)).error === 'grant_revoked');
    const isLive = (await streamsLost(daemon)) === lost;
    // Who has refused it knows, and must not forget.
    if (isRefused) marker.refusedFrom = performance.now();
    else if (isLive) record.fault(`${name} is not refused ${Math.round(boundMs)} ms after its grant ended, with a live stream`);
    await agents.newGrant(agent);
    if (isRefused || isLive) return;
    if (attempt === 3) return record.fault(`${daemon.name} loses its stream again and again, though nothing is broken`);
    record.tell(`${daemon.name} lost its stream while a grant of ${name} was ended; once more`);
  }
}
