/**
 * One HTTP/2 session to an origin, for what can't travel over HTTP/1.1: gRPC, and origins that offer nothing else.
 * Kept off the ordinary path because a request through it costs three to five times as much.
 */
import {
  type ClientHttp2Session,
  type ClientHttp2Stream,
  connect,
  constants,
  type IncomingHttpHeaders,
  type OutgoingHttpHeaders,
} from 'node:http2';
import type { Socket } from 'node:net';
import type { Destination } from '../../domain/destination.ts';
import { AlterError } from '../../domain/errors.ts';
import { classifyHeaders } from '../header-kinds.ts';
import type { ResponseHead } from '../http1/head.ts';
import { brokenOff, fieldObject, flatHeaders, isWhole } from '../http2/fields.ts';
import type { PoolLimits } from './pool.ts';
import type { ResponseSink, UpstreamRequest, UpstreamStream } from './upstream.ts';

export class UpstreamHttp2 {
  readonly #destination: Destination;
  readonly #limits: PoolLimits;
  readonly #onEmpty: () => void;
  readonly #session: Promise<ClientHttp2Session>;
  #live: ClientHttp2Session | null = null;
  #failed = false;

  constructor(destination: Destination, limits: PoolLimits, onEmpty: () => void, dial: () => Promise<Socket>) {
    this.#destination = destination;
    this.#limits = limits;
    this.#onEmpty = onEmpty;
    this.#session = this.#open(dial);
    this.#session.catch(() => {
      this.#failed = true;
      this.#onEmpty();
    });
  }

  get usable(): boolean {
    return !this.#failed && (this.#live === null || !(this.#live.closed || this.#live.destroyed));
  }

  async #open(dial: () => Promise<Socket>): Promise<ClientHttp2Session> {
    const socket = await dial();
    const session = connect(this.#destination.origin, {
      createConnection: () => socket,
      settings: { enablePush: false },
    });
    this.#live = session;
    session.setTimeout(this.#limits.idleMs, () => {
      if (!session.destroyed && this.#streams === 0) session.close();
    });
    session.on('error', () => session.destroy());
    // The socket may be half open for the sake of HTTP/1; an origin that ended its side answers nothing more.
    socket.once('end', () => session.destroy(brokenOff()));
    session.on('close', () => this.#onEmpty());
    session.on('goaway', () => session.close());
    return session;
  }

  #streams = 0;

  /** @throws AlterError upstream_* */
  async send(request: UpstreamRequest, sink: ResponseSink): Promise<UpstreamStream> {
    const session = await this.#session;
    const { host } = this.#destination;
    if (!this.usable) throw new AlterError('upstream_unreachable', { host, reason: 'the HTTP/2 session was closed' });
    if (sink.isOver) throw new AlterError('upstream_unreachable', { host, reason: 'the agent left' });
    const stream = session.request(outgoing(request), {
      endStream: request.framing.kind === 'none',
      waitForTrailers: request.framing.kind !== 'none',
    });
    this.#streams++;
    stream.once('close', () => this.#streams--);
    return new UpstreamHttp2Stream(stream, request.method, sink, host, this.#limits);
  }

  close(): void {
    this.#live?.close();
  }

  destroy(): void {
    this.#live?.destroy(brokenOff());
  }
}

function outgoing(request: UpstreamRequest): OutgoingHttpHeaders {
  const headers: OutgoingHttpHeaders = {
    ':method': request.method,
    ':scheme': request.scheme,
    ':authority': request.authority,
    ':path': request.target,
    ...fieldObject(request.headers),
  };
  if (request.framing.kind === 'length') headers['content-length'] = String(request.framing.length);
  return headers;
}

class UpstreamHttp2Stream implements UpstreamStream {
  readonly #stream: ClientHttp2Stream;
  readonly #method: string;
  readonly #sink: ResponseSink;
  readonly #host: string;
  readonly #limits: PoolLimits;
  #trailersOut: readonly string[] = [];
  #trailersIn: readonly string[] = [];
  #started = false;
  #done = false;

  constructor(stream: ClientHttp2Stream, method: string, sink: ResponseSink, host: string, limits: PoolLimits) {
    this.#stream = stream;
    this.#method = method;
    this.#sink = sink;
    this.#host = host;
    this.#limits = limits;
    stream.setTimeout(limits.responseHeadMs, () => this.#timeout());
    stream.on('wantTrailers', () => stream.sendTrailers(fieldObject(this.#trailersOut)));
    stream.on('headers', (headers) => this.#onInformational(headers));
    stream.on('response', (headers, flags, raw?: string[]) => this.#onResponse(headers, flags, raw));
    stream.on('trailers', (_headers, _flags, raw?: string[]) => {
      this.#trailersIn = flatHeaders(raw ?? []);
    });
    stream.on('data', (chunk: Buffer) => {
      if (!sink.onBody(chunk, false)) stream.pause();
      sink.onFlush();
    });
    stream.on('end', () => this.#onEnd());
    stream.on('drain', () => sink.onWritable());
    stream.on('error', () => {});
    stream.on('close', () => this.#onClose());
  }

  #onInformational(headers: IncomingHttpHeaders & { ':status'?: number }): void {
    const list = Object.entries(headers).flatMap(([k, v]) => (k.startsWith(':') ? [] : [k, String(v)]));
    this.#sink.onInformational(responseHead(headers[':status'] ?? 100, list));
  }

  #onResponse(headers: IncomingHttpHeaders & { ':status'?: number }, flags: number, raw: string[] | undefined): void {
    this.#started = true;
    this.#stream.setTimeout(this.#limits.bodyIdleMs);
    const status = headers[':status'] ?? 0;
    if (status < 200 || status > 599) {
      this.#fail(new AlterError('upstream_protocol', { host: this.#host, reason: 'the status is not between 200 and 599' }));
      return;
    }
    const ended =
      (flags & constants.NGHTTP2_FLAG_END_STREAM) !== 0 || this.#method === 'HEAD' || status === 204 || status === 304;
    const list = flatHeaders(raw ?? Object.entries(headers).flatMap(([k, v]) => [k, String(v)]));
    const length = Number(headers['content-length'] ?? Number.NaN);
    const framing = ended
      ? ({ kind: 'none' } as const)
      : Number.isSafeInteger(length)
        ? ({ kind: 'length', length } as const)
        : ({ kind: 'close' } as const);
    this.#sink.onHead(responseHead(status, list), framing);
  }

  #onEnd(): void {
    // SECURITY: Node also ends a stream whose session broke off; half an answer must not pass for a whole one.
    if (this.#done || !isWhole(this.#stream)) return;
    this.#done = true;
    this.#sink.onBodyEnd(this.#trailersIn);
    this.#sink.onFlush();
    // The origin answered before it read everything: what is left of the request is not wanted.
    if (!this.#stream.writableEnded) this.#stream.close(constants.NGHTTP2_CANCEL);
  }

  #fail(error: AlterError): void {
    if (this.#done) return;
    this.#done = true;
    this.#stream.close(constants.NGHTTP2_CANCEL);
    this.#sink.onFail(error);
  }

  #onClose(): void {
    if (this.#done) return;
    this.#done = true;
    const code = this.#stream.rstCode;
    this.#sink.onFail(
      new AlterError('upstream_unreachable', {
        host: this.#host,
        reason: `the HTTP/2 stream was reset ${this.#started ? 'in the middle of the answer' : 'before an answer'} (code ${code ?? 0})`,
      }),
    );
  }

  #timeout(): void {
    const reason = this.#started ? 'no data for too long' : 'no answer';
    this.#fail(new AlterError('upstream_timeout', { host: this.#host, reason }));
  }

  write(slice: Buffer, shared: boolean): boolean {
    if (this.#stream.destroyed || this.#stream.writableEnded) return true;
    return this.#stream.write(shared ? Buffer.from(slice) : slice);
  }

  flush(): void {}

  end(trailers: readonly string[]): void {
    this.#trailersOut = trailers;
    if (!this.#stream.writableEnded) this.#stream.end();
  }

  pause(): void {
    this.#stream.pause();
  }

  resume(): void {
    this.#stream.resume();
  }

  takeOver(): null {
    return null;
  }

  abort(): void {
    this.#done = true;
    this.#stream.close(constants.NGHTTP2_CANCEL);
  }
}

function responseHead(status: number, headers: string[]): ResponseHead {
  return { status, reason: '', minor: 1, headers, ...classifyHeaders(headers), lines: null };
}
