/** Which placeholders nobody has any reason to use: whose they are, what became of them, and since when. */
import { expect, it } from 'vitest';
import type { Authority } from '../../../src/domain/authority.ts';
import type { Grant } from '../../../src/domain/grant.ts';
import { placeholderHash } from '../../../src/domain/retired-placeholder.ts';
import { compileAuthority } from '../../../src/policy/resolve.ts';
import { authorityOf, callerOf, grantOf, NOW } from './fixtures.ts';

const G = 'api.good.test';
const GONE = 'ghp_gone000000000000';
const retired = [
  { hash: placeholderHash(GONE), length: GONE.length, grantId: 'gone', grantLabel: 'old', providerId: 'github', retiredAt: NOW },
];
const indexOf = (grants: readonly Grant[], more: Partial<Authority> = {}) =>
  compileAuthority({ ...authorityOf(...grants), ...more }).placeholderIndex;

it.each<[string, Partial<Grant>, string, number, object | null]>([
  ['a good one of the agent', {}, 'bot', NOW, null],
  ['revoked before', { status: 'revoked', revokedAt: NOW - 1 }, 'bot', NOW, { why: 'revoked', retiredAt: NOW - 1 }],
  ['revoked while the request was under way', { status: 'revoked', revokedAt: NOW + 1 }, 'bot', NOW, null],
  ['expired', { expiresAt: NOW }, 'bot', NOW, { why: 'expired', retiredAt: NOW }],
  ['about to expire', { expiresAt: NOW + 1 }, 'bot', NOW, null],
  ['of another agent', {}, 'rival', NOW, { why: 'foreign', retiredAt: null }],
  ['of another agent, and expired', { expiresAt: NOW }, 'rival', NOW, { why: 'expired' }],
  ['of the system', { principal: { type: 'system' } }, 'rival', NOW, null],
  ['of a person', { principal: { type: 'user', userId: 'u' } }, 'rival', NOW, null],
])('a placeholder that is %s', (_what, more, agent, at, expected) => {
  const misuse = indexOf([grantOf('work', 'bot', G, more)]).misuseOf('alter_ph_work', callerOf(agent), at);
  if (expected === null) expect(misuse).toBeNull();
  else expect(misuse).toMatchObject({ ...expected, of: { grantId: 'work', providerId: 'good' } });
});

it('one of a grant that is gone is known by its hash, from its end on, until its grant is there again', () => {
  const index = indexOf([], { retired });
  expect([GONE, `${GONE}x`, GONE.replace('g', 'h')].map((word) => index.known.has(word))).toEqual([true, false, false]);
  expect(index.misuseOf(GONE, callerOf('bot'), NOW)).toMatchObject({
    why: 'removed',
    of: { grantId: 'gone', grantLabel: 'old' },
  });
  expect(index.misuseOf(GONE, callerOf('bot'), NOW - 1)).toBeNull();
  const back = indexOf([grantOf('gone', 'bot', G, { placeholder: GONE })], { retired });
  expect(back.misuseOf(GONE, callerOf('bot'), NOW)).toBeNull();
});

it('without anything retired, what is asked on each request is the set itself', () => {
  const compiled = compileAuthority(authorityOf(grantOf('work', 'bot', G)));
  expect(compiled.placeholderIndex.known).toBe(compiled.placeholders);
});
