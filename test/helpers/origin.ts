/** A real TLS origin on loopback that records what arrived, header by header, and answers as the test says. */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { createSecureServer, type Http2SecureServer } from 'node:http2';
import type { AddressInfo } from 'node:net';
import { createServer as createTlsServer, type TLSSocket } from 'node:tls';
import type { TestPki } from './pki.ts';

export interface Arrival {
  readonly method: string;
  readonly url: string;
  readonly httpVersion: string;
  /** Name, value … as they came. */
  readonly rawHeaders: readonly string[];
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly body: Buffer;
  readonly servername: string | null;
  /** Counts the TLS sockets: the same number means the same socket. */
  readonly socketNo: number;
}

export type Answer = (request: IncomingMessage, response: ServerResponse, body: Buffer) => void | Promise<void>;

export interface TestOrigin {
  readonly port: number;
  readonly arrivals: Arrival[];
  readonly sockets: () => number;
  /** Replaces the answer for requests from now on. */
  answer: Answer;
  close(): Promise<void>;
}

const echo: Answer = (request, response, body) => {
  response.setHeader('content-type', 'application/json');
  response.end(JSON.stringify({ ok: true, method: request.method, url: request.url, bytes: body.length }));
};

/** HTTP/1.1 over TLS for any host name (SNI picks the certificate; without SNI `fallbackHost`). Bodies are read before the answer. */
export async function startOrigin(pki: TestPki, options: { fallbackHost?: string; answer?: Answer } = {}): Promise<TestOrigin> {
  const arrivals: Arrival[] = [];
  const sockets = new Set<TLSSocket>();
  let count = 0;
  const numbers = new WeakMap<object, number>();
  const origin = { answer: options.answer ?? echo };
  const http = createServer({ requestTimeout: 0, keepAliveTimeout: 60_000 }, (request, response) => {
    const parts: Buffer[] = [];
    request.on('data', (part: Buffer) => parts.push(part));
    request.on('end', () => {
      const body = Buffer.concat(parts);
      arrivals.push({
        method: request.method ?? '',
        url: request.url ?? '',
        httpVersion: request.httpVersion,
        rawHeaders: request.rawHeaders,
        headers: request.headers,
        body,
        servername: (request.socket as TLSSocket).servername || null,
        socketNo: numbers.get(request.socket) ?? 0,
      });
      void origin.answer(request, response, body);
    });
    request.on('error', () => {});
    response.on('error', () => {});
  });
  const tls = createTlsServer(
    {
      ALPNProtocols: ['http/1.1'],
      SNICallback: (name, done) => done(null, pki.contextFor(name)),
    },
    (socket) => {
      sockets.add(socket);
      numbers.set(socket, ++count);
      socket.on('close', () => sockets.delete(socket));
      socket.on('error', () => {});
      http.emit('connection', socket);
    },
  );
  if (options.fallbackHost !== undefined)
    (tls as unknown as { _sharedCreds: unknown })._sharedCreds = pki.contextFor(options.fallbackHost);
  tls.on('tlsClientError', () => {});
  await new Promise<void>((resolve) => tls.listen(0, '127.0.0.1', resolve));
  return {
    port: (tls.address() as AddressInfo).port,
    arrivals,
    sockets: () => count,
    get answer() {
      return origin.answer;
    },
    set answer(answer: Answer) {
      origin.answer = answer;
    },
    close: () =>
      new Promise((resolve) => {
        for (const socket of sockets) socket.destroy();
        tls.close(() => resolve());
      }),
  };
}

/** An origin that offers HTTP/2 alone. */
export async function startHttp2Origin(
  pki: TestPki,
  host: string,
  onStream: (server: Http2SecureServer) => void,
): Promise<{ port: number; close: () => Promise<void> }> {
  const server = createSecureServer({ allowHTTP1: false, SNICallback: (name, done) => done(null, pki.contextFor(name || host)) });
  const sessions = new Set<{ destroy(): void }>();
  server.on('session', (session) => {
    sessions.add(session);
    session.on('close', () => sessions.delete(session));
    session.on('error', () => {});
  });
  onStream(server);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    port: (server.address() as AddressInfo).port,
    close: () =>
      new Promise((resolve) => {
        for (const session of sessions) session.destroy();
        server.close(() => resolve());
      }),
  };
}
