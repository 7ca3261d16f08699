/**
 * Sockets to one origin for one caller and one grant, most recently used first. A socket is never shared across callers,
 * grants or destinations: what one of them negotiated (cookies of a sticky balancer, NTLM, a poisoned answer) can't reach another.
 */
import type { Destination } from '../../domain/destination.ts';
import { AlterError } from '../../domain/errors.ts';
import type { ClientIdentity } from '../../injection/client-identity.ts';
import type { Resolver, VettedAddress } from '../egress/resolver.ts';
import { Roster } from '../roster.ts';
import type { Sweeper } from '../sweeper.ts';
import { type Dialer, isAlpnRefusal, type SharedRead } from './dial.ts';
import type { ResponseSink, UpstreamRequest, UpstreamStream } from './upstream.ts';
import { UpstreamHttp1, type UpstreamOwner } from './upstream-http1.ts';
import { UpstreamHttp2 } from './upstream-http2.ts';

export interface PoolLimits {
  readonly headBytes: number;
  readonly headers: number;
  readonly responseHeadMs: number;
  readonly bodyIdleMs: number;
  readonly idleMs: number;
  readonly maxSockets: number;
}

/** Read at each use, so that a reloaded configuration counts for the next socket. */
export interface PoolParts {
  readonly resolver: Resolver;
  readonly dialer: Dialer;
  readonly sweeper: Sweeper;
  readonly poolLimits: PoolLimits;
}

/** One buffer for all reads from origins: the reader consumes or copies before it returns. */
const READ_BUFFER = Buffer.allocUnsafeSlow(64 * 1024);

export class UpstreamPool implements UpstreamOwner {
  readonly destination: Destination;
  /** The client certificate that its sockets show; null for none. */
  readonly identity: ClientIdentity | null;
  /** False once the registry has dropped it: the next request makes a new one. */
  registered = true;
  readonly #parts: PoolParts;
  readonly #allowPrivate: boolean | null;
  readonly #idle: UpstreamHttp1[] = [];
  readonly #open = new Roster<UpstreamHttp1>();
  readonly #waiting: ((socket: UpstreamHttp1 | AlterError | null) => void)[] = [];
  readonly #onEmpty: () => void;
  #dialing = 0;
  #session: Buffer | null = null;
  #http2: UpstreamHttp2 | null = null;
  /** The origin refused HTTP/1.1: everything goes over HTTP/2. */
  #needsHttp2 = false;
  #warming: Promise<unknown> | null = null;
  #closed = false;
  #retired = false;

  constructor(
    destination: Destination,
    allowPrivate: boolean | null,
    parts: PoolParts,
    onEmpty: () => void,
    identity: ClientIdentity | null = null,
  ) {
    this.destination = destination;
    this.identity = identity;
    this.#allowPrivate = allowPrivate;
    this.#parts = parts;
    this.#onEmpty = onEmpty;
  }

  get openSockets(): number {
    return this.#open.size + (this.#http2?.usable === true ? 1 : 0);
  }
  get host(): string {
    return this.destination.host;
  }
  deadlineIn(ms: number): number {
    return this.#parts.sweeper.deadlineIn(ms);
  }
  get headBytes(): number {
    return this.#parts.poolLimits.headBytes;
  }
  get headers(): number {
    return this.#parts.poolLimits.headers;
  }
  get responseHeadMs(): number {
    return this.#parts.poolLimits.responseHeadMs;
  }
  get bodyIdleMs(): number {
    return this.#parts.poolLimits.bodyIdleMs;
  }
  get idleMs(): number {
    return this.#parts.poolLimits.idleMs;
  }

  /**
   * Sends a request on an idle socket, or on a new one.
   * @param wantsHttp2 the request can't travel over HTTP/1.1 (gRPC)
   * @throws AlterError upstream_unreachable, upstream_untrusted, upstream_timeout, destination_refused
   */
  send(request: UpstreamRequest, sink: ResponseSink, wantsHttp2: boolean): UpstreamStream | Promise<UpstreamStream> {
    if (wantsHttp2 || this.#needsHttp2) return this.#sendHttp2(request, sink);
    for (let socket = this.#idle.pop(); socket !== undefined; socket = this.#idle.pop()) {
      if (!socket.usable) continue;
      socket.begin(request, sink);
      return socket;
    }
    return this.#sendOnNew(request, sink);
  }

  /** Opens one socket ahead of the first request; a failure shows when the request comes. */
  warm(): void {
    if (this.#warming !== null || this.#open.size + this.#dialing > 0 || this.#needsHttp2 || this.#closed) return;
    this.#warming = this.#dial()
      .then((socket) => {
        socket.deadlineAt = this.deadlineIn(this.idleMs);
        this.onReusable(socket);
        return null;
      })
      .catch((error: unknown) => error)
      .finally(() => {
        this.#warming = null;
      });
  }

  async #sendOnNew(request: UpstreamRequest, sink: ResponseSink): Promise<UpstreamStream> {
    if (this.#warming !== null) {
      const failure = await this.#warming;
      // What failed this moment would fail again, after as long a wait.
      if (failure instanceof AlterError && !isAlpnRefusal(failure)) throw failure;
      const warmed = this.#idle.pop();
      if (warmed?.usable === true) return this.#begin(warmed, request, sink);
    }
    try {
      return this.#begin(await this.#acquire(), request, sink);
    } catch (error) {
      if (!isAlpnRefusal(error)) throw error;
      return this.#sendHttp2(request, sink);
    }
  }

  /** @throws AlterError when the agent left while it waited for the socket; nothing was sent then */
  #begin(socket: UpstreamHttp1, request: UpstreamRequest, sink: ResponseSink): UpstreamHttp1 {
    if (sink.isOver) {
      socket.deadlineAt = this.deadlineIn(this.idleMs);
      this.onReusable(socket);
      throw new AlterError('upstream_unreachable', { host: this.host, reason: 'the agent left' });
    }
    socket.begin(request, sink);
    return socket;
  }

