/** Replicas of a vault over PostgreSQL: one vault to its hosts, a replay refused by the other, and an end that both know. */
import { copyFileSync, existsSync, mkdirSync } from 'node:fs';
import { get } from 'node:https';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { Finding } from '../../../src/cli/doctor/finding.ts';
import { mintNonce, signedHeaders } from '../../../src/crypto/request-signing.ts';
import { Secret } from '../../../src/domain/secret.ts';
import type { LimitUse } from '../../../src/policy/shared-limits.ts';
import type { RemoteVault } from '../../../src/vault-client/remote-vault.ts';
import { SignedClient } from '../../../src/vault-client/signed-client.ts';
import { openedVault, TOKEN } from '../../contract/vault/fixtures.ts';
import { isPostgresHere, type PostgresServer, startPostgres } from '../../helpers/postgres.ts';
import { temporaryDirectory } from '../../helpers/temporary.ts';
import { runInside } from '../api/cli-process.ts';
import { aboutASecond, until } from './enrolled.ts';
import { openRemote } from './remote.ts';
import { startVaultStage, type VaultStage } from './rig.ts';
import { sharedUse, spend } from './spending.ts';

const directory = temporaryDirectory();
let postgres: PostgresServer;
let config: string;
let one: VaultStage;
let other: VaultStage;
const BUNDLE = '/v1/host/bundle';

if (!isPresent()) test('replicas over PostgreSQL', () => {});
function isPresent(): boolean {
  if (!isPostgresHere) console.log('not present here: postgres');
  return isPostgresHere;
}

/** Another home with the same master key. */
function twinOf(stage: VaultStage): string {
  const home = directory();
  mkdirSync(join(home, 'config'), { mode: 0o700 });
  copyFileSync(stage.paths.masterKeyFile, join(home, 'config', 'master.key'));
  return home;
}

function statusOf({ server, ca }: VaultStage, headers: Record<string, string>): Promise<number> {
  return new Promise((resolve, reject) => {
    get(new URL(BUNDLE, server.fleet.url), { headers, ca, agent: false }, (response) => {
      response.resume();
      resolve(response.statusCode ?? 0);
    }).on('error', reject);
  });
}

/** What an open route says. */
function read({ server, ca }: VaultStage, path: string): Promise<{ status: number; text: string }> {
  return new Promise((resolve, reject) => {
    get(new URL(path, server.fleet.url), { ca, agent: false }, (response) => {
      let text = '';
      response.setEncoding('utf8').on('data', (part: string) => (text += part));
      response.on('end', () => resolve({ status: response.statusCode ?? 0, text }));
    }).on('error', reject);
  });
}

interface Rotation {
  readonly outcome: string;
  readonly check: string;
}
const rotate = (stage: VaultStage): Promise<Rotation> => stage.api.send<Rotation>('/v1/master-key/rotate', {});
const checkOf = async (stage: VaultStage): Promise<string> => (await stage.api.read<Rotation>('/v1/master-key')).check;
const nextKey = (stage: VaultStage): string => `${stage.paths.masterKeyFile}.next`;
const isFine = (call: Promise<unknown>): Promise<boolean> =>
  call.then(
    () => true,
    () => false,
  );

const code = (expected: string) => expect.objectContaining({ code: expected });

beforeAll(async () => {
  if (!isPostgresHere) return;
  postgres = startPostgres();
  config = `[vault_server]\ndatabase = "${postgres.createDatabase('vault')}"\n`;
  one = await startVaultStage(directory, { config });
  other = await startVaultStage(directory, { config, home: twinOf(one) });
}, 30_000);
afterAll(async () => {
  if (!isPostgresHere) return;
  await other.stop();
  await one.stop();
  postgres.remove();
});

