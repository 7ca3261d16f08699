/** What a host is not lent: what has ended, also in the moment of lending; and what it refuses itself: rules that it can't load. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import type { GrantView } from '../../../src/api/views.ts';
import { mintSealingKeys } from '../../../src/crypto/hpke.ts';
import type { MaterialsAnswer } from '../../../src/domain/fleet-wire.ts';
import { materialRoutes } from '../../../src/fleet/material-routes.ts';
import { openLending } from '../../../src/fleet/routes.ts';
import { HOST_CAPABILITIES } from '../../../src/vault/host-capabilities.ts';
import type { Vault } from '../../../src/vault/vault.ts';
import { MemoryJournal, openedVault, TOKEN } from '../../contract/vault/fixtures.ts';
import { temporaryDirectory } from '../../helpers/temporary.ts';
import { until } from './enrolled.ts';
import { openRemote } from './remote.ts';
import { startVaultStage } from './rig.ts';

const directory = temporaryDirectory();

/** A vault with a host, an agent and a grant; asks for the grant's secret as the host, while something happens. */
async function lent(happens: (vault: Vault, grantId: string, clock: { now: number }) => Promise<unknown>) {
  const { vault, clock } = await openedVault(directory());
  const { agent } = await vault.agents.create({ name: 'bot' });
  await vault.secrets.create({ name: 'main', providerId: 'good', fields: TOKEN });
  const grant = await vault.grants.create({ provider: 'good', agent: agent.id, expiresAt: clock.now + 60_000 });
  const { token } = await vault.hosts.invite('web-01');
  const sealing = await mintSealingKeys();
  const sealingKey = Buffer.from(sealing.publicKey).toString('base64url');
  const keys = { signingKey: 'any', sealingKey, capabilities: HOST_CAPABILITIES, version: '1' };
  await vault.hosts.enroll({ token: token.reveal(), ...keys });
  const host = await vault.hosts.assign('web-01', { agents: ['bot'] });
  const slow = new Proxy(vault, {
    get: (target, name) => {
      if (name === 'obtain')
        return async (of: Parameters<Vault['obtain']>[0]) => {
          const material = await vault.obtain(of);
          await happens(vault, grant.id, clock);
          return material;
        };
      const member = Reflect.get(target, name, target) as unknown;
      return typeof member === 'function' ? member.bind(target) : member;
    },
  });
  const deps = { vault: slow, vaultId: 'v', audit: new MemoryJournal(), leaseMs: 1_000, onFault: () => {}, now: () => clock.now };
  const lending = openLending(deps);
  const route = materialRoutes({ ...deps, ...lending }).find(({ path }) => path === '/v1/host/materials');
  const answer = await route?.answer({ host, body: { grant_ids: [grant.id] } } as never);
  lending.streams.close();
  await vault.close();
  const { materials, failures } = (answer as { body: MaterialsAnswer }).body;
  return { lent: materials.length, refused: failures.map(({ problem }) => (problem as { error: string }).error) };
}

test('a grant of the host is lent', async () => {
  expect(await lent(async () => {})).toEqual({ lent: 1, refused: [] });
});

test.each<[string, Parameters<typeof lent>[0], string]>([
  ['was revoked', (vault, id) => vault.grants.revoke(id), 'credential_unavailable'],
  ['has expired', async (_vault, _id, clock) => (clock.now += 60_001), 'credential_unavailable'],
  ['was taken from the host', (vault) => vault.hosts.unassign('web-01', { agents: ['bot'] }), 'credential_unavailable'],
  ['is of a host that was paused', (vault) => vault.hosts.changeStatus('web-01', 'paused'), 'host_inactive'],
  ['is of a host that was revoked', (vault) => vault.hosts.changeStatus('web-01', 'revoked'), 'host_inactive'],
])('one that %s in the moment of lending is not', async (_what, happens, code) => {
  expect(await lent(happens)).toEqual({ lent: 0, refused: [code] });
});

test('policies of the vault that do not go with those of the host leave nothing in force, until they do', async () => {
  const stage = await startVaultStage(directory);
  await stage.api.send('/v1/secrets', { name: 'gh', provider: 'bearer', fields: { token: 'SEKRET-marker-withheld' } });
  const { key } = await stage.api.send<{ key: string }>('/v1/agents', { name: 'bot' });
  const asked = { credential: 'gh', agent: 'bot', hosts: ['api.example.test'] };
  const { grant } = await stage.api.send<{ grant: GrantView }>('/v1/grants', asked);
  const host = await stage.enroll('web-01');
  await stage.api.send('/v1/hosts/web-01/assign', { agents: ['bot'] });
  const policy =
    'name = "office"\nlayer = "installation"\n[[rules]]\nname = "r"\neffect = "deny"\nwhen = { methods = ["DELETE"] }\n';
  mkdirSync(join(host.dir, 'policies'), { mode: 0o700 });
  writeFileSync(join(host.dir, 'policies', 'office.toml'), policy, { mode: 0o600 });
  const remote = await openRemote(stage, host);
  await until('the grant is here', () => remote.authority.grants.some(({ id }) => id === grant.id));
  expect(remote.identify(key).agentName).toBe('bot');
  await stage.api.send('/v1/policies', { toml: policy });
  const isRefused = (): boolean => {
    try {
      remote.identify(key);
      return false;
    } catch (error) {
      return (error as { code: string }).code === 'vault_unavailable' && `${error}`.includes('policies');
    }
  };
  await until('nothing is in force', isRefused);
  await stage.api.remove('/v1/policies/office');
  await until('it is again', () => !isRefused());
  await remote.close();
  await stage.stop();
});
