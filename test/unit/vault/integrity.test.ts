/** The MAC over the rows: every table is under it, one of before still opens, and a change costs little with many rows. */
import { createSecretKey } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import type { StoreSnapshot } from '../../../src/store/rows.ts';
import { changeSnapshot, EMPTY_SNAPSHOT } from '../../../src/store/snapshot.ts';
import { isMacRight, MAC_NAME, macOf } from '../../../src/vault/integrity.ts';
import { SNAPSHOT } from './integrity-rows.ts';

const KEY = createSecretKey(Buffer.alloc(32, 9));
const OTHER = createSecretKey(Buffer.alloc(32, 8));
/** Written by the form of before, over the same rows. */
const BEFORE = '500fwivuCtS_J1pK1eTJVWZLQSpizhy6aX66QXkS4_w';
const BEFORE_EMPTY = 'TR9Rtqhg9auCSWgz0bQvX5qo02EPnsmBB5ReyCNDUaY';

const withMac = (snapshot: StoreSnapshot, mac: string): StoreSnapshot => ({
  ...snapshot,
  meta: new Map(snapshot.meta).set(MAC_NAME, mac),
});
const TABLES = Object.keys(SNAPSHOT).filter((name) => Array.isArray(SNAPSHOT[name as keyof StoreSnapshot]));

describe.each([
  ['of now', macOf(KEY, SNAPSHOT)],
  ['of before', BEFORE],
])('a MAC %s', (_form, mac) => {
  test('is right for its rows, its epoch and its key alone', () => {
    expect(isMacRight(KEY, withMac(SNAPSHOT, mac))).toBe(true);
    expect(isMacRight(OTHER, withMac(SNAPSHOT, mac))).toBe(false);
    expect(isMacRight(KEY, withMac({ ...SNAPSHOT, epoch: 2 }, mac))).toBe(false);
    expect(isMacRight(KEY, withMac({ ...SNAPSHOT, meta: new Map([['key_source', 'keyring']]) }, mac))).toBe(false);
  });

  test.each(TABLES)('is wrong when a row of %s is edited, taken away or doubled', (table) => {
    const rows = SNAPSHOT[table as keyof StoreSnapshot] as readonly { readonly id: string; readonly createdAt: number }[];
    const [row] = rows;
    for (const edited of [[{ ...row, createdAt: 2 }], [], [row, row]])
      expect(isMacRight(KEY, withMac({ ...SNAPSHOT, [table]: edited }, mac))).toBe(false);
  });
});

test('a database of before without any rows opens', () => {
  const empty = { ...EMPTY_SNAPSHOT, epoch: 4, meta: new Map([['a', 'b']]) };
  expect(isMacRight(KEY, withMac(empty, BEFORE_EMPTY))).toBe(true);
});

test.each(['', '2.', 'x', BEFORE.slice(1)])('%j is no MAC', (mac) => {
  expect(isMacRight(KEY, withMac(SNAPSHOT, mac))).toBe(false);
});

test('rows that change places between tables are noticed', () => {
  const mac = macOf(KEY, SNAPSHOT);
  expect(
    isMacRight(KEY, withMac({ ...SNAPSHOT, policies: [], permits: [...SNAPSHOT.permits, ...SNAPSHOT.policies] as never }, mac)),
  ).toBe(false);
});

test('what changed is noticed after the rows were digested once', () => {
  const first = macOf(KEY, SNAPSHOT);
  const agent = { ...(SNAPSHOT.agents[0] as (typeof SNAPSHOT.agents)[number]), status: 'revoked' as const };
  const next = changeSnapshot(SNAPSHOT, [{ put: 'agent', row: agent }]);
  expect(macOf(KEY, next)).not.toBe(first);
  expect(macOf(KEY, next)).toBe(macOf(KEY, structuredClone(next)));
});

test('moments of last use are not covered', () => {
  const keys = SNAPSHOT.keys.map((row) => ({ ...row, lastUsedAt: 99 }));
  expect(isMacRight(KEY, withMac({ ...SNAPSHOT, keys }, macOf(KEY, SNAPSHOT)))).toBe(true);
});