test.runIf(isPostgresHere)(
  'two replicas are one vault: a host of the one is a host of the other, until it is revoked',
  async () => {
    const { fingerprint, vaultId } = one.server.fleet;
    expect(other.server.fleet).toMatchObject({ fingerprint, vaultId });
    const host = await one.enroll('web-01');
    const identity = { hostId: host.answer.host_id, signing: host.keys.signing };
    const elsewhere = new SignedClient({ url: other.server.fleet.url, ca: other.ca, identity });
    await until('the other replica knows the host', async () =>
      elsewhere.call('GET', BUNDLE).then(
        () => true,
        () => false,
      ),
    );
    // The very same request, to one and to the other.
    const parts = { method: 'GET', target: BUNDLE, timestamp: Date.now(), nonce: mintNonce(), body: Buffer.alloc(0) };
    const headers = signedHeaders(identity.hostId, identity.signing, parts);
    expect(await statusOf(one, headers)).toBe(200);
    expect(await statusOf(other, headers)).toBe(401);
    await one.api.send('/v1/hosts/web-01/status', { status: 'revoked' });
    const ms = await until('the other replica knows the end', async () =>
      elsewhere.call('GET', BUNDLE).then(
        () => false,
        () => true,
      ),
    );
    expect(ms).toBeLessThan(aboutASecond());
    await expect(elsewhere.call('GET', BUNDLE)).rejects.toEqual(code('host_inactive'));
    elsewhere.close();
  },
);

test.runIf(isPostgresHere)('what one imports the other has, and both are found well', async () => {
  const { vault } = await openedVault(directory());
  await vault.secrets.create({ name: 'token', providerId: 'good', fields: TOKEN });
  await vault.agents.create({ name: 'bot' });
  await vault.grants.create({ credential: 'token', agent: 'bot' });
  const passphrase = new Secret('SEKRET-marker-passphrase');
  const { file } = await vault.transfer.exportAll({ passphrase, providerFiles: [], costLog2: 10 });
  await vault.close();
  const body = { passphrase: passphrase.reveal(), file: file.toString('base64') };
  expect(await one.api.send('/v1/import', body)).toMatchObject({ import: { outcome: 'imported', added: { grants: 1 } } });
  await until('the other replica has it', async () => {
    const { agents } = await other.api.read<{ agents: readonly { name: string }[] }>('/v1/agents');
    return agents.some(({ name }) => name === 'bot');
  });
  expect(await other.api.send('/v1/import', body)).toMatchObject({ import: { outcome: 'before' } });
  const { code, stdout } = await runInside(one.home, ['vault', 'doctor', '--output', 'json']);
  expect(code).toBe(0);
  const findings = JSON.parse(stdout) as Finding[];
  const of = (check: string) => findings.find((each) => each.check === check);
  expect(of('database')).toMatchObject({ status: 'ok', detail: expect.stringContaining('answers in') });
  expect(of('replicas')).toMatchObject({
    status: 'ok',
    detail: expect.stringMatching(/^connected from local socket \(\d+ connections\)$/),
  });
  expect(of('clock')?.detail).toContain("ms from the database's");
});

test.runIf(isPostgresHere)(
  'a database that went back: no replica goes on with it, none starts on it, until an operator says that it was restored',
  async () => {
    const own = `[vault_server]\ndatabase = "${postgres.createDatabase('restored')}"\n`;
    const before = await startVaultStage(directory, { config: own });
    await before.api.send('/v1/agents', { name: 'bot' });
    const early = await before.enroll('web-01');
    postgres.dump('restored');
    await before.api.send('/v1/agents/bot/status', { status: 'revoked' });
    await before.enroll('web-02');
    postgres.restore('restored');
    // The one that runs remembers what it saw.
    await expect(before.api.send('/v1/agents', { name: 'other' })).rejects.toEqual(code('vault_unavailable'));
    await until('no host is served either', async () =>
      early
        .client()
        .call('GET', BUNDLE)
        .then(
          () => false,
          () => true,
        ),
    );
    await before.stop();
    const start = (acceptRestore: boolean) => startVaultStage(directory, { home: before.home, acceptRestore });
    await expect(start(false)).rejects.toMatchObject({ code: 'vault_unavailable', message: expect.stringMatching(/older than/) });
    const after = await start(true);
    expect(after.server.fleet.fingerprint).toBe(before.server.fleet.fingerprint);
    // What was revoked since is back, hosts of before go on, and one that came since is not known.
    expect(await after.api.read('/v1/agents')).toMatchObject({ agents: [{ name: 'bot', status: 'active' }] });
    const hosts = await after.api.read<{ hosts: readonly { name: string }[] }>('/v1/hosts');
    expect(hosts.hosts.map(({ name }) => name)).toEqual(['web-01']);
    const again = new SignedClient({
      ...{ url: after.server.fleet.url, ca: after.ca },
      identity: { hostId: early.answer.host_id, signing: early.keys.signing },
    });
    expect((await again.call('GET', BUNDLE)).status).toBe(200);
    again.close();
    await after.stop();
    const next = await start(false);
    await next.stop();
  },
  30_000,
);

