/** One small storm over a small fleet: `npm run chaos` in seconds. CHAOS_SEED draws another one. */
import { expect, test } from 'vitest';
import { isPostgresHere } from '../helpers/postgres.ts';
import { runChaos } from './run.ts';
import { planStorm } from './schedule.ts';

const SEED = Number(process.env.CHAOS_SEED ?? 1);
const SIZE = { replicas: 2, daemons: 2, agentsPerDaemon: 1, askEveryMs: 80, stormMs: 2_500, pauseMs: 400 };

test('a seed is a schedule', () => {
  const size = { ...SIZE, agents: 2 };
  expect(planStorm(7, size)).toEqual(planStorm(7, size));
  expect(planStorm(7, size)).not.toEqual(planStorm(8, size));
  expect(planStorm(7, { ...size, stormMs: 60_000 }).map(({ deed }) => deed.do)).toEqual(
    expect.arrayContaining(['kill', 'crash-database', 'break', 'strike', 'end-grant']),
  );
});

if (!isPostgresHere) test('not present here: PostgreSQL 15', () => {});
else
  test('under faults nobody gets the secret of another, no token and no row is lost, and what has ended has ended', async () => {
    // A lease so long that a revocation can only have come by the stream.
    const limits = { leaseMs: 60_000, tokenLifeS: 4, settleMs: 8_000 };
    const { problems, story, logs } = await runChaos({ seed: SEED, forMs: 0, print: () => {}, ...SIZE, ...limits });
    const told = problems.length === 0 ? '' : [`CHAOS_SEED=${SEED}`, ...story, ...[...logs].flat()].join('\n');
    expect(problems, told).toEqual([]);
  }, 180_000);
