/** How long the vault's word takes to every host of a fleet: 50 of them with streams, over TLS, from the end of a grant to its refusal. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { GrantView } from '../../../src/api/views.ts';
import type { RemoteVault } from '../../../src/vault-client/remote-vault.ts';
import type { TestDaemon } from '../../helpers/daemon.ts';
import { temporaryDirectory } from '../../helpers/temporary.ts';
import { aboutASecond, startEcho, startEnrolled, through, until } from './enrolled.ts';
import { openRemote } from './remote.ts';
import { startVaultStage, type VaultStage } from './rig.ts';

const REMOTES = 48;
const directory = temporaryDirectory();
let stage: VaultStage;
let echo: Awaited<ReturnType<typeof startEcho>>;
const remotes: RemoteVault[] = [];
const daemons: TestDaemon[] = [];
const keys = new Map<string, string>();

const send = <T>(path: string, body?: object): Promise<T> => stage.api.send<T>(path, body);

const newGrant = async (agent: string): Promise<string> =>
  (
    await send<{ grant: GrantView }>('/v1/grants', {
      ...{ credential: 'lent', agent, hosts: [`http://127.0.0.1:${echo.port}`], allow_private: true, allow_plaintext: true },
    })
  ).grant.id;

beforeAll(async () => {
  stage = await startVaultStage(directory);
  echo = await startEcho();
  await send('/v1/secrets', { name: 'lent', provider: 'bearer', fields: { token: 'SEKRET-marker-lent' } });
  for (const name of ['bot', 'fired']) keys.set(name, (await send<{ key: string }>('/v1/agents', { name })).key);
  for (let i = 0; i < REMOTES; i++) {
    const host = await stage.enroll(`host-${i}`);
    await send(`/v1/hosts/host-${i}/assign`, { agents: ['bot', 'fired'] });
    remotes.push(await openRemote(stage, host));
  }
  for (const name of ['whole-1', 'whole-2']) daemons.push(await startEnrolled(stage, name, directory(), ['bot', 'fired']));
}, 60_000);
afterAll(async () => {
  await Promise.all(remotes.map((remote) => remote.close()));
  for (const daemon of daemons) await daemon.stop();
  await stage.stop();
  await echo.stop();
});

const isActive = (remote: RemoteVault, id: string): boolean =>
  remote.authority.grants.some((grant) => grant.id === id && grant.status === 'active');

/** Milliseconds until each of them has seen it. */
const seenAfter = (isSo: (remote: RemoteVault) => boolean, startedAt: number): Promise<number[]> =>
  Promise.all(
    remotes.map(
      (remote) =>
        new Promise<number>((resolve) => {
          const look = (): boolean => {
            if (!isSo(remote)) return false;
            stop();
            resolve(performance.now() - startedAt);
            return true;
          };
          const stop = remote.onAuthorityChange(() => look());
          look();
        }),
    ),
  );

const p99 = (values: readonly number[]): number =>
  values.toSorted((a, b) => a - b)[Math.ceil(values.length * 0.99) - 1] as number;

test('what is killed is refused at 50 hosts within a second', async () => {
  const times: number[] = [];
  const url = `http://127.0.0.1:${echo.port}/`;
  const key = keys.get('bot') as string;
  for (let round = 0; round < 5; round++) {
    const id = await newGrant('bot');
    await Promise.all(remotes.map((remote) => until('the grant', () => isActive(remote, id))));
    for (const daemon of daemons) await until('the grant', async () => (await through(daemon, key, url)).status === 200);
    const startedAt = performance.now();
    const seen = seenAfter((remote) => !isActive(remote, id), startedAt);
    const refused = Promise.all(
      daemons.map(async (daemon) => {
        await until('its end', async () => (await through(daemon, key, url)).status === 403);
        return performance.now() - startedAt;
      }),
    );
    await send('/v1/kill', { kind: 'grant', name: id });
    times.push(...(await seen), ...(await refused));
  }
  process.stderr.write(
    `revocation at ${remotes.length + daemons.length} hosts: p50 ${Math.round(times.toSorted((a, b) => a - b)[times.length >> 1] as number)} ms, p99 ${Math.round(p99(times))} ms\n`,
  );
  expect(p99(times)).toBeLessThan(aboutASecond());
});

test('an agent ends everywhere, and only what changed is told', async () => {
  const before = remotes.map(({ epoch }) => epoch);
  await send('/v1/agents', { name: 'nobodys' });
  const startedAt = performance.now();
  const seen = seenAfter(
    (remote) => [...remote.authority.agents.values()].some(({ name, status }) => name === 'fired' && status === 'revoked'),
    startedAt,
  );
  await send('/v1/kill', { kind: 'agent', name: 'fired' });
  expect(p99(await seen)).toBeLessThan(aboutASecond());
  expect(remotes.every(({ epoch }, i) => epoch > (before[i] as number))).toBe(true);
  for (const remote of remotes) {
    expect(() => remote.identify(keys.get('fired') as string)).toThrow(expect.objectContaining({ code: 'key_revoked' }));
    expect([...remote.authority.agents.values()].map(({ name }) => name)).not.toContain('nobodys');
  }
});

describe('one host', () => {
  test('without a stream asks every second, and says so', async () => {
    const host = await stage.enroll('cut-off');
    await send('/v1/hosts/cut-off/assign', { agents: ['bot'] });
    const remote = await openRemote(stage, host, { cutStreams: true });
    const id = await newGrant('bot');
    await until('the grant', () => isActive(remote, id), 2_500);
    await send('/v1/kill', { kind: 'grant', name: id });
    await until('its end', () => !isActive(remote, id), 2_500);
    expect(remote.status).toMatchObject({ state: 'polling', reason: expect.stringContaining('stream') });
    expect(remote.status.polls).toBeGreaterThan(1);
    await remote.close();
  });

  test('is killed: it has nothing any more, and is told why', async () => {
    const remote = remotes[0] as RemoteVault;
    await send('/v1/kill', { kind: 'host', name: 'host-0' });
    expect(await until('its end', () => remote.status.state === 'ended')).toBeLessThan(aboutASecond());
    expect([remote.authority.grants.length, remote.authority.agents.size, remote.status.held]).toEqual([0, 0, 0]);
    expect(() => remote.identify(keys.get('bot') as string)).toThrow(expect.objectContaining({ code: 'host_inactive' }));
  });

  test('is paused, and goes on when it is let in again', async () => {
    const remote = remotes[1] as RemoteVault;
    await send('/v1/hosts/host-1/status', { status: 'paused' });
    await until('the pause', () => remote.status.state === 'ended');
    await send('/v1/hosts/host-1/status', { status: 'active' });
    await until('its end', () => remote.status.state === 'streaming');
    expect(remote.identify(keys.get('bot') as string).agentName).toBe('bot');
  });
});
