/**
 * The agent's side of HTTP/1.0 and 1.1: reads requests one after the other from a socket (the proxy port itself, or the
 * inside of an intercepted TLS session) and writes their answers. Each request is parsed, matched and audited on its own
 * (S-35); bytes behind a request wait until its answer is out.
 */
import type { Socket } from 'node:net';
import { AlterError, toAlterError } from '../../domain/errors.ts';
import { HeaderKind } from '../header-kinds.ts';
import type { AgentReply, AgentRequest } from '../message.ts';
import { Outlet } from '../outlet.ts';
import type { Seat } from '../roster.ts';
import { SocketReader } from '../socket-reader.ts';
import type { Expiring, Sweeper } from '../sweeper.ts';
import { Http1Exchange } from './agent-exchange.ts';
import { type BodyReader, bodyReader, NO_BODY, requestFraming } from './framing.ts';
import { findHeadEnd, HeadError, listTokens, parseRequestHead, type RequestHead, singleValue } from './head.ts';

export interface Http1Limits {
  readonly headBytes: number;
  readonly headers: number;
  readonly clientHeadMs: number;
  readonly clientIdleMs: number;
  readonly bodyIdleMs: number;
}

export interface Http1Callbacks {
  /** A complete head arrived; answer through `reply`. */
  onRequest(request: AgentRequest, reply: AgentReply): void;
  /** A CONNECT head: the callee refuses through `reply`, or takes the socket over with `reply.detach()`. */
  onConnect?(head: RequestHead, reply: AgentReply): void;
  /** The bytes are no acceptable request; the answer must close the socket. */
  onMalformed(error: AlterError, reply: AgentReply): void;
  onClose(): void;
}

/** Bytes that may wait behind an unfinished exchange before the socket is paused. */
const READ_AHEAD_BYTES = 64 * 1024;
/** An early answer with at most this much body outstanding keeps the socket; otherwise it is closed (S-45). */
const DRAIN_BYTES = 256 * 1024;
const LINGER_MS = 2000;
/** An agent that closed its side may still read, or be gone: nothing tells which until something is written. So it waits this long for something to be written. */
const HALF_CLOSED_MS = 3000;
/** Of the empty lines that may stand before a request line (RFC 9112 2.2). */
const MAX_EMPTY_BYTES = 16;

export class AgentHttp1 implements Expiring {
  deadlineAt = Number.POSITIVE_INFINITY;
  readonly socket: Socket;
  readonly outlet: Outlet;
  readonly limits: Http1Limits;
  readonly #callbacks: Http1Callbacks;
  readonly #sweeper: Sweeper;
  readonly #seat: Seat;
  #pending: Buffer | null = null;
  #scannedTo = 0;
  #reader: BodyReader | null = null;
  #exchange: Http1Exchange | null = null;
  #closing = false;
  #detached = false;
  #readEnded = false;
  #writtenBefore = 0;
  #feeding = false;
  /** Nothing sensible can follow: what was sent can't be parsed, and its refusal is on its way. */
  #isBroken = false;
  readonly #socketReader: SocketReader;
  /** The bytes being fed are overwritten after the call. */
  shared = false;

