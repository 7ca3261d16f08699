/**
 * A tunnel to a host that nobody configured: one audit row, one address check, then bytes both ways that nobody looks at.
 * Refusals are answered on CONNECT itself, because there is no TLS session of ours to answer in.
 */
import type { Socket } from 'node:net';
import type { Destination } from '../domain/destination.ts';
import { type AlterError, toAlterError } from '../domain/errors.ts';
import type { Caller } from './caller.ts';
import type { DataPlane, LiveConnection } from './data-plane.ts';
import type { AgentReply } from './message.ts';
import { RecordedRefusal } from './refusal.ts';
import { ESTABLISHED } from './route.ts';
import { openingOf, policyErrorOf } from './row.ts';

/** @throws AlterError destination_refused, upstream_unreachable, upstream_timeout, audit_unavailable */
export async function openBlindTunnel(
  plane: DataPlane,
  caller: Caller,
  destination: Destination,
  reply: AgentReply,
  release: () => void,
): Promise<void> {
  const started = performance.now();
  const ticket = await plane.audit.open(
    openingOf({
      kind: 'tunnel',
      action: 'tunnel.opened',
      at: Date.now(),
      caller,
      peer: caller.peer,
      destination,
      method: 'CONNECT',
      facts: null,
      grant: null,
      protocol: null,
      rule: `egress.${plane.egress}`,
      error: null,
      policyVersion: plane.policies.version,
      replaced: false,
    }),
  );
  const close = (
    outcome: 'success' | 'refused' | 'provider_error' | 'client_abort',
    status: number | null,
    error: AlterError | null,
    bytesIn = 0,
    bytesOut = 0,
  ): void =>
    ticket.close({
      outcome,
      status,
      error: error?.code ?? null,
      policy_error: policyErrorOf(error),
      latency_ms: Math.round((performance.now() - started) * 1000) / 1000,
      bytes_in: bytesIn,
      bytes_out: bytesOut,
    });
  let origin: Socket;
  try {
    const addresses = await plane.resolver.resolve(destination, null);
    origin = (await plane.dialer.connectPlain(destination, addresses)).socket;
  } catch (thrown) {
    const error = toAlterError(thrown);
    close(error.code === 'destination_refused' ? 'refused' : 'provider_error', error.proxyStatus, error);
    throw new RecordedRefusal(error, ticket.requestId);
  }
  const { stream, rest } = reply.detach();
  const agent = stream as Socket;
  const live: LiveConnection = {
    caller: caller.identity,
    userId: caller.identity.userId,
    grant: null,
    destroy: () => {
      agent.destroy();
      origin.destroy();
    },
  };
  const seat = plane.live.add(live);
  if (agent.destroyed) origin.destroy();
  agent.write(ESTABLISHED, 'latin1');
  join(agent, origin, rest, plane.limits.clientIdleMs, (bytesIn, bytesOut) => {
    seat.leave();
    release();
    close('success', 200, null, bytesIn, bytesOut);
  });
}

const HIGH_WATER_BYTES = 256 * 1024;

function join(
  agent: Socket,
  origin: Socket,
  rest: Buffer | null,
  idleMs: number,
  onEnd: (bytesIn: number, bytesOut: number) => void,
): void {
  let bytesIn = 0;
  let bytesOut = rest?.length ?? 0;
  let ended = false;
  const finish = (): void => {
    if (ended) return;
    ended = true;
    agent.destroy();
    origin.destroy();
    onEnd(bytesIn, bytesOut);
  };
  const pump = (from: Socket, to: Socket, count: (n: number) => void): void => {
    from.on('data', (chunk: Buffer) => {
      count(chunk.length);
      to.write(chunk);
      if (to.writableLength >= HIGH_WATER_BYTES) from.pause();
    });
    to.on('drain', () => from.resume());
    from.on('end', () => to.end());
    from.on('error', finish);
    from.setTimeout(idleMs, finish);
  };
  let closed = 0;
  const onClose = (): void => {
    if (++closed === 2) finish();
  };
  agent.on('close', () => (agent.readableEnded ? onClose() : finish()));
  origin.on('close', () => (origin.readableEnded ? onClose() : finish()));
  pump(agent, origin, (n) => (bytesOut += n));
  pump(origin, agent, (n) => (bytesIn += n));
  if (rest !== null) origin.write(rest);
  agent.resume();
  origin.resume();
}
