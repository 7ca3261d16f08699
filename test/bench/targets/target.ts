/** What a target is: something that can be prepared, started, measured and stopped, any number of times. */
import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, openSync, readFileSync } from 'node:fs';
import { type AddressInfo, connect, createServer } from 'node:net';
import { join } from 'node:path';
import type { Via } from '../load/job.ts';
import type { TestName } from '../names.ts';
import { PROXY_CPU, pinned, treeOf } from '../process-tree.ts';

export interface Surroundings {
  /** With the certificates of the run. */
  readonly keysDir: string;
  readonly originPort: number;
}

export interface Running {
  readonly via: Via;
  readonly caFile: string;
  /** null for no process at all. */
  readonly pid: number | null;
  /** From the start of the process until it accepts connections. */
  readonly startMs: number;
  stop(): Promise<void>;
}

export interface Prepared {
  launch(): Promise<Running>;
}

export interface Target {
  readonly name: string;
  readonly note: string;
  /** The answers of the origin show the credential. */
  readonly injects: boolean;
  /** What the origin must have seen where that is not the usual token, because each request has its own. */
  readonly authorization?: RegExp;
  /** The only tests that say something about it; absent: all. */
  readonly tests?: readonly TestName[];
  /** Can't make certificates for many hosts, or does not see them. */
  readonly oneCertificate?: boolean;
  /** Speaks HTTP/2 with agents. */
  readonly http2?: boolean;
  /** Why it can't be measured here; null when it can. */
  absent(): string | null;
  /** Makes ready what outlives a process, in a directory of its own. */
  prepare(surroundings: Surroundings, dir: string): Promise<Prepared>;
}

const START_WAIT_MS = 20_000;
const STOP_WAIT_MS = 5_000;

export function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once('error', reject);
    server.listen(0, '127.0.0.1', () => {
      const { port } = server.address() as AddressInfo;
      server.close(() => resolve(port));
    });
  });
}

const accepts = (port: number): Promise<boolean> =>
  new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1');
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', () => resolve(false));
  });

const alive = new Set<number>();
process.on('exit', () => {
  for (const pid of alive) for (const one of treeOf(pid).reverse()) signal(one, 'SIGKILL');
});

function signal(pid: number, name: NodeJS.Signals): void {
  try {
    process.kill(pid, name);
  } catch {
    // It has ended by itself.
  }
}

/** Starts a program, on the target's CPU if no other is named, and waits until it accepts connections on the port. */
export async function launch(
  command: readonly string[],
  port: number,
  dir: string,
  env: NodeJS.ProcessEnv = {},
  { cpu = PROXY_CPU, waitMs = START_WAIT_MS }: { readonly cpu?: number; readonly waitMs?: number } = {},
) {
  const logFile = join(dir, 'output.log');
  const log = openSync(logFile, 'w');
  const [program = '', ...args] = [...pinned(cpu), ...command];
  const startedAt = performance.now();
  const base = { PATH: process.env.PATH, HOME: dir, LANG: 'C.UTF-8' };
  const child = spawn(program, args, { cwd: dir, env: { ...base, ...env }, stdio: ['ignore', log, log] });
  closeSync(log);
  const pid = child.pid;
  if (pid === undefined) throw new Error(`${program} can't be started`);
  alive.add(pid);
  while (!(await accepts(port))) {
    if (child.exitCode !== null || performance.now() - startedAt > waitMs) {
      await stopTree(child);
      throw new Error(`it did not start: ${readFileSync(logFile, 'utf8').trim().slice(-400)}`);
    }
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
  return { pid, startMs: performance.now() - startedAt, stop: () => stopTree(child) };
}

async function stopTree(child: ChildProcess): Promise<void> {
  const pid = child.pid as number;
  const tree = treeOf(pid);
  const ended = new Promise<void>((resolve) => {
    if (child.exitCode !== null || child.signalCode !== null) resolve();
    else child.once('exit', () => resolve());
  });
  signal(pid, 'SIGTERM');
  const timer = setTimeout(() => {
    for (const one of tree.reverse()) signal(one, 'SIGKILL');
  }, STOP_WAIT_MS);
  await ended;
  clearTimeout(timer);
  for (const one of tree.slice(1)) signal(one, 'SIGTERM');
  alive.delete(pid);
}

export const throughConnect = (port: number, authorization: string | null = null): Via => ({
  mode: 'connect',
  port,
  authorization,
});
