/** `alterd selftest` with the built program: everything holds on a sound installation, what is broken from outside is told, and nothing is left behind. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, renameSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { GUARANTEES } from '../../src/selftest/guarantees.ts';
import { ALTERD, type AlterdProcess, plainEnv, startAlterd } from '../helpers/alterd-process.ts';

interface Result {
  readonly id: string;
  readonly guarantee: string;
  readonly status: string;
  readonly reason: string | null;
}

const TOKEN = 'SEKRET-marker-selftest-own';
let alterd: AlterdProcess;

beforeAll(async () => {
  alterd = await startAlterd();
  await alterd.ok(['secret', 'add', 'bearer', '--name', 'mine', '--host', 'api.good.test', '--token-stdin'], {
    input: `${TOKEN}\n`,
  });
  await alterd.ok(['agent', 'create', 'my-bot']);
  await alterd.ok(['grant', 'create', 'mine', '--agent', 'my-bot']);
});
afterAll(() => alterd?.stop());

/** Everything that an operator has, as the CLI shows it. */
const possessions = (): Promise<unknown[]> =>
  Promise.all(['agent', 'secret', 'grant', 'session'].map((what) => alterd.json<unknown>([what, 'list'])));

async function selftest(...args: readonly string[]): Promise<{ status: number; stderr: string; results: readonly Result[] }> {
  const end = await alterd.cli(['--output', 'json', 'selftest', ...args], { timeoutMs: 60_000 });
  return { status: end.status, stderr: end.stderr, results: JSON.parse(end.stdout) as Result[] };
}

it('all guarantees hold on a sound installation, and what belongs to the user is as it was', async () => {
  const before = await possessions();
  const { status, stderr, results } = await selftest();
  expect(results.filter((result) => result.status === 'failed' || result.status === 'skipped')).toEqual([]);
  expect(status).toBe(0);
  expect(results[0]).toMatchObject({ id: 'guard', status: 'pass' });
  const ids = results.slice(1).map(({ id }) => id);
  expect(new Set(ids).size).toBe(ids.length);
  expect(ids.length).toBeGreaterThan(60);
  const texts = new Map(GUARANTEES.map(({ id, text }) => [id, text]));
  expect(results.slice(1).filter(({ id, guarantee }) => texts.get(id) !== guarantee)).toEqual([]);
  expect(results.filter((result) => result.status === 'exposed').map(({ id }) => id)).toEqual(['S-32', 'S-71', 'S-89']);
  expect(stderr).toMatch(/\d+ passed, 0 failed, 3 not protected\./);
  expect(await possessions()).toEqual(before);
});

it('with --strict what does not protect fails; a line each, without colours where there is no terminal', async () => {
  const end = await alterd.cli(['selftest', '--strict', '--only', 'S-32,s-05']);
  expect(end.status).toBe(1);
  expect(end.stdout.split('\n').map((line) => line.slice(0, 20).trimEnd())).toEqual([
    'pass           guard',
    'pass           S-05',
    'not protected  S-32',
    '',
  ]);
});

it.each<[string, string, number, number]>([
  ['S-87', 'config/master.key', 0o644, 0o600],
  ['S-85', 'state', 0o755, 0o700],
  ['S-80', 'state/ca/ca.key', 0o640, 0o600],
])('%s fails when %s is open to others', async (id, name, open, closed) => {
  const path = join(alterd.home, name);
  chmodSync(path, open);
  const { status, results } = await selftest('--only', id);
  chmodSync(path, closed);
  expect(status).toBe(1);
  expect(results).toMatchObject([
    { id: 'guard', status: 'pass' },
    { id, status: 'failed' },
  ]);
  expect(results[1]?.reason).toContain(path);
});

it('S-81 fails when the CA file is another one', async () => {
  renameSync(alterd.caFile, `${alterd.caFile}.away`);
  const { status, results } = await selftest('--only', 'S-81');
  renameSync(`${alterd.caFile}.away`, alterd.caFile);
  expect(status).toBe(1);
  expect(results[1]).toMatchObject({ id: 'S-81', status: 'failed' });
});

it('an interrupted run takes away what it made', async () => {
  const before = await possessions();
  const child = spawn(process.execPath, [ALTERD, '--home', alterd.home, 'selftest'], {
    env: plainEnv(alterd.home),
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  const ended = once(child, 'exit');
  await once(child.stdout, 'data');
  expect(await possessions()).not.toEqual(before);
  child.kill('SIGINT');
  child.stdout.resume();
  expect(await ended).toEqual([130, null]);
  expect(await possessions()).toEqual(before);
});

it('an id without a check, and a daemon that is not there, are told', async () => {
  const odd = await alterd.cli(['selftest', '--only', 'S-999']);
  expect([odd.status, odd.stderr]).toEqual([2, expect.stringMatching(/no check is for S-999/)]);
  const alone = await alterd.cli(['--home', join(alterd.home, 'nothing'), 'selftest']);
  expect([alone.status, alone.stderr]).toEqual([1, expect.stringMatching(/alterd start/)]);
});
