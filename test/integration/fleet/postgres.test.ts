/** Replicas of a vault over PostgreSQL: one vault to its hosts, a replay refused by the other, and an end that both know. */
import { copyFileSync, mkdirSync } from 'node:fs';
import { get } from 'node:https';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { Finding } from '../../../src/cli/doctor/finding.ts';
import { mintNonce, signedHeaders } from '../../../src/crypto/request-signing.ts';
import { Secret } from '../../../src/domain/secret.ts';
import { SignedClient } from '../../../src/vault-client/signed-client.ts';
import { openedVault, TOKEN } from '../../contract/vault/fixtures.ts';
import { isPostgresHere, type PostgresServer, startPostgres } from '../../helpers/postgres.ts';
import { temporaryDirectory } from '../../helpers/temporary.ts';
import { runInside } from '../api/cli-process.ts';
import { aboutASecond, until } from './enrolled.ts';
import { startVaultStage, type VaultStage } from './rig.ts';

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