test.runIf(isPostgresHere)(
  'three hosts at two replicas pass what the limit lets through, and can use nearly all of it',
  async () => {
    await one.api.send('/v1/secrets', { name: 'lent', provider: 'bearer', fields: { token: 'SEKRET-marker-replica' } });
    const kinds = { crowd: 'sliding_window', lone: 'token_bucket' };
    for (const [name, kind] of Object.entries(kinds)) {
      await one.api.send('/v1/agents', { name });
      await one.api.send('/v1/grants', { credential: 'lent', agent: name, hosts: ['api.example.test'] });
      const limit = `{ kind = "${kind}", requests = 100, per = "1d" }`;
      const rule = `[[rules]]\nname = "r"\neffect = "limit"\nlimit = ${limit}\n`;
      await one.api.send('/v1/policies', { toml: `name = "${name}"\nlayer = "agent"\ntargets = ["${name}"]\n${rule}` });
    }
    const hosts = [await one.enroll('q-1'), await one.enroll('q-2')];
    await until(
      'the other replica knows all of it',
      () => other.server.fleet.hosts.list().length === one.server.fleet.hosts.list().length,
    );
    hosts.push(await other.enroll('q-3'));
    const remotes: RemoteVault[] = [];
    for (const [i, host] of hosts.entries()) {
      const stage = i === 2 ? other : one;
      await stage.api.send(`/v1/hosts/${host.name}/assign`, { agents: Object.keys(kinds) });
      remotes.push(await openRemote(stage, host));
      await until(
        'its grants and policies',
        () => remotes[i]?.authority.grants.length === 2 && remotes[i]?.policies.list().length === 2,
      );
    }
    const usesOf = (name: string) =>
      remotes.map((remote) => {
        const agentId = [...remote.authority.agents.values()].find((agent) => agent.name === name)?.id as string;
        const grant = remote.authority.grants.find(
          ({ principal }) => principal.type === 'agent' && principal.agentId === agentId,
        );
        return sharedUse(remote, `${name}/r`, agentId, grant?.id as string);
      });
    const spendAll = async (uses: readonly LimitUse[], requests: readonly number[]): Promise<number> =>
      (await Promise.all(remotes.map((remote, i) => spend(remote, uses[i] as LimitUse, requests[i] as number)))).reduce(
        (a, b) => a + b,
      );

    const crowd = usesOf('crowd');
    let passed = await spendAll(crowd, [60, 60, 60]);
    expect(passed).toBeLessThanOrEqual(100);
    await until('all of it was used', async () => (passed += await spendAll(crowd, [5, 5, 5])) >= 100);
    expect(passed + (await spendAll(crowd, [5, 5, 5]))).toBe(100);
    const lone = usesOf('lone');
    const few = await spendAll(lone, [1, 1, 1]);
    const many = await spendAll(lone, [200, 0, 0]);
    expect(few).toBe(3);
    expect(few + many).toBeGreaterThanOrEqual(95);
    expect(few + many).toBeLessThanOrEqual(100);
    await Promise.all(remotes.map((remote) => remote.close()));
  },
);

