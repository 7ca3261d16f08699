/**
 * A socket that a test reads by hand, a reader of requests and answers of its own, and an origin that is served by hand: the attacker's
 * eyes must not be the product's parser.
 */
import { once } from 'node:events';
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';
import { createServer as createTlsServer } from 'node:tls';
import type { TestPki } from '../../helpers/pki.ts';

/** A socket that a test reads by hand. */
export class Wire {
  readonly socket: Socket;
  /** Resolves when the other side ended or closed the socket. */
  readonly closed: Promise<void>;
  ended = false;
  #bytes = Buffer.alloc(0);
  #wake: (() => void)[] = [];

  constructor(socket: Socket) {
    this.socket = socket;
    this.closed = new Promise((resolve) => {
      socket.once('end', () => resolve());
      socket.once('close', () => resolve());
    });
    socket.on('error', () => {});
    socket.on('data', (chunk: Buffer) => {
      this.#bytes = Buffer.concat([this.#bytes, chunk]);
      this.#notify();
    });
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
    while (this.#bytes.length < count) {
      if (this.ended) throw new Error(`ended after ${JSON.stringify(this.waiting)} where ${count} bytes were expected`);
      await this.more();
    }
    const taken = this.#bytes.subarray(0, count);
    this.#bytes = this.#bytes.subarray(count);
    return taken;
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

  /** Everything until the other side ended. */
  async rest(): Promise<string> {
    while (!this.ended) await this.more();
    return (await this.take(this.#bytes.length)).toString('latin1');
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

export function headerOf(headers: readonly string[], name: string): string | undefined {
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
  const length = headerOf(headers, 'content-length');
  if (status < 200 || status === 204 || status === 304 || method === 'HEAD') body = '';
  else if (headerOf(headers, 'transfer-encoding') === 'chunked') ({ body, trailers } = await readChunks(wire));
  else if (length !== undefined) body = (await wire.take(Number(length))).toString('latin1');
  else body = await wire.rest();
  return {
    status,
    reason: line.split(' ').slice(2).join(' '),
    headers,
    body,
    trailers,
    header: (name) => headerOf(headers, name),
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
  const length = Number(headerOf(headers, 'content-length') ?? 0);
  if (headOnly) return { line, headers, body: '', trailers: [] };
  if (headerOf(headers, 'transfer-encoding') === 'chunked') return { line, headers, ...(await readChunks(wire)) };
  return { line, headers, body: (await wire.take(length)).toString('latin1'), trailers: [] };
}

/** An origin whose sockets a test serves by hand, one after the other. */
export class RawOrigin {
  readonly wires: Wire[] = [];
  readonly #server: Server;
  #accepted: ((wire: Wire) => void)[] = [];
  #unclaimed: Wire[] = [];
  #arrived: (() => void)[] = [];

  constructor(server: Server, secure: boolean) {
    this.#server = server;
    server.on(secure ? 'secureConnection' : 'connection', (socket: Socket) => {
      const wire = new Wire(socket);
      this.wires.push(wire);
      for (const resolve of this.#arrived.splice(0)) resolve();
      const waiter = this.#accepted.shift();
      if (waiter === undefined) this.#unclaimed.push(wire);
      else waiter(wire);
    });
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  /** The next socket that nobody took yet. */
  next(): Promise<Wire> {
    const wire = this.#unclaimed.shift();
    return wire === undefined ? new Promise((resolve) => this.#accepted.push(resolve)) : Promise.resolve(wire);
  }

  /** The socket that bytes wait on, a new one or one that the proxy kept from an earlier request. */
  async asked(): Promise<Wire> {
    for (;;) {
      const wire = this.wires.find((each) => !each.ended && each.waiting !== '');
      if (wire !== undefined) return wire;
      const open = this.wires.filter((each) => !each.ended);
      await Promise.race([...open.map((each) => each.more()), new Promise<void>((resolve) => this.#arrived.push(resolve))]);
    }
  }

  async close(): Promise<void> {
    for (const wire of this.wires) wire.socket.destroy();
    this.#server.close();
    await once(this.#server, 'close');
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
