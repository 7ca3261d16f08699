/** What a host does with slices in hand: when it asks, what it gives back, and that nothing passes which is not in hand. */
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { AlterError } from '../../../src/domain/errors.ts';
import { LimitLedger, limitUse } from '../../../src/policy/limit-ledger.ts';
import { ASK } from '../../../src/policy/shared-limits.ts';
import { QuotaPurse } from '../../../src/vault-client/quota-purse.ts';
import type { QuotaCall, QuotaDraws } from '../../../src/vault-client/vault-calls.ts';
import { TestClock } from '../../integration/fleet/remote.ts';

const LIMIT = { kind: 'fixed_window', requests: 100, perMs: 60_000, burst: 100, scope: 'fleet' } as const;
const USE = limitUse('p/r', 'a', 'g', LIMIT);

/** A purse with a vault that answers what a test says. */
function stage(answer: (ask: QuotaCall) => Partial<QuotaDraws['slices'][number]> | AlterError) {
  const asked: QuotaCall[] = [];
  const clock = new TestClock();
  const state = { isAway: false, isCut: false };
  const calls = {
    quotas: async (asks: readonly QuotaCall[]): Promise<QuotaDraws> => {
      asked.push(...asks);
      if (state.isCut) throw new AlterError('vault_unavailable', { reason: 'cut' });
      const answers = asks.map((ask) => ({ ask, of: ask.want === 0 ? {} : answer(ask) }));
      return {
        slices: answers.flatMap(({ ask, of }) =>
          of instanceof AlterError
            ? []
            : [{ sliceId: ask.sliceId, count: 0, validMs: 60_000, retryMs: 0, version: asked.length, ...of }],
        ),
        failures: answers.flatMap(({ ask, of }) => (of instanceof AlterError ? [{ sliceId: ask.sliceId, error: of }] : [])),
      };
    },
  };
  const purse = new QuotaPurse({ calls, clock, isShared: (rule) => rule === 'p/r', isAway: () => state.isAway });
  return { purse, ledger: new LimitLedger([], purse), asked, clock, state };
}

const wants = (asked: readonly QuotaCall[]): number[] => asked.map(({ want }) => want);
const settled = (asked: readonly QuotaCall[]) => asked.flatMap((ask) => ask.settled.map(({ used }) => used));

beforeEach(() => {
  vi.useFakeTimers({
    toFake: ['setTimeout', 'clearTimeout', 'setInterval', 'clearInterval', 'setImmediate', 'performance', 'Date'],
  });
});
afterEach(() => {
  vi.useRealTimers();
});

/** Asks, and lets the answer come. */
async function ask(purse: QuotaPurse, count = 1): Promise<void> {
  const asking = Promise.all(Array.from({ length: count }, () => purse.ask([USE], 2_000)));
  asking.catch(() => {});
  await vi.advanceTimersByTimeAsync(1);
  await asking;
}

test('nothing is in hand before the vault was asked, and then what it gave: not one more', async () => {
  const { ledger, purse, asked } = stage(({ want }) => ({ count: want, retryMs: 5_000 }));
  expect(ledger.waitMs(USE, 0)).toBe(ASK);
  await ask(purse, 3);
  expect(wants(asked)).toEqual([3]);
  for (let i = 0; i < 3; i++) {
    expect(ledger.waitMs(USE, 0)).toBe(0);
    ledger.take([USE], 0);
  }
  // The vault said for how long there is nothing more: nobody asks again before.
  expect(ledger.waitMs(USE, 0)).toBeGreaterThan(4_000);
  await vi.advanceTimersByTimeAsync(5_001);
  expect(ledger.waitMs(USE, 0)).toBe(ASK);
  expect(wants(asked).filter((want) => want > 0)).toEqual([3]);
  await purse.close();
});

test('a slice ends when the vault said, by whichever clock is ahead, and is not spent after', async () => {
  for (const clockOf of ['boot', 'wall'] as const) {
    const { ledger, purse, clock } = stage(() => ({ count: 5, validMs: 1_000 }));
    await ask(purse);
    clock[clockOf] += 979;
    expect(ledger.waitMs(USE, 0)).toBe(0);
    clock[clockOf] += 2;
    expect(ledger.waitMs(USE, 0)).toBe(ASK);
    await purse.close();
  }
});

