import { expect, it } from 'vitest';
import type { GrantRow } from '../../../src/store/rows.ts';
import { changeDetails, changedGrant, type GrantChange } from '../../../src/vault/grant-change.ts';
import { grantOf } from '../policy/fixtures.ts';

const NOW = 1_000_000;
const LATER = NOW + 60_000;

function before(more: Partial<GrantRow> = {}): GrantRow {
  const { credentialName: _name, ...row } = grantOf('one', 'a', 'h.test', { expiresAt: LATER, ...more });
  return row;
}
const problemsOf = (row: GrantRow, change: GrantChange): (string | undefined)[] =>
  changedGrant(row, change, NOW).problems.filter((problem) => problem !== undefined);

it.each<[string, number | null, boolean]>([
  ['nearer', LATER - 1, true],
  ['later', LATER + 1, false],
  ['away', null, false],
])('the end of a connected account can be moved %s: %s is %s', (_where, expiresAt, isAllowed) => {
  const problems = problemsOf(before({ grantKind: 'oauth' }), { expiresAt });
  expect(problems).toEqual(isAllowed ? [] : [expect.stringContaining('connecting it again')]);
  expect(problemsOf(before(), { expiresAt })).toEqual([]);
});

it('plain http comes and goes with its places, and never leaves a grant without any', () => {
  const { row } = changedGrant(before(), { allowPlaintext: true }, NOW);
  expect(row.destinations.map(({ scheme, port }) => `${scheme}:${port}`)).toEqual(['https:443', 'http:80']);
  expect(changedGrant(row, { allowPlaintext: false }, NOW).row.destinations).toEqual(before().destinations);
  const plain = before({ allowPlaintext: true, destinations: [{ pattern: 'h.test', port: 80, scheme: 'http' }] });
  expect(problemsOf(plain, { allowPlaintext: false })).toEqual([expect.stringContaining('none would be left')]);
});

it('what is absent stays, what is null goes, and only what is another now is said', () => {
  const grant = before({ approval: ['POST'], allowPrivate: true });
  const change: GrantChange = { label: ' mine ', approval: null, expiresAt: null, allowPrivate: true, overrideMode: undefined };
  const { row } = changedGrant(grant, change, NOW);
  expect(row).toEqual({ ...grant, label: 'mine', approval: null, expiresAt: null });
  expect(changeDetails(grant, row)).toEqual({ label: 'mine', approval: null, expires_at: null });
});
