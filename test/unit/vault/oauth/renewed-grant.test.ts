/** What a consent makes of the grant that is there: never more than it was. */
import { expect, it } from 'vitest';
import type { GrantRow } from '../../../../src/store/rows.ts';
import { grantToRenew, renewedGrant } from '../../../../src/vault/oauth/renewed-grant.ts';

const NOW = 1_000;
const grant = (change: Partial<GrantRow> = {}): GrantRow =>
  ({ id: 'g1', label: '', methods: null, paths: null, expiresAt: 5_000, ...change }) as GrantRow;
const consent = (restrictions = {}, label?: string) => ({ provider: 'acme', restrictions, label });

it('what a consent does not speak of stays: the grant is the same one', () => {
  const before = grant({ methods: ['GET'], paths: ['/a/**'] });
  expect(renewedGrant(before, consent(), NOW)).toBe(before);
  expect(renewedGrant(before, consent({ methods: ['get'], paths: ['/a/**'] }), NOW)).toBe(before);
});

it.each([
  [9_000, 9_000],
  [2_000, 2_000],
  [null, null],
])('an end of %j moves it there', (expiresAt, end) => {
  expect(renewedGrant(grant(), consent({ expiresAt }), NOW).expiresAt).toBe(end);
});

it('an end in the past is refused', () => {
  expect(() => renewedGrant(grant(), consent({ expiresAt: NOW }), NOW)).toThrow('must be in the future');
});

it('methods and paths become fewer, never more', () => {
  const all = renewedGrant(grant(), consent({ methods: ['get'], paths: ['/a'] }), NOW);
  expect(all).toMatchObject({ methods: ['GET'], paths: ['/a'], expiresAt: 5_000 });
  expect(renewedGrant(grant({ methods: ['GET', 'POST'] }), consent({ methods: ['POST'] }), NOW).methods).toEqual(['POST']);
  expect(() => renewedGrant(all, consent({ methods: ['GET', 'POST'] }), NOW)).toThrow('GET alone');
  expect(() => renewedGrant(all, consent({ paths: ['/**'] }), NOW)).toThrow('/a alone');
});

it('a label finds its grant alone; no label finds the one without, the only one, or one that is alike', () => {
  const [plain, work] = [grant(), grant({ id: 'g2', label: 'work', methods: ['GET'] })];
  const home = grant({ id: 'g3', label: 'home', methods: ['POST'] });
  expect(grantToRenew([plain, work], consent({}, ' work '))).toBe(work);
  expect(grantToRenew([plain, work], consent({}, 'other'))).toBeUndefined();
  expect(grantToRenew([work, plain], consent({}))).toBe(plain);
  expect(grantToRenew([work], consent({}))).toBe(work);
  expect(grantToRenew([work, home], consent({ methods: ['post'] }))).toBe(home);
  expect(grantToRenew([work, home], consent({}))).toBeUndefined();
});
