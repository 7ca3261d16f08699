/**
 * https://alterd.internal/: what a client can ask the daemon itself through the proxy. Answers who it is, so that `alterd doctor`
 * (and an agent) can check proxy, trust and key in one request. Shows nothing that the caller does not hold already.
 */

import { stubDocument } from './credential-stubs.ts';
import type { DataPlane } from './data-plane.ts';
import type { Facts } from './facts.ts';
import { blockOf } from './http1/serialize.ts';
import type { AgentReply, AgentRequest } from './message.ts';
import type { Route } from './route.ts';
import { openingOf } from './row.ts';

/** @throws AlterError audit_unavailable, policy_violation */
export async function answerInternally(
  plane: DataPlane,
  route: Route,
  request: AgentRequest,
  reply: AgentReply,
  facts: Facts,
  at: number,
): Promise<void> {
  const { identity } = route.caller;
  // Thrown before anything is recorded: the refusal has a row of its own.
  const stub = stubDocument(facts.target.path, request.method, plane.vault.authority.grants, identity, at);
  const isWhoami = facts.target.path === '/whoami' && (request.method === 'GET' || request.method === 'HEAD');
  const known = isWhoami || stub !== null;
  const status = known ? 200 : 403;
  const requestId = await plane.audit.record(
    openingOf({
      kind: 'exchange',
      action: 'internal.call',
      at,
      caller: route.caller,
      peer: route.caller.peer,
      destination: route.destination,
      method: request.method,
      facts,
      grant: null,
      protocol: request.protocol,
      rule: 'internal',
      error: null,
      policyVersion: plane.policies.version,
      replaced: false,
    }),
    { outcome: 'success', status, error: null, latency_ms: 0, bytes_in: 0, bytes_out: 0 },
  );
  const document = isWhoami
    ? {
        agent: identity.agentName,
        agent_id: identity.agentId,
        session_id: identity.sessionId,
        key_prefix: identity.keyPrefix,
        protocol: request.protocol,
        request_id: requestId,
      }
    : (stub ?? { error: 'not_found', detail: 'Only GET /whoami is answered here.', request_id: requestId });
  const body = Buffer.from(`${JSON.stringify(document)}\n`);
  reply.head(
    status,
    known ? 'OK' : 'Forbidden',
    blockOf(['Content-Type', 'application/json', 'Content-Length', String(body.length), 'Cache-Control', 'no-store']),
    {
      kind: 'length',
      length: body.length,
    },
  );
  reply.write(body, false);
  reply.flush();
  reply.end([]);
}