test('an ask without an answer is asked again by the same id; what was settled is told until it was heard', async () => {
  const { ledger, purse, asked, state } = stage(() => ({ count: 1 }));
  await ask(purse);
  ledger.take([USE], 0);
  expect(ledger.waitMs(USE, 0)).toBe(ASK);
  state.isCut = true;
  await expect(ask(purse)).rejects.toMatchObject({ code: 'vault_unavailable' });
  // Whoever comes in the next second is told the same without another call.
  const calls = asked.length;
  await expect(ask(purse)).rejects.toMatchObject({ code: 'vault_unavailable' });
  expect(asked.length).toBe(calls);
  state.isCut = false;
  await vi.advanceTimersByTimeAsync(1_100);
  await ask(purse);
  const asks = asked.filter(({ want }) => want > 0);
  expect(new Set(asks.slice(1).map(({ sliceId }) => sliceId)).size).toBe(1);
  expect(asks[0]?.sliceId).not.toBe(asks[1]?.sliceId);
  expect(settled(asked)).toEqual([1, 1]);
  await purse.close();
});

test('what is not spent for a second is given back, at once when the host stops, and kept while nobody can be told', async () => {
  const { ledger, purse, asked, state } = stage(() => ({ count: 10 }));
  await ask(purse);
  ledger.take([USE], 0);
  state.isAway = true;
  await vi.advanceTimersByTimeAsync(5_000);
  expect([purse.status.inHand, settled(asked)]).toEqual([9, []]);
  state.isAway = false;
  await vi.advanceTimersByTimeAsync(600);
  expect([purse.status.inHand, settled(asked)]).toEqual([0, [1]]);
  await ask(purse);
  ledger.take([USE], 0);
  await purse.close();
  expect(settled(asked)).toEqual([1, 1]);
});

test('while the vault is away what is in hand may be spent and nothing more, without a wait', async () => {
  const { ledger, purse, state } = stage(() => ({ count: 2 }));
  await ask(purse);
  state.isAway = true;
  for (let i = 0; i < 2; i++) {
    expect(ledger.waitMs(USE, 0)).toBe(0);
    ledger.take([USE], 0);
  }
  expect(ledger.waitMs(USE, 0)).toBe(ASK);
  await expect(purse.ask([USE], 2_000)).rejects.toMatchObject({
    code: 'vault_unavailable',
    details: { reason: expect.stringContaining('the limit p/r, which all hosts share') },
  });
  await purse.close();
});

test.each<[string, AlterError]>([
  ['does not know the rule', new AlterError('not_found', { what: 'limit', name: 'p/r' })],
  ['fails', new AlterError('internal_error', {})],
])('a vault that %s lets nothing pass', async (_what, error) => {
  const { ledger, purse } = stage(() => error);
  await expect(ask(purse)).rejects.toMatchObject({ code: 'vault_unavailable' });
  expect(ledger.waitMs(USE, 0)).toBe(ASK);
  await purse.close();
});

test('a vault that is silent is waited for no longer than was said', async () => {
  const { purse } = stage(() => ({ count: 1 }));
  const silent = new QuotaPurse({
    ...{ calls: { quotas: () => new Promise<never>(() => {}) }, clock: new TestClock() },
    ...{ isShared: () => true, isAway: () => false },
  });
  const asking = expect(silent.ask([USE], 500)).rejects.toMatchObject({ code: 'vault_unavailable' });
  await vi.advanceTimersByTimeAsync(501);
  await asking;
  await purse.close();
});

test('a busy host asks before it is empty; what passed on credit is paid by the next slice', async () => {
  const { ledger, purse, asked } = stage(() => ({ count: 20 }));
  await ask(purse);
  for (let i = 0; i < 19; i++) ledger.take([USE], 0);
  await vi.advanceTimersByTimeAsync(1);
  expect(wants(asked)).toHaveLength(2);
  expect(purse.status).toEqual({ inHand: 21, drawn: 40 });
  const other = stage(() => ({ count: 3 }));
  other.ledger.take([USE], 0);
  other.ledger.take([USE], 0);
  await vi.advanceTimersByTimeAsync(1);
  expect(other.purse.status).toEqual({ inHand: 1, drawn: 3 });
  await purse.close();
  await other.purse.close();
});

test('a limit that was changed begins with what the vault says now; one of each host is none of its business', async () => {
  const { ledger, purse, asked } = stage(() => ({ count: 5, retryMs: 50_000 }));
  await ask(purse);
  const changed = { ...USE, spec: { ...LIMIT, requests: 7 } };
  expect(ledger.waitMs(changed, 0)).toBe(ASK);
  expect(purse.covers(limitUse('p/r', 'a', 'g', { ...LIMIT, scope: 'host' }))).toBe(false);
  expect(purse.covers(limitUse('own/r', 'a', 'g', LIMIT))).toBe(false);
  await vi.advanceTimersByTimeAsync(600);
  expect(settled(asked)).toEqual([0]);
  await purse.close();
});