  /** `mayShare`: the socket is an established TLS session that nobody has read from. */
  constructor(socket: Socket, limits: Http1Limits, sweeper: Sweeper, callbacks: Http1Callbacks, mayShare = false) {
    this.socket = socket;
    this.outlet = new Outlet(socket);
    this.limits = limits;
    this.#callbacks = callbacks;
    this.#sweeper = sweeper;
    this.#seat = sweeper.add(this);
    this.deadlineAt = sweeper.deadlineIn(limits.clientHeadMs);
    this.#socketReader = new SocketReader(socket, mayShare, this.#onData);
    socket.on('end', this.#onEnd);
    socket.on('drain', this.#onDrain);
    socket.on('error', this.#onError);
    socket.on('close', this.#onSocketClose);
  }

  /** Gives bytes that were read before this object existed. */
  feed(chunk: Buffer): void {
    this.#onData(chunk, false);
  }

  readonly #onData = (chunk: Buffer, shared: boolean): void => {
    // A refused body on its way out, or what follows bytes that are no HTTP: read over, never parsed (S-45).
    if (this.#closing || this.#isBroken) return;
    if (this.#pending === null) this.#feed(chunk, shared);
    else {
      const bytes = Buffer.concat([this.#pending, chunk]);
      this.#pending = null;
      this.#feed(bytes, false);
    }
  };

  #feed(bytes: Buffer, shared: boolean): void {
    if (this.#feeding) {
      this.#pending = this.#pending === null ? Buffer.from(bytes) : Buffer.concat([this.#pending, bytes]);
      return;
    }
    this.#feeding = true;
    this.shared = shared;
    let rest: Buffer | null = bytes;
    try {
      while (rest !== null && rest.length > 0 && !this.#closing && !this.#isBroken && !this.#detached) {
        if (this.#exchange === null) rest = this.#feedHead(rest);
        else if (this.#reader !== null) rest = this.#feedBody(rest);
        else break;
      }
    } catch (thrown) {
      rest = null;
      this.#fail(thrown);
    }
    this.#feeding = false;
    if (rest !== null && rest.length > 0 && !this.#closing && !this.#detached) {
      this.#pending = shared ? Buffer.from(rest) : rest;
      if (this.#exchange !== null && rest.length > READ_AHEAD_BYTES) this.socket.pause();
    }
    this.#exchange?.flushBody();
  }

  /** Answers what is left behind the head, or null when the head is not complete. @throws HeadError */
  #feedHead(bytes: Buffer): Buffer | null {
    let start = 0;
    // RFC 9112 2.2: empty lines before a request line are tolerated.
    while (bytes[start] === 13 && bytes[start + 1] === 10) start += 2;
    if (start > MAX_EMPTY_BYTES) throw new HeadError('too many empty lines');
    if (bytes[start] === 0x16) throw new HeadError('TLS where plain HTTP is expected: the proxy URL must start with http://');
    const end = findHeadEnd(bytes, Math.max(start, this.#scannedTo - 3));
    if ((end === -1 ? bytes.length : end) - start > this.limits.headBytes)
      throw new HeadError(`a head over ${this.limits.headBytes} bytes`, true);
    if (end === -1) {
      // A line that ends with a bare LF never ends the head: say so now rather than time out.
      if (bytes.includes('\n\n', start, 'latin1')) throw new HeadError('a line ends with a bare LF');
      if (this.deadlineAt === Number.POSITIVE_INFINITY || this.#scannedTo === 0)
        this.deadlineAt = this.#sweeper.deadlineIn(this.limits.clientHeadMs);
      this.#scannedTo = bytes.length;
      this.#pending = this.shared ? Buffer.from(bytes) : bytes;
      return null;
    }
    this.#scannedTo = 0;
    const head = parseRequestHead(bytes, start, end, this.limits.headers);
    const rest = end === bytes.length ? null : bytes.subarray(end);
    this.deadlineAt = Number.POSITIVE_INFINITY;
    if (head.method === 'CONNECT') {
      if (this.#callbacks.onConnect === undefined) throw new HeadError('CONNECT inside a tunnel');
      const exchange = new Http1Exchange(this, 'CONNECT', head.minor, true, true);
      this.#exchange = exchange;
      this.#pending = rest;
      this.#callbacks.onConnect(head, exchange);
      return null;
    }
    this.#start(head);
    return rest;
  }

  #start(head: RequestHead): void {
    const framing = requestFraming(head, head.minor);
    const connection = listTokens(head, HeaderKind.connection);
    const keepAlive = head.minor === 1 ? !connection.includes('close') : connection.includes('keep-alive');
    const exchange = new Http1Exchange(this, head.method, head.minor, keepAlive, framing.kind === 'none');
    const request: AgentRequest = {
      protocol: head.minor === 1 ? 'HTTP/1.1' : 'HTTP/1.0',
      method: head.method,
      target: head.target,
      headers: head.headers,
      kinds: head.kinds,
      present: head.present,
      host: hostOf(head),
      framing,
      upgrade: upgradeOf(head, connection),
      body: exchange,
    };
    if (framing !== NO_BODY) {
      this.#reader = bodyReader(framing, this.limits.headers);
      this.deadlineAt = this.#sweeper.deadlineIn(this.limits.bodyIdleMs);
    } else if (this.#readEnded) this.#expectGone();
    this.#exchange = exchange;
    this.#callbacks.onRequest(request, exchange);
  }

  /** @throws HeadError */
  #feedBody(bytes: Buffer): Buffer | null {
    const exchange = this.#exchange as Http1Exchange;
    const used = (this.#reader as BodyReader).feed(bytes, 0, exchange);
    if (exchange.complete) {
      this.#reader = null;
      this.deadlineAt = Number.POSITIVE_INFINITY;
      if (exchange.finished) this.#next();
    } else this.deadlineAt = this.#sweeper.deadlineIn(this.limits.bodyIdleMs);
    return used === bytes.length ? null : bytes.subarray(used);
  }

  /** Called by the exchange when its answer is written. */
  finish(exchange: Http1Exchange): void {
    if (exchange !== this.#exchange || this.#detached) return;
    if (!exchange.keepAlive || (this.#readEnded && this.#pending === null)) {
      this.#exchange = null;
      this.#endSocket(!exchange.complete);
      return;
    }
    if (exchange.complete) this.#next();
    else {
      // SECURITY: what is left of a refused body must be consumed as body or not at all, never parsed as a request (S-45).
      if (this.mayDrain) exchange.discardBody();
      else this.#endSocket(true);
    }
  }

  /** What is left of the request's body is known to be little. */
  get mayDrain(): boolean {
    const remaining = this.#reader === null ? 0 : this.#reader.remaining;
    return remaining !== null && remaining <= DRAIN_BYTES;
  }

  /** Reads on after a pause, unless so much waits behind the request that it is not wanted yet. */
  resumeReading(): void {
    if (this.#pending !== null && this.#pending.length > READ_AHEAD_BYTES) return;
    if (this.socket.isPaused()) this.socket.resume();
  }

  #next(): void {
    this.#exchange = null;
    this.#reader = null;
    this.deadlineAt = this.#sweeper.deadlineIn(this.limits.clientIdleMs);
    if (this.socket.isPaused()) this.socket.resume();
    const pending = this.#pending;
    if (pending !== null && !this.#feeding) {
      this.#pending = null;
      this.#feed(pending, false);
    }
    if (this.#readEnded && this.#exchange === null && !this.#detached) this.#endSocket(false);
  }

  /** Ends the write side; `linger` reads over what the agent still sends so that a reset does not eat the answer. */
  #endSocket(linger: boolean): void {
    this.#closing = true;
    this.#pending = null;
    this.outlet.settle();
    this.socket.end();
    if (linger) this.socket.resume();
    this.deadlineAt = this.#sweeper.deadlineIn(LINGER_MS);
  }

  #fail(thrown: unknown): void {
    const error =
      thrown instanceof HeadError
        ? new AlterError(thrown.tooLarge ? 'request_too_large' : 'malformed_request', { reason: thrown.message })
        : toAlterError(thrown);
    // SECURITY: a reader that gave up must not be fed again: it would take nothing, for ever, and the daemon with it.
    this.#isBroken = true;
    const current = this.#exchange;
    if (current !== null) {
      // The body of a request that is under way turned out malformed.
      current.bodyFailed();
      if (!current.started) this.#callbacks.onMalformed(error, current.closingReply());
      else this.socket.destroy();
      return;
    }
    const exchange = new Http1Exchange(this, 'GET', 1, false, true);
    this.#exchange = exchange;
    this.#callbacks.onMalformed(error, exchange);
  }

  /** Stops reading requests and hands the socket over (CONNECT). Answers bytes that came behind the head. */
  detach(): Buffer | null {
    this.#socketReader.stop();
    return this.#release();
  }

  /** The same after a 101, where the reads go on as they are: to whom `reader` is redirected. */
  switchOver(): { reader: SocketReader; rest: Buffer | null } {
    return { reader: this.#socketReader, rest: this.#release() };
  }

  #release(): Buffer | null {
    this.#detached = true;
    const rest = this.#pending;
    this.#pending = null;
    this.#seat.leave();
    this.socket.off('end', this.#onEnd);
    this.socket.off('drain', this.#onDrain);
    this.socket.off('error', this.#onError);
    this.socket.off('close', this.#onSocketClose);
    this.#callbacks.onClose();
    return rest;
  }

  /** Ends idle sockets now, busy ones after their answer. */
  drain(): void {
    if (this.#exchange === null) this.#endSocket(false);
    else this.#exchange.keepAlive = false;
  }

  expire(): void {
    if (this.#closing) this.socket.destroy();
    else if (this.#exchange !== null && this.#reader !== null) {
      this.#exchange.bodyFailed();
      this.socket.destroy();
    } else if (this.#exchange !== null) {
      this.#expireHalfClosed();
    } else if (this.#scannedTo > 0) this.socket.destroy();
    else this.#endSocket(false);
  }

  #expectGone(): void {
    this.#writtenBefore = this.socket.bytesWritten;
    this.deadlineAt = this.#sweeper.deadlineIn(HALF_CLOSED_MS);
  }

  /** See HALF_CLOSED_MS. Whoever is still there takes what is written; to whoever is gone writing fails. */
  #expireHalfClosed(): void {
    if (this.socket.bytesWritten === this.#writtenBefore) this.socket.destroy();
    else this.#expectGone();
  }

  readonly #onEnd = (): void => {
    this.#readEnded = true;
    if (this.#exchange === null) {
      this.#endSocket(false);
      return;
    }
    // Half-close: the request is complete, the answer still goes out. Inside a body it is an abort.
    if (!this.#exchange.complete) {
      this.#exchange.bodyFailed();
      this.socket.destroy();
    } else this.#expectGone();
  };

  readonly #onDrain = (): void => {
    this.#exchange?.onDrain?.();
  };

  readonly #onError = (): void => {
    this.socket.destroy();
  };

  readonly #onSocketClose = (): void => {
    this.#seat.leave();
    const exchange = this.#exchange;
    this.#exchange = null;
    if (exchange !== null) exchange.socketClosed();
    this.#callbacks.onClose();
  };
}

/** @throws HeadError for two Host fields, or none in HTTP/1.1 (S-06) */
function hostOf(head: RequestHead): string | null {
  const host = singleValue(head, HeaderKind.host, 'Host');
  if (host === null && head.minor === 1) throw new HeadError('no Host header');
  return host;
}

/** RFC 9110 7.8: both `Connection: upgrade` as a token and `Upgrade`; anything less is a plain request (S-110). */
function upgradeOf(head: RequestHead, connection: readonly string[]): string | null {
  if (head.minor !== 1 || !connection.includes('upgrade')) return null;
  const upgrade = listTokens(head, HeaderKind.upgrade);
  return upgrade.length === 1 ? (upgrade[0] as string) : null;
}