test.runIf(isPostgresHere)(
  'a database that is away: nothing is answered, readiness says so, and it goes on by itself',
  async () => {
    const host = await one.enroll('web-02');
    const client = host.client();
    await client.call('GET', BUNDLE);
    postgres.stop('immediate');
    const { code: status, stdout } = await runInside(one.home, ['vault', 'doctor']);
    expect([status, stdout]).toEqual([1, expect.stringMatching(/^failed +database .*can't be reached.*\n.*→ .*`pg_isready`/m)]);
    await expect(client.call('GET', BUNDLE)).rejects.toEqual(code('vault_unavailable'));
    await expect(startVaultStage(directory, { config, home: twinOf(one) })).rejects.toEqual(code('vault_unavailable'));
    postgres.start();
    await until('the database is back', async () =>
      client.call('GET', BUNDLE).then(
        () => true,
        () => false,
      ),
    );
  },
  30_000,
);

test.runIf(isPostgresHere)(
  'the master key is replaced under requests to two replicas that were given the next one: none fails',
  async () => {
    const host = await one.enroll('web-03');
    const identity = { hostId: host.answer.host_id, signing: host.keys.signing };
    const clients = [one, other].map(({ server, ca }) => new SignedClient({ url: server.fleet.url, ca, identity }));
    await until('the other replica knows the host', () => isFine(clients[1]!.call('GET', BUNDLE)));
    // With several replicas the first call only makes the key: they have to have it before.
    expect((await rotate(one)).outcome).toBe('staged');
    copyFileSync(nextKey(one), nextKey(other));
    let isOver = false;
    const load = clients.map(async (client) => {
      let count = 0;
      for (; !isOver; count++) await client.call('GET', BUNDLE);
      return count;
    });
    const { outcome, check } = await rotate(one);
    expect(outcome).toBe('rotated');
    await until('the other replica has let go of the key of before', async () => !existsSync(nextKey(other)));
    expect(await checkOf(other)).toBe(check);
    isOver = true;
    for (const count of await Promise.all(load)) expect(count).toBeGreaterThan(0);
    for (const client of clients) client.close();
    // What this replica seals for itself moved as well.
    await other.stop();
    other = await startVaultStage(directory, { config, home: other.home });
    expect(await checkOf(other)).toBe(check);
    expect(await other.api.send('/v1/audit/verify', {})).toMatchObject({ ok: true });
  },
);

test.runIf(isPostgresHere)(
  'a replica without the new key answers nothing and names what it needs, until its source has it; without a restart',
  async () => {
    const host = await one.enroll('web-04');
    const identity = { hostId: host.answer.host_id, signing: host.keys.signing };
    const elsewhere = new SignedClient({ url: other.server.fleet.url, ca: other.ca, identity });
    await until('the other replica knows the host', () => isFine(elsewhere.call('GET', BUNDLE)));
    await rotate(one);
    const { check } = await rotate(one);
    await until('the other replica refuses', async () => !(await isFine(elsewhere.call('GET', BUNDLE))));
    const missing = { code: 'vault_unavailable', details: { reason: expect.stringMatching(/replaced by another replica at/) } };
    await expect(elsewhere.call('GET', BUNDLE)).rejects.toMatchObject({ code: 'vault_unavailable' });
    await expect(other.api.send('/v1/agents', { name: 'late' })).rejects.toMatchObject({
      ...missing,
      hint: expect.stringContaining(nextKey(other)),
    });
    const ready = await read(other, '/readyz');
    expect([ready.status, JSON.parse(ready.text)]).toMatchObject([
      503,
      { status: 'unready', database: 'ok', master_key: 'missing' },
    ]);
    expect((await read(one, '/readyz')).status).toBe(200);
    copyFileSync(one.paths.masterKeyFile, nextKey(other));
    await until('it has found the key', () => isFine(elsewhere.call('GET', BUNDLE)));
    expect([await checkOf(other), (await read(other, '/readyz')).status]).toEqual([check, 200]);
    await until('the key of before is gone', async () => !existsSync(nextKey(other)));
    elsewhere.close();
  },
);
