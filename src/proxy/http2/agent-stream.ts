/** One HTTP/2 stream of an agent: the request's body as it arrives, and the answer as it is written. */
import { constants, type ServerHttp2Stream } from 'node:http2';
import type { Duplex } from 'node:stream';
import type { Framing } from '../http1/framing.ts';
import type { HeaderBlock } from '../http1/serialize.ts';
import type { AgentBody, AgentReply, BodySink } from '../message.ts';
import { fieldObject, flatHeaders, isWhole } from './fields.ts';

export class Http2Exchange implements AgentBody, AgentReply {
  started = false;
  complete: boolean;
  readonly streams = true;
  onDrain: (() => void) | null = null;
  onAbort: (() => void) | null = null;
  readonly #stream: ServerHttp2Stream;
  #sink: BodySink | null = null;
  #trailersIn: string[] = [];
  #trailersOut: readonly string[] = [];
  #finished = false;
  #headOnly = false;

  constructor(stream: ServerHttp2Stream, complete: boolean) {
    this.#stream = stream;
    this.complete = complete;
    stream.on('error', () => {});
    stream.on('trailers', (_headers, _flags, raw?: string[]) => {
      this.#trailersIn = flatHeaders(raw ?? []);
    });
    stream.on('wantTrailers', () => {
      stream.sendTrailers(fieldObject(this.#trailersOut));
      this.#releaseBody();
    });
    stream.on('drain', () => this.onDrain?.());
    stream.on('close', () => this.#onClose());
  }

  attach(sink: BodySink): void {
    this.#sink = sink;
    const stream = this.#stream;
    stream.on('data', (chunk: Buffer) => {
      if (!sink.write(chunk, false)) stream.pause();
      sink.flush();
    });
    stream.on('end', () => {
      // SECURITY: Node also ends a stream whose session broke off; half a request must not pass for a whole one.
      if (this.complete || !isWhole(stream)) return;
      this.complete = true;
      sink.end(this.#trailersIn);
      sink.flush();
    });
  }

  pause(): void {
    this.#stream.pause();
  }

  resume(): void {
    this.#stream.resume();
  }

  informational(status: number, fields: HeaderBlock): void {
    if (this.started || this.#stream.destroyed) return;
    this.#stream.additionalHeaders({ ...fieldObject(fields.list), ':status': status });
  }

  head(status: number, _reason: string, fields: HeaderBlock, framing: Framing): void {
    this.started = true;
    if (this.#stream.destroyed || this.#stream.closed) return;
    this.#headOnly = framing.kind === 'none';
    // sendDate is Node's own: without it every answer would get a Date that its origin did not give.
    const options = { endStream: this.#headOnly, waitForTrailers: !this.#headOnly, sendDate: false };
    this.#stream.respond({ ...fieldObject(fields.list), ':status': status }, options);
  }

  write(slice: Buffer, shared: boolean): boolean {
    if (this.#stream.destroyed || this.#stream.writableEnded || this.#headOnly) return true;
    return this.#stream.write(shared ? Buffer.from(slice) : slice);
  }

  flush(): void {}

  end(trailers: readonly string[]): void {
    if (this.#finished) return;
    this.#finished = true;
    this.#trailersOut = trailers;
    if (!this.#stream.writableEnded && !this.#stream.destroyed) this.#stream.end();
    if (this.#headOnly) this.#releaseBody();
  }

  /**
   * What is left of the body of a request that is answered already: a little is read and dropped, more is told to stop (RFC 9113
   * 8.1). The end of the answer goes out behind a reset that is sent at once, and Go and Java then discard the whole answer: the
   * reset waits for the peer's word on a ping that follows the end.
   */
  #releaseBody(): void {
    if (this.complete) return;
    if (this.#sink === null) {
      this.#stream.on('end', () => {
        this.complete = true;
      });
      this.#stream.resume();
    }
    const stop = (): void => {
      if (!this.complete) this.#stream.close(constants.NGHTTP2_NO_ERROR);
    };
    const { session } = this.#stream;
    if (session === undefined || session.destroyed || !session.ping(stop)) stop();
  }

  abort(): void {
    this.#finished = true;
    this.#stream.close(constants.NGHTTP2_INTERNAL_ERROR);
  }

  detach(): { stream: Duplex; rest: Buffer | null } {
    throw new Error('an HTTP/2 stream has no socket of its own');
  }

  switchOver(): never {
    throw new Error('an HTTP/2 stream has no socket of its own');
  }

  #onClose(): void {
    if (!this.complete) this.#sink?.abort();
    if (this.#finished && this.#stream.rstCode === 0) return;
    const before = this.#finished;
    this.#finished = true;
    if (!before) this.onAbort?.();
  }
}
