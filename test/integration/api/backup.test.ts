/** Backups of a daemon that works, and what becomes of them: restored where they belong, refused where anything about them is not right. */
import {
  appendFileSync,
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { loadConfig } from '../../../src/config/load.ts';
import { resolvePaths } from '../../../src/config/paths.ts';
import { restoreBackup } from '../../../src/restore.ts';
import { startTestDaemon, type TestDaemon } from '../../helpers/daemon.ts';
import { temporaryDirectory } from '../../helpers/temporary.ts';
import { runInside } from './cli-process.ts';

const directory = temporaryDirectory();
const POLICY = 'name = "p"\nlayer = "installation"\n[[rules]]\nname = "r"\neffect = "deny"\non = { methods = ["DELETE"] }\n';

interface Entry {
  readonly action: string;
  readonly details: Record<string, unknown>;
}
const agentsOf = async (daemon: TestDaemon): Promise<Record<string, string>> => {
  const { agents } = await daemon.api<{ agents: { name: string; status: string }[] }>('GET', '/v1/agents');
  return Object.fromEntries(agents.map(({ name, status }) => [name, status]));
};
const entriesOf = async (daemon: TestDaemon): Promise<readonly Entry[]> =>
  (await daemon.api<{ entries: Entry[] }>('GET', '/v1/audit?limit=200')).entries;
const restoring = (home: string, from: string) => runInside(home, ['restore', from, '--yes', '--output', 'json']);

describe('a backup of a daemon that works', () => {
  const home = directory();
  const backup = join(directory(), 'backup');
  let daemon: TestDaemon;

  beforeAll(async () => {
    const first = await startTestDaemon({ home });
    mkdirSync(first.paths.policiesDir, { recursive: true });
    writeFileSync(join(first.paths.policiesDir, 'p.toml'), POLICY);
    await first.agent('early');
    await first.api('POST', '/v1/secrets', { provider: 'bearer', name: 's', fields: { token: 'SEKRET-marker-token' } });
    daemon = first;
  });
  afterAll(() => rmSync(home, { recursive: true, force: true }));

  test('is made while rows are written, holds no key and nothing readable, and is never made over another one', async () => {
    let isMaking = true;
    const working = (async () => {
      for (let n = 0; isMaking; n++) await daemon.api('POST', '/v1/agents', { name: `busy-${n}` });
    })();
    const made = await runInside(home, ['backup', '--out', backup, '--output', 'json']);
    isMaking = false;
    await working;
    expect(made).toMatchObject({ code: 0, stderr: expect.stringContaining('The master key (source "file") is not in it') });
    expect(JSON.parse(made.stdout)).toMatchObject({ directory: backup, database: 'sqlite' });
    expect(statSync(backup).mode & 0o777).toBe(0o700);
    const files = readdirSync(backup, { recursive: true, encoding: 'utf8' }).filter((name) =>
      statSync(join(backup, name)).isFile(),
    );
    expect(files.sort()).toEqual([
      ...['audit.key', 'audit/audit.db', 'audit/audit.head', 'ca/ca.crt', 'ca/ca.key', 'config/alterd.toml'],
      ...['config/policies/p.toml', 'manifest.json', 'vault.db'],
    ]);
    const key = readFileSync(daemon.paths.masterKeyFile);
    for (const name of files) {
      const bytes = readFileSync(join(backup, name));
      expect([name, bytes.includes('SEKRET'), bytes.includes(key)]).toEqual([name, false, false]);
      if (!/\.(crt|toml)$/.test(name)) expect([name, statSync(join(backup, name)).mode & 0o077]).toEqual([name, 0]);
    }
    const again = await runInside(home, ['backup', '--out', backup]);
    expect([again.code, again.stderr]).toEqual([5, expect.stringContaining('is there already')]);
    expect(readdirSync(join(backup, '..'))).toEqual(['backup']);
    expect((await entriesOf(daemon)).map(({ action }) => action)).toContain('vault.backed_up');
  });

  test('is not put under a daemon that runs', async () => {
    const { code, stderr } = await restoring(home, backup);
    expect([code, stderr]).toEqual([5, expect.stringContaining('systemctl stop alterd')]);
  });

  test('on the same machine: the journal stays, and says what was undone; the next start needs no word', async () => {
    await daemon.agent('late');
    await daemon.api('POST', '/v1/agents/early/status', { status: 'revoked' });
    await daemon.running.stop();
    const restored = await restoring(home, backup);
    expect(restored).toMatchObject({ code: 0, stderr: expect.stringContaining('is undone') });
    const report = JSON.parse(restored.stdout) as { aside: string; restored: string[]; journal: string };
    expect(report).toMatchObject({ journal: 'kept', restored: ['vault.db'] });
    expect(readdirSync(report.aside)).toContain('vault.db');
    daemon = await startTestDaemon({ home });
    const agents = await agentsOf(daemon);
    expect([agents.early, agents.late]).toEqual(['active', undefined]);
    const entries = await entriesOf(daemon);
    expect(entries.filter(({ action }) => action === 'vault.restore_accepted').map(({ details }) => details.reason)).toEqual([
      'a backup was restored',
      expect.stringMatching(/^it is older than the audit journal says/),
    ]);
    expect(entries.map(({ action }) => action)).toEqual(expect.arrayContaining(['agent.revoked', 'vault.backed_up']));
    expect(await daemon.api('POST', '/v1/audit/verify')).toMatchObject({ ok: true });
  });

  test('an announced restore lets in nothing else: a database that was copied back without one is refused', async () => {
    const { vaultDb } = daemon.paths;
    await daemon.running.stop();
    for (const side of ['', '-wal', '-shm']) rmSync(vaultDb + side, { force: true });
    cpSync(join(backup, 'vault.db'), vaultDb);
    await expect(startTestDaemon({ home })).rejects.toMatchObject({
      code: 'vault_unavailable',
      message: expect.stringMatching(/older than/),
    });
    expect(await restoring(home, backup)).toMatchObject({ code: 0 });
    daemon = await startTestDaemon({ home });
  });

  test('on a new machine, with the key that was kept elsewhere: everything is there, the journal too', async () => {
    const other = directory();
    const without = await restoring(other, backup);
    expect([without.code, without.stderr]).toEqual([1, expect.stringContaining('key')]);
    expect(existsSync(join(other, 'state', 'vault.db'))).toBe(false);
    mkdirSync(join(other, 'config'), { recursive: true, mode: 0o700 });
    cpSync(daemon.paths.masterKeyFile, join(other, 'config', 'master.key'));
    const restored = await restoring(other, backup);
    expect(restored).toMatchObject({ code: 0 });
    expect(JSON.parse(restored.stdout)).toMatchObject({ journal: 'restored', aside: null, left: [] });
    const there = await startTestDaemon({ home: other });
    expect(await agentsOf(there)).toMatchObject({ early: 'active', 'busy-0': 'active' });
    expect((await there.api<{ fingerprint_sha256: string }>('GET', '/v1/ca')).fingerprint_sha256).toBe(
      (await daemon.api<{ fingerprint_sha256: string }>('GET', '/v1/ca')).fingerprint_sha256,
    );
    expect(await there.api('GET', '/v1/policies')).toMatchObject({ policies: [{ name: 'p' }] });
    expect(await there.api('POST', '/v1/audit/verify')).toMatchObject({ ok: true });
    expect((await entriesOf(there)).map(({ action }) => action)).toEqual(
      expect.arrayContaining(['agent.created', 'vault.backed_up', 'vault.restore_accepted']),
    );
    await there.running.stop();
  });

  test('what is changed after it was looked at is not taken: the copy is looked at once more, and all is as before', async () => {
    const target = directory();
    cpSync(home, target, { recursive: true, filter: (path) => !path.endsWith('.sock') });
    const copy = join(directory(), 'copy');
    cpSync(backup, copy, { recursive: true });
    const paths = resolvePaths({ home: target, env: {} });
    const before = readFileSync(paths.vaultDb);
    const filesBefore = readdirSync(paths.stateDir);
    const swapping = {
      ...paths,
      // Asked for once everything was looked at, and before anything is copied.
      get auditDir(): string {
        appendFileSync(join(copy, 'vault.db'), 'x');
        return paths.auditDir;
      },
    };
    const load = () => loadConfig({ file: paths.configFile, env: {} });
    const restored = restoreBackup({ paths: swapping, from: copy, load, warn: () => {} });
    await expect(restored).rejects.toMatchObject({ message: expect.stringContaining('vault.db is not as it was written') });
    expect(readFileSync(paths.vaultDb).equals(before)).toBe(true);
    expect(readdirSync(paths.stateDir)).toEqual(filesBefore);
  });

  test.each<[string, (copy: string, home: string) => void, RegExp]>([
    [
      'a byte of the database is another one',
      (copy) => appendFileSync(join(copy, 'vault.db'), 'x'),
      /vault\.db is not as it was written/,
    ],
    ['the journal is missing', (copy) => rmSync(join(copy, 'audit', 'audit.db')), /audit\/audit\.db is missing/],
    [
      'its list names a file elsewhere',
      (copy) => change(copy, (text) => text.replace('"audit.key"', '"../audit.key"')),
      /changed by something other than alterd/,
    ],
    [
      'it is of a newer alterd',
      (copy) => change(copy, (text) => text.replace('"alterd_backup":1', '"alterd_backup":2')),
      /format 2/,
    ],
    ['it is none', (copy) => rmSync(join(copy, 'manifest.json')), /manifest\.json is missing/],
    [
      'the master key is another one',
      (_copy, there) =>
        writeFileSync(join(there, 'config', 'master.key'), Buffer.alloc(32, 9).toString('base64'), { mode: 0o600 }),
      /key/,
    ],
  ])('is refused when %s, and nothing is changed', async (_case, spoil, reason) => {
    const there = directory();
    mkdirSync(join(there, 'config'), { recursive: true, mode: 0o700 });
    cpSync(daemon.paths.masterKeyFile, join(there, 'config', 'master.key'));
    const copy = join(directory(), 'copy');
    cpSync(backup, copy, { recursive: true });
    spoil(copy, there);
    const { code, stderr } = await restoring(there, copy);
    expect([code === 0, stderr]).toEqual([false, expect.stringMatching(reason)]);
    expect(existsSync(join(there, 'state'))).toBe(false);
  });

  test('without the daemon it is made as well', async () => {
    await daemon.running.stop();
    const offline = join(directory(), 'offline');
    expect(await runInside(home, ['backup', '--out', offline])).toMatchObject({ code: 0 });
    expect(existsSync(join(offline, 'manifest.json'))).toBe(true);
  });
});

function change(copy: string, edit: (text: string) => string): void {
  const file = join(copy, 'manifest.json');
  writeFileSync(file, edit(readFileSync(file, 'utf8')));
}
