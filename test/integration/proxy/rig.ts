/** What the proxy tests share: a daemon with origins behind it, sockets that are read by hand, and a reader of answers of its own. */
import { once } from 'node:events';
import { rmSync } from 'node:fs';
import { type AddressInfo, connect as connectTcp, createServer, type Server, type Socket } from 'node:net';
import { connect as connectTls, createServer as createTlsServer, type TLSSocket } from 'node:tls';
import { startTestDaemon, type TestDaemon } from '../../helpers/daemon.ts';
import { makePki, type TestPki } from '../../helpers/pki.ts';

const open = new Set<Wire>();

/** A socket that a test reads by hand. */
export class Wire {
  readonly socket: Socket;
  ended = false;
  #parts: Buffer[] = [];
  #length = 0;
  #wake: (() => void)[] = [];

  constructor(socket: Socket) {
    this.socket = socket;
    open.add(this);
    socket.once('close', () => open.delete(this));
    socket.on('error', () => {});
    socket.on('data', (chunk: Buffer) => {
      this.#parts.push(chunk);
      this.#length += chunk.length;
      this.#notify();
    });
    socket.resume();
    socket.on('end', () => this.#finish());
    socket.on('close', () => this.#finish());
  }

  #finish(): void {
    this.ended = true;
    this.#notify();
  }

  #notify(): void {
    const wake = this.#wake;
    this.#wake = [];
    for (const resolve of wake) resolve();
  }

