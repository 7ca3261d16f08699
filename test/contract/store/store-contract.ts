/**
 * What every Store must do, whatever database is behind it. Call it with a factory that opens an empty store, and one that
 * opens the same data again.
 */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { StoreChange } from '../../../src/store/rows.ts';
import { changeSnapshot, EMPTY_SNAPSHOT } from '../../../src/store/snapshot.ts';
import type { Store } from '../../../src/store/store.ts';
import {
  agentRow,
  credentialRow,
  dataKeyRow,
  delegationRow,
  grantRow,
  hostRow,
  keyRow,
  permitRow,
  policyRow,
  policySetRow,
  sealedRow,
  userRow,
} from './store-rows.ts';

export interface StoreFactory {
  /** An empty store. */
  readonly create: () => Promise<{ readonly store: Store; readonly reopen: () => Promise<Store> }>;
}

const BASE: readonly StoreChange[] = [
  { put: 'agent', row: agentRow('a1') },
  { put: 'agent', row: agentRow('a2', { createdAt: 0, status: 'paused' }) },
  { put: 'key', row: keyRow('k1', 'a1', { expiresAt: 9_007_199_254_740_991, boundUid: 0 }) },
  { put: 'data_key', row: dataKeyRow('d1') },
  {
    put: 'credential',
    row: credentialRow('c1', {
      injections: [{ in: 'query', name: 'k', template: '{token}', hosts: ['api.good.test'] }],
      destinations: [{ pattern: '*.good.test', port: 8443, scheme: 'http' }],
      publicFields: { site: 'a"b\u2028ü' },
    }),
  },
  { put: 'sealed', row: sealedRow('c1') },
  {
    put: 'grant',
    row: grantRow('g1', 'a1', 'c1', { methods: ['GET'], paths: ['/a/**'], allowPrivate: true, placeholder: 'ph' }),
  },
  { put: 'grant', row: grantRow('g2', null, 'c1', { status: 'revoked', revokedAt: 2, createdAt: 2 }) },
  {
    put: 'agent',
    row: agentRow('a0', { createdAt: 3, type: 'service', providers: ['good'], parentId: 'a1', metadata: { team: 'a"b' } }),
  },
  {
    put: 'key',
    row: keyRow('k0', 'a1', {
      createdAt: 3,
      parentKeyId: 'k1',
      narrowing: { grantIds: ['g1'], deniedMethods: ['DELETE'], deniedPaths: [], deniedHosts: [] },
      binding: { unit: 'bot.service', executable: '/usr/bin/bot', cidr: '10.0.0.0/8' },
    }),
  },
  { put: 'user', row: userRow('u1', { email: 'a@good.test', name: 'A', groups: ['b', 'a"b'], claimsAt: 5, lastUsedAt: 4 }) },
  { put: 'user', row: userRow('u2', { status: 'deactivated', createdAt: 2 }) },
  { put: 'grant', row: grantRow('g3', null, 'c1', { principal: { type: 'user', userId: 'u1' }, createdAt: 3 }) },
  {
    put: 'grant',
    row: grantRow('g4', null, 'c1', {
      principal: { type: 'group', issuer: 'https://login.good.test', group: 'b' },
      createdAt: 4,
    }),
  },
  { put: 'delegation', row: delegationRow('d1', 'u1', 'a1', 'g3', { expiresAt: 9, createdAt: 2 }) },
  { put: 'delegation', row: delegationRow('d2', null, 'a0', 'g4', { status: 'revoked', revokedAt: 3, revokedBy: 'agent' }) },
  { put: 'policy', row: policyRow('p1', { version: 3, updatedAt: 2 }) },
  { put: 'policy_set', row: policySetRow('7') },
  { put: 'permit', row: permitRow('m1', 'a1', 'g1', { expiresAt: 9 }) },
  { put: 'permit', row: permitRow('m2', 'a1', null) },
  { put: 'permit', row: permitRow('m3', 'a1', 'g3', { userId: 'u1', delegationId: 'd1' }) },
  { put: 'host', row: hostRow('h1', { systemGrants: true, inviteExpiresAt: 9, enrolledAt: 2 }) },
  { put: 'host', row: hostRow('h2', { status: 'invited', createdAt: 2, signingKey: null }) },
  { put: 'meta', name: 'note', value: '' },
];

/** Buffers compare as bytes, whatever class the driver answers. */
const plain = (value: unknown): unknown =>
  value instanceof Uint8Array
    ? [...value]
    : value instanceof Map
      ? [...value].sort()
      : Array.isArray(value)
        ? value.map(plain)
        : value !== null && typeof value === 'object'
          ? Object.fromEntries(Object.entries(value).map(([name, part]) => [name, plain(part)]))
          : value;

