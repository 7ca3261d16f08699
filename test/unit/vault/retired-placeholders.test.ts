/** What a vault remembers of placeholders whose grants are gone: a hash each, under whatever way they went, and no more than so many. */
import { expect, it } from 'vitest';
import { placeholderHash } from '../../../src/domain/retired-placeholder.ts';
import type { StoreChange, StoreSnapshot } from '../../../src/store/rows.ts';
import { changeSnapshot, EMPTY_SNAPSHOT } from '../../../src/store/snapshot.ts';
import { metaAfter, retiredIn, retirementsOf } from '../../../src/vault/retired-placeholders.ts';
import { agentRow, credentialRow, grantRow, userRow } from '../../contract/store/store-rows.ts';

const PLACEHOLDER = 'ghp_one0000000000000';
const rows = changeSnapshot(EMPTY_SNAPSHOT, [
  { put: 'agent', row: agentRow('a1') },
  { put: 'user', row: userRow('u1') },
  { put: 'credential', row: credentialRow('c1') },
  { put: 'grant', row: grantRow('g1', 'a1', 'c1', { placeholder: PLACEHOLDER, label: 'one' }) },
  { put: 'grant', row: grantRow('g2', null, 'c1', { placeholder: 'two', principal: { type: 'user', userId: 'u1' } }) },
  { put: 'grant', row: grantRow('g3', null, 'c1', { placeholder: null }) },
]);
const after = (before: StoreSnapshot, ...changes: StoreChange[]): StoreSnapshot =>
  changeSnapshot(before, [...changes, ...retirementsOf(before, changes, 7)]);
const idsIn = (snapshot: Pick<StoreSnapshot, 'meta'>): string[] => retiredIn(snapshot).map(({ grantId }) => grantId);

it.each<[string, StoreChange, string[]]>([
  ['by itself', { remove: 'grant', id: 'g1' }, ['g1']],
  ['with its agent', { remove: 'agent', id: 'a1' }, ['g1']],
  ['with its user', { remove: 'user', id: 'u1' }, ['g2']],
  ['without a placeholder', { remove: 'grant', id: 'g3' }, []],
  ['not at all', { remove: 'policy', id: 'g1' }, []],
])('a grant that goes %s', (_how, change, expected) => {
  expect(idsIn(after(rows, change))).toEqual(expected);
});

it('a hash is kept, never the placeholder', () => {
  const snapshot = after(rows, { remove: 'grant', id: 'g1' });
  expect(retiredIn(snapshot)).toEqual([
    {
      ...{ hash: placeholderHash(PLACEHOLDER), length: 20, grantId: 'g1', grantLabel: 'one' },
      ...{ providerId: 'good', retiredAt: 7 },
    },
  ]);
  expect([...snapshot.meta.values()].join()).not.toContain(PLACEHOLDER);
});

it('the oldest are forgotten when there are too many', () => {
  const ids = Array.from({ length: 1_002 }, (_each, n) => `g${n}`);
  const many = changeSnapshot(EMPTY_SNAPSHOT, [
    { put: 'credential', row: credentialRow('c1') },
    ...ids.map((id) => ({ put: 'grant' as const, row: grantRow(id, null, 'c1', { placeholder: `ph-${id}` }) })),
  ]);
  const left = idsIn(after(many, ...ids.map((id) => ({ remove: 'grant' as const, id }))));
  expect([left.length, left[0], left.at(-1)]).toEqual([1_000, 'g2', 'g1001']);
});

it('of rows that come from elsewhere what is missing is remembered, but for a view of nothing', () => {
  const less = { ...rows, grants: rows.grants.filter(({ id }) => id !== 'g1') };
  const first = { ...less, meta: metaAfter(rows, less, 7) };
  expect(idsIn(first)).toEqual(['g1']);
  const ended = { ...EMPTY_SNAPSHOT, meta: metaAfter(first, EMPTY_SNAPSHOT, 8) };
  expect(idsIn(ended)).toEqual(['g1']);
});
