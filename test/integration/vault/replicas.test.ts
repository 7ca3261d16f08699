import { randomBytes } from 'node:crypto';
import { afterAll, describe, expect, it } from 'vitest';
import { MasterKey } from '../../../src/crypto/master-key.ts';
import { openPostgresStore } from '../../../src/store/postgres/postgres-store.ts';
import { openVault, type Vault, type VaultOptions } from '../../../src/vault/vault.ts';
import { catalogue, MemoryJournal, TOKEN } from '../../contract/vault/fixtures.ts';
import { isPostgresHere, type PostgresServer, startPostgres } from '../../helpers/postgres.ts';
import { answerTo, connectAccount, SPEC } from './oauth-vault.ts';

const POLICY = 'name = "office-hours"\nlayer = "installation"\n[[rules]]\nname = "r"\neffect = "deny"\n';

if (!isPostgresHere) {
  it('not present here: PostgreSQL 15', () => {});
} else {
  describe('replicas of a vault over one database', () => {
    let server: PostgresServer | undefined;
    let made = 0;
    afterAll(() => server?.remove());

    async function replicas(count: number, more: Partial<VaultOptions> = {}): Promise<Vault[]> {
      server ??= startPostgres();
      const url = server.createDatabase(`r${made++}`);
      const bytes = randomBytes(32);
      return Promise.all(
        Array.from({ length: count }, () =>
          openVault({
            dbFile: '',
            openStore: () => openPostgresStore({ url }),
            followEveryMs: 20,
            masterKey: new MasterKey('file', Buffer.from(bytes)),
            catalogue,
            audit: new MemoryJournal(),
            ...more,
          }),
        ),
      );
    }

    /** Resolves with the first change of authority after which something holds. */
    const until = (vault: Vault, holds: () => boolean): Promise<void> =>
      new Promise((resolve) => {
        if (holds()) return resolve();
        const stop = vault.onAuthorityChange(() => {
          if (!holds()) return;
          stop();
          resolve();
        });
      });

    const closed = (vaults: readonly Vault[]): Promise<unknown> => Promise.all(vaults.map((vault) => vault.close()));

    it('begin an empty one together, and see what the others change: agents, keys, secrets, grants, policies, revocations', async () => {
      const vaults = await replicas(3);
      const [a, b, c] = vaults as [Vault, Vault, Vault];
      const { agent, key: keyText } = await a.agents.create({ name: 'bot' });
      await a.secrets.create({ name: 'main', providerId: 'good', fields: TOKEN });
      const grant = await b.grants.create({ provider: 'good', agent: agent.id });
      await until(c, () => c.authority.grants.length === 1);
      expect(c.identify(keyText.reveal()).agentId).toBe(agent.id);
      const material = await c.obtain(c.authority.grants[0]!);
      expect(material.fields.get('token')?.reveal()).toBe('SEKRET-marker-token');
      await a.policies.add(POLICY, { replace: false });
      await a.agents.create({ name: 'after the policy'.replaceAll(' ', '-') });
      await until(c, () => c.authority.agents.size === 2);
      expect(c.policies.list().map(({ policy }) => policy.name)).toEqual(['office-hours']);
      await b.grants.revoke(grant.id);
      await until(c, () => c.authority.grants[0]?.status === 'revoked');
      expect(() => c.obtain(grant)).toThrow(expect.objectContaining({ code: 'credential_unavailable' }));
      await closed(vaults);
    });

    it('seal everything anew at one of them, while the others open what they never opened before', async () => {
      const vaults = await replicas(2);
      const [a, b] = vaults as [Vault, Vault];
      for (let i = 0; i < 12; i++) await a.secrets.create({ name: `s${i}`, providerId: 'good', fields: TOKEN });
      for (let i = 0; i < 12; i++) await a.grants.create({ credential: `s${i}`, system: true, label: `g${i}` });
      await until(b, () => b.authority.grants.length === 12);
      let isOver = false;
      const done = a.rotateDataKey(200).then(() => (isOver = true));
      // Each secret once: what was opened is kept in memory. The last ones after everything was sealed anew.
      for (const [i, grant] of b.authority.grants.entries()) {
        if (i === 8) await done;
        else await new Promise((resolve) => setTimeout(resolve, 25));
        expect((await b.obtain(grant)).fields.get('token')?.reveal()).toBe('SEKRET-marker-token');
      }
      expect(isOver).toBe(true);
      // What the other seals from then on is not under a key that is gone.
      await b.secrets.create({ name: 'late', providerId: 'good', fields: TOKEN });
      await until(a, () => a.rows.dataKeys.length === 1 && a.secrets.list().some(({ name }) => name === 'late'));
      const late = await a.grants.create({ credential: 'late', system: true, label: 'late' });
      expect((await a.obtain(late)).fields.get('token')?.reveal()).toBe('SEKRET-marker-token');
      await closed(vaults);
    });

    it('lose no change when all of them write, and refuse a name that another one has taken', async () => {
      const vaults = await replicas(2);
      const all = await Promise.allSettled(
        vaults.flatMap((vault, r) => [1, 2, 3, 4].map((n) => vault.agents.create({ name: `r${r}-${n}` }))),
      );
      const created = all.filter((each) => each.status === 'fulfilled').length;
      for (const each of all) if (each.status === 'rejected') expect(each.reason).toMatchObject({ code: 'conflict' });
      await Promise.all(vaults.map((vault) => until(vault, () => vault.authority.agents.size === created)));
      await vaults[0]!.agents.create({ name: 'taken' });
      await expect(vaults[1]!.agents.create({ name: 'taken' })).rejects.toMatchObject({
        code: 'conflict',
        message: expect.stringMatching(/agent "taken" already/),
      });
      await closed(vaults);
    });

    it('open what another one sealed after the data key was rotated', async () => {
      const vaults = await replicas(2);
      const [a, b] = vaults as [Vault, Vault];
      await a.rotateDataKey();
      const { agent } = await b.agents.create({ name: 'bot' });
      await a.secrets.create({ name: 'main', providerId: 'good', fields: TOKEN });
      const grant = await a.grants.create({ provider: 'good', agent: agent.id });
      await until(b, () => b.authority.grants.length === 1);
      expect((await b.obtain(b.authority.grants.find(({ id }) => id === grant.id)!)).fields.get('token')?.reveal()).toBe(
        'SEKRET-marker-token',
      );
      await closed(vaults);
    });

    it('refresh an account once for all of them, and all of them serve the new token', async () => {
      const clock = { now: Date.now() };
      let calls = 0;
      const vaults = await replicas(3, {
        catalogue: { find: (slug) => (slug === 'acme' ? SPEC : undefined) },
        https: async ({ body }) => {
          calls++;
          return answerTo(body);
        },
        now: () => clock.now,
      });
      await connectAccount(vaults[0]!);
      await Promise.all(vaults.map((vault) => until(vault, () => vault.authority.grants.length === 1)));
      const token = async (vault: Vault): Promise<string> =>
        (await vault.obtain(vault.authority.grants[0]!)).fields.get('access_token')!.reveal();
      calls = 0;
      clock.now += 2 * 3_600_000;
      const first = await Promise.allSettled(vaults.map(token));
      const good = first.flatMap((each) => (each.status === 'fulfilled' ? [each.value] : []));
      expect(new Set(good)).toEqual(new Set(['SEKRET-marker-access-2']));
      expect(calls).toBe(1);
      // Past the pause of those who found somebody else at it.
      clock.now += 2_000;
      for (const vault of vaults) await expect.poll(() => token(vault)).toBe('SEKRET-marker-access-2');
      expect(calls).toBe(1);
      await closed(vaults);
    });

    it('store what a consent brought although another one was quicker: what it rests on is used up', async () => {
      server ??= startPostgres();
      const url = `postgresql://alterd@localhost/r${made}?host=${encodeURIComponent(server.directory)}`;
      let before: (() => Promise<unknown>) | null = null;
      let quick: () => Promise<unknown> = async () => {};
      const vaults = await replicas(2, {
        catalogue: { find: (slug) => (slug === 'acme' ? SPEC : undefined) },
        https: async ({ body }) => {
          before = quick;
          return answerTo(body);
        },
        openStore: async () => {
          const store = await openPostgresStore({ url });
          const { apply } = store;
          store.apply = async (...change) => {
            const first = before;
            before = null;
            await first?.();
            return apply.apply(store, change);
          };
          return store;
        },
      });
      const [a, b] = vaults as [Vault, Vault];
      quick = () => b.agents.create({ name: 'quicker' });
      await connectAccount(a);
      expect(a.authority.agents.size).toBe(1);
      await until(b, () => b.authority.grants.length === 1);
      await closed(vaults);
    });

    it('renew an account as soon as the lease of one that died is over, however often it was asked for meanwhile', async () => {
      const clock = { now: Date.now() };
      const vaults = await replicas(1, {
        catalogue: { find: (slug) => (slug === 'acme' ? SPEC : undefined) },
        https: async ({ body }) => answerTo(body),
        now: () => clock.now,
      });
      const [vault] = vaults as [Vault];
      const url = `postgresql://alterd@localhost/r${made - 1}?host=${encodeURIComponent(server!.directory)}`;
      await connectAccount(vault);
      const grant = vault.authority.grants[0]!;
      clock.now += 2 * 3_600_000;
      const dead = await openPostgresStore({ url: url });
      await dead.acquireLease(`refresh:${grant.credentialId}`, 'dead', 120_000, clock.now);
      await dead.close();
      const endsAt = clock.now + 120_000;
      while (clock.now < endsAt) {
        await expect(vault.obtain(grant)).rejects.toMatchObject({ message: expect.stringContaining('renewed_elsewhere') });
        clock.now += 1_500;
      }
      expect((await vault.obtain(grant)).fields.get('access_token')?.reveal()).toBe('SEKRET-marker-access-2');
      await closed(vaults);
    });
  });
}
