/**
 * CONNECT: which of three ways a tunnel goes. `intercept` for every host that a grant names (and our own), so that refusals
 * can be read inside the TLS session; `tunnel` as a blind pipe for hosts nobody configured; `refuse` when that is not wanted.
 */
import type { Socket } from 'node:net';
import type { SecureContext } from 'node:tls';
import type { LeafIssuer } from '../ca/leaf.ts';
import type { Destination } from '../domain/destination.ts';
import { AlterError } from '../domain/errors.ts';
import { openBlindTunnel } from './blind-tunnel.ts';
import type { Caller } from './caller.ts';
import type { DataPlane } from './data-plane.ts';
import { askForHost } from './egress-ask.ts';
import { Interception } from './interception.ts';
import type { AgentReply } from './message.ts';
import { Roster } from './roster.ts';
import { ESTABLISHED, INTERNAL_HOST } from './route.ts';

export class Tunnels {
  readonly #plane: DataPlane;
  /** Replaced when the CA is rotated. */
  issuer: LeafIssuer;
  readonly #open = new Roster<Interception>();
  readonly #perAgent = new Map<string, number>();
  size = 0;

  constructor(plane: DataPlane, issuer: LeafIssuer) {
    this.#plane = plane;
    this.issuer = issuer;
  }

  /**
   * Takes the agent's socket over and answers CONNECT.
   * @throws AlterError destination_refused, tunnel_limit, upstream_*; then the reply is still the caller's
   */
  async open(caller: Caller, destination: Destination, reply: AgentReply): Promise<void> {
    const intercept =
      destination.host === INTERNAL_HOST || this.#plane.authority.compiled.covers(destination.host, destination.port);
    if (!intercept && this.#plane.egress === 'refuse')
      throw new AlterError('destination_refused', { host: destination.authority, policy_error: 'egress_refused' });
    const release = this.#take(caller.identity.agentId);
    if (!intercept) {
      try {
        if (this.#plane.egress === 'ask' && !(await askForHost(this.#plane, caller, destination, reply))) return release();
        await openBlindTunnel(this.#plane, caller, destination, reply, release);
      } catch (thrown) {
        release();
        throw thrown;
      }
      return;
    }
    let context: SecureContext;
    try {
      // Before CONNECT is answered: a host that the CA may not sign for is refused where a client still looks.
      context = this.issuer.contextFor(destination.host, destination.family);
    } catch (thrown) {
      release();
      throw thrown;
    }
    const { stream, rest } = reply.detach();
    const socket = stream as Socket;
    if (socket.destroyed) {
      release(); // the agent left while it was identified: no event of the socket will come any more
      return;
    }
    const interception = new Interception(this.#plane, context, caller, destination, socket);
    const seat = this.#open.add(interception);
    socket.once('close', () => {
      seat.leave();
      release();
    });
    socket.write(ESTABLISHED, 'latin1');
    interception.start(rest);
  }

  /** @throws AlterError tunnel_limit */
  #take(agentId: string): () => void {
    const mine = this.#perAgent.get(agentId) ?? 0;
    if (this.size >= this.#plane.maxTunnels)
      throw new AlterError('tunnel_limit', { reason: `${this.#plane.maxTunnels} tunnels are open` });
    if (mine >= this.#plane.maxTunnelsPerAgent)
      throw new AlterError('tunnel_limit', { reason: `this agent has ${mine} tunnels open` });
    this.size++;
    this.#perAgent.set(agentId, mine + 1);
    let released = false;
    return () => {
      if (released) return;
      released = true;
      this.size--;
      const left = (this.#perAgent.get(agentId) ?? 1) - 1;
      if (left === 0) this.#perAgent.delete(agentId);
      else this.#perAgent.set(agentId, left);
    };
  }

  drain(): void {
    for (const interception of this.#open) interception.drain();
  }
}
