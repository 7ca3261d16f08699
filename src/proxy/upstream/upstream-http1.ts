/**
 * One HTTP/1.1 socket to an origin: sends a head and a body, follows the framing of the answer, and says whether it may be
 * used again. One exchange at a time; no pipelining. An answer that is not valid HTTP ends the socket.
 */
import type { Socket } from 'node:net';
import { AlterError, toAlterError } from '../../domain/errors.ts';
import { HeaderKind } from '../header-kinds.ts';
import { type BodyEvents, type BodyReader, bodyReader, type Framing, responseFraming } from '../http1/framing.ts';
import { findHeadEnd, HeadError, listTokens, parseResponseHead, type ResponseHead } from '../http1/head.ts';
import { fieldLines } from '../http1/serialize.ts';
import { Outlet } from '../outlet.ts';
import type { Seat } from '../roster.ts';
import type { Expiring } from '../sweeper.ts';
import type { RawSink, ResponseSink, UpstreamRequest, UpstreamStream } from './upstream.ts';

export interface UpstreamOwner {
  /** An instant for `deadlineAt`, at least that far away. */
  deadlineIn(ms: number): number;
  readonly host: string;
  readonly headBytes: number;
  readonly headers: number;
  readonly responseHeadMs: number;
  readonly bodyIdleMs: number;
  readonly idleMs: number;
  /** The exchange is over and the socket may serve another. */
  onReusable(upstream: UpstreamHttp1): void;
  onGone(upstream: UpstreamHttp1): void;
}

/** More informational answers than this before a final one is an attack, not a protocol (S-47). */
const MAX_INFORMATIONAL = 64;

export class UpstreamHttp1 implements Expiring, UpstreamStream, BodyEvents {
  deadlineAt = Number.POSITIVE_INFINITY;
  /** In the rosters of its pool; given back when it is gone. */
  seats: readonly Seat[] = [];
  readonly socket: Socket;
  /** Exchanges that this socket has carried. */
  uses = 0;
  readonly #owner: UpstreamOwner;
  readonly #outlet: Outlet;
  #sink: ResponseSink | null = null;
  #method = '';
  #pending: Buffer | null = null;
  #reader: BodyReader | null = null;
  #headSeen = false;
  #responseDone = false;
  #requestDone = false;
  #requestChunked = false;
  #mayReuse = false;
  #informational = 0;
  #raw: RawSink | null = null;
  #isPaused = false;
  #idleMs: number;
  #gone = false;

