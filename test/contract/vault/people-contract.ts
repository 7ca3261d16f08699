/**
 * What every Vault port must do with people: users made of claims, delegations, derived keys, and everything that ends when one link of
 * the chain does. The same factory as the rest of the contract.
 */
import { describe, expect, it } from 'vitest';
import { NO_NARROWING } from '../../../src/domain/agent.ts';
import type { Delegation } from '../../../src/domain/delegation.ts';
import type { UserClaims } from '../../../src/domain/user.ts';
import type { Vault } from '../../../src/vault/vault.ts';
import { refusal, START, TOKEN } from './fixtures.ts';
import type { VaultPortFixture } from './vault-port-contract.ts';

const HOUR_MS = 3_600_000;
const ISSUER = 'https://login.good.test';

const claimsOf = (subject: string, more: Partial<UserClaims> = {}): UserClaims => ({
  issuer: ISSUER,
  subject,
  email: `${subject}@good.test`,
  name: null,
  groups: [],
  issuedAt: START,
  expiresAt: START + HOUR_MS,
  ...more,
});

/** @param users false where users are made of the tokens that come to the port itself, and not by the operator */
export function describeVaultPeople(
  name: string,
  open: () => Promise<VaultPortFixture>,
  { users = true }: { readonly users?: boolean } = {},
): void {
  const using = (work: (fixture: VaultPortFixture) => Promise<void>) => async () => {
    const fixture = await open();
    try {
      await work(fixture);
    } finally {
      await fixture.close();
    }
  };
  const code = async (work: Parameters<typeof refusal>[0]): Promise<string> => (await refusal(work)).code;

  /** A user with a grant that is delegated to an agent. */
  async function delegated(operator: Vault): Promise<{ user: string; grant: string; delegation: Delegation }> {
    const user = await operator.users.admit(claimsOf('anna', { groups: ['staff'] }));
    await operator.agents.create({ name: 'bot' });
    await operator.secrets.create({ providerId: 'good', fields: TOKEN });
    const grant = await operator.grants.create({ provider: 'good', user: user.id, label: 'mine' });
    const delegation = await operator.delegations.create({ grant: grant.id, agent: 'bot', by: 'operator' });
    return { user: user.id, grant: grant.id, delegation };
  }

  if (users) describeUsers();

  function describeUsers(): void {
    describe(`${name} as a Vault port: users`, () => {
      it(
        'are made by their first claims, found again by issuer and subject alone, and kept up to date',
        using(async ({ port, operator, settled }) => {
          const first = await operator.users.admit(claimsOf('anna', { groups: ['a'] }));
          const other = await operator.users.admit(claimsOf('anna', { issuer: 'https://other.test' }));
          const same = await operator.users.admit(
            claimsOf('anna', { email: 'new@good.test', groups: ['b'], issuedAt: START + 1_000 }),
          );
          await settled();
          expect(other.id).not.toBe(first.id);
          expect(same.id).toBe(first.id);
          expect(port.authority.users.get(first.id)).toMatchObject({ email: 'new@good.test', groups: ['b'], status: 'active' });
          expect(operator.users.find('new@good.test').id).toBe(first.id);
          expect(await code(() => operator.users.find('anna'))).toBe('conflict');
        }),
      );

      it(
        'do not get back by an older token what a newer one took, also when the newer one said nothing new',
        using(async ({ operator }) => {
          await operator.users.admit(claimsOf('anna', { groups: ['a'], issuedAt: START }));
          await operator.users.admit(claimsOf('anna', { groups: ['a'], issuedAt: START + 3_000 }));
          const older = await operator.users.admit(claimsOf('anna', { groups: ['a', 'b'], issuedAt: START + 2_000 }));
          expect(older.groups).toEqual(['a']);
          const equal = await operator.users.admit(claimsOf('anna', { groups: ['b'], issuedAt: START + 3_000 }));
          expect(equal.groups).toEqual([]);
        }),
      );

      it(
        'are made once, however many requests bring the first token at once',
        using(async ({ operator }) => {
          const made = await Promise.all(Array.from({ length: 20 }, () => operator.users.admit(claimsOf('anna'))));
          expect(new Set(made.map((user) => user.id)).size).toBe(1);
          expect(operator.users.list()).toHaveLength(1);
        }),
      );

      it(
        'end their sessions when they are deactivated or removed, for good',
        using(async ({ port, operator, settled }) => {
          const { user } = await delegated(operator);
          const session = () =>
            operator.sessions.create({ agentName: 'bot', narrowing: NO_NARROWING, ttlMs: HOUR_MS, userId: user });
          const [one, free] = [
            await session(),
            await operator.sessions.create({ agentName: 'bot', narrowing: NO_NARROWING, ttlMs: HOUR_MS }),
          ];
          await settled();
          const caller = port.identify(one.key.reveal());
          expect(caller.userId).toBe(user);
          await operator.users.changeStatus(user, 'deactivated');
          await settled();
          expect([port.isCallerValid(caller), await code(session())]).toEqual([false, 'conflict']);
          await operator.users.changeStatus(user, 'active');
          await settled();
          expect(port.isCallerValid(caller)).toBe(false);
          const two = await session();
          await settled();
          await operator.users.remove(user);
          await settled();
          expect(await code(() => port.identify(two.key.reveal()))).toBe('key_revoked');
          expect(port.isCallerValid(port.identify(free.key.reveal()))).toBe(true);
          expect([port.authority.grants, port.authority.delegations]).toEqual([[], []]);
        }),
      );
    });
  }

  describe(`${name} as a Vault port: delegations`, () => {
    it.each<[string, (operator: Vault, all: { user: string; grant: string }) => Promise<unknown>, string]>([
      [
        "of an agent's grant",
        async (operator) => {
          const { id } = await operator.grants.create({ provider: 'good', agent: 'bot' });
          return operator.delegations.create({ grant: id, agent: 'bot', by: 'operator' });
        },
        'conflict',
      ],
      [
        "of the system's grant",
        async (operator) => {
          const { id } = await operator.grants.create({ provider: 'good', system: true });
          return operator.delegations.create({ grant: id, agent: 'bot', by: 'operator' });
        },
        'conflict',
      ],
      [
        'by a user who is not its owner',
        async (operator, { grant }) => {
          const ben = await operator.users.admit(claimsOf('ben'));
          return operator.delegations.create({ grant, agent: 'bot', user: ben.id, by: 'operator' });
        },
        'conflict',
      ],
      [
        'of a grant that the user who signed in must not even know',
        async (operator, { grant }) => {
          const ben = await operator.users.admit(claimsOf('ben'));
          return operator.delegations.create({ grant, agent: 'bot', user: ben.id, by: 'user' });
        },
        'not_found',
      ],
      [
        "of a group's grant by somebody outside",
        async (operator, { user }) => {
          const grant = await operator.grants.create({ provider: 'good', group: { issuer: ISSUER, name: 'ops' } });
          return operator.delegations.create({ grant: grant.id, agent: 'bot', user, by: 'operator' });
        },
        'conflict',
      ],
      [
        "of a group's grant by a member of a group of that name elsewhere",
        async (operator) => {
          const grant = await operator.grants.create({ provider: 'good', group: { issuer: ISSUER, name: 'ops' } });
          const user = await operator.users.admit(claimsOf('eve', { issuer: 'https://other.test', groups: ['ops'] }));
          return operator.delegations.create({ grant: grant.id, agent: 'bot', user: user.id, by: 'operator' });
        },
        'conflict',
      ],
      [
        'to an agent that is limited to other providers',
        async (operator, { grant }) => {
          await operator.agents.create({ name: 'limited', providers: ['shaped'] });
          return operator.delegations.create({ grant, agent: 'limited', by: 'operator' });
        },
        'conflict',
      ],
      [
        'into the past',
        (operator, { grant }) => operator.delegations.create({ grant, agent: 'bot', expiresAt: START - 1, by: 'operator' }),
        'invalid_input',
      ],
    ])('are refused %s', async (_what, work, expected) =>
      using(async ({ operator }) => {
        const all = await delegated(operator);
        const before = operator.delegations.list();
        expect(await code(work(operator, all))).toBe(expected);
        expect(operator.delegations.list()).toEqual(before);
      })(),
    );

    it(
      'end no later than their grant, and a new one takes the place of the old',
      using(async ({ port, operator, settled }) => {
        const { user, delegation } = await delegated(operator);
        expect(delegation).toMatchObject({ userId: user, expiresAt: START + 90 * 24 * HOUR_MS });
        const short = await operator.grants.create({ provider: 'good', user, label: 'short', expiresAt: START + HOUR_MS });
        const capped = await operator.delegations.create({ grant: short.id, agent: 'bot', by: 'user', user });
        expect(capped.expiresAt).toBe(START + HOUR_MS);
        const renewed = await operator.delegations.create({
          grant: 'mine',
          agent: 'bot',
          expiresAt: START + 5,
          by: 'operator',
        });
        await settled();
        const active = port.authority.delegations.filter(
          (each) => each.grantId === delegation.grantId && each.status === 'active',
        );
        expect(active).toEqual([expect.objectContaining({ id: renewed.id, expiresAt: START + 5 })]);
      }),
    );

    it(
      'end with their grant and with their agent, and say who ended them',
      using(async ({ port, operator, settled }) => {
        const { grant, delegation, user } = await delegated(operator);
        await operator.grants.revoke(grant);
        const again = await operator.grants.create({ provider: 'good', user, label: 'again' });
        const second = await operator.delegations.create({ grant: again.id, agent: 'bot', by: 'operator' });
        await operator.agents.changeStatus('bot', 'revoked');
        await settled();
        const ended = port.authority.delegations.map(({ id, status, revokedBy }) => [id, status, revokedBy]);
        expect(new Map(ended.map(([id, ...end]) => [id, end]))).toEqual(
          new Map([delegation, second].map(({ id }) => [id, ['revoked', 'operator']])),
        );
      }),
    );

    it(
      'are given back by the agent that holds them, and by no other',
      using(async ({ port, operator, settled }) => {
        const { delegation } = await delegated(operator);
        const other = await operator.agents.create({ name: 'other' });
        const own = await operator.agents.createKey('bot');
        await settled();
        const stranger = port.identify(other.key.reveal());
        expect(await code(port.dropDelegation(stranger, delegation.id))).toBe('not_found');
        const dropped = await port.dropDelegation(port.identify(own.key.reveal()), delegation.id);
        expect(dropped).toMatchObject({ status: 'revoked', revokedBy: 'agent' });
      }),
    );

    it(
      'are taken back by the user who gave them, and by no other',
      using(async ({ operator }) => {
        const { delegation, user } = await delegated(operator);
        const ben = await operator.users.admit(claimsOf('ben'));
        expect(await code(operator.delegations.revoke(delegation.id, 'user', { userId: ben.id }))).toBe('not_found');
        expect(await operator.delegations.revoke(delegation.id, 'user', { userId: user })).toMatchObject({ revokedBy: 'user' });
      }),
    );
  });

  describe(`${name} as a Vault port: derived keys and agents under agents`, () => {
    it(
      'a derived key is narrower and shorter than its parent, and ends with it',
      using(async ({ port, operator, clock, settled }) => {
        await operator.agents.create({ name: 'bot' });
        const parent = await operator.agents.createKey('bot', {
          expiresAt: clock.now + HOUR_MS,
          binding: { unit: 'bot.service', cidr: '10.0.0.0/8' },
        });
        const narrowing = { ...NO_NARROWING, deniedMethods: ['delete'] };
        const { key, keyInfo } = await operator.agents.deriveKey(parent.keyInfo.id, {
          expiresAt: clock.now + 2 * HOUR_MS,
          binding: { cidr: '10.1.0.0/16' },
          narrowing,
        });
        await settled();
        const caller = port.identify(key.reveal());
        expect(caller).toMatchObject({
          expiresAt: clock.now + HOUR_MS,
          narrowing: { deniedMethods: ['DELETE'] },
          binding: { unit: 'bot.service', executable: null, cidr: '10.1.0.0/16' },
        });
        for (const wider of [{ unit: 'other.service' }, { cidr: '0.0.0.0/0' }, { cidr: '11.0.0.0/8' }])
          expect(await code(operator.agents.deriveKey(parent.keyInfo.id, { binding: wider }))).toBe('invalid_input');
        expect(await code(operator.agents.deriveKey(keyInfo.id))).toBe('conflict');
        await operator.agents.revokeKey(parent.keyInfo.id);
        await settled();
        expect([port.isCallerValid(caller), await code(() => port.identify(key.reveal()))]).toEqual([false, 'key_revoked']);
        expect(await code(operator.agents.deriveKey(parent.keyInfo.id))).toBe('key_revoked');
      }),
    );

    it(
      'a derived key does not count as one that an agent could live on',
      using(async ({ operator }) => {
        const { keyInfo } = await operator.agents.create({ name: 'bot' });
        await operator.agents.deriveKey(keyInfo.id);
        expect(await code(operator.agents.revokeKey(keyInfo.id))).toBe('conflict');
      }),
    );

    it(
      'an agent ends with every agent above it, says which that is, and keeps that one from being removed',
      using(async ({ port, operator, settled }) => {
        await operator.agents.create({ name: 'top' });
        await operator.agents.create({ name: 'middle', parent: 'top' });
        const { key } = await operator.agents.create({ name: 'bottom', parent: 'middle' });
        await settled();
        const caller = port.identify(key.reveal());
        expect(caller.parentAgent).toBe('middle');
        await operator.agents.changeStatus('top', 'paused');
        await settled();
        expect([port.isCallerValid(caller), await code(() => port.identify(key.reveal()))]).toEqual([false, 'key_revoked']);
        expect(await code(operator.agents.create({ name: 'late', parent: 'middle' }))).toBe('conflict');
        expect(await code(operator.agents.remove('middle'))).toBe('conflict');
        await operator.agents.changeStatus('top', 'active');
        await settled();
        expect(port.isCallerValid(caller)).toBe(true);
        await operator.agents.create({ name: 'deepest', parent: 'bottom' });
        expect(await code(operator.agents.create({ name: 'too-deep', parent: 'deepest' }))).toBe('conflict');
      }),
    );

    it(
      'what is said of an agent is bounded',
      using(async ({ operator }) => {
        const metadata = { text: 'x'.repeat(8 * 1024) };
        expect(await code(operator.agents.create({ name: 'bot', metadata }))).toBe('invalid_input');
        expect(await code(operator.agents.create({ name: 'bot', providers: ['Not A Slug'] }))).toBe('invalid_input');
        expect(operator.agents.list()).toEqual([]);
      }),
    );
  });
}
