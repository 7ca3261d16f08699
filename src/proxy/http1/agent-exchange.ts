/**
 * One HTTP/1 exchange on the agent's socket: the request's body as it arrives, and the answer as it is written.
 * The answer is framed anew: a known length stays, an unknown one becomes chunked (HTTP/1.1) or ends with the socket (1.0).
 */
import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import type { AgentBody, AgentReply, BodySink } from '../message.ts';
import type { Outlet } from '../outlet.ts';
import type { SocketReader } from '../socket-reader.ts';
import type { AgentHttp1 } from './agent-http1.ts';
import type { BodyEvents, Framing } from './framing.ts';
import { fieldLines, type HeaderBlock, headText } from './serialize.ts';

export class Http1Exchange implements AgentBody, AgentReply, BodyEvents {
  keepAlive: boolean;
  started = false;
  /** The answer is written to its end. */
  finished = false;
  /** The request's body has been read to its end. */
  complete: boolean;
  onDrain: (() => void) | null = null;
  onAbort: (() => void) | null = null;
  readonly #owner: AgentHttp1;
  readonly #outlet: Outlet;
  readonly #method: string;
  readonly #minor: 0 | 1;
  #sink: BodySink | null = null;
  #queued: Buffer[] = [];
  #queuedBytes = 0;
  #trailers: string[] | null = null;
  #discarding = false;
  #failed = false;
  #chunked = false;
  #hasBody = false;

  constructor(owner: AgentHttp1, method: string, minor: 0 | 1, keepAlive: boolean, complete: boolean) {
    this.#owner = owner;
    this.#outlet = owner.outlet;
    this.#method = method;
    this.#minor = minor;
    this.keepAlive = keepAlive;
    this.complete = complete;
  }

  get streams(): boolean {
    return this.#minor === 1;
  }

  // The request's body.

  attach(sink: BodySink): void {
    this.#sink = sink;
    const queued = this.#queued;
    this.#queued = [];
    this.#queuedBytes = 0;
    let writable = true;
    for (const slice of queued) writable = sink.write(slice, false);
    if (this.#failed) sink.abort();
    else if (this.complete) sink.end(this.#trailers ?? []);
    sink.flush();
    if (writable) this.resume();
    else this.pause();
  }

  pause(): void {
    this.#owner.socket.pause();
  }

  resume(): void {
    this.#owner.resumeReading();
  }

  onBody(slice: Buffer): void {
    if (this.#discarding) return;
    if (this.#sink !== null) {
      if (!this.#sink.write(slice, this.#owner.shared)) this.pause();
      return;
    }
    this.#queued.push(this.#owner.shared ? Buffer.from(slice) : slice);
    this.#queuedBytes += slice.length;
    if (this.#queuedBytes > 65_536) this.pause();
  }

  onBodyEnd(trailers: string[]): void {
    this.complete = true;
    this.#trailers = trailers;
    if (!this.#discarding) this.#sink?.end(trailers);
  }

  flushBody(): void {
    if (!this.#discarding) this.#sink?.flush();
  }

  discardBody(): void {
    this.#discarding = true;
    this.#queued = [];
    this.#owner.socket.resume();
  }

  bodyFailed(): void {
    this.#failed = true;
    this.#sink?.abort();
  }

  // The answer.

  informational(status: number, fields: HeaderBlock): void {
    if (this.started || this.#minor === 0) return;
    this.#outlet.text(headText(`HTTP/1.1 ${status} `, fields.text));
    this.#outlet.flush();
  }

  head(status: number, reason: string, fields: HeaderBlock, framing: Framing): void {
    this.started = true;
    // An agent that is refused while it sends must not count on a socket that will be closed (S-45).
    if (status >= 400 && !this.complete && !this.#owner.mayDrain) this.keepAlive = false;
    let extra = '';
    this.#hasBody = framing.kind !== 'none';
    if (status === 101) extra = '';
    else if (framing.kind === 'chunked' || framing.kind === 'close') {
      if (this.#minor === 1) {
        this.#chunked = true;
        extra = 'Transfer-Encoding: chunked\r\n';
      } else this.keepAlive = false;
    }
    if (status !== 101) {
      if (!this.keepAlive) extra += 'Connection: close\r\n';
      else if (this.#minor === 0) extra += 'Connection: keep-alive\r\n';
    }
    this.#outlet.text(headText(`HTTP/1.1 ${status} ${reason}`, fields.text, extra));
  }

  write(slice: Buffer, shared: boolean): boolean {
    if (!this.#hasBody || this.#method === 'HEAD' || slice.length === 0) return true;
    if (!this.#chunked) return this.#outlet.bytes(slice, shared);
    this.#outlet.text(`${slice.length.toString(16)}\r\n`);
    const writable = this.#outlet.bytes(slice, shared);
    this.#outlet.text('\r\n');
    return writable;
  }

  flush(): void {
    this.#outlet.flush();
  }

  end(trailers: readonly string[]): void {
    if (this.finished) return;
    this.finished = true;
    if (this.#chunked && this.#method !== 'HEAD') this.#outlet.text(`0\r\n${fieldLines(trailers)}\r\n`);
    this.#outlet.flush();
    this.#owner.finish(this);
  }

  abort(): void {
    this.finished = true;
    this.#outlet.settle();
    // An honest cut: with a known length or chunks the agent sees an incomplete message, not a short complete one.
    this.#owner.socket.destroy();
  }

  detach(): { stream: Duplex; rest: Buffer | null } {
    this.#outlet.settle();
    this.finished = true;
    return { stream: this.#owner.socket, rest: this.#owner.detach() };
  }

  switchOver(): { socket: Socket; reader: SocketReader; rest: Buffer | null } {
    this.#outlet.settle();
    this.finished = true;
    return { socket: this.#owner.socket, ...this.#owner.switchOver() };
  }

  /** This exchange as a reply that must end the socket. */
  closingReply(): AgentReply {
    this.keepAlive = false;
    return this;
  }

  socketClosed(): void {
    if (!this.complete) this.bodyFailed();
    if (!this.finished) {
      this.finished = true;
      this.onAbort?.();
    }
  }
}
