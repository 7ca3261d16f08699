/** Grants of people: for whom an agent may use them, and in which order they come. Tables of authorities, no vault and no socket. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Authority } from '../../../src/domain/authority.ts';
import type { Delegation } from '../../../src/domain/delegation.ts';
import { AlterError } from '../../../src/domain/errors.ts';
import type { Grant } from '../../../src/domain/grant.ts';
import { parseAuthority } from '../../../src/domain/host.ts';
import { NO_SELECTORS, type Selectors } from '../../../src/domain/selectors.ts';
import type { User } from '../../../src/domain/user.ts';
import { pathsTo } from '../../../src/policy/access.ts';
import { compileAuthority, resolveGrant } from '../../../src/policy/resolve.ts';
import { callerOf, grantOf, NOW } from './fixtures.ts';

const G = 'api.good.test';
const ISSUER = 'https://login.good.test';

const userOf = (id: string, more: Partial<User> = {}): User => ({
  id,
  issuer: ISSUER,
  subject: id,
  email: null,
  name: null,
  groups: [],
  claimsAt: 0,
  status: 'active',
  createdAt: 0,
  lastUsedAt: null,
  ...more,
});
const hers = (id: string, userId: string, more: Partial<Grant> = {}): Grant =>
  grantOf(id, null, G, { principal: { type: 'user', userId }, ...more });
const theirs = (id: string, group: string, more: Partial<Grant> = {}): Grant =>
  grantOf(id, null, G, { principal: { type: 'group', issuer: ISSUER, group }, ...more });
const delegationOf = (grantId: string, userId: string | null, more: Partial<Delegation> = {}): Delegation => ({
  id: `d-${grantId}-${userId}`,
  userId,
  agentId: 'bot',
  grantId,
  status: 'active',
  createdAt: 0,
  expiresAt: null,
  revokedAt: null,
  revokedBy: null,
  ...more,
});

interface World {
  readonly grants: readonly Grant[];
  readonly delegations?: readonly Delegation[];
  readonly users?: readonly User[];
  readonly providers?: readonly string[] | null;
  readonly user?: string | null;
  readonly selectors?: Partial<Selectors>;
  readonly grantIds?: readonly string[] | null;
}

const USERS = [userOf('anna', { groups: ['ops'] }), userOf('ben')];

function authorityOf({ grants, delegations = [], users = USERS, providers = null }: World): Authority {
  const bot = {
    id: 'bot',
    name: 'bot',
    status: 'active',
    createdAt: 0,
    type: 'agent',
    providers,
    parentId: null,
    metadata: {},
  } as const;
  return {
    version: 1,
    agents: new Map([['bot', bot]]),
    grants,
    delegations,
    users: new Map(users.map((user) => [user.id, user])),
  };
}

function resolve(world: World): string {
  try {
    return resolveGrant(
      compileAuthority(authorityOf(world)),
      callerOf('bot', { grantIds: world.grantIds ?? null }),
      parseAuthority(G, 'https', 443),
      { ...NO_SELECTORS, ...world.selectors },
      null,
      NOW,
      world.user ?? null,
    ).id;
  } catch (thrown) {
    if (thrown instanceof AlterError) return (thrown.details as { policy_error?: string }).policy_error ?? thrown.code;
    throw thrown;
  }
}

const [A, B, OPS] = [hers('a', 'anna'), hers('b', 'ben'), theirs('o', 'ops')];
const [DA, DB] = [delegationOf('a', 'anna'), delegationOf('b', 'ben')];

describe('which grant of whom', () => {
  it.each<[string, World, string]>([
    ['a user without a delegation', { grants: [A], user: 'anna' }, 'no_delegated_grant'],
    ['nobody, without a delegation', { grants: [A] }, 'grant_not_found'],
    ['the user who delegated', { grants: [A, B], delegations: [DA, DB], user: 'anna' }, 'a'],
    ['the other user', { grants: [A, B], delegations: [DA, DB], user: 'ben' }, 'b'],
    ['a user who is not known any more', { grants: [A], delegations: [DA], users: [], user: 'anna' }, 'no_delegated_grant'],
    [
      'a user who is deactivated',
      { grants: [A], delegations: [DA], users: [userOf('anna', { status: 'deactivated' })], user: 'anna' },
      'no_delegated_grant',
    ],
    ['nobody, when one user delegated', { grants: [A], delegations: [DA] }, 'a'],
    ['nobody, when two users delegated', { grants: [A, B], delegations: [DA, DB] }, 'ambiguous_grant'],
    [
      'nobody, when the second user has expired',
      { grants: [A, B], delegations: [DA, delegationOf('b', 'ben', { expiresAt: NOW })] },
      'ambiguous_grant',
    ],
    [
      'nobody, naming a grant of one of two users',
      { grants: [A, B], delegations: [DA, DB], selectors: { grantId: 'a' } },
      'ambiguous_grant',
    ],
    [
      'nobody, in a session that an operator narrowed to one user',
      { grants: [A, B], delegations: [DA, DB], grantIds: ['a'] },
      'a',
    ],
    [
      'nobody, when the second user took it back',
      { grants: [A, B], delegations: [DA, delegationOf('b', 'ben', { status: 'revoked' })] },
      'a',
    ],
    [
      "a user, naming another's grant",
      { grants: [A, B], delegations: [DA, DB], user: 'anna', selectors: { grantId: 'b' } },
      'grant_not_found',
    ],
    [
      "a delegation of a grant that is not its user's",
      { grants: [A], delegations: [delegationOf('a', 'ben')], user: 'ben' },
      'no_delegated_grant',
    ],
    ['such a one, for the owner', { grants: [A], delegations: [delegationOf('a', 'ben')], user: 'anna' }, 'no_delegated_grant'],
    [
      "a delegation of everybody, of a user's grant",
      { grants: [A], delegations: [delegationOf('a', null)], user: 'anna' },
      'no_delegated_grant',
    ],
    [
      'a delegation to another agent',
      { grants: [A], delegations: [delegationOf('a', 'anna', { agentId: 'rival' })], user: 'anna' },
      'no_delegated_grant',
    ],
    [
      'a delegation that ends now',
      { grants: [A], delegations: [delegationOf('a', 'anna', { expiresAt: NOW })], user: 'anna' },
      'no_delegated_grant',
    ],
    [
      'a delegation that ends next',
      { grants: [A], delegations: [delegationOf('a', 'anna', { expiresAt: NOW + 1 })], user: 'anna' },
      'a',
    ],
    [
      'the longest of two delegations',
      {
        grants: [A],
        delegations: [delegationOf('a', 'anna', { expiresAt: NOW + 9 }), delegationOf('a', 'anna', { expiresAt: NOW })],
        user: 'anna',
      },
      'a',
    ],
    ['a member, by a delegation for all', { grants: [OPS], delegations: [delegationOf('o', null)], user: 'anna' }, 'o'],
    ['a member, by a delegation of one', { grants: [OPS], delegations: [delegationOf('o', 'anna')], user: 'anna' }, 'o'],
    [
      'a member, by that of somebody else',
      { grants: [OPS], delegations: [delegationOf('o', 'ben')], user: 'anna' },
      'no_delegated_grant',
    ],
    ['somebody outside the group', { grants: [OPS], delegations: [delegationOf('o', null)], user: 'ben' }, 'no_delegated_grant'],
    [
      'a member of a group of that name elsewhere',
      {
        grants: [OPS],
        delegations: [delegationOf('o', null)],
        users: [userOf('eve', { issuer: 'https://other.test', groups: ['ops'] })],
        user: 'eve',
      },
      'no_delegated_grant',
    ],
    ["nobody, of a group's grant", { grants: [OPS], delegations: [delegationOf('o', null)] }, 'grant_not_found'],
    [
      'the more personal first: own',
      {
        grants: [grantOf('own', 'bot', G), A, OPS, grantOf('sys', null, G)],
        delegations: [DA, delegationOf('o', null)],
        user: 'anna',
      },
      'own',
    ],
    [
      "then the user's",
      { grants: [A, OPS, grantOf('sys', null, G)], delegations: [DA, delegationOf('o', null)], user: 'anna' },
      'a',
    ],
    ["then the group's", { grants: [OPS, grantOf('sys', null, G)], delegations: [delegationOf('o', null)], user: 'anna' }, 'o'],
    ["then the system's", { grants: [A, OPS, grantOf('sys', null, G)], user: 'anna' }, 'sys'],
    [
      'two of one user',
      { grants: [A, hers('a2', 'anna')], delegations: [DA, delegationOf('a2', 'anna')], user: 'anna' },
      'ambiguous_grant',
    ],
    [
      'an agent limited to other providers',
      { grants: [A], delegations: [DA], user: 'anna', providers: ['other'] },
      'agent_scope_not_allowed',
    ],
    [
      'a limit that leaves one of two',
      { grants: [grantOf('own', 'bot', G), grantOf('own2', 'bot', G, { providerId: 'other' })], providers: ['good'] },
      'own',
    ],
  ])('%s', (_what, world, expected) => {
    expect(resolve(world)).toBe(expected);
  });

  it('access lists exactly what a request would get, for any authority', () => {
    const id = fc.constantFrom('1', '2');
    const principal: fc.Arbitrary<Grant['principal']> = fc.oneof(
      fc.constant({ type: 'agent', agentId: 'bot' } as const),
      id.map((userId) => ({ type: 'user', userId }) as const),
      fc.constant({ type: 'group', issuer: ISSUER, group: 'ops' } as const),
      fc.constant({ type: 'system' } as const),
    );
    const world = fc.record({
      principal,
      grantStatus: fc.constantFrom('active', 'revoked') as fc.Arbitrary<Grant['status']>,
      delegation: fc.option(
        fc.record({
          userId: fc.option(id),
          expiresAt: fc.option(fc.constantFrom(NOW, NOW + 1)),
          agentId: fc.constantFrom('bot', 'rival'),
        }),
      ),
      status: fc.constantFrom('active', 'deactivated') as fc.Arbitrary<User['status']>,
      groups: fc.constantFrom([], ['ops']),
      providers: fc.constantFrom(null, ['good'], ['other']),
    });
    fc.assert(
      fc.property(world, ({ principal: owner, grantStatus, delegation, status, groups, providers }) => {
        const grant = grantOf('g', null, G, { principal: owner, status: grantStatus });
        const users = [userOf('1', { status, groups }), userOf('2')];
        const delegations = delegation === null ? [] : [delegationOf('g', delegation.userId, delegation)];
        const all: World = { grants: [grant], delegations, users, providers };
        const listed = pathsTo(authorityOf(all), [grant], NOW);
        for (const user of users) {
          const reached = user.status === 'active' && resolve({ ...all, user: user.id }) === 'g';
          const isListed = listed.some((path) => path.user === null || path.user.id === user.id);
          expect([user.id, user.status === 'active' && isListed]).toEqual([user.id, reached]);
        }
      }),
    );
  });
});
