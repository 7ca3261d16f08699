/** Slices of a limit that hosts share: whatever hosts do with them, never more passes than one counter would have let through. */
import fc from 'fast-check';
import { describe, expect, it, test } from 'vitest';
import type { LimitSpec } from '../../../src/domain/policy.ts';
import { QuotaAccount } from '../../../src/policy/quota-account.ts';

const MINUTE = 60_000;
const T = 1_000 * MINUTE;
const KINDS = ['token_bucket', 'fixed_window', 'sliding_window'] as const;
const spec = (kind: LimitSpec['kind'], requests: number, burst = requests): LimitSpec => ({
  ...{ kind, requests, perMs: MINUTE, burst, scope: 'fleet' },
});
/** As it is kept: as text. */
const kept = (account: QuotaAccount, of: LimitSpec, now: number): QuotaAccount =>
  new QuotaAccount(of, JSON.parse(JSON.stringify(account.state)), now);

/** One host after the other draws as much as there is; answers how much that was. */
function drain(account: QuotaAccount, hosts: readonly string[], now: number, ids = 'd'): number {
  let sum = 0;
  for (let i = 0; ; i++) {
    const { count } = account.draw(`${ids}${i}`, hosts[i % hosts.length] as string, 1_000, now);
    if (count === 0) return sum;
    sum += count;
  }
}

describe('failures first', () => {
  it.each(KINDS)('%s: the same id gets the same slice, however often it is asked for', (kind) => {
    const of = spec(kind, 10);
    let account = new QuotaAccount(of, null, T);
    const first = account.draw('a', 'h1', 3, T);
    expect(first.count).toBe(3);
    for (let i = 1; i < 4; i++) {
      account = kept(account, of, T + i);
      expect(account.draw('a', 'h1', 9, T + i)).toMatchObject({ count: 3, validMs: first.validMs - i });
    }
    expect(account.left(T + 4)).toBe(7);
  });

  it.each(KINDS)(
    '%s: nobody settles the slice of another, none is settled twice, and more than it held is not given back',
    (kind) => {
      const account = new QuotaAccount(spec(kind, 10), null, T);
      account.draw('a', 'h1', 4, T);
      account.settle('a', 'h2', 0, 0, T);
      expect(account.left(T)).toBe(6);
      account.settle('a', 'h1', 1, 0, T);
      account.settle('a', 'h1', 0, 0, T);
      expect(account.left(T)).toBe(9);
      account.draw('b', 'h1', 2, T);
      account.settle('b', 'h1', -5, -5, T);
      expect(account.left(T)).toBe(9);
    },
  );

  it.each(KINDS)('%s: what nothing is known of counts as used up, and a clock that is set back gives nothing', (kind) => {
    const account = QuotaAccount.usedUp(spec(kind, 10), T);
    for (const now of [T, T - 10 * MINUTE, T + 100]) expect(account.draw('x', 'h', 5, now).count).toBe(0);
    expect(account.left(T + 3 * MINUTE)).toBe(10);
  });

  it.each(KINDS)('%s: a slice of which its host says nothing counts to the end of what it may have done', (kind) => {
    const account = new QuotaAccount(spec(kind, 10), null, T);
    const { validMs } = account.draw('a', 'h1', 5, T);
    drain(account, ['h2'], T);
    // A bucket has been filled for the whole time by then, but never beyond its brim; the windows are over.
    const free = kind === 'fixed_window' ? validMs : kind === 'sliding_window' ? validMs + MINUTE + MINUTE / 100 : validMs;
    expect(account.left(T + free - 2_000)).toBeLessThan(10);
    expect(account.left(T + free + MINUTE)).toBe(10);
  });

  it.each(KINDS)('%s: a limit that is made smaller takes nothing back, and gives out nothing until it fits', (kind) => {
    const account = new QuotaAccount(spec(kind, 10), null, T);
    account.draw('a', 'h1', 8, T);
    const smaller = account.changed(spec(kind, 4), T + 1);
    expect(smaller.draw('b', 'h2', 4, T + 1).count).toBe(0);
    expect(account.changed(spec(kind === 'fixed_window' ? 'sliding_window' : 'fixed_window', 5), T + 1).left(T + 1)).toBe(0);
  });
});

test.each(KINDS.flatMap((from) => KINDS.map((to) => [from, to] as const)))(
  'a limit that becomes another one, %s to %s, forgets nothing that was spent, whatever its window is',
  (from, to) => {
    for (const perMs of [MINUTE, 10 * MINUTE, 1_000]) {
      const account = new QuotaAccount(spec(from, 10), null, T);
      account.draw('a', 'h1', 9, T);
      const [slice] = account.state.slices;
      const taken = slice?.[2] ?? 0;
      account.settle('a', 'h1', taken, 0, T);
      const next = account.changed({ ...spec(to, 10), perMs }, T);
      expect(next.left(T)).toBe(10 - taken);
      expect(next.left(T + 21 * MINUTE)).toBe(10);
    }
  },
);