  get #bytes(): Buffer {
    const bytes = this.#parts.length === 1 ? (this.#parts[0] as Buffer) : Buffer.concat(this.#parts);
    this.#parts = [bytes];
    return bytes;
  }

  /** What has arrived and was not taken yet. */
  get waiting(): string {
    return this.#bytes.toString('latin1');
  }

  write(text: string | Buffer): void {
    this.socket.write(typeof text === 'string' ? Buffer.from(text, 'latin1') : text);
  }

  more(): Promise<void> {
    return this.ended ? Promise.resolve() : new Promise((resolve) => this.#wake.push(resolve));
  }

  /** Takes `count` bytes. Throws when the socket ends before. */
  async take(count: number): Promise<Buffer> {
    while (this.#length < count) {
      if (this.ended) throw new Error(`ended after ${JSON.stringify(this.waiting)} where ${count} bytes were expected`);
      await this.more();
    }
    const bytes = this.#bytes;
    this.#parts = [bytes.subarray(count)];
    this.#length -= count;
    return bytes.subarray(0, count);
  }

  /** Takes everything up to and with `mark`. Throws when the socket ends before. */
  async until(mark: string): Promise<string> {
    for (;;) {
      const at = this.#bytes.indexOf(mark, 0, 'latin1');
      if (at !== -1) return (await this.take(at + mark.length)).toString('latin1');
      if (this.ended) throw new Error(`ended after ${JSON.stringify(this.waiting)} where ${JSON.stringify(mark)} was expected`);
      await this.more();
    }
  }

  /** Resolves when the other side ended or broke off. */
  async over(): Promise<void> {
    while (!this.ended) await this.more();
  }

  /** Everything until the other side ended. */
  async rest(): Promise<string> {
    await this.over();
    return (await this.take(this.#length)).toString('latin1');
  }
}

export interface Answer {
  readonly status: number;
  readonly reason: string;
  /** Name, value … as they came. */
  readonly headers: string[];
  readonly body: string;
  readonly trailers: string[];
  header(name: string): string | undefined;
  /** The problem document of a refusal. */
  json(): Record<string, unknown>;
}

function linesOf(text: string): string[] {
  return text
    .split('\r\n')
    .filter((line) => line !== '')
    .flatMap((line) => [line.slice(0, line.indexOf(':')), line.slice(line.indexOf(':') + 1).trim()]);
}

export function fieldOf(headers: readonly string[], name: string): string | undefined {
  const at = headers.findIndex((h, i) => i % 2 === 0 && h.toLowerCase() === name.toLowerCase());
  return at === -1 ? undefined : headers[at + 1];
}

/** Reads one answer, informational ones included as answers of their own. */
export async function readAnswer(wire: Wire, method = 'GET'): Promise<Answer> {
  const head = await wire.until('\r\n\r\n');
  const line = head.slice(0, head.indexOf('\r\n'));
  const headers = linesOf(head.slice(line.length + 2));
  const status = Number(line.split(' ')[1]);
  let body = '';
  let trailers: string[] = [];
  const length = fieldOf(headers, 'content-length');
  if (status < 200 || status === 204 || status === 304 || method === 'HEAD') body = '';
  else if (fieldOf(headers, 'transfer-encoding') === 'chunked') ({ body, trailers } = await readChunks(wire));
  else if (length !== undefined) body = (await wire.take(Number(length))).toString('latin1');
  else body = await wire.rest();
  return {
    status,
    reason: line.split(' ').slice(2).join(' '),
    headers,
    body,
    trailers,
    header: (name) => fieldOf(headers, name),
    json: () => JSON.parse(body) as Record<string, unknown>,
  };
}

export async function readChunks(wire: Wire): Promise<{ body: string; trailers: string[] }> {
  let body = '';
  for (;;) {
    const size = Number.parseInt(await wire.until('\r\n'), 16);
    if (size === 0) break;
    body += (await wire.take(size)).toString('latin1');
    await wire.until('\r\n');
  }
  let lines = '';
  for (let line = await wire.until('\r\n'); line !== '\r\n'; line = await wire.until('\r\n')) lines += line;
  return { body, trailers: linesOf(lines) };
}

export interface RawRequest {
  readonly line: string;
  readonly headers: string[];
  readonly body: string;
  readonly trailers: string[];
}

/** Reads one request at an origin, body included unless `headOnly`. */
export async function readRequest(wire: Wire, headOnly = false): Promise<RawRequest> {
  const head = await wire.until('\r\n\r\n');
  const line = head.slice(0, head.indexOf('\r\n'));
  const headers = linesOf(head.slice(line.length + 2));
  const length = Number(fieldOf(headers, 'content-length') ?? 0);
  if (headOnly) return { line, headers, body: '', trailers: [] };
  if (fieldOf(headers, 'transfer-encoding') === 'chunked') return { line, headers, ...(await readChunks(wire)) };
  return { line, headers, body: (await wire.take(length)).toString('latin1'), trailers: [] };
}

/** An origin whose sockets a test serves by hand, one after the other. */
export class RawOrigin {
  readonly wires: Wire[] = [];
  readonly #server: Server;
  readonly #taken = new Set<Wire>();
  #wake: (() => void)[] = [];

  constructor(server: Server, secure: boolean) {
    this.#server = server;
    server.on(secure ? 'secureConnection' : 'connection', (socket: Socket) => {
      const wire = new Wire(socket);
      this.wires.push(wire);
      socket.once('data', () => {
        for (const resolve of this.#wake.splice(0)) resolve();
      });
    });
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  /** The next socket that nobody took yet and on which something was sent: the daemon also opens some in advance. */
  next(): Promise<Wire>;
  next(isWanted: () => boolean): Promise<Wire | null>;
  async next(isWanted = (): boolean => true): Promise<Wire | null> {
    while (isWanted()) {
      const wire = this.wires.find((w) => !this.#taken.has(w) && w.waiting !== '');
      if (wire !== undefined) {
        this.#taken.add(wire);
        return wire;
      }
      await new Promise<void>((resolve) => this.#wake.push(resolve));
    }
    return null;
  }

  /** Serves every socket that comes until the answer is called. */
  serve(handler: (wire: Wire) => Promise<void>): () => void {
    let on = true;
    void (async () => {
      while (on) {
        const wire = await this.next(() => on);
        if (wire !== null) handler(wire).catch(() => {});
      }
    })();
    return () => {
      on = false;
      for (const resolve of this.#wake.splice(0)) resolve();
    };
  }

  close(): void {
    this.#server.close();
    for (const wire of this.wires) wire.socket.destroy();
  }
}

/** `null`: plain TCP. */
export async function startRawOrigin(pki: TestPki | null, host = '127.0.0.1'): Promise<RawOrigin> {
  const server =
    pki === null
      ? createServer({ allowHalfOpen: true })
      : createTlsServer({
          ALPNProtocols: ['http/1.1'],
          allowHalfOpen: true,
          SNICallback: (name, done) => done(null, pki.contextFor(name)),
        } as Parameters<typeof createTlsServer>[0] & object);
  const origin = new RawOrigin(server, pki !== null);
  server.on('tlsClientError', () => {});
  await new Promise<void>((resolve) => server.listen(0, host, resolve));
  return origin;
}

export const HOST = 'api.example.test';
export const SECRET = 'SEKRET-marker-0123456789';
export const INJECTED = `Bearer ${SECRET}`;

export interface Rig {
  readonly pki: TestPki;
  readonly daemon: TestDaemon;
  /** Serves https://api.example.test and http://plain.example.test:80. */
  readonly origin: RawOrigin;
  readonly plain: RawOrigin;
  /** A fresh agent with a grant for both, so that no test meets the sockets of another. */
  agent(grant?: Record<string, unknown>): Promise<RigAgent>;
  stop(): Promise<void>;
}

export interface RigAgent {
  readonly name: string;
  readonly key: string;
  readonly authorization: string;
  readonly proxyUrl: string;
  readonly grantId: string;
  /** A socket to the proxy. */
  dial(): Promise<Wire>;
  /** A socket behind an accepted CONNECT. */
  connect(authority?: string): Promise<Wire>;
  /** TLS inside an accepted CONNECT. */
  open(options?: { host?: string; port?: number; servername?: string; alpn?: string[] }): Promise<Wire>;
  /** Rows of this agent, newest first. */
  rows(): Promise<Record<string, unknown>[]>;
}

/** `upstream`: lines for that table. `shared`: a PKI of another rig. */
export async function startRig(
  config = '',
  resolve: Readonly<Record<string, string>> = {},
  upstream = '',
  shared?: TestPki,
  flags: Readonly<Record<string, string>> = {},
): Promise<Rig> {
  const pki = shared ?? makePki();
  const origin = await startRawOrigin(pki);
  const plain = await startRawOrigin(null);
  const table = {
    [`${HOST}:443`]: `127.0.0.1:${origin.port}`,
    'plain.example.test:80': `127.0.0.1:${plain.port}`,
    ...resolve,
  };
  const entries = Object.entries(table).map(([from, to]) => `"${from}" = "${to}"`);
  const section = `[upstream]\nca_file = "${pki.caFile}"\nresolve = { ${entries.join(', ')} }\n${upstream}`;
  const daemon = await startTestDaemon({ config: `${config}\n${section}`, flags });
  await daemon.api('POST', '/v1/secrets', { name: 'demo', provider: 'bearer', fields: { token: SECRET } });
  let count = 0;
  const agent = async (grant: Record<string, unknown> = {}): Promise<RigAgent> => {
    const name = `bot-${++count}`;
    const made = await daemon.agent(name);
    const { grant: created } = await daemon.api<{ grant: { id: string } }>('POST', '/v1/grants', {
      credential: 'demo',
      agent: name,
      hosts: [HOST, 'http://plain.example.test:80'],
      allow_private: true,
      allow_plaintext: true,
      ...grant,
    });
    return { ...made, ...dialers(daemon, made.authorization), name, grantId: created.id };
  };
  return {
    pki,
    daemon,
    origin,
    plain,
    agent,
    stop: async () => {
      for (const wire of open) wire.socket.destroy();
      origin.close();
      plain.close();
      await daemon.stop();
      if (shared === undefined) rmSync(pki.dir, { recursive: true, force: true });
    },
  };
}

function dialers(daemon: TestDaemon, authorization: string): Pick<RigAgent, 'dial' | 'connect' | 'open' | 'rows'> {
  const dial = async (): Promise<Wire> => {
    const socket = connectTcp({ port: daemon.port, host: '127.0.0.1', allowHalfOpen: true });
    await once(socket, 'connect');
    return new Wire(socket);
  };
  const tunnel = async (authority: string): Promise<Socket> => {
    const socket = connectTcp({ port: daemon.port, host: '127.0.0.1', allowHalfOpen: true });
    await once(socket, 'connect');
    socket.write(`CONNECT ${authority} HTTP/1.1\r\nHost: ${authority}\r\nProxy-Authorization: ${authorization}\r\n\r\n`);
    const [head] = (await once(socket, 'data')) as [Buffer];
    socket.pause();
    if (head.toString('latin1') !== 'HTTP/1.1 200 Connection Established\r\n\r\n') throw new Error(head.toString('latin1'));
    return socket;
  };
  return {
    dial,
    connect: async (authority = `${HOST}:443`) => new Wire(await tunnel(authority)),
    open: async ({ host = HOST, port = 443, servername = host, alpn = ['http/1.1'] } = {}) => {
      const secure = connectTls({
        socket: await tunnel(`${host.includes(':') ? `[${host}]` : host}:${port}`),
        ca: daemon.running.ca().pem,
        ...(/^[\d.]+$|:/.test(servername) ? { host: servername } : { servername }),
        ALPNProtocols: alpn,
        checkServerIdentity: () => undefined,
      });
      await once(secure, 'secureConnect');
      return new Wire(secure as TLSSocket);
    },
    rows: async () => {
      const key = authorization.slice(6);
      const name = Buffer.from(key, 'base64').toString().split(':')[0];
      const { entries } = await daemon.api<{ entries: Record<string, unknown>[] }>('GET', `/v1/audit?agent=${name}&limit=100`);
      return entries;
    },
  };
}

/** A request head with Host; `fields` are complete lines without CRLF. */
export function head(line: string, ...fields: string[]): string {
  return [`${line} HTTP/1.1`, `Host: ${HOST}`, ...fields, '', ''].join('\r\n');
}
