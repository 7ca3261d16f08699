/** `alterd export` and `alterd import` as people type them: with a daemon, without one, and what is refused; into a central vault: operations.test.ts. */
import { chmodSync, existsSync, mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { startTestDaemon, type TestDaemon } from '../../helpers/daemon.ts';
import { temporaryDirectory } from '../../helpers/temporary.ts';
import { type CliResult, runCli, runInside } from './cli-process.ts';

const directory = temporaryDirectory();
const PASSPHRASE = 'SEKRET-marker-passphrase';
const PROVIDER = `slug = "house"\nkind = "static"\nname = "House"\nhosts = ["api.house.test"]\nevidence = "general"\n[[fields]]\nname = "token"\nlabel = "Token"\nsecret = true\n[[inject]]\nin = "header"\nname = "Authorization"\ntemplate = "Bearer {token}"\n`;

describe('moving a vault by the command line', () => {
  let source: TestDaemon;
  const dir = directory();
  const file = join(dir, 'vault.sealed');
  const words = join(dir, 'passphrase');
  const moving = (home: string, ...args: string[]): Promise<CliResult> =>
    runInside(home, [...args, '--passphrase-file', words, '--output', 'json']);

  beforeAll(async () => {
    writeFileSync(words, `${PASSPHRASE}\n`);
    source = await startTestDaemon({ home: directory() });
    mkdirSync(source.paths.providersDir, { recursive: true });
    await source.api('POST', '/v1/providers', { toml: PROVIDER });
    await source.agent('bot');
    await source.api('POST', '/v1/secrets', { provider: 'house', name: 'house', fields: { token: 'SEKRET-marker-token' } });
    await source.api('POST', '/v1/grants', { credential: 'house', agent: 'bot', methods: ['GET'] });
  });
  afterAll(() => source.stop());

  test('the daemon seals; the file is private, new and never written over', async () => {
    const made = await moving(source.home, 'export', '--out', file);
    expect(made).toMatchObject({ code: 0 });
    expect(JSON.parse(made.stdout)).toMatchObject({
      file,
      counts: { agents: 1, keys: 1, credentials: 1, grants: 1 },
      retired: null,
    });
    expect(made.stderr).toContain('Provider files do not travel; add them first: house');
    expect(statSync(file).mode & 0o777).toBe(0o600);
    const before = readFileSync(file);
    expect(before.includes('SEKRET')).toBe(false);
    const again = await moving(source.home, 'export', '--out', file);
    expect([again.code, again.stderr]).toEqual([5, expect.stringContaining('is there already')]);
    expect(readFileSync(file)).toEqual(before);
    expect(made.stdout + made.stderr + again.stderr + source.logged.join()).not.toContain('SEKRET');
  });

  test('a place that can not be written costs nothing: no file, no half of one', async () => {
    const closed = join(dir, 'closed', 'vault.sealed');
    const { code, stderr } = await moving(source.home, 'export', '--out', closed);
    expect([code, stderr]).toEqual([2, expect.stringContaining("can't be written (ENOENT)")]);
  });

  test('what is different there is told line by line, and ends with the status of a conflict', async () => {
    const there = await startTestDaemon({ home: directory() });
    try {
      await there.agent('bot');
      const planned = await moving(there.home, 'import', file, '--dry-run');
      expect([planned.code, JSON.parse(planned.stdout).outcome]).toEqual([5, 'conflict']);
      const { code, stderr } = await moving(there.home, 'import', file);
      expect([code, stderr]).toEqual([
        5,
        expect.stringMatching(/agent bot: the name is taken by another one here .*\n.*Nothing was changed/s),
      ]);
      expect(await there.api('GET', '/v1/secrets')).toEqual({ secrets: [] });
    } finally {
      await there.stop();
    }
  });

  test('without a daemon it works on the files, and the daemon starts on them afterwards', async () => {
    const home = directory();
    // By stdin, as a pipe gives it.
    const { code, stderr } = await runCli(home, ['import', file, '--passphrase-stdin'], { input: PASSPHRASE });
    expect([code, stderr]).toEqual([0, expect.stringContaining('No daemon answers')]);
    const out = join(dir, 'second.sealed');
    expect(await moving(home, 'export', '--out', out)).toMatchObject({ code: 0 });
    expect(existsSync(out)).toBe(true);
    const daemon = await startTestDaemon({ home });
    expect(await daemon.api('GET', '/v1/agents')).toMatchObject({ agents: [{ name: 'bot' }] });
    const { entries } = await daemon.api<{ entries: { action: string }[] }>('GET', '/v1/audit?limit=50');
    expect(entries.map(({ action }) => action)).toEqual(expect.arrayContaining(['vault.imported', 'vault.exported']));
    await daemon.stop();
  });

  test.each([
    ['another passphrase', 'SEKRET-marker-not-the-one', (bytes: Buffer) => bytes, 'not the passphrase'],
    ['a file that was cut', PASSPHRASE, (bytes: Buffer) => bytes.subarray(0, 300), 'bytes are there'],
    ['a file of something else', PASSPHRASE, () => Buffer.from('hello\n'), 'does not begin like one'],
  ])('%s is refused with its reason', async (_case, passphrase, change, reason) => {
    const bad = join(directory(), 'bad');
    writeFileSync(bad, change(readFileSync(file)));
    const other = join(directory(), 'words');
    writeFileSync(other, passphrase);
    chmodSync(other, 0o600);
    const { code, stderr } = await runInside(source.home, ['import', bad, '--passphrase-file', other]);
    expect([code, stderr]).toEqual([1, expect.stringContaining(reason)]);
    expect(stderr).not.toContain('SEKRET');
  });

  test('there is nothing to export where there is no vault, and a passphrase is never an argument', async () => {
    const nowhere = await moving(directory(), 'export', '--out', join(dir, 'nothing'));
    expect([nowhere.code, nowhere.stderr]).toEqual([4, expect.stringContaining('There is no vault')]);
    const { code, stderr } = await runInside(source.home, ['export', '--out', join(dir, 'x'), '--passphrase', PASSPHRASE]);
    expect([code, stderr]).toEqual([2, expect.stringContaining('unknown option')]);
  });
});
