/** The end of what was lent: by the clocks of a machine that are moved about, with and without a grace, over restarts. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { GrantView } from '../../../src/api/views.ts';
import { keyFromBytes } from '../../../src/crypto/seal.ts';
import type { CredentialMaterial } from '../../../src/domain/credential.ts';
import { AlterError } from '../../../src/domain/errors.ts';
import { LeaseCache } from '../../../src/vault-client/lease-cache.ts';
import type { RemoteVault } from '../../../src/vault-client/remote-vault.ts';
import { temporaryDirectory } from '../../helpers/temporary.ts';
import { until } from './enrolled.ts';
import { openRemote, TestClock } from './remote.ts';
import { type StageHost, startVaultStage, type VaultStage } from './rig.ts';

const LEASE_MS = 600_000;
const directory = temporaryDirectory();
let stage: VaultStage;
let key: string;
let hosts: StageHost[];
let plain: string;
let graced: string;

beforeAll(async () => {
  stage = await startVaultStage(directory, { config: `[vault_server]\nlease_ms = ${LEASE_MS}\n` });
  await stage.api.send('/v1/secrets', { name: 'lent', provider: 'bearer', fields: { token: 'SEKRET-marker-lent' } });
  ({ key } = await stage.api.send<{ key: string }>('/v1/agents', { name: 'bot' }));
  const grant = async (more: object): Promise<string> =>
    (
      await stage.api.send<{ grant: GrantView }>('/v1/grants', {
        credential: 'lent',
        agent: 'bot',
        hosts: ['api.good.test'],
        ...more,
      })
    ).grant.id;
  plain = await grant({ label: 'plain' });
  graced = await grant({ label: 'graced', offline_grace_ms: 3_600_000 });
  hosts = [await stage.enroll('web-01'), await stage.enroll('web-02'), await stage.enroll('web-03')];
  for (const { name } of hosts) await stage.api.send(`/v1/hosts/${name}/assign`, { agents: ['bot'] });
});
afterAll(() => stage.stop());

const codeOf = async (work: () => CredentialMaterial | Promise<CredentialMaterial>): Promise<string> => {
  try {
    await work();
    return 'served';
  } catch (thrown) {
    if (thrown instanceof AlterError) return thrown.code;
    throw thrown;
  }
};
const obtained = (remote: RemoteVault, id: string): Promise<string> => codeOf(() => remote.obtain(remote.grants.find(id)));

/** A host that used both grants, with a vault that went away then. */
const lent = async (host: StageHost): Promise<{ remote: RemoteVault; clock: TestClock }> => {
  const clock = new TestClock();
  const remote = await openRemote(stage, host, { clock });
  expect([await obtained(remote, plain), await obtained(remote, graced)]).toEqual(['served', 'served']);
  await until('it streams', () => remote.status.state === 'streaming');
  return { remote, clock };
};

test('while the vault answers, leases begin anew before they end, and nobody waits', async () => {
  const { remote, clock } = await lent(hosts[0] as StageHost);
  const grant = remote.grants.find(plain);
  for (let i = 0; i < 3; i++) {
    clock.pass(LEASE_MS * 0.7);
    // What is at hand is at hand: no promise.
    expect(remote.obtain(grant)).not.toBeInstanceOf(Promise);
    await until('it is renewed', () => remote.status.leaseLeftMs > LEASE_MS * 0.9);
  }
  await remote.close();
});

test('what may not be kept is asked for each time, and nothing of it is in the file', async () => {
  const host = hosts[0] as StageHost;
  const dir = directory();
  const { grant } = await stage.api.send<{ grant: GrantView }>('/v1/grants', {
    ...{ credential: 'lent', agent: 'bot', hosts: ['careful.good.test'], label: 'careful', no_cache: true },
  });
  const remote = await openRemote(stage, host, { dir });
  const careful = remote.grants.find(grant.id);
  for (let i = 0; i < 2; i++) {
    const answer = remote.obtain(careful);
    expect(answer).toBeInstanceOf(Promise);
    expect((await answer).fields.get('token')?.reveal()).toBe('SEKRET-marker-lent');
  }
  expect(await obtained(remote, plain)).toBe('served');
  expect(remote.status.held).toBe(1);
  await remote.close();
  const cache = LeaseCache.open({ dir, key: keyFromBytes(Buffer.from(host.keys.sealing.privateKey)) });
  cache.close();
  expect([...(cache.found?.materials.keys() ?? [])]).toEqual([plain]);
  const kept = JSON.stringify(cache.found?.head);
  expect(kept).toContain(plain);
  expect(kept).not.toMatch(new RegExp(`${grant.id}|careful`));
  await stage.api.remove(`/v1/grants/${grant.id}`);
});

describe('once the vault is away', () => {
  let first: { remote: RemoteVault; clock: TestClock };
  let second: { remote: RemoteVault; clock: TestClock };
  let caller: ReturnType<RemoteVault['identify']>;

  beforeAll(async () => {
    first = await lent(hosts[1] as StageHost);
    second = await lent(hosts[2] as StageHost);
    caller = first.remote.identify(key);
    await stage.server.stop();
    await until('it is noticed', () => first.remote.status.state === 'away' && second.remote.status.state === 'away');
  });

  test('a wall clock that is put back makes nothing longer', async () => {
    const { remote, clock } = first;
    clock.wall -= 86_400_000;
    clock.boot += LEASE_MS - 5_000;
    await until('a look at the clocks', () => remote.status.leaseLeftMs <= 5_000);
    expect(await obtained(remote, plain)).toBe('served');
    clock.boot += 6_000;
    await until('the end', () => remote.status.leaseLeftMs === 0);
    expect(await obtained(remote, plain)).toBe('vault_unavailable');
    // The one that may outlast it does, for as long as it says.
    expect(await obtained(remote, graced)).toBe('served');
    expect([remote.isLeased(remote.grants.find(plain)), remote.isLeased(remote.grants.find(graced))]).toEqual([false, true]);
    expect(remote.isCallerValid(caller)).toBe(true);
    clock.boot += 3_600_000;
    expect(await obtained(remote, graced)).toBe('vault_unavailable');
    expect(remote.isCallerValid(caller)).toBe(false);
    expect(() => remote.identify(key)).toThrow(expect.objectContaining({ code: 'vault_unavailable' }));
    await remote.close();
  });

  test('a restart goes on with what is left, and a start of the machine with nothing', async () => {
    const host = hosts[2] as StageHost;
    second.clock.pass(LEASE_MS / 2);
    await second.remote.close();
    const again = await openRemote(stage, host, { clock: second.clock });
    expect(await obtained(again, plain)).toBe('served');
    expect(again.identify(key).agentName).toBe('bot');
    expect(again.status.leaseLeftMs).toBeLessThanOrEqual(LEASE_MS / 2);
    await again.close();
    second.clock.wall += LEASE_MS;
    const later = await openRemote(stage, host, { clock: second.clock });
    expect(await obtained(later, plain)).toBe('vault_unavailable');
    expect(await obtained(later, graced)).toBe('served');
    await later.close();
    second.clock.bootId = 'boot-2';
    second.clock.wall -= LEASE_MS;
    const booted = await openRemote(stage, host, { clock: second.clock });
    expect(() => booted.identify(key)).toThrow(expect.objectContaining({ code: 'vault_unavailable' }));
    await booted.close();
  });
});