const conflict = expect.objectContaining({ code: 'conflict' });
const unavailable = expect.objectContaining({ code: 'vault_unavailable' });

export function describeStore(name: string, factory: StoreFactory): void {
  const filled = async () => {
    const opened = await factory.create();
    await opened.store.apply(BASE, 0);
    return opened;
  };

  describe(`${name} as a store`, () => {
    it.each<[string, StoreChange[]]>([
      ['an agent name that is taken', [{ put: 'agent', row: agentRow('a3', { name: 'agent-a1' }) }]],
      ['a secret name that is taken', [{ put: 'credential', row: credentialRow('c2', { name: 'secret-c1' }) }]],
      ['a key hash that is taken', [{ put: 'key', row: keyRow('k2', 'a1', { hash: 'hash-k1' }) }]],
      ['a host name that is taken', [{ put: 'host', row: hostRow('h3', { name: 'host-h1' }) }]],
      ['an enrolment token that is taken', [{ put: 'host', row: hostRow('h3', { inviteHash: 'invite-h1' }) }]],
      ['a key of no agent', [{ put: 'key', row: keyRow('k2', 'nobody') }]],
      ['a grant of no agent', [{ put: 'grant', row: grantRow('g3', 'nobody', 'c1') }]],
      ['a grant of no secret', [{ put: 'grant', row: grantRow('g3', 'a1', 'nothing') }]],
      ['material of no secret', [{ put: 'sealed', row: sealedRow('nothing') }]],
      ['material under no data key', [{ put: 'sealed', row: sealedRow('c1', { dataKeyId: 'nothing' }) }]],
      ['a key derived from no key', [{ put: 'key', row: keyRow('k2', 'a1', { parentKeyId: 'nothing' }) }]],
      ['an agent under no agent', [{ put: 'agent', row: agentRow('a3', { parentId: 'nobody' }) }]],
      ['removing an agent that another works under', [{ remove: 'agent', id: 'a1' }]],
      ['a user whose issuer and subject are taken', [{ put: 'user', row: userRow('u3', { subject: 'subject-u1' }) }]],
      ['a grant of no user', [{ put: 'grant', row: grantRow('g5', null, 'c1', { principal: { type: 'user', userId: 'u9' } }) }]],
      ['a delegation of no user', [{ put: 'delegation', row: delegationRow('d3', 'u9', 'a1', 'g3') }]],
      ['a delegation to no agent', [{ put: 'delegation', row: delegationRow('d3', 'u1', 'nobody', 'g3') }]],
      ['a delegation of no grant', [{ put: 'delegation', row: delegationRow('d3', 'u1', 'a1', 'g9') }]],
      ['removing a secret that a grant points to', [{ remove: 'credential', id: 'c1' }]],
      ['removing a data key that is in use', [{ remove: 'data_key', id: 'd1' }]],
    ])('refuses %s and keeps nothing of the changes beside it', async (_what, changes) => {
      const { store } = await filled();
      const before = plain(await store.load());
      await expect(
        store.apply([{ put: 'agent', row: agentRow('a9') }, ...changes, { put: 'meta', name: 'late', value: '1' }], 1),
      ).rejects.toThrow(conflict);
      expect(plain(await store.load())).toEqual(before);
      await store.close();
    });

    it('refuses changes on a state that is no longer there', async () => {
      const { store } = await filled();
      await expect(store.apply([{ put: 'meta', name: 'x', value: '1' }], 0)).rejects.toThrow(conflict);
      await expect(store.apply([{ put: 'meta', name: 'x', value: '1' }], 2)).rejects.toThrow(conflict);
      expect((await store.load()).meta.has('x')).toBe(false);
      expect(await store.apply([{ put: 'meta', name: 'x', value: '1' }], 1)).toBe(2);
      await store.close();
    });

    it('lets only one of two writers win', async () => {
      const { store } = await filled();
      const results = await Promise.allSettled(
        [1, 2, 3].map((n) => store.apply([{ put: 'meta', name: 'who', value: String(n) }], 1)),
      );
      expect(results.filter((result) => result.status === 'fulfilled')).toHaveLength(1);
      expect((await store.load()).epoch).toBe(2);
      await store.close();
    });

    it('refuses everything once it is closed, and may be closed twice', async () => {
      const { store } = await filled();
      await store.close();
      await store.close();
      await expect(store.load()).rejects.toThrow(unavailable);
      await expect(store.apply([], 1)).rejects.toThrow(unavailable);
      await expect(store.readSealed('c1')).rejects.toThrow(unavailable);
    });

    it('begins empty', async () => {
      const { store } = await factory.create();
      expect(plain(await store.load())).toEqual(plain(EMPTY_SNAPSHOT));
      expect(await store.listSealed()).toEqual([]);
      await store.close();
    });

    it('gives back exactly what was put, in order, also after it was opened again', async () => {
      const { store, reopen } = await filled();
      const expected = plain(changeSnapshot(EMPTY_SNAPSHOT, BASE));
      expect(plain(await store.load())).toEqual(expected);
      expect(plain(await store.readSealed('c1'))).toEqual(plain(sealedRow('c1')));
      expect(await store.readSealed('c2')).toBeUndefined();
      await store.close();
      const again = await reopen();
      expect(plain(await again.load())).toEqual(expected);
      expect(plain(await again.listSealed())).toEqual([plain(sealedRow('c1'))]);
      await again.close();
    });

    it('removes with an agent its keys and grants, and with a secret its material', async () => {
      const { store } = await filled();
      await store.apply(
        [
          { remove: 'agent', id: 'a0' },
          { remove: 'agent', id: 'a1' },
          { remove: 'grant', id: 'g2' },
          { remove: 'user', id: 'u1' },
          { remove: 'grant', id: 'g4' },
          { remove: 'credential', id: 'c1' },
          { remove: 'data_key', id: 'd1' },
        ],
        1,
      );
      const { agents, keys, grants, credentials, dataKeys, users, delegations } = await store.load();
      expect([agents, keys, grants, credentials, dataKeys, users, delegations].map((rows) => rows.length)).toEqual([
        1, 0, 0, 0, 0, 1, 0,
      ]);
      expect(await store.readSealed('c1')).toBeUndefined();
      await store.close();
    });

    it('removes with a user, a grant or an agent the delegations that name it', async () => {
      for (const removal of [
        { remove: 'user', id: 'u1' },
        { remove: 'grant', id: 'g3' },
      ] as const) {
        const { store } = await filled();
        await store.apply([removal], 1);
        expect((await store.load()).delegations.map((delegation) => delegation.id)).toEqual(['d2']);
        await store.close();
      }
      const { store } = await filled();
      await store.apply([{ remove: 'agent', id: 'a0' }], 1);
      expect((await store.load()).delegations.map((delegation) => delegation.id)).toEqual(['d1']);
      await store.close();
    });

    it('notes only later uses, of what exists, without raising the epoch or losing them to a later put', async () => {
      const { store } = await filled();
      await store.noteUses([
        { of: 'key', id: 'k1', at: 50 },
        { of: 'credential', id: 'c1', at: 60 },
        { of: 'user', id: 'u1', at: 70 },
        { of: 'key', id: 'nothing', at: 1 },
      ]);
      await store.noteUses([{ of: 'key', id: 'k1', at: 40 }]);
      await store.apply(
        [
          { put: 'key', row: keyRow('k1', 'a1', { status: 'revoked' }) },
          { put: 'user', row: userRow('u1', { status: 'deactivated', lastUsedAt: 1 }) },
        ],
        1,
      );
      const { keys, credentials, users, epoch } = await store.load();
      expect([keys[0]?.lastUsedAt, keys[0]?.status, credentials[0]?.lastUsedAt, epoch]).toEqual([50, 'revoked', 60, 2]);
      expect([users[0]?.lastUsedAt, users[0]?.status]).toEqual([70, 'deactivated']);
      await store.close();
    });

    it('removes permits with their agent and their grant', async () => {
      const { store } = await filled();
      await store.apply([{ remove: 'grant', id: 'g1' }], 1);
      expect((await store.load()).permits.map(({ id }) => id)).toEqual(['m2', 'm3']);
      await expect(store.apply([{ put: 'permit', row: permitRow('m3', 'a1', 'g1') }], 2)).rejects.toThrow(conflict);
      await store.apply(
        ['a0', 'a1'].map((id) => ({ remove: 'agent' as const, id })),
        2,
      );
      expect((await store.load()).permits).toEqual([]);
      await store.close();
    });

    it.each([
      ['user', 'u1'],
      ['delegation', 'd1'],
      ['grant', 'g3'],
    ] as const)('removes permits with their %s', async (remove, id) => {
      const { store } = await filled();
      await store.apply([{ remove, id }], 1);
      expect((await store.load()).permits.map((permit) => permit.id)).toEqual(['m1', 'm2']);
      await store.close();
    });

    it('removes policies and sets of them, and refuses a policy name that is taken', async () => {
      const { store } = await filled();
      await expect(store.apply([{ put: 'policy', row: policyRow('p2', { name: 'policy-p1' }) }], 1)).rejects.toThrow(conflict);
      await store.apply(
        [
          { remove: 'policy', id: 'p1' },
          { remove: 'policy_set', id: '7' },
        ],
        1,
      );
      const { policies, policySets } = await store.load();
      expect([policies, policySets]).toEqual([[], []]);
      await store.close();
    });

    it('keeps counters of rate limits without an epoch, replaces them, and forgets those that are old', async () => {
      const { store, reopen } = await filled();
      const limit = (key: string, state: number[], at: number) => ({ key, spec: 's', state, at });
      await store.saveRateLimits([limit('a', [1.5, 2], 10), limit('b', [], 20)], 0);
      await store.saveRateLimits([limit('a', [3], 30)], 15);
      await store.saveRateLimits([], 25);
      expect((await store.load()).epoch).toBe(1);
      await store.close();
      const again = await reopen();
      expect(await again.listRateLimits()).toEqual([limit('a', [3], 30)]);
      await again.close();
    });

    it('agrees with the meaning of changes in memory, for any sequence of them', async () => {
      const id = fc.constantFrom('1', '2', '3');
      const createdAt = fc.nat(3);
      const change: fc.Arbitrary<StoreChange> = fc.oneof(
        fc
          .tuple(id, createdAt, fc.constantFrom('active', 'paused', 'revoked'))
          .map(
            ([n, at, status]): StoreChange => ({ put: 'agent', row: agentRow(n, { createdAt: at, status: status as 'active' }) }),
          ),
        fc
          .tuple(id, id, fc.option(fc.nat()))
          .map(([n, a, e]): StoreChange => ({ put: 'key', row: keyRow(n, a, { expiresAt: e }) })),
        fc
          .tuple(id, fc.string())
          .map(([n, v]): StoreChange => ({ put: 'credential', row: credentialRow(n, { publicFields: { v } }) })),
        fc
          .tuple(id, fc.option(id), id, fc.string())
          .map(([n, a, c, label]): StoreChange => ({ put: 'grant', row: grantRow(n, a, c, { label }) })),
        fc
          .tuple(id, id, createdAt)
          .map(([n, parent, at]): StoreChange => ({ put: 'agent', row: agentRow(n, { parentId: parent, createdAt: at }) })),
        fc.tuple(id, fc.array(fc.string())).map(([n, groups]): StoreChange => ({ put: 'user', row: userRow(n, { groups }) })),
        fc
          .tuple(id, id, id)
          .map(
            ([n, u, c]): StoreChange => ({ put: 'grant', row: grantRow(n, null, c, { principal: { type: 'user', userId: u } }) }),
          ),
        fc
          .tuple(id, fc.option(id), id, id)
          .map(([n, u, a, g]): StoreChange => ({ put: 'delegation', row: delegationRow(n, u, a, g) })),
        fc.tuple(id, fc.string()).map(([name, value]): StoreChange => ({ put: 'meta', name, value })),
        fc
          .tuple(id, id, fc.string())
          .map(([n, name, toml]): StoreChange => ({ put: 'policy', row: policyRow(n, { name, toml }) })),
        fc.tuple(id, createdAt).map(([n, at]): StoreChange => ({ put: 'policy_set', row: policySetRow(n, { createdAt: at }) })),
        fc
          .tuple(id, id, fc.option(id), fc.option(id), fc.option(id))
          .map(([n, a, g, u, d]): StoreChange => ({ put: 'permit', row: permitRow(n, a, g, { userId: u, delegationId: d }) })),
        fc
          .tuple(
            fc.constantFrom('agent', 'credential', 'grant', 'user', 'delegation', 'data_key', 'policy', 'policy_set', 'permit'),
            id,
          )
          .map(([what, n]): StoreChange => ({ remove: what as 'agent', id: n })),
      );
      const { store } = await factory.create();
      let expected = await store.load();
      await fc.assert(
        fc.asyncProperty(fc.array(change, { minLength: 1, maxLength: 4 }), async (changes) => {
          try {
            await store.apply(changes, expected.epoch);
            expected = changeSnapshot(expected, changes);
          } catch (thrown) {
            expect(thrown).toEqual(conflict);
          }
          expect(plain(await store.load())).toEqual(plain(expected));
        }),
        { numRuns: 150, endOnFailure: true },
      );
      await store.close();
    });
  });
}
