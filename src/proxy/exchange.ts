/**
 * The line: every request, whatever its protocol, walks through runExchange from top to bottom.
 * Nothing is resolved or dialled before the verdict, no byte leaves before the audit row is durable, and every way out writes a row.
 */
import type { AuditTicket } from '../domain/audit.ts';
import { type AlterError, toAlterError } from '../domain/errors.ts';
import type { Grant } from '../domain/grant.ts';
import type { ClientIdentity } from '../injection/client-identity.ts';
import { applyInjection } from '../injection/inject.ts';
import { type Admission, admit, admitAgain, endOf, noProgress, type Progress, refuseNewDemands } from './admission.ts';
import { AnswerGuard, restrictCodings } from './answer-guard.ts';
import { holdForApproval } from './approval-hold.ts';
import { type BodyCapture, captureOf } from './body-capture.ts';
import { readOperations } from './body-verdict.ts';
import { callUserOf, rowUserOf } from './call-user.ts';
import type { DataPlane, LiveConnection } from './data-plane.ts';
import { findHeader } from './header-kinds.ts';
import { BodyAborted } from './held-body.ts';
import { injectedNamesOf } from './injected-names.ts';
import { answerInternally } from './internal-host.ts';
import type { AgentReply, AgentRequest } from './message.ts';
import { outgoingHeaders } from './outgoing.ts';
import { outgoingOf } from './outgoing-request.ts';
import { awaitQuotas } from './quota-wait.ts';
import { audienceOf, logFailure, RecordedRefusal, sendRefusal } from './refusal.ts';
import type { Renewal } from './renewal.ts';
import { INTERNAL_HOST, type Route } from './route.ts';
import { openingOf, policyErrorOf } from './row.ts';
import { type PreparedRequest, signRequest } from './sign-request.ts';
import { Transfer, type TransferPlan, type TransferResult } from './transfer.ts';
import { isHandshakeAnswer, isWebSocketHandshake, joinWebSocket } from './upgrade.ts';
import type { UpstreamPool } from './upstream/pool.ts';

/** Runs one request to its end. Never throws. */
export async function runExchange(plane: DataPlane, route: Route, asked: AgentRequest, reply: AgentReply): Promise<void> {
  const startedAt = Date.now();
  const started = performance.now();
  const progress = noProgress();
  let request = asked;
  let gone = false;
  reply.onAbort = () => {
    gone = true;
  };
  let ticket: AuditTicket;
  let injected: PreparedRequest;
  let admission: Admission;
  try {
    const user = callUserOf(plane, route, request);
    progress.user = user instanceof Promise ? await user : user;
    admission = admit(plane, route, request, progress, startedAt); // 1 facts, 2 resolve, 3 decide
    if (route.destination.host === INTERNAL_HOST) {
      await answerInternally(plane, route, request, reply, admission.facts, startedAt, admission.user);
      return;
    }
    if (admission.operations.length > 0 || admission.policy.pending)
      request = await readOperations(plane, request, reply, admission, progress); // 3 decide, with the body
    // SECURITY: much may have ended while the request was held, and what is approved is never more than what is allowed (S-95, S-99).
    if (request !== asked) admission = admitAgain(plane, route, request, admission, progress);
    if (admission.approval !== null) {
      // 3 decide, by a person
      request = await holdForApproval(plane, route, request, reply, admission, admission.approval, progress);
      progress.approved = true;
      admission = admitAgain(plane, route, request, admission, progress);
    }
    if (admission.policy.awaits.length > 0) admission = await awaitQuotas(plane, route, request, admission, progress);
    const { version } = plane.authority.compiled;
    const { revision } = plane.policies;
    const headers = outgoingHeaders(request);
    // 5 obtain and 6 inject before the row, so that it can say whether something of the client's was replaced (S-73): neither leaves this machine.
    const obtained = admission.grant === null ? null : plane.vault.obtain(admission.grant);
    injected = inject(plane, route, admission, headers, obtained instanceof Promise ? await obtained : obtained);
    const unsigned = request;
    if (injected.signer !== undefined)
      ({ request, injected } = await signRequest(plane, route, request, reply, injected, injected.signer));
    ticket = await plane.audit.open(opening(plane, route, request, admission, startedAt, injected.replaced, progress)); // 4 open
    // SECURITY: what ended while this waited is not under way yet, so nothing would cut it later: it is ruled on again (S-99).
    if (request !== unsigned || version !== plane.authority.compiled.version || revision !== plane.policies.revision)
      readmit(plane, route, request, admission, ticket, started, progress);
  } catch (thrown) {
    request.body.dispose?.();
    await refuse(plane, route, request, reply, thrown, progress, startedAt, started);
    return;
  }
  if (gone) {
    request.body.dispose?.();
    ticket.close({ outcome: 'client_abort', status: null, error: null, latency_ms: elapsed(started), bytes_in: 0, bytes_out: 0 });
    return;
  }
  forward(plane, route, request, reply, admission, injected, ticket, started); // 7 forward, 8 close
}

type Material = Exclude<ReturnType<DataPlane['vault']['obtain']>, Promise<unknown>>;

