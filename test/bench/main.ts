/**
 * `npm run bench`: alterd beside its peers and its limits, on loopback, in one run. Prints a table of ratios and what became of
 * each goal. Times never decide the exit status: it is 1 only when something is broken, such as a credential that did not arrive.
 */
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { availableParallelism, cpus, tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Sample } from './arithmetic.ts';
import { presentTargets } from './catalogue.ts';
import { measureFleet } from './fleet/measures.ts';
import { makeKeys } from './keys.ts';
import { microCosts } from './micro.ts';
import { type Options, parseOptions } from './options.ts';
import { PROXY_CPU, pinned } from './process-tree.ts';
import { reportOf } from './report.ts';
import { type Outcome, runAll } from './run.ts';
import { startWorkers } from './workers.ts';

const RESULTS = fileURLToPath(new URL('./RESULTS.md', import.meta.url));
const say = (line: string): void => void process.stderr.write(`${line}\n`);

function readOptions(): Options {
  try {
    return parseOptions(process.argv.slice(2));
  } catch (error) {
    process.stderr.write(`${(error as Error).message}\n`);
    process.exit(2);
  }
}

function machineLine(options: Options): string {
  const cpu = `${availableParallelism()} × ${cpus()[0]?.model.trim() ?? 'unknown CPU'}`;
  const where = pinned(PROXY_CPU).length > 0 ? 'target on CPU 0, load and origin on CPU 1' : 'not pinned';
  return `${cpu}, Node ${process.versions.node} (OpenSSL ${process.versions.openssl}); ${where}; ${options.rounds} rounds of ${options.seconds} s`;
}

async function measure(options: Options): Promise<Outcome> {
  const { present, absent } = presentTargets(options.targets);
  for (const line of absent) say(`absent: ${line}`);
  const dir = mkdtempSync(join(tmpdir(), 'alterd-bench-'));
  // A peer that gives up being root has to reach its own directory.
  chmodSync(dir, 0o755);
  const keysDir = join(dir, 'keys');
  mkdirSync(keysDir, { mode: 0o755 });
  makeKeys(keysDir);
  // Also when it is interrupted: `exit` ends the targets and removes what the run wrote.
  process.once('exit', () => rmSync(dir, { recursive: true, force: true }));
  const workers = await startWorkers(keysDir);
  try {
    const bench = {
      originPort: workers.originPort,
      seconds: options.seconds,
      warmSeconds: options.warmSeconds,
      run: workers.run,
    };
    const surroundings = { keysDir, originPort: workers.originPort };
    const outcome = await runAll({ options, bench, surroundings, dir, say }, present);
    workers.stop();
    const fleet = await measureFleet({ options, dir, say });
    const { samples, notes, checkFailed } = outcome;
    return { samples: [...samples, ...fleet.samples], notes: [...absent, ...notes, ...fleet.notes], checkFailed };
  } finally {
    workers.stop();
  }
}

async function microSample(): Promise<Sample> {
  const values = await microCosts();
  return { test: 'micro', target: 'alterd', round: 0, values };
}

async function main(): Promise<void> {
  const options = readOptions();
  if (process.platform !== 'linux') throw new Error('the benchmark reads /proc: it needs Linux');
  const machine = machineLine(options);
  say(machine);
  const outcome = await measure(options);
  const samples = options.tests.includes('micro') ? [...outcome.samples, await microSample()] : outcome.samples;
  const report = reportOf(samples, outcome.notes);
  process.stdout.write(`${report}\n`);
  if (options.json !== null)
    writeFileSync(
      options.json,
      `${JSON.stringify({ at: new Date().toISOString(), machine, notes: outcome.notes, samples }, null, 1)}\n`,
    );
  if (options.record) writeFileSync(RESULTS, recordOf(machine, report));
  process.exitCode = outcome.checkFailed ? 1 : 0;
}

function recordOf(machine: string, report: string): string {
  return [
    '# Results of `npm run bench`',
    '',
    `${new Date().toISOString().slice(0, 10)}, ${machine}. Written by \`npm run bench -- --record\`.`,
    '',
    'Medians over the rounds; ratios are taken round by round within the run. Quote ratios: absolute figures are of this machine.',
    'CPU is that of the target’s whole process tree for each request (`-` for none), in microseconds.',
    '',
    report,
  ].join('\n');
}

for (const name of ['SIGINT', 'SIGTERM'] as const) process.once(name, () => process.exit(130));
await main();
// A vault that lends to a target runs until now.
process.exit();