  async #acquire(): Promise<UpstreamHttp1> {
    while (this.#open.size + this.#dialing >= this.#parts.poolLimits.maxSockets) {
      const given = await new Promise<UpstreamHttp1 | AlterError | null>((resolve) => this.#waiting.push(resolve));
      if (given instanceof AlterError) throw given;
      if (given?.usable === true) return given;
    }
    return this.#dial();
  }

  async #dial(): Promise<UpstreamHttp1> {
    this.#dialing++;
    try {
      const addresses = await this.#parts.resolver.resolve(this.destination, this.#allowPrivate);
      const upstream = await this.#connect(addresses);
      this.#dialing--;
      return upstream;
    } catch (thrown) {
      this.#dialing--;
      if (isAlpnRefusal(thrown)) this.#needsHttp2 = true;
      this.#giveUp();
      throw thrown;
    }
  }

  async #connect(addresses: readonly VettedAddress[]): Promise<UpstreamHttp1> {
    let upstream: UpstreamHttp1 | null = null;
    const onread: SharedRead = {
      buffer: READ_BUFFER,
      callback: (bytes) => upstream?.feed(READ_BUFFER.subarray(0, bytes), true) ?? false,
    };
    const secure = this.destination.scheme === 'https';
    const { socket, shared } = secure
      ? await this.#parts.dialer.connectSecure(this.destination, addresses, {
          alpn: ['http/1.1'],
          session: this.#session,
          identity: this.identity,
          onread,
        })
      : await this.#parts.dialer.connectPlain(this.destination, addresses, onread);
    if (this.#closed) {
      socket.destroy();
      throw new AlterError('upstream_unreachable', { host: this.host, reason: 'the daemon is stopping' });
    }
    upstream = new UpstreamHttp1(socket, this);
    const opened = upstream;
    if (!shared) {
      socket.on('data', (chunk: Buffer) => {
        if (!opened.feed(chunk, false)) socket.pause();
      });
      socket.resume();
    } else socket.read(0);
    if (secure)
      socket.on('session', (session: Buffer) => {
        if (!this.#retired) this.#session = session;
      });
    upstream.seats = [this.#open.add(upstream), this.#parts.sweeper.add(upstream)];
    return upstream;
  }

  onReusable(upstream: UpstreamHttp1): void {
    if (this.#closed || (this.#retired && this.#waiting.length === 0)) {
      upstream.socket.end();
      return;
    }
    const waiter = this.#waiting.shift();
    if (waiter !== undefined) waiter(upstream);
    else this.#idle.push(upstream);
  }

  onGone(upstream: UpstreamHttp1): void {
    for (const seat of upstream.seats) seat.leave();
    const at = this.#idle.indexOf(upstream);
    if (at !== -1) this.#idle.splice(at, 1);
    this.#giveUp();
  }

  /** A place is free: for who waits for one, or else the pool may be empty. */
  #giveUp(): void {
    const waiter = this.#waiting.shift();
    if (waiter !== undefined) waiter(null);
    else this.#checkEmpty();
  }

  async #sendHttp2(request: UpstreamRequest, sink: ResponseSink): Promise<UpstreamStream> {
    if (this.#http2?.usable !== true) {
      this.#http2 = new UpstreamHttp2(
        this.destination,
        this.#parts.poolLimits,
        () => this.#checkEmpty(),
        async () => {
          const addresses = await this.#parts.resolver.resolve(this.destination, this.#allowPrivate);
          if (this.destination.scheme === 'http')
            return (await this.#parts.dialer.connectPlain(this.destination, addresses)).socket;
          return (
            await this.#parts.dialer.connectSecure(this.destination, addresses, {
              alpn: ['h2'],
              session: null,
              identity: this.identity,
            })
          ).socket;
        },
      );
    }
    return this.#http2.send(request, sink);
  }

  #checkEmpty(): void {
    if (this.#open.size > 0 || this.#dialing > 0 || this.#http2?.usable === true) return;
    // An origin that was just found to speak HTTP/2 alone is about to get its session.
    if (this.#needsHttp2 && this.#http2 === null) return;
    this.#onEmpty();
  }

  /** No new request comes here; those that did are finished. */
  retire(): void {
    this.registered = false;
    this.#retired = true;
    this.#session = null;
    for (const upstream of this.#idle.splice(0)) upstream.socket.end();
    this.#http2?.close();
  }

  close(): void {
    this.#closed = true;
    for (const upstream of this.#idle) upstream.socket.end();
    this.#http2?.close();
  }

  /** Ends everything now, requests under way included. */
  destroy(): void {
    this.close();
    for (const upstream of this.#open) upstream.socket.destroy();
    const error = new AlterError('upstream_unreachable', { host: this.host, reason: 'the daemon is stopping' });
    for (const waiter of this.#waiting.splice(0)) waiter(error);
    this.#http2?.destroy();
  }
}
