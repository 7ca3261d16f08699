/**
 * The proxy port: accepts agents on loopback TCP and on a Unix socket, reads CONNECT and absolute-form requests with our own
 * parser (http.Server costs several times the memory after bursts), and sends each on its way.
 */

import { chmodSync } from 'node:fs';
import { createServer, type Server, type Socket } from 'node:net';
import { type Destination, destinationOf } from '../domain/destination.ts';
import { AlterError, toAlterError } from '../domain/errors.ts';
import { parseAuthority } from '../domain/host.ts';
import { type Caller, callerOf, identifyCaller, needsKernel } from './caller.ts';
import { AWS_STUB_PATH } from './credential-stubs.ts';
import type { DataPlane } from './data-plane.ts';
import { runExchange } from './exchange.ts';
import { FailureLimiter } from './failure-limiter.ts';
import { findHeader, HeaderKind } from './header-kinds.ts';
import { AgentHttp1 } from './http1/agent-http1.ts';
import type { AnyFields, RequestHead } from './http1/head.ts';
import type { AgentReply, AgentRequest } from './message.ts';
import { lookUpPeer, type Peer, peerOf } from './peer.ts';
import { RecordedRefusal, sendRefusal } from './refusal.ts';
import { Roster } from './roster.ts';
import { INTERNAL_HOST, type Route } from './route.ts';
import { openingOf } from './row.ts';
import type { Tunnels } from './tunnel.ts';

export interface ListenAddress {
  readonly tcp: { readonly host: string; readonly port: number } | null;
  readonly unix: string | null;
}

