/** S-32: an agent in a namespace of its own (systemd/lockdown.md) has no way out but the proxy, and what goes around it fails at once. */
import { execFile, spawnSync } from 'node:child_process';
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { BEARER, GOOD, startTrap, startWall, type Trap, valuesOf, type Wall, type WallAgent } from './support/wall.ts';

const SCRIPT = fileURLToPath(new URL('../../systemd/locked-run.sh', import.meta.url));
const USER = 'nobody';
const missing = ['unshare', 'setpriv', 'ip', 'socat', 'curl'].filter(
  (tool) => spawnSync('sh', ['-c', `command -v ${tool}`]).status !== 0,
);
const isPossible =
  process.getuid?.() === 0 &&
  missing.length === 0 &&
  spawnSync('unshare', ['--net', '--pid', '--fork', '--mount-proc', 'true']).status === 0;

let wall: Wall;
let bot: WallAgent;
let outside: Trap;
let dir: string;

beforeAll(async () => {
  wall = await startWall();
  bot = await wall.agent();
  outside = await startTrap();
  dir = mkdtempSync(join(tmpdir(), 'alterd-locked-'));
  writeFileSync(join(dir, 'ca.crt'), wall.daemon.running.ca().pem, { mode: 0o644 });
  chmodSync(dir, 0o755);
});
afterAll(async () => {
  await outside.close();
  await wall.stop();
  rmSync(dir, { recursive: true });
});

interface Ended {
  readonly code: number;
  readonly out: string;
  readonly ms: number;
}

/** Runs a command of an agent that is locked in. */
function locked(...command: readonly string[]): Promise<Ended> {
  const socket = wall.daemon.running.facts().proxy.unix as string;
  return new Promise((resolve) => {
    // Timed inside: how long the namespace takes to make is not the question.
    const timed = [
      'sh',
      '-c',
      'a=$(date +%s%N); "$@"; c=$?; b=$(date +%s%N); echo "ms=$(((b - a) / 1000000))"; exit $c',
      'sh',
      ...command,
    ];
    execFile(SCRIPT, [socket, USER, '--', ...timed], { cwd: '/', env: { PATH: process.env.PATH } }, (error, stdout, stderr) =>
      resolve({
        code: error === null ? 0 : Number((error as { code?: unknown }).code ?? -1),
        out: stdout + stderr,
        ms: Number(/ms=(\d+)/.exec(stdout)?.[1] ?? Number.NaN),
      }),
    );
  });
}

const impossible = (): boolean => {
  if (!isPossible)
    console.log(`not possible here: a namespace (needs root${missing.length === 0 ? '' : `, ${missing.join(', ')}`})`);
  return !isPossible;
};

it('S-32 locked in, a client that uses the proxy gets its credential added', async () => {
  if (impossible()) return;
  const proxy = `http://x:${bot.key}@127.0.0.1:4780`;
  const ended = await locked(
    'curl',
    '-sS',
    '--proxy',
    proxy,
    '--cacert',
    join(dir, 'ca.crt'),
    '-w',
    '%{http_code}',
    `https://${GOOD}/`,
  );
  expect(ended.out).toMatch(/200/);
  expect(valuesOf(wall.good.arrivals.at(-1)!.rawHeaders, 'authorization')).toEqual([BEARER]);
  await wall.row({ agent: bot.name, outcome: 'success', peer: 'unix' });
});

it.each([
  ['a port of this machine', (): string => `http://127.0.0.1:${outside.port}/`],
  ['an address elsewhere', (): string => 'https://203.0.113.5/'],
  ['a name', (): string => 'https://example.com/'],
  ['a metadata service', (): string => 'http://169.254.169.254/'],
])('S-32 locked in, a way around the proxy to %s fails within a second', async (_what, url) => {
  if (impossible()) return;
  const ended = await locked('curl', '-sS', '--noproxy', '*', '--max-time', '10', url());
  expect(ended.out).toMatch(/refused|unreachable|Could not resolve|Couldn't connect|Failed to connect/i);
  expect([6, 7]).toContain(ended.code);
  expect(ended.ms).toBeLessThan(1_000);
  expect(outside.contacts()).toBe(0);
});

it('S-32 locked in, an agent enters no other namespace and opens no socket of the daemon', async () => {
  if (impossible()) return;
  const { apiSocket } = wall.daemon.paths;
  for (const command of [
    ['nsenter', '--net=/proc/1/ns/net', 'true'],
    ['curl', '-sS', '--unix-socket', apiSocket, 'http://alterd/v1/status'],
    ['curl', '-sS', '--unix-socket', wall.daemon.running.facts().proxy.unix as string, 'http://alterd/'],
  ])
    expect((await locked(...command)).code, command.join(' ')).not.toBe(0);
  const { out } = await locked('cat', '/proc/self/status');
  expect(out).toMatch(/^CapEff:\s+0+$/m);
  expect(out).toMatch(/^CapBnd:\s+0+$/m);
  expect(out).toMatch(/^NoNewPrivs:\s+1$/m);
});
