/** The master key is replaced while requests go on, whoever kills the daemon meanwhile; and the key of before opens nothing afterwards. */
import { spawn } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { cpSync, existsSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import Database from 'better-sqlite3';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { startTestDaemon, type TestDaemon } from '../../helpers/daemon.ts';
import { startOrigin, type TestOrigin } from '../../helpers/origin.ts';
import { makePki } from '../../helpers/pki.ts';
import { temporaryDirectory } from '../../helpers/temporary.ts';
import { GOOD, SECRET, speakerFor } from '../../security/support/wall.ts';
import { runInside } from '../api/cli-process.ts';

interface Report {
  readonly source: string;
  readonly outcome: string;
  readonly check: string;
  readonly since: string | null;
  readonly left_to_do: readonly string[];
}

const directory = temporaryDirectory();
const pki = makePki();
let origin: TestOrigin;
let daemon: TestDaemon;
let agent: { readonly authorization: string };

beforeAll(async () => {
  origin = await startOrigin(pki);
  const config = `[upstream]\nca_file = "${pki.caFile}"\nresolve = { "${GOOD}:443" = "127.0.0.1:${origin.port}" }\n`;
  daemon = await startTestDaemon({ config, home: directory() });
  await daemon.api('POST', '/v1/secrets', { name: 'demo', provider: 'bearer', fields: { token: SECRET } });
  agent = await daemon.agent('bot');
  await daemon.api('POST', '/v1/grants', { credential: 'demo', agent: 'bot', hosts: [GOOD], allow_private: true });
});
afterAll(async () => {
  await daemon.stop();
  await origin.close();
  rmSync(pki.dir, { recursive: true, force: true });
});

const rotate = (of = daemon, body: object = {}): Promise<Report> => of.api<Report>('POST', '/v1/master-key/rotate', body);
const start = (home: string): Promise<TestDaemon> => startTestDaemon({ home });
const keyFile = (of = daemon): string => of.paths.masterKeyFile;

/** A request of the agent, and what the provider saw of it. */
async function ask(of: TestDaemon): Promise<string> {
  const { status } = await speakerFor(of, agent.authorization).ask('/');
  return `${status} ${String(origin.arrivals.at(-1)?.headers.authorization)}`;
}

async function expectWhole(of: TestDaemon): Promise<void> {
  expect(await ask(of)).toBe(`200 Bearer ${SECRET}`);
  expect(await of.api('POST', '/v1/audit/verify')).toMatchObject({ ok: true });
  expect(of.logged.filter((line) => /"level":"error"|damaged/.test(line))).toEqual([]);
}

it('under requests: none of them fails, everything opens with the new key at the next start, and the audit tells', async () => {
  const before = readFileSync(keyFile(), 'utf8');
  const fingerprint = daemon.running.ca().fingerprintSha256;
  const seen: string[] = [];
  let isOver = false;
  const load = Array.from({ length: 4 }, async () => {
    while (!isOver) seen.push(await ask(daemon));
  });
  const report = await rotate();
  const during = seen.length;
  isOver = true;
  await Promise.all(load);
  expect(new Set(seen)).toEqual(new Set([`200 Bearer ${SECRET}`]));
  expect(seen.length).toBeGreaterThan(during);
  expect(report).toMatchObject({ outcome: 'rotated', left_to_do: [] });
  expect(await daemon.api('GET', '/v1/master-key')).toMatchObject({ check: report.check, since: report.since });
  expect(readFileSync(keyFile(), 'utf8')).not.toBe(before);
  expect(statSync(keyFile()).mode & 0o777).toBe(0o600);
  expect(readdirSync(daemon.paths.configDir).filter((name) => name.includes('key'))).toEqual(['master.key']);
  const { entries } = await daemon.api<{ entries: { action: string }[] }>('GET', '/v1/audit?kind=event&limit=50');
  const actions = entries.map(({ action }) => action).filter((action) => action.includes('master_key'));
  expect(actions).toEqual(['vault.master_key_retired', 'vault.master_key_rotated', 'vault.master_key_staged']);

  await daemon.running.stop();
  daemon = await start(daemon.home);
  await expectWhole(daemon);
  expect(daemon.running.ca().fingerprintSha256).toBe(fingerprint);
});

it('by the command, which asks before; and a CA that is made after it is sealed by the new key', async () => {
  const { check } = await daemon.api<Report>('GET', '/v1/master-key');
  expect((await runInside(daemon.home, ['vault', 'rotate-key'])).code).not.toBe(0);
  expect(await daemon.api('GET', '/v1/master-key')).toMatchObject({ check });
  const before = dataKeys();
  const { code, stdout, stderr } = await runInside(daemon.home, ['vault', 'rotate-key', '--reseal', '--yes', '--output', 'json']);
  expect(code, stderr).toBe(0);
  const report = JSON.parse(stdout) as Report;
  expect(report).toMatchObject({ outcome: 'rotated', source: 'file', secrets_resealed: true });
  expect(dataKeys()).toEqual([expect.not.stringMatching(before[0] ?? '')]);
  expect(report.check).not.toBe(check);
  expect(stdout + stderr).not.toContain(readFileSync(keyFile(), 'utf8').trim());
  const { fingerprint_sha256 } = await daemon.api<{ fingerprint_sha256: string }>('POST', '/v1/ca/rotate');
  await daemon.running.stop();
  daemon = await start(daemon.home);
  expect(daemon.running.ca().fingerprintSha256).toBe(fingerprint_sha256);
  await expectWhole(daemon);
});

it('the key of before opens nothing: the start says which one is missing and touches nothing; nor can it be put in force again', async () => {
  const old = readFileSync(keyFile());
  await rotate();
  const fresh = readFileSync(keyFile());
  await daemon.running.stop();
  writeFileSync(keyFile(), old);
  const before = digests(daemon.paths.stateDir);
  await expect(start(daemon.home)).rejects.toMatchObject({
    code: 'vault_unavailable',
    details: { reason: expect.stringMatching(/master key was replaced at \d{4}-.*one of before/) },
    hint: expect.stringContaining(`${keyFile()}.next`),
  });
  expect(digests(daemon.paths.stateDir)).toEqual(before);
  writeFileSync(keyFile(), fresh);
  daemon = await start(daemon.home);
  await expectWhole(daemon);
  writeFileSync(`${keyFile()}.next`, old, { mode: 0o600 });
  await expect(rotate()).rejects.toThrow(/in force before/);
  rmSync(`${keyFile()}.next`);
});

it('one that is only staged changes nothing until it is asked for, and waits over a restart', async () => {
  const { check, outcome } = await rotate(daemon, { stage: true });
  expect(outcome).toBe('staged');
  const next = readFileSync(`${keyFile()}.next`, 'utf8');
  await daemon.running.stop();
  daemon = await start(daemon.home);
  expect(await daemon.api('GET', '/v1/master-key')).toMatchObject({ check });
  await rotate();
  expect(readFileSync(keyFile(), 'utf8')).toBe(next);
});

it('a key that systemd keeps: it says what to put where, goes over when both are there, and needs the new one alone in the end', async () => {
  const home = directory();
  const folder = directory();
  const [old, fresh] = [randomBytes(32), randomBytes(32)];
  const give = (names: Readonly<Record<string, Buffer>>): void => {
    for (const name of readdirSync(folder)) rmSync(join(folder, name));
    for (const [name, bytes] of Object.entries(names)) writeFileSync(join(folder, name), bytes, { mode: 0o400 });
  };
  process.env.CREDENTIALS_DIRECTORY = folder;
  try {
    give({ masterkey: old });
    let unit = await start(home);
    const ca = unit.running.ca().fingerprintSha256;
    await expect(rotate(unit)).rejects.toThrow(/LoadCredentialEncrypted=masterkey-next/);
    // systemd passes them anew only at a start; here the daemon finds the second one at once.
    give({ masterkey: old, 'masterkey-next': fresh });
    expect(await rotate(unit)).toMatchObject({ outcome: 'rotated', left_to_do: [expect.stringMatching(/--name=masterkey /)] });
    await expect(rotate(unit)).rejects.toThrow(/still the systemd credential/);
    await unit.running.stop();
    // The two credentials as they were, the new one alone, the old one alone.
    const stages: Readonly<Record<string, Buffer>>[] = [{ masterkey: old, 'masterkey-next': fresh }, { masterkey: fresh }];
    for (const names of stages) {
      give(names);
      unit = await start(home);
      expect(unit.running.ca().fingerprintSha256).toBe(ca);
      expect(await unit.api('POST', '/v1/audit/verify')).toMatchObject({ ok: true });
      await unit.running.stop();
    }
    give({ masterkey: old });
    await expect(start(home)).rejects.toMatchObject({ code: 'vault_unavailable' });
  } finally {
    delete process.env.CREDENTIALS_DIRECTORY;
  }
});

it('killed at any step it starts again, with the key that the vault names, and ends what was begun', async () => {
  await daemon.running.stop();
  const steps = [
    'the vault opens with the new master key',
    'sealed by the new master key',
    'the journal is sealed by the new master key',
  ];
  const killed = steps.map((step) => {
    const home = directory();
    cpSync(daemon.home, home, { recursive: true });
    return { home, step };
  });
  const script = join(import.meta.dirname, 'killed-rotation.ts');
  const args = ['--import', 'tsx', script, ...killed.flatMap(({ home, step }) => [home, step])];
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'ignore', 'inherit'] });
  expect(await new Promise((resolve) => child.once('close', (_code, how) => resolve(how)))).toBe('SIGKILL');
  for (const { home, step } of killed) {
    const next = join(home, 'config', 'master.key.next');
    expect(existsSync(next), step).toBe(true);
    const text = readFileSync(next, 'utf8');
    const again = await start(home);
    await expectWhole(again);
    expect(existsSync(next), step).toBe(false);
    expect(readFileSync(keyFile(again), 'utf8'), step).toBe(text);
    await again.stop();
  }
  daemon = await start(daemon.home);
}, 60_000);

function dataKeys(): string[] {
  const db = new Database(daemon.paths.vaultDb, { readonly: true });
  try {
    return db.prepare<[], string>('select id from data_keys').pluck().all();
  } finally {
    db.close();
  }
}

/** Of every file that the key of an installation opens. */
function digests(dir: string): Record<string, string> {
  const names = readdirSync(dir, { recursive: true, encoding: 'utf8' }).filter((name) => statSync(join(dir, name)).isFile());
  const kept = names.filter((name) => !/lock$|-wal$|-shm$/.test(name));
  return Object.fromEntries(
    kept.map((name) => [
      name,
      createHash('sha256')
        .update(readFileSync(join(dir, name)))
        .digest('hex'),
    ]),
  );
}
