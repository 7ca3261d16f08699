/** What is left of a lease, whatever the clocks do. */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { type Moment, machineClock, momentOf, remainingMs } from '../../../src/vault-client/lease-clock.ts';

const at = (bootMs: number, wallMs: number, bootId = 'boot-1'): Moment => ({ bootId, bootMs, wallMs });
const lease = { since: at(1_000, 50_000), durationMs: 600 };

test.each<[string, Moment, number]>([
  ['at once', at(1_000, 50_000), 600],
  ['later', at(1_250, 50_250), 350],
  ['the wall clock was put back an hour', at(1_250, 50_250 - 3_600_000), 350],
  ['the wall clock was put forward', at(1_250, 50_500), 100],
  ['the wall clock was put far forward', at(1_250, 50_000 + 3_600_000), 0],
  ['it is over by the machine alone', at(1_600, 50_000), 0],
  ['the machine started anew', at(1_250, 50_250, 'boot-2'), 0],
  ['the machine started anew, and its clock says less', at(10, 50_001, 'boot-2'), 0],
  ['the clock of the machine ran backwards', at(500, 50_250), 0],
  ['a clock is broken', at(Number.NaN, 50_250), 0],
  ['there is no boot id', at(1_250, 50_250, ''), 0],
])('%s', (_what, now, left) => {
  expect(remainingMs(lease, now)).toBe(left);
  if (now.bootId === '') expect(remainingMs({ ...lease, since: at(1_000, 50_000, '') }, now)).toBe(0);
});

test('no setting of the wall clock makes a lease longer', () => {
  fc.assert(
    fc.property(fc.nat(10_000), fc.integer(), fc.nat(10_000), (passed, wallMs, durationMs) => {
      const left = remainingMs({ since: at(0, 0), durationMs }, at(passed, wallMs));
      expect(left).toBeLessThanOrEqual(Math.max(0, durationMs - passed));
      expect(left).toBeGreaterThanOrEqual(0);
    }),
  );
});

test('a lease without an end is no lease', () => {
  for (const durationMs of [Number.POSITIVE_INFINITY, Number.NaN, -1])
    expect(remainingMs({ ...lease, durationMs }, at(1_000, 50_000))).toBe(0);
});

test('the clock of this machine goes on', () => {
  const clock = machineClock();
  const moment = momentOf(clock);
  expect(moment.bootId).not.toBe('');
  expect(momentOf(machineClock()).bootId).toBe(moment.bootId);
  expect(remainingMs({ since: moment, durationMs: 60_000 }, momentOf(clock))).toBeGreaterThan(50_000);
});
