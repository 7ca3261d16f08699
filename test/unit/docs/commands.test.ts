/**
 * The shell blocks of the documents, word by word, in a directory where `bin/alterd` is this checkout and the provider is on
 * loopback. Every block is listed here: a new one has to be run, or to say why it can't be.
 */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { chmodSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { startOrigin, type TestOrigin } from '../../helpers/origin.ts';
import { makePki } from '../../helpers/pki.ts';
import { PROGRAM } from '../../helpers/program.ts';
import { temporaryDirectory } from '../../helpers/temporary.ts';
import { DOCUMENTS, fencesOf, textOf } from './documents.ts';

const TOKEN = 'ghp_SEKRET-marker-readme';
const directory = temporaryDirectory();

/** First line of each shell block, and why it is not run; null: it is run below. */
const BLOCKS: Readonly<Record<string, string | null>> = {
  'git clone REPOSITORY alterd && cd alterd': 'downloads and compiles; .ci/run does it on a clean checkout',
  'bin/alterd secret add github --token-stdin': null,
  'alterd provider client set google --client-id ID --client-secret-stdin':
    'needs accounts and what others set up; that its commands and options are there is tested in references.test.ts',
  'sudo useradd --system --home-dir /nonexistent --shell /usr/sbin/nologin alterd': 'changes the machine',
  'sudo useradd --system --home-dir /nonexistent --shell /usr/sbin/nologin alterd-vault': 'changes the machine',
  'alterd vault start --listen 0.0.0.0:4790 --public-name vault.example.com':
    'needs two machines; test/e2e runs the same path with two directories',
  'sudo systemctl edit alterd': 'changes the machine',
  'alterd() {': 'needs the installed service; test/integration/systemd calls the command line in this way',
  'alterd backup --out /var/lib/alterd/backups/monday': 'test/integration/api/operations.test.ts follows it',
  'sudo systemctl stop alterd': 'test/integration/api/operations.test.ts follows it',
  'alterd export --out /var/lib/alterd/moving.sealed --passphrase-file /root/passphrase --retire --yes':
    'test/integration/api/operations.test.ts follows it',
  'sudo systemd-run --pipe --wait -p User=alterd-vault -p LoadCredential=masterkey:/etc/alterd-vault-masterkey \\':
    'needs the installed service',
  'pg_dump --format=custom --file=vault.dump vault': 'test/integration/fleet/postgres.test.ts does it',
  'sudo systemctl stop alterd-vault': 'test/integration/fleet/postgres.test.ts does it',
  'npm start': 'the tests themselves',
  'npx vitest run test/unit/policy': 'runs other tests',
};

const firstLine = (text: string): string => (text.split('\n')[0] ?? '').replace(/ +#.*$/, '');
const shellBlocks = DOCUMENTS.flatMap((file) => fencesOf(textOf(file)).filter(({ language }) => language === 'sh'));

test('every shell block is known here, and every known one is there', () => {
  expect(shellBlocks.map(({ text }) => firstLine(text)).toSorted()).toEqual(Object.keys(BLOCKS).toSorted());
});

test('every shell block is valid for bash', () => {
  for (const { text } of shellBlocks)
    expect(spawnSync('bash', ['-n'], { input: text, encoding: 'utf8' })).toMatchObject({ status: 0 });
});

describe('the five minutes of the README', () => {
  const checkout = directory();
  let origin: TestOrigin;
  let daemon: ChildProcess;

  beforeAll(async () => {
    const pki = makePki();
    origin = await startOrigin(pki);
    mkdirSync(join(checkout, 'bin'));
    mkdirSync(join(checkout, 'config'));
    writeFileSync(join(checkout, 'bin', 'alterd'), `#!/bin/sh\nexec '${process.execPath}' '${PROGRAM}' "$@"\n`);
    chmodSync(join(checkout, 'bin', 'alterd'), 0o755);
    writeFileSync(
      join(checkout, 'config', 'alterd.toml'),
      `[listen]\ntcp = "127.0.0.1:0"\n[upstream]\nca_file = "${pki.caFile}"\nresolve = { "api.github.com:443" = "127.0.0.1:${origin.port}" }\n`,
    );
    daemon = spawn(join(checkout, 'bin', 'alterd'), ['start'], { env: environment, stdio: ['ignore', 'pipe', 'ignore'] });
    await new Promise<void>((resolve) => daemon.stdout?.on('data', (text) => String(text).includes('"ready"') && resolve()));
  });
  afterAll(async () => {
    const exit = new Promise((resolve) => daemon.once('exit', resolve));
    daemon.kill('SIGTERM');
    await exit;
    await origin.close();
  });
  /** Not spawnSync: the provider lives in this process. */
  const bash = (command: string): Promise<{ status: number | null; said: string }> =>
    new Promise((resolve) => {
      const child = spawn('bash', ['-c', command], { cwd: checkout, env: environment, stdio: 'pipe' });
      let said = '';
      child.stdout.on('data', (text) => (said += text));
      child.stderr.on('data', (text) => (said += text));
      child.on('close', (status) => resolve({ status, said }));
      child.stdin.on('error', () => {});
      child.stdin.end(TOKEN);
    });
  const environment = { PATH: process.env.PATH, HOME: checkout, ALTERD_HOME: checkout };

  test('work word by word, and the secret is only where it belongs', async () => {
    const curl = spawnSync('curl', ['--version']).error === undefined;
    if (!curl) console.log('not present here: curl');
    const block = shellBlocks.find(({ text }) => firstLine(text).includes('secret add')) as { text: string };
    let printed = '';
    for (const line of block.text.trim().split('\n')) {
      if (!curl && /curl|audit tail|explain/.test(line)) continue;
      const command = line
        // The provider of this test is on loopback, which a grant has to allow.
        .replace(/(grant create .*)$/, '$1 --allow-private')
        .replace(
          'REQUEST_ID',
          /req_\w+/.exec(printed.split('\n').findLast((each) => each.includes('/user')) ?? '')?.[0] ?? 'none',
        );
      const { status, said } = await bash(command);
      expect({ command, status, said }).toMatchObject({ status: 0 });
      printed += said;
    }
    expect(printed).not.toContain('SEKRET');
    if (!curl) return;
    expect(printed).toContain('"url":"/user"');
    expect(printed).toMatch(/^ALLOWED/m);
    expect(origin.arrivals.map(({ url, headers }) => [url, headers.authorization])).toEqual([['/user', `Bearer ${TOKEN}`]]);
  });
});
