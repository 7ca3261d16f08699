/** How a central vault shows itself: certificates of its own and of its operator, health, metrics, and what it refuses to start with. */
import { writeFileSync } from 'node:fs';
import { get } from 'node:http';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import type { HostView } from '../../../src/api/hosts.ts';
import { authorityFromRecord, mintAuthorityRecord } from '../../../src/ca/authority.ts';
import { Secret } from '../../../src/domain/secret.ts';
import { ownIdentity } from '../../../src/fleet/server-identity.ts';
import { HOST_CAPABILITIES } from '../../../src/vault/host-capabilities.ts';
import { enrollHost } from '../../../src/vault-client/enrollment.ts';
import { fetchAuthority } from '../../../src/vault-client/pinning.ts';
import { startTestDaemon } from '../../helpers/daemon.ts';
import { freePort } from '../../helpers/free-port.ts';
import { temporaryDirectory } from '../../helpers/temporary.ts';
import { enrollHome } from './enrolled.ts';
import { startVaultStage } from './rig.ts';

const directory = temporaryDirectory();

/** Files of an operator's authority, with a leaf for this name. */
function operatorFiles(host: string, family: 0 | 4) {
  const ca = authorityFromRecord(mintAuthorityRecord('operator CA'), '');
  const { cert, key } = ownIdentity(ca, [{ host, family }]).tls();
  const dir = directory();
  const paths = {
    leaf: join(dir, 'leaf.pem'),
    chain: join(dir, 'chain.pem'),
    key: join(dir, 'key.pem'),
    ca: join(dir, 'ca.pem'),
  };
  writeFileSync(paths.leaf, cert.replace(ca.certPem, ''));
  writeFileSync(paths.chain, cert);
  writeFileSync(paths.key, key, { mode: 0o600 });
  writeFileSync(paths.ca, ca.certPem);
  return { ...paths, fingerprint: ca.fingerprintSha256 };
}

const tlsKeys = (cert: string, key: string, ca = ''): string =>
  `[vault_server]\ntls_cert_file = "${cert}"\ntls_key_file = "${key}"\ntls_ca_file = "${ca}"\n`;

test.each(['the chain', 'the leaf with its authority beside it'])("an operator's own certificate is shown: %s", async (which) => {
  const files = operatorFiles('127.0.0.1', 4);
  const config = which === 'the chain' ? tlsKeys(files.chain, files.key) : tlsKeys(files.leaf, files.key, files.ca);
  const stage = await startVaultStage(directory, { config });
  expect(stage.server.fleet.fingerprint).toBe(files.fingerprint);
  expect(await stage.enroll('web-01')).toMatchObject({ answer: { host_name: 'web-01' } });
  await stage.stop();
});

test.each<[string, (files: ReturnType<typeof operatorFiles>) => string, string]>([
  ['a leaf without its authority', (files) => tlsKeys(files.leaf, files.key), 'tls_ca_file'],
  ['the key of another', (files) => tlsKeys(files.chain, operatorFiles('127.0.0.1', 4).key), 'a certificate with its key'],
  ['a file that is not there', (files) => tlsKeys(`${files.chain}.gone`, files.key), "can't be read (ENOENT)"],
  ['a certificate without a key', (files) => tlsKeys(files.chain, ''), 'needs vault_server.tls_key_file as well'],
  [
    'a database with a password in its name',
    () => '[vault_server]\ndatabase = "postgres://me:pw@db/vault"\n',
    'without a password',
  ],
])('a vault does not start with %s', async (_name, configOf, problem) => {
  const starting = startVaultStage(directory, { config: configOf(operatorFiles('127.0.0.1', 4)) });
  await expect(starting).rejects.toMatchObject({ code: 'invalid_input', message: expect.stringContaining(problem) });
});

test('a name that is not in the certificate is not the vault, and the error says where to add it', async () => {
  const files = operatorFiles('vault.good.test', 0);
  const stage = startVaultStage(directory, { config: tlsKeys(files.chain, files.key) });
  const { server, ca, stop } = await stage;
  const about = { capabilities: [], version: '1', stateDir: directory(), sealer: { seal: Buffer.from, open: Buffer.from } };
  await expect(enrollHost({ url: server.fleet.url, ca, token: new Secret('x'), ...about })).rejects.toMatchObject({
    code: 'vault_untrusted',
    message: expect.stringContaining('vault_server.public_names'),
  });
  await stop();
});

test('health, readiness and metrics, on a listener of their own', async () => {
  const port = await freePort();
  const stage = await startVaultStage(directory, { config: `[metrics]\nlisten = "127.0.0.1:${port}"\n` });
  const read = (path: string): Promise<{ status: number; text: string }> =>
    new Promise((resolve, reject) => {
      get({ host: '127.0.0.1', port, path, agent: false }, (response) => {
        let text = '';
        response.setEncoding('utf8').on('data', (part: string) => {
          text += part;
        });
        response.on('end', () => resolve({ status: response.statusCode ?? 0, text }));
      }).on('error', reject);
    });
  await stage.enroll('web-01');
  await stage.invite('web-02');
  expect(await read('/healthz')).toEqual({ status: 200, text: '{"status":"ok"}' });
  expect(JSON.parse((await read('/readyz')).text)).toMatchObject({ status: 'ready', database: 'ok' });
  const { text } = await read('/metrics');
  for (const line of [
    'alterd_fleet_hosts{status="active"} 1',
    'alterd_fleet_hosts{status="invited"} 1',
    'alterd_fleet_calls_total{route="/v1/enroll",status="200"} 1',
    'alterd_audit_healthy 1',
  ])
    expect(text).toContain(line);
  expect(text).not.toContain('web-0');
  expect((await read('/v1/enroll')).status).toBe(404);
  await stage.stop();
});

test('a daemon says at its start what it is able to enforce, whatever it was when it was enrolled', async () => {
  const stage = await startVaultStage(directory);
  const home = directory();
  await enrollHome(stage, 'web-01', home, []);
  const { hosts } = stage.server.fleet;
  const { id, signingKey, sealingKey } = hosts.find('web-01');
  await hosts.replaceKeys(id, {
    signingKey: signingKey ?? '',
    sealingKey: sealingKey ?? '',
    capabilities: ['grants.99'],
    version: '99',
  });
  const daemon = await startTestDaemon({ home });
  const { host } = await stage.api.read<{ host: HostView }>('/v1/hosts/web-01');
  expect([host.capabilities, host.version]).toEqual([[...HOST_CAPABILITIES].sort(), '0.1.0']);
  await daemon.stop();
  await stage.stop();
});

test('where nothing listens, the error names the vault', async () => {
  await expect(fetchAuthority(`https://127.0.0.1:${await freePort()}`, '')).rejects.toMatchObject({
    code: 'vault_unavailable',
    message: expect.stringContaining('ECONNREFUSED'),
  });
});
