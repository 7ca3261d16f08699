/** What a host borrows: used through its daemon, ended at the vault, served while the vault is away, and for no longer than it was lent. */
import { cpSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { StatusView } from '../../../src/api/status.ts';
import type { GrantView } from '../../../src/api/views.ts';
import { startTestDaemon, type TestDaemon } from '../../helpers/daemon.ts';
import { temporaryDirectory } from '../../helpers/temporary.ts';
import { aboutASecond, startEcho, startEnrolled, through, until } from './enrolled.ts';
import { startVaultStage, type VaultStage } from './rig.ts';

const directory = temporaryDirectory();
const SECRET = 'SEKRET-marker-borrowed';
let stage: VaultStage;
let echo: Awaited<ReturnType<typeof startEcho>>;
let daemon: TestDaemon;
let home: string;
let url: string;

const send = <T>(path: string, body?: object): Promise<T> => stage.api.send<T>(path, body);

/** An agent of the host with a grant for the origin, seen by the daemon. */
async function agentWith(name: string, more: object = {}, on: TestDaemon = daemon): Promise<{ key: string; grant: GrantView }> {
  const { key } = await send<{ key: string }>('/v1/agents', { name });
  const { grant } = await send<{ grant: GrantView }>('/v1/grants', {
    ...{ credential: 'echo', agent: name, hosts: [`http://127.0.0.1:${echo.port}`], allow_private: true, allow_plaintext: true },
    ...more,
  });
  await send('/v1/hosts/web-01/assign', { agents: [name] });
  await until('the grant is here', async () => (await through(on, key, url)).status === 200);
  return { key, grant };
}

const linkOf = async (of = daemon): Promise<NonNullable<StatusView['vault']>> => {
  const { vault } = await of.api<StatusView>('GET', '/v1/status');
  if (vault === null) throw new Error('it has a vault of its own');
  return vault;
};

beforeAll(async () => {
  stage = await startVaultStage(directory, { config: '[vault_server]\nlease_ms = 60000\n' });
  echo = await startEcho();
  url = `http://127.0.0.1:${echo.port}/`;
  await send('/v1/secrets', { name: 'echo', provider: 'bearer', fields: { token: SECRET } });
  home = directory();
  daemon = await startEnrolled(stage, 'web-01', home, []);
});
afterAll(async () => {
  await daemon.stop();
  await stage.stop();
  await echo.stop();
});

describe('while the vault is there', () => {
  test('a grant is used with the right secret, and the daemon says how it gets on', async () => {
    await agentWith('bot');
    expect(echo.seen.at(-1)).toBe(`Bearer ${SECRET}`);
    expect(await linkOf()).toMatchObject({ url: stage.server.fleet.url, state: 'streaming', reason: null });
    const metrics = await daemon.running.facts();
    expect(metrics.vaultLink?.state).toBe('streaming');
  });

  test('what is revoked is refused within a second, what is paused too, and comes back', async () => {
    const { key, grant } = await agentWith('ends');
    await send('/v1/agents/ends/status', { status: 'paused' });
    expect(await until('the pause', async () => (await through(daemon, key, url)).status !== 200)).toBeLessThan(aboutASecond());
    await send('/v1/agents/ends/status', { status: 'active' });
    await until('the end of the pause', async () => (await through(daemon, key, url)).status === 200);
    await send(`/v1/grants/${grant.id}/revoke`);
    expect(await until('the end', async () => (await through(daemon, key, url)).status === 403)).toBeLessThan(aboutASecond());
    expect((await through(daemon, key, url)).error).toBe('grant_revoked');
  });

  test('a secret that is rotated is another one at once', async () => {
    const { key } = await agentWith('turns');
    await send('/v1/secrets/echo/rotate', { fields: { token: `${SECRET}-2` } });
    const took = await until('the new one', async () => {
      await through(daemon, key, url);
      return echo.seen.at(-1) === `Bearer ${SECRET}-2`;
    });
    expect(took).toBeLessThan(aboutASecond());
    await send('/v1/secrets/echo/rotate', { fields: { token: SECRET } });
  });

  test('an agent of another host is unknown here', async () => {
    const { key } = await send<{ key: string }>('/v1/agents', { name: 'elsewhere' });
    expect((await through(daemon, key, url)).status).toBe(407);
  });

  test.each([
    ['POST', '/v1/agents', { name: 'mine' }],
    ['POST', '/v1/grants', { provider: 'bearer', agent: 'bot' }],
    ['POST', '/v1/secrets', { provider: 'bearer', fields: { token: 'x' } }],
    ['POST', '/v1/agents/bot/keys', {}],
    ['DELETE', '/v1/agents/bot', undefined],
    ['POST', '/v1/policies', { toml: 'x' }],
  ])('%s %s is for the vault, and it is said where that is', async (method, path, body) => {
    const refused = await daemon.api(method, path, body).then(
      () => null,
      (error: { problem: { error: string; detail: string } }) => error.problem,
    );
    expect(refused).toMatchObject({ error: 'conflict' });
    expect(refused?.detail).toContain(stage.server.fleet.url);
  });

  test('a session is made here, and can do less', async () => {
    const { key } = await daemon.api<{ key: string }>('POST', '/v1/sessions', { agent: 'bot', ttl_ms: 60_000 });
    expect((await through(daemon, key, url)).status).toBe(200);
  });
});

test('nothing of a grant that may not be kept is on disk, and it is asked for each time', async () => {
  const marker = 'SEKRET-marker-never-kept';
  await send('/v1/secrets', { name: 'never', provider: 'bearer', fields: { token: marker } });
  const { key } = await agentWith('careful', { credential: 'never', no_cache: true });
  expect(echo.seen.at(-1)).toBe(`Bearer ${marker}`);
  const before = (await linkOf()).held;
  expect((await through(daemon, key, url)).status).toBe(200);
  expect((await linkOf()).held).toBe(before);
  for (const name of readdirSync(daemon.paths.stateDir).filter((each) => each.startsWith('leases')))
    expect(readFileSync(join(daemon.paths.stateDir, name)).includes(marker)).toBe(false);
});

describe('while the vault is away', () => {
  test('leases serve, also after a restart; nothing else does; another host can not use them', async () => {
    const served = await agentWith('served');
    const careful = await send<{ key: string }>('/v1/agents/careful/keys', {});
    await until('the key', async () => (await through(daemon, careful.key, url)).status === 200);
    const { key: unused } = await send<{ key: string }>('/v1/agents', { name: 'unused' });
    await send('/v1/secrets', { name: 'late', provider: 'bearer', fields: { token: 'SEKRET-marker-late' } });
    await send('/v1/grants', {
      ...{ credential: 'late', agent: 'unused', hosts: [`http://127.0.0.1:${echo.port}`] },
      ...{ allow_private: true, allow_plaintext: true },
    });
    await send('/v1/hosts/web-01/assign', { agents: ['unused'] });
    await until('the agent', async () =>
      (await daemon.api<{ agents: { name: string }[] }>('GET', '/v1/agents')).agents.some(({ name }) => name === 'unused'),
    );
    await stage.stop();
    await until('the daemon notices', async () => (await linkOf()).state === 'away');
    expect((await through(daemon, served.key, url)).status).toBe(200);
    expect(echo.seen.at(-1)).toBe(`Bearer ${SECRET}`);
    expect(await through(daemon, careful.key, url)).toMatchObject({ status: 503, error: 'vault_unavailable' });
    const refused = await through(daemon, unused, url);
    expect(refused).toMatchObject({ status: 503, error: 'vault_unavailable' });
    expect(refused.text).toMatch(/does not answer since/);
    // A copy of the whole state, but for the key of this host: as much as a stolen disk has.
    const stolen = directory();
    cpSync(home, stolen, { recursive: true, filter: (path) => !path.endsWith('.sock') });
    await daemon.running.stop();
    daemon = await startTestDaemon({ home });
    expect((await through(daemon, served.key, url)).status).toBe(200);
    expect((await through(daemon, careful.key, url)).status).not.toBe(200);
    rmSync(join(stolen, 'config', 'master.key'));
    await expect(startTestDaemon({ home: stolen })).rejects.toMatchObject({ code: 'vault_unavailable' });
  });
});
