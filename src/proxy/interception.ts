/**
 * One intercepted tunnel: terminates the agent's TLS with a leaf for exactly the tunnel's destination, and runs every request
 * inside through the line. Plain HTTP inside the tunnel is a request like any other; anything else is refused, because bytes
 * that can't be read can't be ruled on (S-30).
 */
import type { Socket } from 'node:net';
import { type SecureContext, TLSSocket } from 'node:tls';
import { type Destination, destinationOf } from '../domain/destination.ts';
import { AlterError } from '../domain/errors.ts';
import { parseHost } from '../domain/host.ts';
import type { Caller } from './caller.ts';
import type { DataPlane } from './data-plane.ts';
import { runExchange } from './exchange.ts';
import { AgentHttp1 } from './http1/agent-http1.ts';
import { AgentHttp2 } from './http2/agent-http2.ts';
import type { AgentReply } from './message.ts';
import { sendRefusal } from './refusal.ts';
import type { Seat } from './roster.ts';
import { INTERNAL_HOST, type Route } from './route.ts';
import { openingOf } from './row.ts';
import type { Expiring } from './sweeper.ts';

/** http/1.0 too: OpenSSL ends a handshake whose offer has no overlap with ours. */
const ALPN = ['h2', 'http/1.1', 'http/1.0'];

export class Interception implements Expiring {
  deadlineAt: number;
  readonly #plane: DataPlane;
  readonly #context: SecureContext;
  readonly #caller: Caller;
  readonly #destination: Destination;
  readonly #socket: Socket;
  readonly #seat: Seat;
  #session: AgentHttp1 | AgentHttp2 | null = null;

  constructor(plane: DataPlane, context: SecureContext, caller: Caller, destination: Destination, socket: Socket) {
    this.#plane = plane;
    this.#context = context;
    this.#caller = caller;
    this.#destination = destination;
    this.#socket = socket;
    this.deadlineAt = performance.now() + plane.tunnelHandshakeMs;
    this.#seat = plane.sweeper.add(this);
    socket.on('error', this.#onError);
    socket.once('close', () => this.#seat.leave());
  }

  readonly #onError = (): void => {
    this.#socket.destroy();
  };

  /** Looks at the first bytes; `rest` came in one piece with CONNECT. */
  start(rest: Buffer | null): void {
    if (rest !== null) this.#onFirst(rest);
    else {
      this.#socket.once('data', (first: Buffer) => this.#onFirst(first));
      this.#socket.resume();
    }
  }

  #onFirst(first: Buffer): void {
    this.#socket.pause();
    const byte = first[0] as number;
    if (byte === 0x16) this.#startTls(first);
    else if (byte >= 65 && byte <= 90 && mayBeHttp(first)) this.#startPlain(first);
    else void this.#refuseOpaque();
  }