test('slices shrink as the remainder shrinks: one host alone can have all of it, and three of them too', () => {
  for (const kind of KINDS) {
    expect(drain(new QuotaAccount(spec(kind, 100), null, T), ['h1'], T)).toBe(100);
    const account = new QuotaAccount(spec(kind, 100), null, T);
    const sizes = Array.from({ length: 9 }, (_each, i) => account.draw(`s${i}`, `h${i % 3}`, 1_000, T).count);
    expect(sizes).toEqual(sizes.toSorted((a, b) => b - a));
    expect(sizes[0]).toBe(50);
    expect(drain(account, ['h1', 'h2', 'h3'], T) + sizes.reduce((a, b) => a + b)).toBe(100);
  }
});

test('what is given back is there for another at once; what was spent is not, until its window is over', () => {
  const account = new QuotaAccount(spec('sliding_window', 10), null, T);
  account.draw('a', 'h1', 5, T);
  drain(account, ['h2'], T);
  expect(account.draw('x', 'h1', 1, T).retryMs).toBeLessThanOrEqual(1_000);
  account.settle('a', 'h1', 2, 1_000, T + 3_000);
  expect(account.left(T + 3_000)).toBe(3);
  expect(account.left(T + 2_000 + MINUTE - 1)).toBe(3);
  expect(account.left(T + 2_000 + MINUTE + MINUTE / 100)).toBe(5);
  expect(account.uses(T + 2_000 + MINUTE + MINUTE / 100)).toEqual([{ host: 'h2', held: 5, spent: 0 }]);
});

test('a bucket does not run full while what was in it may still be spent', () => {
  const account = new QuotaAccount(spec('token_bucket', 60, 10), null, T);
  expect(drain(account, ['h1'], T)).toBe(10);
  const { validMs } = new QuotaAccount(spec('token_bucket', 60, 10), null, T).draw('a', 'h', 1, T);
  expect(validMs).toBe(6_000);
  // All ten may have passed just now.
  expect(kept(account, spec('token_bucket', 60, 10), T + validMs).left(T + validMs)).toBe(0);
  expect(account.left(T + validMs + 3_000)).toBe(3);
});

/** What a host does: it draws, spends some of it within its time, and settles, or is never heard of again. */
const act = fc.record({
  host: fc.integer({ min: 0, max: 2 }),
  want: fc.integer({ min: 1, max: 12 }),
  pauseMs: fc.oneof(fc.integer({ min: 0, max: 300 }), fc.integer({ min: 0, max: 20_000 })),
  spends: fc.array(fc.double({ min: 0, max: 0.999, noNaN: true }), { maxLength: 12 }),
  settles: fc.option(fc.double({ min: 0, max: 1.5, noNaN: true })),
});

test('never more passes in any window than the limit, whatever hosts draw, spend, give back or forget', () => {
  const run = (of: LimitSpec, acts: readonly (typeof act extends fc.Arbitrary<infer A> ? A : never)[]): number[] => {
    let account = new QuotaAccount(of, null, T);
    const passed: number[] = [];
    const settlements: { at: number; id: string; host: string; used: number; last: number }[] = [];
    let now = T;
    for (const [i, { host, want, pauseMs, spends, settles }] of acts.entries()) {
      now += pauseMs;
      for (const due of settlements.filter(({ at }) => at <= now)) {
        settlements.splice(settlements.indexOf(due), 1);
        account.settle(due.id, due.host, due.used, due.at - due.last, due.at);
      }
      account = kept(account, of, now);
      const { count, validMs } = account.draw(`s${i}`, `h${host}`, want, now);
      const end = settles === null ? validMs : Math.min(validMs, Math.ceil(settles * validMs));
      const times = spends.slice(0, count).map((share) => now + Math.floor(share * end));
      passed.push(...times);
      if (settles !== null)
        settlements.push({
          at: now + Math.ceil(settles * validMs),
          id: `s${i}`,
          host: `h${host}`,
          used: times.length,
          last: Math.max(now, ...times),
        });
    }
    return passed.sort((a, b) => a - b);
  };
  fc.assert(
    fc.property(
      fc.constantFrom(...KINDS),
      fc.integer({ min: 1, max: 12 }),
      fc.array(act, { minLength: 1, maxLength: 60 }),
      (kind, requests, acts) => {
        const perMinute = kind === 'token_bucket' ? requests * 10 : requests;
        const passed = run(spec(kind, perMinute, requests), acts);
        for (const [i, from] of passed.entries()) {
          const within = (ms: number): number => passed.slice(i).filter((at) => at < from + ms).length;
          if (kind === 'fixed_window')
            expect(passed.filter((at) => Math.floor(at / MINUTE) === Math.floor(from / MINUTE)).length).toBeLessThanOrEqual(
              requests,
            );
          else if (kind === 'sliding_window') expect(within(MINUTE)).toBeLessThanOrEqual(requests);
          // Of a bucket: its brim, and what runs in meanwhile.
          else
            for (const ms of [1, 500, 3_000, 10_000, MINUTE])
              expect(within(ms)).toBeLessThanOrEqual(requests + (ms * perMinute) / MINUTE + 1e-6);
        }
      },
    ),
    { numRuns: 150 },
  );
});
