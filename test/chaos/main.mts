/**
 * `npm run chaos [-- --seed N --minutes M]`: a fleet of processes under random faults, and what must hold all along: no request with
 * another's secret, no rotated token lost, no audit row lost or doubled, nothing used that has ended. The seed repeats the schedule.
 */
import { statSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { isPostgresHere } from '../helpers/postgres.ts';
import { runChaos } from './run.ts';

/** Written anew with each build. */
const BUILD_MARK = join(import.meta.dirname, '..', '..', 'dist', '.bundle');
const { values } = parseArgs({ options: { seed: { type: 'string' }, minutes: { type: 'string', default: '5' } } });
const seed = Number(values.seed ?? Math.floor(Math.random() * 2 ** 31));
console.log(`seed ${seed}`);
if (!isPostgresHere) {
  console.log('not present here: PostgreSQL 15');
  process.exit(1);
}
// So that nothing that was started is left: processes end with this one.
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(130));
// Processes start all along: of two builds, the older may have to refuse what the newer writes.
const build = (): number => statSync(BUILD_MARK).mtimeMs;
const builtAt = build();
const { problems, story, logs, requests, storms } = await runChaos({
  ...{ seed, forMs: Number(values.minutes) * 60_000, print: (line) => console.log(line) },
  ...{ replicas: 3, daemons: 3, agentsPerDaemon: 2, askEveryMs: 150, stormMs: 20_000, pauseMs: 900 },
  // Of even seeds so short that what was missed is refused within a storm, of odd ones so long that only streams can tell of it.
  leaseMs: seed % 2 === 0 ? 6_000 : 60_000,
  // Longer than the lease of a refresh whose holder was killed.
  ...{ tokenLifeS: 12, settleMs: 135_000 },
});
if (build() !== builtAt) console.log('\nalterd was built anew meanwhile: this run says nothing, whatever follows');
if (problems.length > 0) {
  for (const [name, log] of logs) {
    if (problems.every((problem) => !problem.includes(name)) && problems.some((problem) => /(replica|daemon) \d/.test(problem)))
      continue;
    console.log(`\n--- ${name}\n${log.split('\n').slice(-80).join('\n')}`);
  }
  console.log(`\n--- what was done\n${story.join('\n')}`);
  console.log(`\n${problems.length} went wrong; repeat with: npm run chaos -- --seed ${seed}`);
  for (const problem of problems) console.log(`  ${problem}`);
} else console.log(`${requests} requests, ${storms} storms: nothing went wrong`);
process.exit(problems.length > 0 || build() !== builtAt ? 1 : 0);