  constructor(socket: Socket, owner: UpstreamOwner) {
    this.socket = socket;
    this.#owner = owner;
    this.#outlet = new Outlet(socket);
    this.#idleMs = owner.idleMs;
    socket.on('end', () => this.#onEnd());
    socket.on('error', (error) => this.#onGone(error));
    socket.on('close', () => this.#onGone(null));
    socket.on('drain', () => this.#sink?.onWritable());
  }

  get usable(): boolean {
    return !this.#gone && this.#sink === null && !this.socket.destroyed && this.socket.writable && !this.socket.readableEnded;
  }

  // Request side.

  begin(request: UpstreamRequest, sink: ResponseSink): void {
    this.#sink = sink;
    this.#method = request.method;
    this.#requestDone = request.framing.kind === 'none';
    this.#requestChunked = request.framing.kind === 'chunked';
    this.#headSeen = false;
    this.#responseDone = false;
    this.#informational = 0;
    this.uses++;
    this.deadlineAt = this.#owner.deadlineIn(this.#owner.responseHeadMs);
    this.#outlet.text(request.headText);
    if (this.#requestDone) this.#outlet.flush();
  }

  write(slice: Buffer, shared: boolean): boolean {
    if (this.#gone || slice.length === 0) return true;
    if (!this.#requestChunked) return this.#outlet.bytes(slice, shared);
    this.#outlet.text(`${slice.length.toString(16)}\r\n`);
    const writable = this.#outlet.bytes(slice, shared);
    this.#outlet.text('\r\n');
    return writable;
  }

  flush(): void {
    if (!this.#gone) this.#outlet.flush();
  }

  end(trailers: readonly string[]): void {
    if (this.#gone || this.#requestDone) return;
    if (this.#requestChunked) this.#outlet.text(`0\r\n${fieldLines(trailers)}\r\n`);
    this.#outlet.flush();
    this.#requestDone = true;
    if (this.#headSeen) this.deadlineAt = this.#owner.deadlineIn(this.#owner.bodyIdleMs);
    else this.deadlineAt = this.#owner.deadlineIn(this.#owner.responseHeadMs);
    this.#settle();
  }

  pause(): void {
    this.#isPaused = true;
    this.socket.pause();
  }

  resume(): void {
    this.#isPaused = false;
    this.socket.resume();
  }

  /** Gives the exchange up: the socket can't be used again. */
  abort(): void {
    this.#sink = null;
    this.socket.destroy();
  }

  // Response side.

  /** After a 101: from now on bytes go to `raw` as they are, and the socket is never used again for HTTP. */
  takeOver(raw: RawSink): Socket {
    this.#outlet.settle();
    this.#raw = raw;
    this.#sink = null;
    this.deadlineAt = Number.POSITIVE_INFINITY;
    return this.socket;
  }

  /** Bytes from the origin; `chunk` is overwritten after the call when `shared`. Answers false to pause reading. */
  feed(chunk: Buffer, shared: boolean): boolean {
    if (this.#raw !== null) return this.#raw.onBytes(chunk, shared);
    const sink = this.#sink;
    if (sink === null) {
      // SECURITY: bytes that nobody asked for would be taken as the answer to the next request (response splitting).
      this.socket.destroy();
      return false;
    }
    let bytes = chunk;
    let owned = !shared;
    if (this.#pending !== null) {
      bytes = Buffer.concat([this.#pending, chunk]);
      owned = true;
      this.#pending = null;
    }
    this.deadlineAt = this.#owner.deadlineIn(this.#headSeen ? this.#owner.bodyIdleMs : this.#owner.responseHeadMs);
    this.#shared = !owned;
    this.#mustPause = false;
    try {
      this.#feed(bytes, owned);
    } catch (thrown) {
      this.#failWith(
        thrown instanceof HeadError
          ? new AlterError('upstream_protocol', { host: this.#owner.host, reason: thrown.message })
          : toAlterError(thrown),
      );
      return false;
    }
    sink.onFlush();
    // Taken before the next exchange may begin in there.
    const isOver = this.#responseDone;
    this.#settle();
    if (isOver) return true;
    if (this.#mustPause) this.#isPaused = true;
    return !this.#mustPause;
  }

  #shared = false;
  #mustPause = false;

  #feed(bytes: Buffer, owned: boolean): void {
    let pos = 0;
    while (pos < bytes.length && this.#sink !== null) {
      if (this.#reader !== null) {
        pos += this.#reader.feed(bytes, pos, this);
        if (this.#responseDone) this.#reader = null;
        continue;
      }
      if (this.#responseDone) throw new HeadError('bytes behind the end of the answer');
      const end = findHeadEnd(bytes, pos);
      if ((end === -1 ? bytes.length : end) - pos > this.#owner.headBytes) throw new HeadError('the head is too long');
      if (end === -1) {
        this.#pending = owned && pos === 0 ? bytes : Buffer.from(bytes.subarray(pos));
        return;
      }
      const head = parseResponseHead(bytes, pos, end, this.#owner.headers);
      pos = end;
      if (this.#onHead(head, bytes, pos)) return;
    }
  }

  /** Answers true when the socket was handed over (101). */
  #onHead(head: ResponseHead, bytes: Buffer, pos: number): boolean {
    const sink = this.#sink as ResponseSink;
    if (head.status === 101) {
      const rest = pos < bytes.length ? Buffer.from(bytes.subarray(pos)) : null;
      this.#reader = null;
      if (!sink.onSwitch(head, rest)) throw new HeadError('an unasked 101');
      return true;
    }
    if (head.status < 200) {
      if (++this.#informational > MAX_INFORMATIONAL) throw new HeadError('too many informational answers');
      sink.onInformational(head);
      return false;
    }
    const framing: Framing = responseFraming(head, head.minor, head.status, this.#method);
    this.#headSeen = true;
    const tokens = listTokens(head, HeaderKind.connection);
    this.#mayReuse = framing.kind !== 'close' && !tokens.includes('close') && (head.minor === 1 || tokens.includes('keep-alive'));
    this.#readKeepAlive(head);
    if (framing.kind === 'none') this.#responseDone = true;
    else this.#reader = bodyReader(framing, this.#owner.headers);
    sink.onHead(head, framing);
    if (framing.kind === 'none') sink.onBodyEnd([]);
    return false;
  }

  /** `Keep-Alive: timeout=n`: stay a second below what the origin promises, so that no request meets a closing socket. */
  #readKeepAlive(head: ResponseHead): void {
    for (let i = 0; i < head.kinds.length; i++) {
      if (head.kinds[i] !== HeaderKind.keepAlive) continue;
      const seconds = Number(/timeout=(\d{1,5})/i.exec(head.headers[2 * i + 1] as string)?.[1] ?? Number.NaN);
      if (!Number.isNaN(seconds)) this.#idleMs = Math.max(0, Math.min(55_000, seconds * 1000 - 1000));
    }
  }

  onBody(slice: Buffer): void {
    if (this.#sink !== null && !this.#sink.onBody(slice, this.#shared)) this.#mustPause = true;
  }

  onBodyEnd(trailers: string[]): void {
    this.#responseDone = true;
    this.#sink?.onBodyEnd(trailers);
  }

  #settle(): void {
    if (this.#sink === null || !this.#responseDone) return;
    if (!this.#requestDone) {
      // The origin answered before it read everything: what is left of the request must not meet the next one.
      this.#sink = null;
      this.socket.destroy();
      return;
    }
    this.#sink = null;
    if (!this.#mayReuse || this.#gone || this.#pending !== null) {
      this.#outlet.settle();
      this.socket.end();
      this.deadlineAt = this.#owner.deadlineIn(1000);
      return;
    }
    // The agent may still be busy with the last bytes, and its word that it can take more is for nobody now: a socket that stayed
    // paused would never show the answer to its next request. The socket itself does not know that `feed` stopped it.
    if (this.#isPaused) this.resume();
    this.deadlineAt = this.#owner.deadlineIn(this.#idleMs);
    this.#owner.onReusable(this);
  }

  #failWith(error: AlterError): void {
    const sink = this.#sink;
    this.#sink = null;
    this.socket.destroy();
    sink?.onFail(error);
  }

  #onEnd(): void {
    if (this.#raw !== null) {
      this.#raw.onEnd();
      return;
    }
    const sink = this.#sink;
    if (sink !== null && this.#reader?.endsWithSocket === true) {
      this.#responseDone = true;
      this.#reader = null;
      sink.onBodyEnd([]);
      sink.onFlush();
      this.#sink = null;
    }
    this.#outlet.settle();
    this.socket.end();
    this.#onGone(null);
  }

  #onGone(error: Error | null): void {
    if (this.#gone) return;
    this.#gone = true;
    const sink = this.#sink;
    this.#sink = null;
    this.#owner.onGone(this);
    this.#raw?.onClose();
    if (sink === null) return;
    const how = this.#headSeen ? 'in the middle of the answer' : 'before an answer';
    const code = (error as NodeJS.ErrnoException | null)?.code;
    sink.onFail(
      new AlterError(
        'upstream_unreachable',
        { host: this.#owner.host, reason: `the connection was closed ${how}${code ? ` (${code})` : ''}` },
        error ? { cause: error } : {},
      ),
    );
  }

  expire(): void {
    const sink = this.#sink;
    this.#sink = null;
    this.socket.destroy();
    sink?.onFail(
      new AlterError('upstream_timeout', {
        host: this.#owner.host,
        reason: this.#headSeen ? 'no data for too long' : 'no answer',
      }),
    );
  }
}
