/** The daemon as a process of its own, for attacks on the process: signals, other users, its environment and its end. */
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { callApi } from '../../helpers/daemon.ts';
import { PROGRAM } from '../../helpers/program.ts';
import { until } from './wall.ts';

export interface DaemonProcess {
  readonly home: string;
  readonly pid: number;
  readonly port: number;
  readonly caFile: string;
  /** Everything on stdout and stderr so far. */
  said(): string;
  api<T = Record<string, unknown>>(method: string, path: string, body?: unknown): Promise<T>;
  agent(name: string): Promise<{ key: string; proxyUrl: string; authorization: string }>;
  cli(args: readonly string[], options?: { input?: string }): Promise<{ code: number; stdout: string; stderr: string }>;
  signal(name: NodeJS.Signals): void;
  readonly exited: Promise<number | NodeJS.Signals | null>;
  stop(): Promise<void>;
}

export interface ProcessOptions {
  readonly config?: string;
  readonly env?: Readonly<Record<string, string>>;
  readonly home?: string;
  readonly logLevel?: string;
}

export function makeHome(config = ''): string {
  const home = mkdtempSync(join(tmpdir(), 'alterd-p-'));
  mkdirSync(join(home, 'config'), { mode: 0o700 });
  writeFileSync(join(home, 'config', 'alterd.toml'), config);
  return home;
}

const environment = (extra: Readonly<Record<string, string>> = {}): NodeJS.ProcessEnv => ({
  PATH: process.env.PATH,
  HOME: process.env.HOME,
  ...extra,
});

export function runCli(
  home: string,
  args: readonly string[],
  options: { input?: string } = {},
): Promise<{ code: number; stdout: string; stderr: string }> {
  return new Promise((resolve) => {
    const child = execFile(
      process.execPath,
      [PROGRAM, '--home', home, ...args],
      { env: environment(), maxBuffer: 64 * 1024 * 1024 },
      (error, stdout, stderr) =>
        resolve({ code: error === null ? 0 : Number((error as { code?: unknown }).code ?? -1), stdout, stderr }),
    );
    child.stdin?.on('error', () => {});
    child.stdin?.end(options.input ?? '');
  });
}

/** Started with core dumps allowed, as on a machine that nobody hardened. */
export async function startProcess(options: ProcessOptions = {}): Promise<DaemonProcess> {
  const home = options.home ?? makeHome(options.config);
  const child: ChildProcess = spawn(
    '/bin/sh',
    [
      '-c',
      'ulimit -c unlimited 2>/dev/null; exec "$@"',
      'sh',
      process.execPath,
      PROGRAM,
      '--home',
      home,
      'start',
      '--listen',
      '127.0.0.1:0',
      '--log-level',
      options.logLevel ?? 'trace',
    ],
    { env: environment(options.env), stdio: ['ignore', 'pipe', 'pipe'] },
  );
  const exited = new Promise<number | NodeJS.Signals | null>((resolve) =>
    child.once('exit', (code, signal) => resolve(code ?? signal)),
  );
  let said = '';
  for (const stream of [child.stdout, child.stderr]) stream?.setEncoding('utf8').on('data', (text: string) => (said += text));
  let gone = false;
  void exited.then(() => (gone = true));
  await until(() => gone || /"msg":"ready"/.test(said), 20_000);
  if (gone) throw new Error(`the daemon did not start: ${said}`);
  const port = Number(/"proxy_tcp":"127\.0\.0\.1:(\d+)"/.exec(said)?.[1]);
  const socket = join(home, 'state', 'api.sock');
  const api = <T>(method: string, path: string, body?: unknown): Promise<T> => callApi<T>(socket, method, path, body);
  return {
    home,
    pid: child.pid as number,
    port,
    caFile: join(home, 'state', 'ca', 'ca.crt'),
    said: () => said,
    api,
    agent: async (name) => {
      const { key } = await api<{ key: string }>('POST', '/v1/agents', { name });
      return {
        key,
        proxyUrl: `http://${name}:${key}@127.0.0.1:${port}`,
        authorization: `Basic ${Buffer.from(`${name}:${key}`).toString('base64')}`,
      };
    },
    cli: (args, run) => runCli(home, args, run),
    signal: (name) => void child.kill(name),
    exited,
    stop: async () => {
      child.kill('SIGTERM');
      const timer = setTimeout(() => child.kill('SIGKILL'), 15_000);
      await exited;
      clearTimeout(timer);
      rmSync(home, { recursive: true, force: true });
    },
  };
}