const ABSOLUTE = /^(https?):\/\/([^/?#]*)(.*)$/i;

export class Listener {
  readonly #plane: DataPlane;
  readonly #tunnels: Tunnels;
  readonly #servers: Server[] = [];
  readonly #sockets = new Roster<Socket>();
  readonly #agents = new Roster<AgentHttp1>();
  readonly #failures = new FailureLimiter();
  #closing = false;
  /** The addresses in use, the kernel's choice for port 0 included. */
  tcp: { host: string; port: number } | null = null;
  unix: string | null = null;

  constructor(plane: DataPlane, tunnels: Tunnels) {
    this.#plane = plane;
    this.#tunnels = tunnels;
  }

  get openTunnels(): number {
    return this.#tunnels.size;
  }

  get openSockets(): number {
    return this.#sockets.size;
  }

  /** @throws the system's error when an address can't be taken */
  async listen(address: ListenAddress): Promise<void> {
    if (address.tcp !== null) {
      const server = await this.#start({ host: address.tcp.host, port: address.tcp.port });
      const bound = server.address() as { address: string; port: number };
      this.tcp = { host: bound.address, port: bound.port };
    }
    if (address.unix !== null) {
      await this.#start({ path: address.unix });
      chmodSync(address.unix, 0o660);
      this.unix = address.unix;
    }
  }

  #start(where: { host: string; port: number } | { path: string }): Promise<Server> {
    return new Promise((resolve, reject) => {
      const server = createServer({ noDelay: true, allowHalfOpen: true }, (socket) => this.#accept(socket));
      server.once('error', reject);
      server.listen({ ...where, backlog: 1024 }, () => {
        server.off('error', reject);
        server.on('error', (error) =>
          this.#plane.log.error({ code: (error as NodeJS.ErrnoException).code }, 'the proxy listener failed'),
        );
        this.#servers.push(server);
        resolve(server);
      });
    });
  }

  #accept(socket: Socket): void {
    const seat = this.#sockets.add(socket);
    socket.once('close', () => seat.leave());
    const peer = peerOf(socket);
    const agent = new AgentHttp1(socket, this.#plane.limits, this.#plane.sweeper, {
      onRequest: (request, reply) => void this.#onRequest(socket, peer, request, reply),
      onConnect: (head, reply) => void this.#onConnect(socket, peer, head, reply),
      onMalformed: (error, reply) => void this.#refuse(peer, null, null, null, error, reply),
      onClose: () => agentSeat.leave(),
    });
    const agentSeat = this.#agents.add(agent);
    if (this.#closing) agent.drain();
  }

  async #peerFor(socket: Socket, peer: Peer): Promise<Peer> {
    const { requirePeerUid, policies } = this.#plane;
    if (!requirePeerUid && !policies.asksForPeer) return peer;
    const found = await lookUpPeer(socket);
    // For a rule, what the kernel does not say is unknown, and denies there.
    if (!requirePeerUid) return found;
    // SECURITY: the operator asked that nobody calls whom the kernel does not name (S-75).
    if (found.uid === null)
      throw new AlterError('policy_violation', {
        policy_error: 'peer_unknown',
        rule: 'identity.require_peer_uid',
        reason: 'The kernel does not say which user this caller is.',
      });
    return found;
  }

  async #onConnect(socket: Socket, basePeer: Peer, head: RequestHead, reply: AgentReply): Promise<void> {
    let destination: Destination | null = null;
    let caller: Caller | null = null;
    try {
      // Before the key is asked for: a loop has none, and a 407 would say nothing of what is wrong.
      this.#checkLoop(head.headers, head.target);
      const peer = await this.#peerFor(socket, basePeer);
      caller = await this.#identify(head, peer, socket);
      destination = parseAuthority(head.target, 'https');
      await this.#tunnels.open(caller, destination, reply);
    } catch (thrown) {
      await this.#refuse(basePeer, caller, destination, 'CONNECT', thrown, reply);
    }
  }

  async #onRequest(socket: Socket, basePeer: Peer, request: AgentRequest, reply: AgentReply): Promise<void> {
    let destination: Destination | null = null;
    let caller: Caller | null = null;
    try {
      this.#checkLoop(request.headers, request.host ?? request.target);
      const peer = await this.#peerFor(socket, basePeer);
      if (request.target === AWS_STUB_PATH && isLoopback(socket.localAddress)) {
        caller = this.#identifyDirect(request, peer);
        destination = destinationOf('http', INTERNAL_HOST, 80, 0);
        const route: Route = { caller, destination, tunnelled: false, sni: null, lastPool: null };
        await runExchange(this.#plane, route, { ...request, host: INTERNAL_HOST }, reply);
        return;
      }
      caller = await this.#identify(request, peer, socket);
      const match = ABSOLUTE.exec(request.target);
      if (match === null) {
        throw new AlterError(
          'malformed_request',
          { reason: 'this is a proxy: it takes CONNECT and absolute URLs, not paths' },
          { hint: 'Set HTTPS_PROXY to this address instead of calling it.' },
        );
      }
      const scheme = (match[1] as string).toLowerCase() === 'https' ? 'https' : 'http';
      destination = parseAuthority(match[2] as string, scheme, scheme === 'https' ? 443 : 80);
      const route: Route = { caller, destination, tunnelled: false, sni: null, lastPool: null };
      await runExchange(this.#plane, route, request, reply);
    } catch (thrown) {
      await this.#refuse(basePeer, caller, destination, request.method, thrown, reply);
    }
  }

  /**
   * AWS SDKs ask the container endpoint without a proxy and say who they are by Authorization. SECURITY: the key is needed here as
   * everywhere: pages and other users reach this port too.
   */
  #identifyDirect(request: AgentRequest, peer: Peer): Caller {
    const value = findHeader(request.headers, 'authorization');
    if (value === null) throw new AlterError('caller_unauthenticated', {});
    try {
      return callerOf(value, this.#plane.vault, peer);
    } catch (thrown) {
      throw this.#failures.note(peer, toAlterError(thrown), Date.now());
    }
  }

  /** A key bound to a uid, a unit or a program needs the kernel's word even when the configuration does not ask for it on every socket. */
  async #identify(fields: AnyFields, peer: Peer, socket: Socket): Promise<ReturnType<typeof identifyCaller>> {
    try {
      return identifyCaller(fields, this.#plane.vault, peer);
    } catch (thrown) {
      const error = toAlterError(thrown);
      // No key is no attempt: clients that wait for the challenge come without one first.
      if ((fields.present & (1 << HeaderKind.proxyAuthorization)) === 0) throw error;
      if (peer.uid !== null || !needsKernel(error)) throw this.#failures.note(peer, error, Date.now());
      return identifyCaller(fields, this.#plane.vault, await lookUpPeer(socket));
    }
  }

  /** Who knows the nonce is this daemon, by way of an upstream proxy. */
  #checkLoop(headers: readonly string[], host: string): void {
    if (findHeader(headers, 'alter-hop') === this.#plane.loopNonce) throw new AlterError('loop_detected', { host });
  }

  async #refuse(
    basePeer: Peer,
    caller: Caller | null,
    destination: Destination | null,
    method: string | null,
    thrown: unknown,
    reply: AgentReply,
  ): Promise<void> {
    if (thrown instanceof RecordedRefusal) {
      sendRefusal(reply, thrown.error, thrown.requestId);
      return;
    }
    let error = toAlterError(thrown);
    let requestId: string | null = null;
    try {
      requestId = await this.#plane.audit.record(
        openingOf({
          kind: method === 'CONNECT' ? 'tunnel' : 'exchange',
          action: method === 'CONNECT' ? 'tunnel.refused' : 'request.refused',
          at: Date.now(),
          caller,
          peer: caller?.peer ?? basePeer,
          destination,
          method,
          facts: null,
          grant: null,
          protocol: null,
          rule: null,
          error,
          policyVersion: this.#plane.policies.version,
          replaced: false,
        }),
        { outcome: 'refused', status: error.proxyStatus, error: error.code, latency_ms: 0, bytes_in: 0, bytes_out: 0 },
      );
    } catch (auditFailure) {
      error = toAlterError(auditFailure);
    }
    if (error.code === 'internal_error')
      this.#plane.log.error(
        { request_id: requestId, stack: (error.cause as Error | undefined)?.stack },
        'a request failed in an unexpected way',
      );
    sendRefusal(reply, error, requestId);
  }

  /** Stops accepting; idle sockets are ended, busy ones after their answer. */
  drain(): void {
    this.#closing = true;
    for (const server of this.#servers) server.close();
    for (const agent of this.#agents) agent.drain();
    this.#tunnels.drain();
  }

  /** True when no socket is left. */
  get isIdle(): boolean {
    return this.#sockets.size === 0;
  }

  /** Ends every socket now. */
  destroy(): void {
    this.drain();
    for (const socket of this.#sockets) socket.destroy();
  }
}

const isLoopback = (address: string | undefined): boolean => address === '::1' || /^(?:::ffff:)?127\./.test(address ?? '');
