/**
 * The built program as people run it: `bin/alterd start` in a child process on a temporary home, and its CLI in others.
 * Everything that any of them prints is kept, for assertions and for the search for leaks. It never imports src.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

export const PROJECT = fileURLToPath(new URL('../../', import.meta.url));
export const ALTERD = join(PROJECT, 'bin', 'alterd');
const READY_WAIT_MS = 20_000;
const END_WAIT_MS = 15_000;

export interface Ended {
  /** Exit status, or 128 and the signal as shells say it; -1 when it took too long and was killed. */
  readonly status: number;
  readonly stdout: string;
  readonly stderr: string;
}

export interface RunOptions {
  readonly env?: NodeJS.ProcessEnv;
  readonly cwd?: string;
  readonly input?: string | Buffer;
  readonly timeoutMs?: number;
  /** Called whenever something more was printed. */
  readonly onStdout?: (all: string) => void;
}

export interface AlterdOptions {
  /** Text of alterd.toml. */
  readonly config?: string;
  /** An existing home: a second life of the same installation. */
  readonly home?: string;
  readonly flags?: readonly string[];
  /** What serves; `start` unless it is said. */
  readonly verb?: readonly string[];
  readonly env?: NodeJS.ProcessEnv;
}

export interface AlterdProcess {
  readonly home: string;
  readonly pid: number;
  /** Of the proxy, on 127.0.0.1. */
  readonly port: number;
  readonly ready: Readonly<Record<string, unknown>>;
  readonly caFile: string;
  readonly apiSocket: string;
  /** What the daemon printed so far. */
  log(): string;
  /** The same, and what every CLI call of this object printed. */
  printed(): string;
  cli(args: readonly string[], options?: RunOptions): Promise<Ended>;
  /** The same, failing the test when the status is not 0; answers stdout. */
  ok(args: readonly string[], options?: RunOptions): Promise<string>;
  /** The same with `--output json`. */
  json<T = Record<string, unknown>>(args: readonly string[], options?: RunOptions): Promise<T>;
  /** A whole environment for a client of this agent, as `alterd env` makes it. */
  clientEnv(agent: string): Promise<NodeJS.ProcessEnv>;
  signal(name: NodeJS.Signals): void;
  /** Resolves when the daemon has ended. */
  readonly ended: Promise<Ended>;
  /** SIGTERM, wait, and the home is removed unless it is to be kept. */
  stop(options?: { keep?: boolean }): Promise<Ended>;
}

/** A daemon that ended before it was ready. */
export class StartFailure extends Error {
  readonly end: Ended;
  constructor(end: Ended) {
    super(`alterd did not start (${end.status}): ${end.stderr}${end.stdout}`);
    this.end = end;
  }
}

const children = new Set<ChildProcess>();
process.on('exit', () => {
  for (const child of children) child.kill('SIGKILL');
});

/** No proxy, trust or account settings of whoever runs the tests. */
export function plainEnv(home: string): NodeJS.ProcessEnv {
  return { PATH: process.env.PATH, HOME: home, LANG: 'C.UTF-8', TMPDIR: tmpdir() };
}

export function makeHome(config = ''): string {
  const home = realpathSync(mkdtempSync(join(tmpdir(), 'alterd-e2e-')));
  mkdirSync(join(home, 'config'), { mode: 0o700 });
  mkdirSync(join(home, 'user'));
  writeFileSync(join(home, 'config', 'alterd.toml'), config);
  return home;
}

/** Runs a program to its end. Never throws for what the program does. */
export function runProgram(command: string, args: readonly string[], options: RunOptions = {}): Promise<Ended> {
  const child = spawn(command, args, {
    env: options.env ?? process.env,
    ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
    stdio: [options.input === undefined ? 'ignore' : 'pipe', 'pipe', 'pipe'],
  });
  child.stdin?.on('error', () => {});
  child.stdin?.end(options.input);
  const watched = watch(child, options.timeoutMs ?? 25_000);
  watched.onText = () => options.onStdout?.(watched.stdout);
  return watched.ended;
}

interface Watched {
  readonly ended: Promise<Ended>;
  stdout: string;
  stderr: string;
  onText: () => void;
}

