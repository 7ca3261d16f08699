/** What the CA tests share: a CA in a directory of its own, TLS origins with its leaves, and real programs run as children. */
import { execFile } from 'node:child_process';
import { accessSync, constants, mkdtempSync, rmSync } from 'node:fs';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { type AddressInfo, createServer as createNetServer } from 'node:net';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { TLSSocket } from 'node:tls';
import { initAuthority, type KeySealer, type LocalCa } from '../../../src/ca/authority.ts';
import type { LeafIssuer } from '../../../src/ca/leaf.ts';

/** Stands for the master key: reversible, and the sealed bytes do not hold the plain ones. */
export const testSealer: KeySealer = {
  seal: (plain, place) => Buffer.concat([Buffer.from(`${place.table}|`), Buffer.from(plain.map((byte) => byte ^ 0x5a))]),
  open: (sealed, place) => {
    const tag = Buffer.from(`${place.table}|`);
    if (!Buffer.from(sealed.subarray(0, tag.length)).equals(tag)) throw new Error('sealed elsewhere');
    return Buffer.from(sealed.subarray(tag.length).map((byte) => byte ^ 0x5a));
  },
};

export function temporaryDirectory(name = 'alterd-ca-'): { readonly dir: string; remove(): void } {
  const dir = mkdtempSync(join(tmpdir(), name));
  return { dir, remove: () => rmSync(dir, { recursive: true, force: true }) };
}

export function newCa(dir: string, nameConstraints: readonly string[] = []): LocalCa {
  return initAuthority(join(dir, 'ca'), { sealKey: testSealer, nameConstraints });
}

export interface TlsOrigin {
  readonly port: number;
  /** Whether each accepted session was resumed, and the name that its client asked for. */
  readonly sessions: { readonly host: string; readonly resumed: boolean }[];
  close(): Promise<void>;
}

/** A TLS server that shows a leaf for whatever host `hostOf` names, as the interception does: TLSSocket over a plain server. */
export async function startTlsOrigin(
  contextFor: (host: string) => ReturnType<LeafIssuer['contextFor']>,
  hostOf: () => string,
  answer: (req: IncomingMessage, res: ServerResponse) => void = (req, res) => res.end(`origin ${req.method} ${req.url}`),
): Promise<TlsOrigin> {
  const sessions: { host: string; resumed: boolean }[] = [];
  const sockets = new Set<{ destroy(): void }>();
  const http = createServer(answer);
  http.on('upgrade', (_req, socket) => {
    socket.write('HTTP/1.1 101 Switching Protocols\r\nUpgrade: echo\r\nConnection: Upgrade\r\n\r\n');
    socket.pipe(socket);
  });
  const server = createNetServer((raw) => {
    const host = hostOf();
    const secure = new TLSSocket(raw, { isServer: true, secureContext: contextFor(host), ALPNProtocols: ['http/1.1'] });
    sockets.add(secure);
    raw.on('error', () => undefined);
    secure.on('error', () => undefined);
    secure.on('secure', () => sessions.push({ host, resumed: secure.isSessionReused() }));
    http.emit('connection', secure);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    port: (server.address() as AddressInfo).port,
    sessions,
    close: () =>
      new Promise((resolve) => {
        for (const socket of sockets) socket.destroy();
        server.close(() => resolve());
      }),
  };
}

export interface Run {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs a program to its end. The environment is only what is given, plus PATH and HOME. */
export function run(command: string, args: readonly string[], env: NodeJS.ProcessEnv = {}, cwd?: string): Promise<Run> {
  return new Promise((resolve) => {
    const base = { PATH: process.env.PATH, HOME: process.env.HOME };
    execFile(command, [...args], { env: { ...base, ...env }, cwd, timeout: 60_000 }, (error, stdout, stderr) => {
      resolve({ code: error === null ? 0 : typeof error.code === 'number' ? error.code : 1, stdout, stderr });
    });
  });
}

/** Whether a client is on this machine; says so when it is not, and the test then has nothing to prove. */
export function isPresent(command: string): boolean {
  for (const dir of (process.env.PATH ?? '').split(delimiter)) {
    try {
      accessSync(join(dir, command), constants.X_OK);
      return true;
    } catch {
      // the next directory
    }
  }
  console.info(`not present: ${command}`);
  return false;
}
