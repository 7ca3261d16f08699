/** Deadlines of the data plane: by a clock that nobody can set, never early, and soon enough. */
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { type Expiring, Sweeper } from '../../../src/proxy/sweeper.ts';

let sweeper: Sweeper;
beforeEach(() => {
  vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval', 'Date', 'performance'] });
  sweeper = new Sweeper();
});
afterEach(() => {
  sweeper.close();
  vi.useRealTimers();
});

function waiting(ms: number): Expiring & { expired: number } {
  const member = { deadlineAt: Number.POSITIVE_INFINITY, expired: 0, expire: () => void member.expired++ };
  sweeper.add(member);
  member.deadlineAt = sweeper.deadlineIn(ms);
  return member;
}

test('is never early, and late by two sweeps at most', () => {
  const member = waiting(1_000);
  vi.advanceTimersByTime(1_000);
  expect(member.expired).toBe(0);
  vi.advanceTimersByTime(1_000);
  expect(member.expired).toBe(1);
  vi.advanceTimersByTime(5_000);
  expect(member.expired).toBe(1);
});

test.each([
  ['forward', 3_600_000],
  ['back', -3_600_000],
])('a wall clock that is set %s changes nothing', (_way, ms) => {
  const member = waiting(10_000);
  vi.setSystemTime(Date.now() + ms);
  vi.advanceTimersByTime(9_000);
  expect(member.expired).toBe(0);
  vi.advanceTimersByTime(2_000);
  expect(member.expired).toBe(1);
});