function watch(child: ChildProcess, timeoutMs: number | null): Watched {
  children.add(child);
  const timer =
    timeoutMs === null
      ? undefined
      : setTimeout(() => {
          child.kill('SIGKILL');
          // Not when its output ends: a program that it started may hold that open.
          finish(-1);
        }, timeoutMs);
  let settle: (end: Ended) => void = () => {};
  const watched: Watched = {
    stdout: '',
    stderr: '',
    onText: () => {},
    ended: new Promise((resolve) => {
      settle = resolve;
    }),
  };
  const collect = (name: 'stdout' | 'stderr') => {
    child[name]?.setEncoding('utf8').on('data', (text: string) => {
      watched[name] += text;
      watched.onText();
    });
  };
  collect('stdout');
  collect('stderr');
  const finish = (status: number): void => {
    clearTimeout(timer);
    children.delete(child);
    settle({ status, stdout: watched.stdout, stderr: watched.stderr });
  };
  child.once('error', (error) => {
    watched.stderr += error.message;
    finish(127);
  });
  child.once('close', (code, signal) => finish(code ?? (signal === 'SIGKILL' ? 137 : 143)));
  return watched;
}

/** @throws StartFailure */
export async function startAlterd(options: AlterdOptions = {}): Promise<AlterdProcess> {
  const home = options.home ?? makeHome(options.config);
  const env = { ...plainEnv(join(home, 'user')), ...options.env };
  const child = spawn(
    process.execPath,
    [
      ALTERD,
      '--home',
      home,
      ...(options.verb ?? ['start']),
      '--listen',
      '127.0.0.1:0',
      '--log-level',
      'trace',
      ...(options.flags ?? []),
    ],
    { env, stdio: ['ignore', 'pipe', 'pipe'] },
  );
  const daemon = watch(child, null);
  const ready = await untilReady(daemon).catch((error: unknown) => {
    // One that is late must not sit on the home.
    child.kill('SIGKILL');
    throw error;
  });
  const transcript: string[] = [];
  const cli = async (args: readonly string[], run: RunOptions = {}): Promise<Ended> => {
    const end = await runProgram(process.execPath, [ALTERD, '--home', home, ...args], { ...run, env: { ...env, ...run.env } });
    transcript.push(end.stdout, end.stderr);
    return end;
  };
  const ok = async (args: readonly string[], run?: RunOptions): Promise<string> => {
    const end = await cli(args, run);
    if (end.status !== 0) throw new Error(`alterd ${args.join(' ')} ended with ${end.status}: ${end.stderr}${end.stdout}`);
    return end.stdout;
  };
  const json = async <T>(args: readonly string[], run?: RunOptions): Promise<T> =>
    JSON.parse(await ok(['--output', 'json', ...args], run)) as T;
  const tcp = String(ready.proxy_tcp ?? ready.listen);
  return {
    home,
    pid: child.pid as number,
    port: Number(tcp.slice(tcp.lastIndexOf(':') + 1)),
    ready,
    caFile: join(home, 'state', 'ca', 'ca.crt'),
    apiSocket: join(home, 'state', 'api.sock'),
    log: () => daemon.stdout + daemon.stderr,
    printed: () => [daemon.stdout, daemon.stderr, ...transcript].join('\n'),
    cli,
    ok,
    json,
    clientEnv: async (agent) => {
      const { set, unset } = await json<{ set: Record<string, string>; unset: string[] }>(['env', '--agent', agent]);
      const result: NodeJS.ProcessEnv = { ...env, ...set };
      for (const name of unset) delete result[name];
      return result;
    },
    signal: (name) => void child.kill(name),
    ended: daemon.ended,
    stop: async ({ keep = false } = {}) => {
      child.kill('SIGTERM');
      const timer = setTimeout(() => child.kill('SIGKILL'), END_WAIT_MS);
      const end = await daemon.ended;
      clearTimeout(timer);
      if (!keep) rmSync(home, { recursive: true, force: true });
      return end;
    },
  };
}

function untilReady(daemon: Watched): Promise<Record<string, unknown>> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(
      () => reject(new Error(`no ready line in ${READY_WAIT_MS} ms: ${daemon.stderr}${daemon.stdout}`)),
      READY_WAIT_MS,
    );
    daemon.onText = () => {
      for (const line of daemon.stdout.split('\n').slice(0, -1)) {
        const fields = line.startsWith('{') ? (JSON.parse(line) as Record<string, unknown>) : {};
        if (fields.msg !== 'ready') continue;
        clearTimeout(timer);
        daemon.onText = () => {};
        resolve(fields);
        return;
      }
    };
    void daemon.ended.then((end) => {
      clearTimeout(timer);
      reject(new StartFailure(end));
    });
  });
}
