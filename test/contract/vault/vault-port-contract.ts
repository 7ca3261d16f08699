/**
 * What every Vault port must do for the proxy, wherever the vault lives. The factory answers the port under test, the facade
 * through which an operator changes things, the clock, and a wait until changes have reached the port.
 */
import { describe, expect, it } from 'vitest';
import { NO_BINDING, NO_NARROWING } from '../../../src/domain/agent.ts';
import type { Authority } from '../../../src/domain/authority.ts';
import type { CredentialMaterial } from '../../../src/domain/credential.ts';
import type { VaultPort } from '../../../src/domain/vault-port.ts';
import type { Vault } from '../../../src/vault/vault.ts';
import { fieldsOf, refusal, TOKEN } from './fixtures.ts';

export interface VaultPortFixture {
  readonly port: VaultPort;
  readonly operator: Vault;
  readonly clock: { now: number };
  /** Resolves when what the operator did is seen by the port. */
  readonly settled: () => Promise<void>;
  readonly close: () => Promise<void>;
}

const HOUR_MS = 3_600_000;

export function describeVaultPort(name: string, open: () => Promise<VaultPortFixture>): void {
  const using = (work: (fixture: VaultPortFixture) => Promise<void>) => async () => {
    const fixture = await open();
    try {
      await work(fixture);
    } finally {
      await fixture.close();
    }
  };
  const material = (fields: CredentialMaterial): Record<string, string> =>
    Object.fromEntries([...fields.fields].map(([field, secret]) => [field, secret.reveal()]));

  describe(`${name} as a Vault port: identify`, () => {
    it(
      'refuses what is no key, a typo, and a key that is unknown, and tells them apart without repeating them',
      using(async ({ port, operator }) => {
        const { key } = await operator.agents.create({ name: 'bot' });
        const text = key.reveal();
        const swapped = text.slice(0, -1) + (text.endsWith('a') ? 'b' : 'a');
        const unknown = 'alter_key_agent_000000000000000000000000000000000qexc9';
        for (const bad of [
          '',
          'x',
          'Bearer abc',
          `${text} `,
          ` ${text}`,
          swapped,
          text.slice(0, -1),
          `${text}0`,
          unknown,
          'a'.repeat(100_000),
        ]) {
          const { code, text: told } = await refusal(() => port.identify(bad));
          expect(code).toBe('caller_unauthenticated');
          if (bad.length > 10) expect(told).not.toContain(bad.slice(16));
        }
        expect((await refusal(() => port.identify(swapped))).text).toMatch(/typo/);
        expect((await refusal(() => port.identify('password'))).text).not.toMatch(/typo/);
      }),
    );

    it(
      'refuses a revoked key, an expired key, and the keys of an agent that is paused, revoked or removed',
      using(async ({ port, operator, clock, settled }) => {
        const code = async (text: string): Promise<string> => (await refusal(() => port.identify(text))).code;
        const { key, keyInfo } = await operator.agents.create({ name: 'bot' });
        const second = await operator.agents.createKey('bot', { expiresAt: clock.now + HOUR_MS });
        await operator.agents.revokeKey(keyInfo.id);
        await settled();
        expect([await code(key.reveal()), await code(second.key.reveal())]).toEqual(['key_revoked', 'none']);
        await operator.agents.changeStatus('bot', 'paused');
        await settled();
        expect(await code(second.key.reveal())).toBe('key_revoked');
        await operator.agents.changeStatus('bot', 'active');
        await settled();
        expect(await code(second.key.reveal())).toBe('none');
        clock.now += HOUR_MS;
        expect(await code(second.key.reveal())).toBe('key_revoked');
        const other = await operator.agents.create({ name: 'other' });
        await operator.agents.changeStatus('other', 'revoked');
        await settled();
        expect(await code(other.key.reveal())).toBe('key_revoked');
        await operator.agents.remove('other');
        await settled();
        expect(await code(other.key.reveal())).toBe('caller_unauthenticated');
      }),
    );

    it(
      'answers who an agent key belongs to, at once',
      using(async ({ port, operator, clock, settled }) => {
        const { agent } = await operator.agents.create({ name: 'bot' });
        const { key, keyInfo } = await operator.agents.createKey('bot', { expiresAt: clock.now + HOUR_MS, boundUid: 1000 });
        await settled();
        expect(port.identify(key.reveal())).toEqual({
          agentId: agent.id,
          agentName: 'bot',
          keyId: keyInfo.id,
          keyPrefix: keyInfo.prefix,
          keyKind: 'agent',
          sessionId: null,
          narrowing: NO_NARROWING,
          expiresAt: clock.now + HOUR_MS,
          boundUid: 1000,
          binding: NO_BINDING,
          userId: null,
          parentAgent: null,
        });
      }),
    );

    it(
      'answers a session with its narrowing, until it is revoked, expires, or its agent is paused for however short a time',
      using(async ({ port, operator, clock, settled }) => {
        await operator.agents.create({ name: 'bot' });
        const narrowing = {
          grantIds: null,
          deniedMethods: ['delete'],
          deniedPaths: ['/admin/**'],
          deniedHosts: ['API.Good.Test'],
        };
        const session = () => operator.sessions.create({ agentName: 'bot', narrowing, ttlMs: HOUR_MS });
        const [revoked, expired, paused] = [await session(), await session(), await session()];
        await settled();
        const callers = [revoked, expired, paused].map(({ key }) => port.identify(key.reveal()));
        expect(callers[0]).toMatchObject({
          keyKind: 'session',
          sessionId: revoked.sessionId,
          expiresAt: clock.now + HOUR_MS,
          narrowing: { grantIds: null, deniedMethods: ['DELETE'], deniedPaths: ['/admin/**'], deniedHosts: ['api.good.test'] },
        });
        await operator.sessions.revoke(revoked.sessionId);
        await settled();
        expect(callers.map((caller) => port.isCallerValid(caller))).toEqual([false, true, true]);
        await operator.agents.changeStatus('bot', 'paused');
        // A port that is told of changes has to have been told.
        await settled();
        await operator.agents.changeStatus('bot', 'active');
        await settled();
        expect(callers.map((caller) => port.isCallerValid(caller))).toEqual([false, false, false]);
        const last = await session();
        await settled();
        const caller = port.identify(last.key.reveal());
        clock.now += HOUR_MS;
        expect(port.isCallerValid(caller)).toBe(false);
        for (const { key } of [revoked, paused])
          expect(['key_revoked', 'caller_unauthenticated']).toContain((await refusal(() => port.identify(key.reveal()))).code);
      }),
    );
  });

  describe(`${name} as a Vault port: isCallerValid`, () => {
    it.each<[string, (operator: Vault, clock: { now: number }, keyId: string) => Promise<unknown>]>([
      ['its key is revoked', (operator, _clock, keyId) => operator.agents.revokeKey(keyId, { force: true })],
      ['its key is rotated without overlap', (operator) => operator.agents.rotateKey('bot', { overlapMs: 0 })],
      ['its agent is paused', (operator) => operator.agents.changeStatus('bot', 'paused')],
      ['its agent is revoked', (operator) => operator.agents.changeStatus('bot', 'revoked')],
      ['its agent is removed', (operator) => operator.agents.remove('bot')],
    ])('is false as soon as %s', async (_what, end) => {
      const fixture = await open();
      const { port, operator, clock, settled } = fixture;
      const { key, keyInfo } = await operator.agents.create({ name: 'bot' });
      await settled();
      const caller = port.identify(key.reveal());
      expect(port.isCallerValid(caller)).toBe(true);
      await end(operator, clock, keyInfo.id);
      await settled();
      expect(port.isCallerValid(caller)).toBe(false);
      await fixture.close();
    });

    it(
      'stays true for the overlap of a rotation and ends with it',
      using(async ({ port, operator, clock, settled }) => {
        const { key } = await operator.agents.create({ name: 'bot' });
        await operator.agents.rotateKey('bot', { overlapMs: 1000 });
        await settled();
        const caller = port.identify(key.reveal());
        expect(port.isCallerValid(caller)).toBe(true);
        clock.now += 1000;
        expect(port.isCallerValid(caller)).toBe(false);
      }),
    );
  });

  describe(`${name} as a Vault port: authority`, () => {
    it(
      'is replaced whole by each change, rises, and is told to whoever listens, until they stop',
      using(async ({ port, operator, settled }) => {
        const seen: Authority[] = [];
        const stop = port.onAuthorityChange((authority) => void seen.push(authority));
        port.onAuthorityChange(() => {
          throw new Error('a listener of somebody else');
        });
        const before = port.authority;
        const { agent } = await operator.agents.create({ name: 'bot' });
        await operator.secrets.create({ providerId: 'good', fields: TOKEN });
        const grant = await operator.grants.create({ provider: 'good', agent: 'bot', label: 'main' });
        await settled();
        expect(before.agents.size).toBe(0);
        expect(port.authority.agents.get(agent.id)).toEqual(agent);
        expect(port.authority.grants).toEqual([grant]);
        await operator.grants.revoke('main');
        await settled();
        expect(port.authority.grants.map(({ status }) => status)).toEqual(['revoked']);
        const versions = seen.map(({ version }) => version);
        expect(versions).toEqual([...new Set(versions)].sort((a, b) => a - b));
        expect(seen.at(-1)).toBe(port.authority);
        stop();
        const count = seen.length;
        await operator.grants.remove(grant.id);
        await settled();
        expect([port.authority.grants.length, seen.length]).toEqual([0, count]);
      }),
    );
  });

  describe(`${name} as a Vault port: obtain`, () => {
    const granted = async ({ operator, settled }: VaultPortFixture) => {
      await operator.agents.create({ name: 'bot' });
      await operator.secrets.create({ providerId: 'good', fields: TOKEN });
      const grant = await operator.grants.create({ provider: 'good', agent: 'bot' });
      await settled();
      return grant;
    };

    it.each<[string, (operator: Vault, clock: { now: number }, grantId: string) => Promise<unknown>]>([
      ['was revoked', (operator, _clock, grantId) => operator.grants.revoke(grantId)],
      ['was removed', (operator, _clock, grantId) => operator.grants.remove(grantId)],
      ['lost its secret', (operator) => operator.secrets.remove('good', { cascade: true })],
      ['lost its agent', (operator) => operator.agents.remove('bot')],
    ])('refuses a grant that %s after the caller has looked at it, also when the material is in memory', async (_what, end) => {
      const fixture = await open();
      const grant = await granted(fixture);
      await fixture.port.obtain(grant);
      await end(fixture.operator, fixture.clock, grant.id);
      await fixture.settled();
      expect((await refusal(async () => fixture.port.obtain(grant))).code).toBe('credential_unavailable');
      await fixture.close();
    });

    it(
      'refuses an expired grant',
      using(async (fixture) => {
        await granted(fixture);
        const { operator, port, clock, settled } = fixture;
        const grant = await operator.grants.create({ provider: 'good', agent: 'bot', expiresAt: clock.now + 10 });
        await settled();
        await port.obtain(grant);
        clock.now += 10;
        expect((await refusal(async () => port.obtain(grant))).code).toBe('credential_unavailable');
      }),
    );

    it(
      'answers the material, at once when it is in memory, and the new one after a rotation',
      using(async (fixture) => {
        const grant = await granted(fixture);
        const { operator, port, settled } = fixture;
        const [one, two] = await Promise.all([port.obtain(grant), port.obtain(grant)]);
        expect(one).toBe(two);
        expect([one.version, material(one)]).toEqual([1, { token: 'SEKRET-marker-token' }]);
        expect(port.obtain(grant)).toBe(one);
        await operator.secrets.rotate('good', fieldsOf({ token: 'SEKRET-marker-second' }));
        await settled();
        const next = await port.obtain(grant);
        expect([next.version, material(next)]).toEqual([2, { token: 'SEKRET-marker-second' }]);
      }),
    );

    it(
      'never prints material',
      using(async (fixture) => {
        const obtained = await fixture.port.obtain(await granted(fixture));
        expect(JSON.stringify([obtained, ...obtained.fields])).not.toContain('SEKRET');
        expect(`${[...obtained.fields.values()]}`).not.toContain('SEKRET');
      }),
    );
  });
}
