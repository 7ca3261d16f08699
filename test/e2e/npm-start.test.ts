/**
 * `npm start` in a checkout, as README says it: the first builds and makes what is missing, the second finds everything in place.
 * Runs in a copy, with this project's packages linked in and noted as installed, so that nothing is ever installed here.
 */
import { createHash } from 'node:crypto';
import { cpSync, mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { type Ended, PROJECT, plainEnv, runProgram } from '../helpers/alterd-process.ts';
import { temporaryDirectory } from '../helpers/temporary.ts';

const temporary = temporaryDirectory();

function makeCheckout(): string {
  const checkout = join(temporary(), 'alterd');
  const modules = join(checkout, 'node_modules');
  mkdirSync(modules, { recursive: true });
  for (const name of ['bin', 'src', 'config', 'package.json', 'package-lock.json', 'tsconfig.json', '.npmrc'])
    cpSync(join(PROJECT, name), join(checkout, name), { recursive: true });
  for (const name of readdirSync(join(PROJECT, 'node_modules')))
    if (!name.startsWith('.alterd')) symlinkSync(join(PROJECT, 'node_modules', name), join(modules, name));
  const stamp = createHash('sha256')
    .update(readFileSync(join(checkout, 'package-lock.json')))
    .update(process.versions.modules);
  writeFileSync(join(modules, '.alterd-setup'), stamp.digest('hex'));
  return checkout;
}

/** Starts it, and ends the daemon as soon as it is ready. */
function npmStart(checkout: string, home: string): Promise<Ended> {
  let isEnding = false;
  return runProgram('npm', ['start', '--silent'], {
    cwd: checkout,
    env: { ...plainEnv(home), ALTERD_HOME: home, ALTERD_LISTEN_TCP: '127.0.0.1:0' },
    timeoutMs: 60_000,
    onStdout: (printed) => {
      const ready = /^\{.*"msg":"ready".*\}$/m.exec(printed);
      if (ready === null || isEnding) return;
      isEnding = true;
      process.kill((JSON.parse(ready[0]) as { pid: number }).pid, 'SIGTERM');
    },
  });
}

const contents = (dir: string): string[] =>
  readdirSync(dir).map(
    (name) =>
      `${name} ${createHash('sha256')
        .update(readFileSync(join(dir, name)))
        .digest('hex')}`,
  );

it('builds, makes what is missing and starts; the second time it only starts', async () => {
  const checkout = makeCheckout();
  const home = temporary();
  const first = await npmStart(checkout, home);
  expect(first.status, first.stderr).toBe(0);
  expect(first.stderr).toContain('alterd: building');
  expect(first.stderr).not.toContain('installing');
  expect(first.stdout).toContain('"msg":"ready"');
  expect(first.stderr).toContain('In a second terminal:');
  expect(first.stderr).toContain('bin/alterd secret add github --token-stdin');

  const config = contents(join(home, 'config'));
  const ca = readFileSync(join(home, 'state', 'ca', 'ca.crt'), 'utf8');
  const second = await npmStart(checkout, home);
  expect(second.status, second.stderr).toBe(0);
  expect(second.stdout).toContain('"msg":"ready"');
  expect(second.stderr).toBe('');
  expect(contents(join(home, 'config'))).toEqual(config);
  expect(readFileSync(join(home, 'state', 'ca', 'ca.crt'), 'utf8')).toBe(ca);

  const status = await runProgram(join(checkout, 'bin', 'alterd'), ['status'], { env: { ...plainEnv(home), ALTERD_HOME: home } });
  expect(status.stderr).toContain('alterd start');
}, 120_000);
