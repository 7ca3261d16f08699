/**
 * The origin of the benchmark: a TLS server that answers from memory with as little work as Node allows, so that it is not what
 * is measured. 200 bytes of JSON, an echo (backwards) of what was injected, bodies, a sink and event streams. Loopback only.
 */
import { readFileSync } from 'node:fs';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { createServer, type TLSSocket } from 'node:tls';
import { SocketReader } from '../../src/proxy/socket-reader.ts';
import { TOKEN } from './names.ts';

const dir = process.argv[2] as string;
const JSON_BODY = JSON.stringify({ id: '4f1c7a0e', object: 'item', status: 'ready', note: 'x'.repeat(136) }).padEnd(200, ' ');
const KIB = 1024;

const answer = (type: string, body: Buffer): Buffer =>
  Buffer.concat([Buffer.from(`HTTP/1.1 200 OK\r\nContent-Type: ${type}\r\nContent-Length: ${body.length}\r\n\r\n`), body]);
const SMALL = answer('application/json', Buffer.from(JSON_BODY));
const MIDDLE = answer('application/octet-stream', Buffer.alloc(64 * KIB, 'x'));
const LARGE_BYTES = 10 * KIB * KIB;
const LARGE_HEAD = Buffer.from(
  `HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\nContent-Length: ${LARGE_BYTES}\r\n\r\n`,
);
const PIECE = Buffer.alloc(256 * KIB, 'x');
const SSE_HEAD = 'HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nCache-Control: no-store\r\nConnection: close\r\n\r\n';

function sendLarge(socket: TLSSocket): void {
  socket.write(LARGE_HEAD);
  let left = LARGE_BYTES;
  const more = (): void => {
    while (left > 0) {
      left -= PIECE.length;
      if (!socket.write(PIECE)) {
        if (left > 0) socket.once('drain', more);
        return;
      }
    }
  };
  more();
}

/** The time of writing is in each event: all processes of the machine share that clock. */
function sendEvents(socket: TLSSocket, everyMs: number, count: number): void {
  const event = (): string => `data: ${process.hrtime.bigint()}\n\n`;
  socket.write(SSE_HEAD + event());
  let left = count;
  // Bounded: a proxy that never tells the origin that its client left must not weigh on later tests.
  const timer = setInterval(() => {
    if (left-- > 0) socket.write(event());
    else socket.end();
  }, everyMs);
  socket.once('close', () => clearInterval(timer));
}

class Exchange {
  readonly #socket: TLSSocket;
  #head = '';
  /** Body bytes still to come; -1 while a chunked body comes. */
  #left = 0;
  #tail = '';
  #received = 0;

  constructor(socket: TLSSocket) {
    this.#socket = socket;
  }

  take(chunk: Buffer): void {
    if (this.#left !== 0) this.#sink(chunk);
    else {
      const text = this.#head + chunk.toString('latin1');
      const end = text.indexOf('\r\n\r\n');
      if (end === -1) this.#head = text;
      else {
        this.#head = '';
        this.#request(text.slice(0, end + 2), Buffer.from(text.slice(end + 4), 'latin1'));
      }
    }
  }

  #request(head: string, rest: Buffer): void {
    const path = head.slice(head.indexOf(' ') + 1, head.indexOf(' ', head.indexOf(' ') + 1));
    if (path === '/json') this.#socket.write(SMALL);
    else if (path === '/64k') this.#socket.write(MIDDLE);
    else if (path === '/10m') sendLarge(this.#socket);
    else if (path.startsWith('/sse')) {
      const query = new URLSearchParams(path.slice(path.indexOf('?')));
      sendEvents(this.#socket, Number(query.get('ms')), Number(query.get('count')));
    } else if (path === '/sink') {
      this.#received = 0;
      this.#left = Number(/\r\ncontent-length: *(\d+)/i.exec(head)?.[1] ?? -1);
      this.#sink(rest);
    } else if (path === '/token') {
      // Once in a run. Its body may still be on the way, and nothing reads it: the connection ends here.
      const tokens = { access_token: TOKEN, token_type: 'bearer', expires_in: 86_400 };
      this.#socket.end(answer('application/json', Buffer.from(JSON.stringify(tokens))));
    } else {
      const authorization = /\r\nauthorization: *(.*)\r\n/i.exec(head)?.[1] ?? '';
      this.#socket.write(answer('text/plain', Buffer.from([...authorization].reverse().join(''))));
    }
  }

  #sink(chunk: Buffer): void {
    this.#received += chunk.length;
    if (this.#left > 0) this.#left -= chunk.length;
    else {
      this.#tail = (this.#tail + chunk.subarray(-5).toString('latin1')).slice(-5);
      if (this.#tail === '0\r\n\r\n') this.#left = 0;
    }
    if (this.#left !== 0) return;
    this.#tail = '';
    this.#socket.write(answer('application/json', Buffer.from(`{"received":${this.#received}}`)));
  }
}

const server = createServer(
  { cert: readFileSync(join(dir, 'origin.crt')), key: readFileSync(join(dir, 'origin.key')), ALPNProtocols: ['http/1.1'] },
  (socket) => {
    socket.setNoDelay(true);
    const exchange = new Exchange(socket);
    new SocketReader(socket, true, (chunk) => exchange.take(chunk));
    socket.on('error', () => {});
  },
);
server.on('tlsClientError', () => {});
server.listen({ port: 0, host: '127.0.0.1', backlog: 4096 }, () => process.send?.((server.address() as AddressInfo).port));
process.on('disconnect', () => process.exit(0));
