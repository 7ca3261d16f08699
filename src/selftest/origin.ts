/**
 * The throw-away provider of the self-test, on loopback: it keeps what reached it and answers as badly as a provider can. Plain HTTP, because
 * the running daemon trusts no certificate that was made a moment ago, and must not be made to.
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { type AddressInfo, createServer as createTcpServer, type Server as NetServer, type Socket } from 'node:net';
import { gzipSync } from 'node:zlib';

export interface Arrival {
  readonly method: string;
  readonly url: string;
  readonly rawHeaders: readonly string[];
  readonly body: string;
}

export interface Origin {
  readonly port: number;
  /** `ADDRESS:PORT`. */
  readonly authority: string;
  readonly arrivals: Arrival[];
  /** Values of a header in the newest arrival, in whatever letter case. */
  lastValues(name: string): string[];
  close(): Promise<void>;
}

export async function startOrigin(host = '127.0.0.1'): Promise<Origin> {
  const arrivals: Arrival[] = [];
  const sockets = new Set<Socket>();
  const server: Server = createServer((request, response) => {
    let body = '';
    request.setEncoding('latin1').on('data', (part: string) => (body += part));
    request.on('end', () => {
      const { method = '', url = '', rawHeaders } = request;
      arrivals.push({ method, url, rawHeaders, body });
      answer(request, response);
    });
  });
  server.on('connection', (socket) => {
    sockets.add(socket);
    socket.once('close', () => sockets.delete(socket));
  });
  server.on('upgrade', (request, socket) => {
    arrivals.push({ method: request.method ?? '', url: request.url ?? '', rawHeaders: request.rawHeaders, body: '' });
    socket.end(
      'HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: AAAA\r\n\r\n',
    );
  });
  const port = await listen(server, host);
  return {
    port,
    authority: `${host}:${port}`,
    arrivals,
    lastValues: (name) => valuesOf(arrivals.at(-1)?.rawHeaders ?? [], name),
    close: () => closeAll(server, sockets),
  };
}

export interface Trap {
  readonly host: string;
  readonly port: number;
  contacts(): number;
  close(): Promise<void>;
}

/** An address of this machine that no throw-away grant names: hosts with a grant are looked into on every port. */
const TRAP_HOST = '127.0.0.2';

/** Takes connections and counts them; never answers. Nothing should ever come. */
export async function startTrap(): Promise<Trap> {
  let contacts = 0;
  const sockets = new Set<Socket>();
  const server = createTcpServer((socket) => {
    contacts++;
    sockets.add(socket);
    socket.on('error', () => {});
  });
  const port = await listen(server, TRAP_HOST);
  return { host: TRAP_HOST, port, contacts: () => contacts, close: () => closeAll(server, sockets) };
}

function listen(server: NetServer, host: string): Promise<number> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(0, host, () => resolve((server.address() as AddressInfo).port));
  });
}

function closeAll(server: NetServer, sockets: ReadonlySet<Socket>): Promise<void> {
  return new Promise((resolve) => {
    server.close(() => resolve());
    for (const socket of sockets) socket.destroy();
  });
}

const valuesOf = (rawHeaders: readonly string[], name: string): string[] =>
  rawHeaders.flatMap((each, i) => (i % 2 === 0 && each.toLowerCase() === name ? [rawHeaders[i + 1] as string] : []));

/** By the last word of the path. */
function answer(request: IncomingMessage, response: ServerResponse): void {
  const what = /\/public\/([a-z0-9-]+)/.exec(request.url ?? '')?.[1] ?? '';
  const credential = request.headers.authorization ?? '';
  const bare = credential.replace(/^Bearer /, '');
  switch (what) {
    case 'echo':
      response.setHeader('X-Echo', credential);
      response.end(JSON.stringify(request.rawHeaders));
      return;
    case 'forms':
      response.end(formsOf(bare).join('\n'));
      return;
    case 'gzip':
      response.setHeader('Content-Encoding', 'gzip');
      response.end(gzipSync(`before ${credential} after`));
      return;
    case 'pieces':
      for (const byte of Buffer.from(`before ${credential} after`)) response.write(Buffer.of(byte));
      response.end();
      return;
    case 'redirect':
      response.writeHead(302, { Location: String(request.headers['x-lead-to']) });
      response.end();
      return;
    case 'alt-svc':
      response.setHeader('Alt-Svc', 'h3=":443"');
      response.end('ok');
      return;
    case 'cookie':
      response.setHeader('Set-Cookie', 'session=of-the-account');
      response.end('ok');
      return;
    case 'nonsense':
      request.socket.end('NONSENSE\r\n\r\n');
      return;
    case 'switch':
      request.socket.end('HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n');
      return;
    default:
      response.end('ok');
  }
}

/** How a credential could come back in other clothes. */
export function formsOf(value: string): string[] {
  const bytes = Buffer.from(value);
  return [
    value,
    bytes.toString('base64'),
    Buffer.concat([Buffer.from('x'), bytes]).toString('base64'),
    Buffer.concat([Buffer.from('xy'), bytes]).toString('base64'),
    bytes.toString('hex'),
    bytes.toString('hex').toUpperCase(),
    [...bytes].map((byte) => `%${byte.toString(16).padStart(2, '0')}`).join(''),
  ];
}

/** Forms of the value that `text` contains: the middle of each, free of what stands before and behind it. */
export const leaksOf = (text: string, value: string): string[] =>
  formsOf(value).filter((form) => text.includes(form.slice(4, -4)));
