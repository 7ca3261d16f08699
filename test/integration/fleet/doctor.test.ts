/** `alterd vault doctor` on a vault that serves: all well, and then one thing after the other that is not. */
import { execFileSync } from 'node:child_process';
import { X509Certificate } from 'node:crypto';
import { once } from 'node:events';
import { chmodSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { createServer } from 'node:tls';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { Finding } from '../../../src/cli/doctor/finding.ts';
import { probeListener } from '../../../src/cli/doctor/vault-probes.ts';
import { loadConfig } from '../../../src/config/load.ts';
import { temporaryDirectory } from '../../helpers/temporary.ts';
import { runInside } from '../api/cli-process.ts';
import { startEnrolled, until } from './enrolled.ts';
import { startVaultStage, type VaultStage } from './rig.ts';

const directory = temporaryDirectory();
let vault: VaultStage;

beforeAll(async () => {
  vault = await startVaultStage(directory, { config: '[metrics]\nlisten = "127.0.0.1:0"\n' });
});
afterAll(() => vault.stop());

async function examined(): Promise<{ code: number | null; findings: Finding[]; of: (check: string) => Finding | undefined }> {
  const { code, stdout } = await runInside(vault.home, ['vault', 'doctor', '--output', 'json']);
  const findings = JSON.parse(stdout) as Finding[];
  return { code, findings, of: (check) => findings.find((each) => each.check === check) };
}

test('nothing fails on one that is well, and each part of it was looked at', async () => {
  const host = await vault.enroll('web-01');
  await host.client().call('GET', '/v1/host/bundle');
  const { code, findings, of } = await examined();
  expect(findings.filter(({ status }) => status === 'failed')).toEqual([]);
  expect(code).toBe(0);
  for (const check of [
    'configuration',
    'database',
    'schema',
    'replicas',
    'master key',
    'permissions',
    'server',
    'listener',
    'certificate',
    'metrics',
  ])
    expect(of(check)).toMatchObject({ check, status: 'ok', fix: null });
  // It borrows and has sent nothing of its journal.
  expect(of('audit of web-01')).toMatchObject({ status: 'exposed' });
  expect(of('master key')?.detail).toContain('it is the one of the database');
});

test('who only shows the certificate of the authority beside a leaf of his own is not it, and gets not a byte', async () => {
  const dir = directory();
  const at = (name: string): string => join(dir, name);
  const openssl = (...args: string[]): Buffer => execFileSync('openssl', args, { stdio: ['ignore', 'pipe', 'ignore'], cwd: dir });
  const ofCurve = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes'];
  // An authority of the same name, whose leaf does not say which of the two it is from.
  const subject = `/${new X509Certificate(vault.ca).subject.split('\n').join('/')}`;
  openssl('req', '-x509', ...ofCurve, '-keyout', 'ca.key', '-out', 'ca.pem', '-days', '1', '-subj', subject);
  openssl('req', '-new', ...ofCurve, '-keyout', 'leaf.key', '-out', 'leaf.csr', '-subj', '/CN=127.0.0.1');
  writeFileSync(at('leaf.ext'), 'subjectAltName = IP:127.0.0.1\nauthorityKeyIdentifier = none\n');
  const signing = ['-CA', 'ca.pem', '-CAkey', 'ca.key', '-CAcreateserial', '-days', '1', '-extfile', 'leaf.ext'];
  const cert = `${openssl('x509', '-req', '-in', 'leaf.csr', ...signing)}${vault.ca}`;
  const key = readFileSync(at('leaf.key'));
  let got = '';
  const other = createServer({ cert, key }, (socket) => socket.on('data', (data) => (got += data.toString('latin1'))));
  other.listen(0, '127.0.0.1');
  await once(other, 'listening');
  const address = `127.0.0.1:${(other.address() as AddressInfo).port}`;
  const { fingerprint } = vault.server.fleet;
  const fleet = { vault_id: '', url: `https://${address}`, address, fingerprint, hosts: [] };
  const { config } = loadConfig({ file: vault.paths.configFile, env: {} });
  const findings = await probeListener(fleet, config, Date.now());
  expect(findings).toMatchObject([
    { check: 'listener', status: 'skipped' },
    { check: 'certificate', status: 'failed' },
  ]);
  other.close();
  await once(other, 'close');
  expect(got).toBe('');
});

test('doctor of the machine says that this is a vault, and what to ask; so does status', async () => {
  const { code, stdout } = await runInside(vault.home, ['doctor', '--output', 'json']);
  const findings = JSON.parse(stdout) as Finding[];
  expect([code, findings.find(({ check }) => check === 'proxy')]).toMatchObject([
    0,
    { status: 'skipped', fix: expect.stringContaining('alterd vault doctor') },
  ]);
  const status = await runInside(vault.home, ['status']);
  expect(status.stdout).toMatch(new RegExp(`serves hosts at +${vault.server.fleet.url}`));
  expect(status.stderr).toContain('alterd vault host list');
});

test('doctor of a host says how it gets on with its vault, and that it was revoked', async () => {
  const home = directory();
  const daemon = await startEnrolled(vault, 'web-09', home, []);
  const looked = async (): Promise<Finding | undefined> => {
    const { stdout } = await runInside(home, ['doctor', '--no-clients', '--output', 'json']);
    return (JSON.parse(stdout) as Finding[]).find(({ check }) => check === 'vault');
  };
  await until('it streams', async () => (await looked())?.status === 'ok');
  await vault.api.send('/v1/kill', { kind: 'host', name: 'web-09' });
  await until('it knows', async () => (await looked())?.status === 'failed');
  expect(await looked()).toMatchObject({
    detail: expect.stringContaining('revoked'),
    fix: expect.stringContaining('invited anew'),
  });
  await daemon.stop();
});

test('another master key, or none, is told before the next start finds out', async () => {
  const { masterKeyFile } = vault.paths;
  renameSync(masterKeyFile, `${masterKeyFile}.aside`);
  const gone = await examined();
  expect([gone.code, gone.of('master key')?.status]).toEqual([1, 'failed']);
  expect(gone.of('master key')?.fix).toBeTruthy();
  const other = await startVaultStage(directory);
  await other.stop();
  renameSync(other.paths.masterKeyFile, masterKeyFile);
  expect((await examined()).of('master key')).toMatchObject({ status: 'failed', detail: expect.stringContaining('not the one') });
  renameSync(`${masterKeyFile}.aside`, masterKeyFile);
  chmodSync(masterKeyFile, 0o644);
  expect((await examined()).of('permissions')).toMatchObject({ status: 'failed', fix: `chmod go= ${masterKeyFile}` });
  chmodSync(masterKeyFile, 0o600);
});

test('a public name that the certificate is not good for, before a host finds out', async () => {
  writeFileSync(vault.paths.configFile, '[vault_server]\npublic_names = ["vault.example.com"]\n');
  const { code, of } = await examined();
  expect([code, of('certificate')]).toMatchObject([1, { status: 'failed', detail: 'it is not good for vault.example.com' }]);
  writeFileSync(vault.paths.configFile, '[vault_server]\nlisten = "nowhere"\n');
  expect(await examined()).toMatchObject({ code: 1, findings: [{ check: 'configuration', status: 'failed' }] });
  writeFileSync(vault.paths.configFile, '');
});

test('one that does not run is told, and what can be looked at without it is', async () => {
  const stopped = await startVaultStage(directory);
  await stopped.stop();
  const { code, stdout } = await runInside(stopped.home, ['vault', 'doctor']);
  expect(code).toBe(1);
  expect(stdout).toMatch(/^failed +server .*no daemon answers.*\n.*→ Start it: `alterd vault start`/m);
  expect(stdout).toMatch(/^ok +database /m);
  expect(stdout).toMatch(/^ok +master key /m);
});
