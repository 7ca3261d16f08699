/**
 * https://alterd.internal/: what a client can ask the daemon itself through the proxy. Answers who it is, so that `alterd doctor`
 * (and an agent) can check proxy, trust and key in one request, and what was delegated to it, which it may give back. Shows nothing
 * that the caller does not hold already.
 */
import { AlterError } from '../domain/errors.ts';
import type { ProvenUser } from '../domain/user-port.ts';
import { rowUserOf } from './call-user.ts';
import { stubDocument } from './credential-stubs.ts';
import type { DataPlane } from './data-plane.ts';
import type { Facts } from './facts.ts';
import { blockOf } from './http1/serialize.ts';
import { answerDelegations, type InternalAnswer } from './internal-delegations.ts';
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
  user: ProvenUser | null,
): Promise<void> {
  // What throws here does so before anything is recorded: the refusal has a row of its own.
  const answer = await answerTo(plane, route, request, facts, at, user);
  const status = answer?.status ?? 403;
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
      ...rowUserOf(plane, route, { user, grant: null }),
      error: null,
      policyVersion: plane.policies.version,
      replaced: false,
    }),
    { outcome: 'success', status, error: null, latency_ms: 0, bytes_in: 0, bytes_out: 0 },
  );
  const document =
    answer?.isWhole === true
      ? answer.document
      : {
          ...(answer?.document ?? { error: 'not_found', detail: 'Only GET /whoami and /delegations are answered here.' }),
          request_id: requestId,
        };
  const body = Buffer.from(`${JSON.stringify(document)}\n`);
  reply.head(
    status,
    status === 200 ? 'OK' : 'Forbidden',
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

/** Null for what is not known here. */
async function answerTo(
  plane: DataPlane,
  route: Route,
  request: AgentRequest,
  facts: Facts,
  at: number,
  user: ProvenUser | null,
): Promise<InternalAnswer | null> {
  const { identity } = route.caller;
  const userId = user?.userId ?? null;
  const stub = stubDocument(
    facts.target.path,
    request.method,
    plane.authority.compiled.grantsOf(identity.agentId, userId),
    identity,
    at,
  );
  // SDKs read these as they are.
  if (stub !== null) return { status: 200, document: stub, isWhole: true };
  const isReading = request.method === 'GET' || request.method === 'HEAD';
  if (facts.target.path !== '/whoami' || !isReading) {
    try {
      return await answerDelegations(plane, identity, request.method, facts.target.path, userId);
    } catch (thrown) {
      // The proxy never says 404 of its own.
      if (thrown instanceof AlterError && thrown.code === 'not_found') return null;
      throw thrown;
    }
  }
  const document = {
    agent: identity.agentName,
    agent_id: identity.agentId,
    session_id: identity.sessionId,
    key_prefix: identity.keyPrefix,
    user_id: userId,
    protocol: request.protocol,
  };
  return { status: 200, document };
}