/** Step 6. @throws AlterError credential_unavailable */
function inject(
  plane: DataPlane,
  route: Route,
  admission: Admission,
  headers: string[],
  material: Material | null,
): PreparedRequest {
  const { grant, facts } = admission;
  if (grant === null || material === null)
    return {
      headers,
      target: facts.target.raw,
      replaced: false,
      injected: false,
      signer: undefined,
      rewriter: null,
      identity: null,
      version: null,
      guard: null,
    };
  const { host } = route.destination;
  const compiled = plane.authority.injectionOf(grant, material, host, facts.method, facts.target);
  // SECURITY: with or without the credential on this request: an earlier one may have left it at the provider (S-61).
  const acceptEncoding = restrictCodings(headers);
  const injected = applyInjection(headers, facts.target.raw, compiled, grant.overrideMode, grant.placeholder);
  const needles = plane.authority.needlesOf(grant, material);
  // Member by member: at this place a spread cost a new hidden class a request, a kilobyte of old space each (measured).
  return {
    headers: injected.headers,
    target: injected.target,
    replaced: injected.replaced,
    injected: injected.injected,
    signer: injected.signer,
    rewriter: null,
    identity: compiled.identity ?? null,
    version: material.version,
    guard: new AnswerGuard({ needles, strips: injected.injected && !grant.passResponseCookies, acceptEncoding, host }),
  };
}

/** Steps 1 to 3 again, behind an open row. @throws RecordedRefusal */
function readmit(
  plane: DataPlane,
  route: Route,
  request: AgentRequest,
  admission: Admission,
  ticket: AuditTicket,
  started: number,
  progress: Progress,
): void {
  try {
    refuseNewDemands(admitAgain(plane, route, request, admission, progress), progress);
  } catch (thrown) {
    const error = toAlterError(thrown);
    ticket.close({
      outcome: 'refused',
      status: error.proxyStatus,
      error: error.code,
      policy_error: policyErrorOf(error),
      latency_ms: elapsed(started),
      bytes_in: 0,
      bytes_out: 0,
    });
    throw new RecordedRefusal(error, ticket.requestId);
  }
}

function opening(
  plane: DataPlane,
  route: Route,
  request: AgentRequest,
  admission: Admission,
  at: number,
  replaced: boolean,
  progress: Progress,
): ReturnType<typeof openingOf> {
  const rowUser = rowUserOf(plane, route, admission);
  return openingOf({
    kind: 'exchange',
    action: 'api.call',
    at,
    caller: route.caller,
    peer: route.caller.peer,
    destination: route.destination,
    method: request.method,
    facts: admission.facts,
    grant: admission.grant,
    protocol: request.protocol,
    rule: progress.rule ?? admission.rule,
    user: rowUser.user,
    delegation: rowUser.delegation,
    error: null,
    policyVersion: plane.policies.version,
    replaced,
    operations: progress.operations,
    approval: progress.approval,
    policy: progress.policy,
  });
}

/** Steps 7 and 8. */
function forward(
  plane: DataPlane,
  route: Route,
  request: AgentRequest,
  reply: AgentReply,
  admission: Admission,
  injected: PreparedRequest,
  ticket: AuditTicket,
  started: number,
): void {
  const { destination, caller } = route;
  const webSocket = isWebSocketHandshake(request);
  const wantsHttp2 =
    request.protocol === 'HTTP/2' && (findHeader(request.headers, 'content-type') ?? '').startsWith('application/grpc');
  const { grant } = admission;
  const userId = admission.user?.userId ?? null;
  const capture = webSocket ? null : captureOf(grant, request, injected.guard, plane.authority.compiled.placeholders);
  let switched = false;
  const plan: TransferPlan = {
    pool: poolFor(plane, route, admission.grant, injected.identity),
    wantsHttp2,
    injectedNames: injectedNamesOf(admission.grant),
    credentialed: injected.injected,
    guard: injected.guard,
    rewriter: injected.rewriter,
    capture,
    outgoing: outgoingOf(destination, request, injected, webSocket),
    renewal: webSocket ? null : renewalOf(plane, route, request, admission, injected),
    onSwitch: !webSocket
      ? null
      : (head, rest, stream, headers) => {
          if (!isHandshakeAnswer(request, head)) return false;
          switched = true;
          const pipe = joinWebSocket(reply, head, headers, rest, stream, plane.limits.clientIdleMs, (ended) => {
            seat.leave();
            ticket.close({
              outcome: 'success',
              status: 101,
              error: null,
              latency_ms: elapsed(started),
              bytes_in: ended.bytesIn,
              bytes_out: ended.bytesOut,
              scrubbed: injected.guard?.count ?? 0,
            });
          });
          const live: LiveConnection = { caller: caller.identity, userId, grant, destroy: () => pipe.destroy() };
          const seat = plane.live.add(live);
          return true;
        },
  };
  const transfer = new Transfer(request, reply, plan);
  // SECURITY: an answer can stream for hours; it ends with what allowed it (S-99).
  const underWay: LiveConnection = {
    caller: caller.identity,
    userId,
    grant,
    destroy: (why) => transfer.cut(endOf(why, destination.host)),
  };
  const seat = plane.live.add(underWay);
  transfer.run((result) => {
    seat.leave();
    request.body.dispose?.();
    if (!switched) finish(plane, reply, ticket, result, transfer.scrubbed, started, capture);
  });
}

