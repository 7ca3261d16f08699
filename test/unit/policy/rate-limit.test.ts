import fc from 'fast-check';
import { describe, expect, it, test } from 'vitest';
import type { LimitSpec } from '../../../src/domain/policy.ts';
import { LimitLedger, limitUse } from '../../../src/policy/limit-ledger.ts';
import { openCounter } from '../../../src/policy/rate-limit.ts';

const MINUTE = 60_000;
const spec = (kind: LimitSpec['kind'], requests: number, burst = requests): LimitSpec => ({
  kind,
  requests,
  perMs: MINUTE,
  burst,
  scope: 'fleet',
});
const T = 1_000 * MINUTE;

function passes(of: LimitSpec, times: readonly number[]): number[] {
  const counter = openCounter(of, null, times[0] ?? 0);
  return times.filter((now) => {
    if (counter.waitMs(now) > 0) return false;
    counter.take(now);
    return true;
  });
}

describe('failures first', () => {
  it.each(['token_bucket', 'fixed_window', 'sliding_window'] as const)(
    '%s: a state that fits nothing counts as used up',
    (kind) => {
      for (const state of [
        [Number.NaN, 1],
        [1, Number.POSITIVE_INFINITY],
      ])
        expect(openCounter(spec(kind, 3), state, T).waitMs(T)).toBeGreaterThan(0);
    },
  );

  it.each(['token_bucket', 'fixed_window', 'sliding_window'] as const)(
    '%s: a clock that is set back gives nobody more',
    (kind) => {
      const counter = openCounter(spec(kind, 2), null, T);
      counter.take(T);
      counter.take(T);
      for (const now of [T - 10 * MINUTE, T - 1, T]) expect(counter.waitMs(now)).toBeGreaterThan(0);
    },
  );
});

test('fixed windows begin at whole multiples; a sliding one holds for every minute; a bucket fills evenly', () => {
  const burst = [T + 59_000, T + 59_500, T + 60_000, T + 60_500, T + 61_000];
  expect(passes(spec('fixed_window', 2), burst)).toEqual(burst.slice(0, 4));
  expect(passes(spec('sliding_window', 2), burst)).toEqual(burst.slice(0, 2));
  expect(passes(spec('sliding_window', 2), [T, T + 30_000, T + 59_999, T + 60_000])).toEqual([T, T + 30_000, T + 60_000]);
  expect(passes(spec('token_bucket', 6, 2), [T, T, T, T + 9_999, T + 10_000, T + 10_001])).toEqual([T, T, T + 10_000]);
});

test('the wait that is told is the shortest after which one more fits', () => {
  fc.assert(
    fc.property(
      fc.constantFrom<LimitSpec['kind']>('token_bucket', 'fixed_window', 'sliding_window'),
      fc.integer({ min: 1, max: 5 }),
      fc.array(fc.integer({ min: 0, max: 20_000 }), { maxLength: 40 }),
      (kind, requests, gaps) => {
        const counter = openCounter(spec(kind, requests), null, T);
        let now = T;
        for (const gap of gaps) {
          now += gap;
          const wait = counter.waitMs(now);
          if (wait === 0) counter.take(now);
          else {
            expect(counter.waitMs(now + wait)).toBe(0);
            if (wait > 1) expect(counter.waitMs(now + wait - 1)).toBeGreaterThan(0);
          }
        }
      },
    ),
  );
});

test('a sliding window never lets more through in any window, and a state goes on where it was', () => {
  fc.assert(
    fc.property(
      fc.constantFrom<LimitSpec['kind']>('token_bucket', 'fixed_window', 'sliding_window'),
      fc.integer({ min: 1, max: 6 }),
      fc.array(fc.integer({ min: 0, max: 15_000 }), { maxLength: 60 }),
      (kind, requests, gaps) => {
        const of = spec(kind, requests);
        let whole = openCounter(of, null, T);
        const other = openCounter(of, null, T);
        const passed: number[] = [];
        let now = T;
        for (const gap of gaps) {
          now += gap;
          expect(whole.waitMs(now)).toBe(other.waitMs(now));
          if (whole.waitMs(now) === 0) {
            whole.take(now);
            other.take(now);
            passed.push(now);
          }
          whole = openCounter(of, JSON.parse(JSON.stringify(whole.state)) as number[], now);
        }
        if (kind === 'sliding_window')
          for (const at of passed)
            expect(passed.filter((each) => each > at - MINUTE && each <= at).length).toBeLessThanOrEqual(requests);
      },
    ),
  );
});

test('the ledger tells what changed once, goes on from what was saved, and starts anew when the limit is another one', () => {
  const use = limitUse('p/r', 'a', 'g', spec('fixed_window', 2));
  const ledger = new LimitLedger();
  ledger.take([use], T);
  const saved = ledger.takeChanges();
  expect(ledger.takeChanges()).toEqual([]);
  const next = new LimitLedger(saved);
  next.take([{ ...use, spec: { ...use.spec } }], T);
  expect(next.waitMs(use, T)).toBeGreaterThan(0);
  expect(new LimitLedger(next.takeChanges()).waitMs({ ...use, spec: spec('fixed_window', 3) }, T)).toBe(0);
});