  #startTls(first: Buffer): void {
    this.#socket.unshift(first);
    const secure = new TLSSocket(this.#socket, {
      isServer: true,
      secureContext: this.#context,
      ALPNProtocols: ALPN,
    });
    this.#warm();
    let established = false;
    secure.on('error', (error: NodeJS.ErrnoException) => {
      if (!established) void this.#recordDistrust(error.code ?? '');
      secure.destroy();
      this.#socket.destroy();
    });
    secure.once('secure', () => {
      established = true;
      this.deadlineAt = Number.POSITIVE_INFINITY;
      this.#seat.leave();
      const route: Route = {
        caller: this.#caller,
        destination: this.#destination,
        tunnelled: true,
        sni: sniOf(secure),
        lastPool: null,
      };
      if (secure.alpnProtocol === 'h2') {
        this.#session = new AgentHttp2(
          secure,
          this.#plane.limits,
          (request, reply) => void runExchange(this.#plane, route, request, reply),
        );
      } else this.#session = this.#http1(secure, route, true);
    });
  }

  /** Opens the origin's socket while the client's handshake runs, where exactly one grant can apply: the host is the operator's choice then. */
  #warm(): void {
    if (this.#destination.host === INTERNAL_HOST) return;
    const { agentId, userId } = this.#caller.identity;
    const grants = this.#plane.authority.compiled.grantsOf(agentId, userId);
    const candidates = grants.matching(this.#destination).all;
    const only = candidates[0];
    if (only === undefined || candidates.length !== 1 || !grants.isUsable(only, Date.now())) return;
    // A socket that shows a client certificate can't be opened before the credential is there.
    if (only.injections.some((injection) => injection.in === 'client_certificate')) return;
    this.#plane.pools.poolOf(agentId, only, this.#destination).warm();
  }

  #startPlain(first: Buffer): void {
    this.deadlineAt = Number.POSITIVE_INFINITY;
    this.#seat.leave();
    const d = this.#destination;
    const route: Route = {
      caller: this.#caller,
      destination: destinationOf('http', d.host, d.port, d.family),
      tunnelled: true,
      sni: null,
      lastPool: null,
    };
    const session = this.#http1(this.#socket, route, false);
    this.#session = session;
    session.feed(first);
    this.#socket.resume();
  }

  #http1(socket: Socket, route: Route, mayShare: boolean): AgentHttp1 {
    return new AgentHttp1(
      socket,
      this.#plane.limits,
      this.#plane.sweeper,
      {
        onRequest: (request, reply) => void runExchange(this.#plane, route, request, reply),
        onMalformed: (error, reply) => void this.#refuseMalformed(error, reply),
        onClose: () => {},
      },
      mayShare,
    );
  }

  async #refuseMalformed(error: AlterError, reply: AgentReply): Promise<void> {
    sendRefusal(reply, error, await this.#record('request.refused', 'exchange', error, error.proxyStatus));
  }

  async #refuseOpaque(): Promise<void> {
    await this.#record(
      'tunnel.refused',
      'tunnel',
      new AlterError('destination_refused', { host: this.#destination.authority, policy_error: 'opaque_tunnel' }),
      null,
    );
    this.#socket.destroy();
  }

  /** The client broke the handshake off: nearly always because it does not trust the local CA. */
  async #recordDistrust(code: string): Promise<void> {
    this.#plane.log.warn(
      {
        agent: this.#caller.identity.agentName,
        host: this.#destination.host,
        code,
        hint: 'start the client with `alterd run`, or see `alterd doctor`',
      },
      'a client ended the TLS handshake; it may not trust the local CA',
    );
    await this.#record('tunnel.tls_failed', 'tunnel', null, null);
  }

  async #record(
    action: string,
    kind: 'exchange' | 'tunnel',
    error: AlterError | null,
    status: number | null,
  ): Promise<string | null> {
    const opening = openingOf({
      kind,
      action,
      at: Date.now(),
      caller: this.#caller,
      peer: this.#caller.peer,
      destination: this.#destination,
      method: null,
      facts: null,
      grant: null,
      protocol: null,
      rule: null,
      error,
      policyVersion: this.#plane.policies.version,
      replaced: false,
    });
    const outcome = error === null ? 'client_abort' : 'refused';
    try {
      return await this.#plane.audit.record(opening, {
        outcome,
        status,
        error: error?.code ?? null,
        latency_ms: 0,
        bytes_in: 0,
        bytes_out: 0,
      });
    } catch {
      return null; // the journal logs its own faults; the tunnel is refused either way
    }
  }

  drain(): void {
    if (this.#session === null) this.#socket.destroy();
    else this.#session.drain();
  }

  expire(): void {
    this.#socket.destroy();
  }
}

/** False for a first line that no HTTP client sends (`SSH-2.0-…`); one that has not ended yet gets the benefit of the doubt. */
function mayBeHttp(first: Buffer): boolean {
  const end = first.indexOf(10);
  return end === -1 || /^[!-~]+ [^ ]+ HTTP\/\d\.\d\r?$/.test(first.toString('latin1', 0, end));
}

/** The client's SNI in canonical form; a name that is none is kept raw, so that it can't match. */
function sniOf(secure: TLSSocket): string | null {
  const raw = (secure as TLSSocket & { servername?: string | false | null }).servername;
  if (typeof raw !== 'string' || raw === '') return null;
  try {
    return parseHost(raw).host;
  } catch {
    return raw;
  }
}