/** The same request with a newer token, for a connected account whose token was refused. */
function renewalOf(
  plane: DataPlane,
  route: Route,
  request: AgentRequest,
  admission: Admission,
  { injected, version }: PreparedRequest,
): Renewal | null {
  const { grant, user } = admission;
  // SECURITY: what somebody approved is sent once, whatever the provider says to it (S-95).
  if (grant?.grantKind !== 'oauth' || !injected || version === null || admission.approval !== null) return null;
  return async () => {
    try {
      const material = await plane.vault.renewRefused(grant, version);
      if (material === null) return null;
      // SECURITY: asking took a while; key, grant or rules may have ended meanwhile (S-99).
      const again = admitAgain(plane, route, request, admission, { ...noProgress(user), counted: true, approved: true });
      const next = inject(plane, route, again, outgoingHeaders(request), material);
      return { outgoing: outgoingOf(route.destination, request, next, false), guard: next.guard };
    } catch (thrown) {
      // The provider's own refusal, which is held back meanwhile, says what the agent has to know.
      logFailure(plane, toAlterError(thrown), null);
      return null;
    }
  };
}

/** SECURITY: the pool of another grant value is never taken, nor one that the registry has dropped, nor one that shows another certificate. */
function poolFor(plane: DataPlane, route: Route, grant: Grant | null, identity: ClientIdentity | null): UpstreamPool {
  const last = route.lastPool;
  if (last !== null && last.grant === grant && last.pool.registered && last.pool.identity?.tag === identity?.tag)
    return last.pool;
  const pool = plane.pools.poolOf(route.caller.identity.agentId, grant, route.destination, identity);
  route.lastPool = { grant, pool };
  return pool;
}

/** An end that alterd made, whatever the origin did. */
const isOurs = (error: AlterError | null): boolean =>
  error?.code === 'destination_refused' || error?.code === 'policy_violation' || error?.code === 'malformed_request';

/** Step 8, and the refusal when the origin failed before an answer. */
function finish(
  plane: DataPlane,
  reply: AgentReply,
  ticket: AuditTicket,
  result: TransferResult,
  scrubbed: number,
  started: number,
  capture: BodyCapture | null,
): void {
  const refused = result.error !== null && result.status === null;
  ticket.close({
    outcome: result.outcome === 'provider_error' && isOurs(result.error) ? 'refused' : result.outcome,
    status: refused ? (result.error as AlterError).proxyStatus : result.status,
    error: result.error?.code ?? null,
    policy_error: policyErrorOf(result.error),
    latency_ms: elapsed(started),
    bytes_in: result.bytesIn,
    bytes_out: result.bytesOut,
    scrubbed,
    captured: capture === null ? null : capture.take(),
  });
  if (!refused) return;
  const error = result.error as AlterError;
  logFailure(plane, error, ticket.requestId);
  sendRefusal(reply, error, ticket.requestId);
}

async function refuse(
  plane: DataPlane,
  route: Route,
  request: AgentRequest,
  reply: AgentReply,
  thrown: unknown,
  progress: Progress,
  at: number,
  started: number,
): Promise<void> {
  if (thrown instanceof RecordedRefusal) {
    logFailure(plane, thrown.error, thrown.requestId);
    sendRefusal(reply, thrown.error, thrown.requestId);
    return;
  }
  const left = thrown instanceof BodyAborted;
  let error = toAlterError(thrown);
  if (error.code === 're_auth_required' && plane.explained !== undefined) error = await plane.explained(error);
  let requestId: string | null = null;
  try {
    requestId = await plane.audit.record(
      openingOf({
        kind: 'exchange',
        action: 'api.call',
        at,
        caller: route.caller,
        peer: route.caller.peer,
        destination: route.destination,
        method: request.method,
        facts: progress.facts,
        grant: progress.grant,
        protocol: request.protocol,
        rule: progress.rule,
        ...rowUserOf(plane, route, progress),
        error: left ? null : error,
        policyVersion: plane.policies.version,
        replaced: false,
        operations: progress.operations,
        approval: progress.approval,
        policy: progress.policy,
      }),
      {
        outcome: left ? 'client_abort' : 'refused',
        status: left ? null : error.proxyStatus,
        error: left ? null : error.code,
        latency_ms: elapsed(started),
        bytes_in: 0,
        bytes_out: 0,
      },
    );
  } catch (auditFailure) {
    error = toAlterError(auditFailure);
  }
  if (left) return;
  logFailure(plane, error, requestId);
  sendRefusal(reply, error, requestId, audienceOf(request.headers));
  // SECURITY: behind the answer, so that its time does not tell another agent's placeholder from one that nobody minted (S-64).
  void plane.alarms.look(plane, route, progress, thrown, at);
}

function elapsed(started: number): number {
  return Math.round((performance.now() - started) * 1000) / 1000;
}
