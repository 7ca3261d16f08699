/**
 * The agent's side of HTTP/2: Node's session on the intercepted TLS socket, each stream a request like any other.
 * A tunnel has one destination, so a stream that names another authority is refused like a misdirected request (S-50).
 */
import { constants, performServerHandshake, type ServerHttp2Session, type ServerHttp2Stream } from 'node:http2';
import type { TLSSocket } from 'node:tls';
import { classifyHeaders } from '../header-kinds.ts';
import type { Http1Limits } from '../http1/agent-http1.ts';
import type { Framing } from '../http1/framing.ts';
import type { AgentReply, AgentRequest } from '../message.ts';
import { Http2Exchange } from './agent-stream.ts';
import { brokenOff, flatHeaders, joinCookies } from './fields.ts';

/** Node's default of 10 MB ends streams with ENHANCE_YOUR_CALM when three larger answers wait at once. */
const MAX_SESSION_MEMORY_MIB = 64;
const MAX_STREAMS = 250;

export class AgentHttp2 {
  readonly #session: ServerHttp2Session;
  readonly #onRequest: (request: AgentRequest, reply: AgentReply) => void;

  constructor(socket: TLSSocket, limits: Http1Limits, onRequest: (request: AgentRequest, reply: AgentReply) => void) {
    this.#onRequest = onRequest;
    // performServerHandshake waits for an event that only sockets of a tls.Server get, unless the socket says that it is done.
    (socket as TLSSocket & { secureConnecting: boolean }).secureConnecting = false;
    this.#session = performServerHandshake(socket, {
      maxSessionMemory: MAX_SESSION_MEMORY_MIB,
      maxHeaderListPairs: limits.headers + 8,
      settings: {
        maxConcurrentStreams: MAX_STREAMS,
        maxHeaderListSize: limits.headBytes,
        enableConnectProtocol: false,
        initialWindowSize: 1024 * 1024,
      },
    });
    this.#session.setLocalWindowSize(4 * 1024 * 1024);
    this.#session.setTimeout(limits.clientIdleMs, () => this.#session.close());
    this.#session.on('stream', (stream, headers, flags, raw?: string[]) => this.#onStream(stream, headers, flags, raw));
    this.#session.on('error', () => this.#session.destroy());
    // The socket may be half open for the sake of HTTP/1; a session has no use for that, and its streams would wait for nobody.
    socket.once('end', () => this.#session.destroy(brokenOff()));
    this.#session.on('sessionError', () => this.#session.destroy());
  }

  #onStream(stream: ServerHttp2Stream, pseudo: Record<string, unknown>, flags: number, raw: string[] | undefined): void {
    const headers = joinCookies(flatHeaders(raw ?? []));
    const ended = (flags & constants.NGHTTP2_FLAG_END_STREAM) !== 0;
    const length = Number(pseudo['content-length'] ?? Number.NaN);
    const framing: Framing = ended
      ? { kind: 'none' }
      : Number.isSafeInteger(length) && length >= 0
        ? { kind: 'length', length }
        : { kind: 'chunked' };
    const exchange = new Http2Exchange(stream, framing.kind === 'none');
    const hosts = headers.filter((h, i) => i % 2 === 0 && h.toLowerCase() === 'host').length;
    const host = typeof pseudo[':authority'] === 'string' ? pseudo[':authority'] : null;
    const request: AgentRequest = {
      protocol: 'HTTP/2',
      method: String(pseudo[':method'] ?? ''),
      target: typeof pseudo[':path'] === 'string' ? pseudo[':path'] : '',
      headers,
      ...classifyHeaders(headers),
      host,
      framing,
      upgrade: null,
      body: exchange,
    };
    // SECURITY: `host` beside `:authority` may only repeat it; another value is what a downgrading origin would read (S-49).
    const hostField =
      hosts === 0 ? null : (headers[headers.findIndex((h, i) => i % 2 === 0 && h.toLowerCase() === 'host') + 1] as string);
    if (
      hosts > 1 ||
      (hostField !== null && host !== null && hostField !== host) ||
      request.method === 'CONNECT' ||
      request.method === ''
    ) {
      stream.close(constants.NGHTTP2_PROTOCOL_ERROR);
      return;
    }
    this.#onRequest(host === null && hostField !== null ? { ...request, host: hostField } : request, exchange);
  }

  /** GOAWAY: no new streams; those under way finish. */
  drain(): void {
    this.#session.close();
  }
}
