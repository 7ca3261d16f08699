/** `alterd start` as a process: ready line, reload, drain; and the entry that people start. */
import { spawnSync } from 'node:child_process';
import { chmodSync, copyFileSync, existsSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { temporaryDirectory } from '../../helpers/temporary.ts';
import { ended, runCli, spawnCli, untilSaid } from './cli-process.ts';

const directory = temporaryDirectory();
const BUNDLE = fileURLToPath(new URL('../../../dist/bundle/', import.meta.url));
const LOADER = fileURLToPath(new URL('../../../bin/loader.cjs', import.meta.url));
const BIN = fileURLToPath(new URL('../../../bin/alterd', import.meta.url));

describe('start', () => {
  test('refuses a wrong configuration before it makes anything', async () => {
    const home = directory();
    const result = await runCli(home, ['start', '--listen', 'everywhere', '--log-level', 'loud']);
    expect(result).toMatchObject({ code: 2, stdout: '' });
    expect(result.stderr.match(/alterd: error:/g)).toHaveLength(2);
    expect(await runCli(home, ['config', 'path', '--output', 'json'])).toMatchObject({
      stdout: expect.stringContaining('"exists": false'),
    });
  });

  test('says where it listens, keeps the old configuration when the new one is wrong, and drains on SIGTERM', async () => {
    const home = directory();
    const child = spawnCli(home, ['start', '--listen', '127.0.0.1:0']);
    const ready = JSON.parse((await untilSaid(child.stdout, /"ready"}\n/)).trim()) as { proxy_tcp: string; pid: number };
    expect(ready).toMatchObject({ proxy_tcp: expect.stringMatching(/^127\.0\.0\.1:\d+$/), pid: child.pid });
    const status = JSON.parse((await runCli(home, ['status', '--output', 'json'])).stdout) as { proxy: { tcp: string } };
    expect(status.proxy.tcp).toBe(ready.proxy_tcp);

    expect(await runCli(home, ['start', '--listen', '127.0.0.1:0'])).toMatchObject({
      code: expect.not.stringMatching('0'),
      stdout: '',
    });

    const file = join(home, 'config', 'alterd.toml');
    writeFileSync(file, 'egress = "maybe"\n');
    const complaint = untilSaid(child.stdout, /the old one stays in force/);
    child.kill('SIGHUP');
    await complaint;
    writeFileSync(file, 'egress = "refuse"\n');
    const reloaded = untilSaid(child.stdout, /configuration reloaded/);
    child.kill('SIGHUP');
    expect(await reloaded).toContain('"changed":["egress"]');

    child.kill('SIGTERM');
    expect(await ended(child)).toBe(0);
  });
});

describe('bin/alterd', () => {
  const install = (isBuilt: boolean): string => {
    const root = directory();
    mkdirSync(join(root, 'bin'));
    mkdirSync(join(root, 'dist', 'bundle', 'cli'), { recursive: true });
    writeFileSync(join(root, 'package.json'), '{"type":"module"}');
    copyFileSync(BIN, join(root, 'bin', 'alterd'));
    chmodSync(join(root, 'bin', 'alterd'), 0o755);
    if (isBuilt)
      writeFileSync(
        join(root, 'dist', 'bundle', 'cli', 'main.cjs'),
        'console.log(process.argv.slice(2).join(" ")); process.exitCode = 9;',
      );
    return root;
  };

  test('says what to do while nothing is built', () => {
    expect(spawnSync(join(install(false), 'bin', 'alterd'), ['status'], { encoding: 'utf8' })).toMatchObject({
      status: 1,
      stdout: '',
      stderr: expect.stringContaining('npm start'),
    });
  });

  test('is the built CLI in one process, also through a symbolic link', () => {
    const link = join(directory(), 'alterd');
    symlinkSync(join(install(true), 'bin', 'alterd'), link);
    expect(spawnSync(link, ['a', 'b c'], { encoding: 'utf8' })).toMatchObject({ status: 9, stdout: 'a b c\n' });
  });

  test('is strict, as its sources are', () => {
    for (const file of ['cli/main.script', 'journal/writer.cjs', 'sinks/worker.cjs', 'crypto/keyring-child.cjs'])
      expect(readFileSync(join(BUNDLE, file), 'utf8')).toMatch(/^(\(function \([^)]*\) \{)?'use strict';/);
  });

  test('never runs code that was kept of another bundle, be it as long', () => {
    const root = install(true);
    const cli = join(root, 'dist', 'bundle', 'cli');
    copyFileSync(LOADER, join(cli, 'main.cjs'));
    const run = (word: string): string => {
      writeFileSync(join(cli, 'main.script'), `(function () {console.log('${word}');})`);
      return spawnSync(join(root, 'bin', 'alterd'), { encoding: 'utf8' }).stdout;
    };
    expect(run('one')).toBe('one\n');
    const keep = `const { codeFile, contents } = require('${join(cli, 'main.cjs')}').compiledNow(); require('node:fs').writeFileSync(codeFile, contents)`;
    expect(spawnSync(process.execPath, ['-e', keep], { encoding: 'utf8' })).toMatchObject({ status: 0 });
    expect(existsSync(join(cli, 'main.code'))).toBe(true);
    expect(run('one')).toBe('one\n');
    expect(run('two')).toBe('two\n');
  });
});
