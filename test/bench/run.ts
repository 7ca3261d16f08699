/**
 * A run: all targets are started once and measured in turn, round by round (A B A B …), so that what the machine does meanwhile
 * falls on all of them. Tests that need a fresh process get one of their own at the end.
 */
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import type { Sample } from './arithmetic.ts';
import { applies, type Bench, CheckFailure, FRESH_MEASURES, MEASURES, type Measure } from './measures.ts';
import { TEST_NAMES, type TestName } from './names.ts';
import type { Options } from './options.ts';
import type { Prepared, Running, Surroundings, Target } from './targets/target.ts';

/** Tests that say the same in each round. */
const ONCE: ReadonlySet<TestName> = new Set(['check', 'warm', 'bursts', 'memory', 'burst-memory', 'first-visit']);
const PAUSE_MS = 150;

export interface RunContext {
  readonly options: Options;
  readonly bench: Bench;
  readonly surroundings: Surroundings;
  /** Where targets keep what is theirs. */
  readonly dir: string;
  readonly say: (line: string) => void;
}

export interface Outcome {
  readonly samples: readonly Sample[];
  /** Targets that could not be started, and why. */
  readonly notes: readonly string[];
  readonly checkFailed: boolean;
}

interface Started {
  readonly target: Target;
  readonly running: Running;
}

/** Measures everything that was asked for. Never rejects for what a target does. */
export async function runAll(context: RunContext, targets: readonly Target[]): Promise<Outcome> {
  const recorder = new Recorder(context);
  const tests = TEST_NAMES.filter((test) => context.options.tests.includes(test));
  const shared = tests.filter((test) => MEASURES[test] !== undefined);
  const started: Started[] = [];
  try {
    if (shared.length > 0)
      for (const target of targets) await recorder.tolerate(target, async () => void started.push(await start(context, target)));
    // Without ours there is nothing to compare: better to say so now than after half an hour.
    if (recorder.checkFailed) return recorder;
    for (const test of shared) {
      const rounds = ONCE.has(test) ? 1 : context.options.rounds;
      for (let round = 0; round < rounds; round++)
        for (const { target, running } of started)
          if (applies(test, target)) await recorder.record(test, round, target, running, MEASURES[test] as Measure);
    }
  } finally {
    for (const { running } of started) await running.stop();
  }
  for (const test of tests.filter((name) => FRESH_MEASURES[name] !== undefined))
    for (const target of targets)
      if (applies(test, target)) await recorder.tolerate(target, () => recordFresh(context, recorder, test, target));
  return recorder;
}

let directories = 0;

async function prepare(context: RunContext, target: Target): Promise<Prepared> {
  const dir = join(context.dir, `${target.name}-${++directories}`);
  mkdirSync(dir, { recursive: true, mode: 0o755 });
  return target.prepare(context.surroundings, dir);
}

async function start(context: RunContext, target: Target): Promise<Started> {
  return { target, running: await (await prepare(context, target)).launch() };
}

async function recordFresh(context: RunContext, recorder: Recorder, test: TestName, target: Target): Promise<void> {
  const prepared = await prepare(context, target);
  for (let round = 0; round < (ONCE.has(test) ? 1 : context.options.rounds); round++) {
    const running = await prepared.launch();
    try {
      await recorder.record(test, round, target, running, FRESH_MEASURES[test] as Measure);
    } finally {
      await running.stop();
    }
  }
}

class Recorder implements Outcome {
  readonly samples: Sample[] = [];
  readonly notes: string[] = [];
  checkFailed = false;
  readonly #context: RunContext;

  constructor(context: RunContext) {
    this.#context = context;
  }

  async record(test: TestName, round: number, target: Target, running: Running, measure: Measure): Promise<void> {
    const { name } = target;
    try {
      const values = await measure(this.#context.bench, target, running);
      this.samples.push({ test, target: name, round, values });
      const text = Object.entries(values)
        .filter(([, value]) => Number.isFinite(value))
        .map(([key, value]) => `${key} ${value.toFixed(value < 10 ? 2 : 0)}`);
      this.#context.say(`${test}#${round} ${name.padEnd(16)} ${text.join('  ')}`);
    } catch (error) {
      const failed = (error as Error).message;
      if (error instanceof CheckFailure) this.checkFailed = true;
      this.samples.push({ test, target: name, round, values: {}, failed });
      this.#context.say(`${test}#${round} ${name.padEnd(16)} FAILED ${failed}`);
    }
    await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
  }

  async tolerate(target: Target, step: () => Promise<void>): Promise<void> {
    try {
      await step();
    } catch (error) {
      const note = `${target.name}: ${(error as Error).message}`;
      this.notes.push(note);
      this.#context.say(note);
      // Ours not starting is no weather.
      if (target.name === 'alterd') this.checkFailed = true;
    }
  }
}
