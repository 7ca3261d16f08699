/** A whole daemon in this process, on a temporary home, with the operator's API at hand. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { loadConfig } from '../../src/config/load.ts';
import { type Paths, resolvePaths } from '../../src/config/paths.ts';
import type { VaultSource } from '../../src/daemon/vault-source.ts';
import { type RunningDaemon, startDaemon } from '../../src/daemon.ts';
import type { DaemonLog } from '../../src/log.ts';

export interface TestDaemon {
  readonly home: string;
  readonly paths: Paths;
  readonly port: number;
  readonly running: RunningDaemon;
  /** Lines that the daemon logged, as JSON text. */
  readonly logged: string[];
  /** The Vault API. Throws with the problem document when the status is not 2xx. */
  api<T = Record<string, unknown>>(method: string, path: string, body?: unknown): Promise<T>;
  /** An agent with a fresh key: the pair for proxy URLs. */
  agent(name: string): Promise<{ key: string; proxyUrl: string; authorization: string }>;
  stop(): Promise<void>;
}

export interface TestDaemonOptions {
  /** TOML. `listen.tcp` is set to a free port by a flag. */
  readonly config?: string;
  readonly home?: string;
  readonly flags?: Readonly<Record<string, string>>;
  readonly acceptRestore?: boolean;
  /** Another vault than the one in its state directory, or more beside it. */
  readonly openSource?: VaultSource;
}

export async function startTestDaemon(options: TestDaemonOptions = {}): Promise<TestDaemon> {
  const home = options.home ?? mkdtempSync(join(tmpdir(), 'alterd-t-'));
  const paths = resolvePaths({ home, env: {} });
  mkdirSync(paths.configDir, { recursive: true, mode: 0o700 });
  if (options.config !== undefined) writeFileSync(paths.configFile, options.config);
  const logged: string[] = [];
  const line =
    (level: string) =>
    (fields: object, message: string): void => {
      logged.push(JSON.stringify({ level, ...fields, message }));
    };
  const log: DaemonLog = {
    debug: line('debug'),
    info: line('info'),
    warn: line('warn'),
    error: line('error'),
    setLevel: () => {},
  };
  const load = () => loadConfig({ file: paths.configFile, env: {}, flags: { 'listen.tcp': '127.0.0.1:0', ...options.flags } });
  const running = await startDaemon({
    paths,
    loaded: load(),
    reloadConfig: load,
    log,
    acceptRestore: options.acceptRestore === true,
    ...(options.openSource === undefined ? {} : { openSource: options.openSource }),
  });
  const tcp = running.facts().proxy.tcp as string;
  const port = Number(tcp.slice(tcp.lastIndexOf(':') + 1));
  const api = <T>(method: string, path: string, body?: unknown): Promise<T> => callApi<T>(paths.apiSocket, method, path, body);
  return {
    home,
    paths,
    port,
    running,
    logged,
    api,
    agent: async (name) => {
      const { key } = await api<{ key: string }>('POST', '/v1/agents', { name });
      return {
        key,
        proxyUrl: `http://${name}:${key}@127.0.0.1:${port}`,
        authorization: `Basic ${Buffer.from(`${name}:${key}`).toString('base64')}`,
      };
    },
    stop: async () => {
      await running.stop();
      rmSync(home, { recursive: true, force: true });
    },
  };
}

export function callApi<T>(socketPath: string, method: string, path: string, body?: unknown): Promise<T> {
  return new Promise((resolve, reject) => {
    const text = body === undefined ? undefined : JSON.stringify(body);
    const headers =
      text === undefined ? {} : { 'content-type': 'application/json', 'content-length': String(Buffer.byteLength(text)) };
    const req = request({ socketPath, method, path, headers, agent: false }, (res) => {
      const parts: Buffer[] = [];
      res.on('data', (part: Buffer) => parts.push(part));
      res.on('end', () => {
        const answer = Buffer.concat(parts).toString();
        const value = answer === '' ? undefined : (JSON.parse(answer) as T);
        if ((res.statusCode ?? 500) >= 300)
          reject(Object.assign(new Error(`${method} ${path}: ${res.statusCode} ${answer}`), { problem: value }));
        else resolve(value as T);
      });
    });
    req.on('error', reject);
    req.end(text);
  });
}
