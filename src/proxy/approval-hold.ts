/**
 * Step 3 of the line, where a rule wants a person to say yes: holds the request with its body, asks, and answers the request that
 * may go. What was asked about is what is sent: the body is held, and everything is ruled on again before it leaves.
 */
import { createHash, createHmac, randomBytes } from 'node:crypto';
import type { ApprovalPort, ApprovalSubject } from '../domain/approval.ts';
import { AlterError } from '../domain/errors.ts';
import type { Grant } from '../domain/grant.ts';
import type { CallPattern } from '../domain/permit.ts';
import type { ProvenUser } from '../domain/user-port.ts';
import type { VaultPort } from '../domain/vault-port.ts';
import { overrideMethods } from '../policy/effective-requests.ts';
import { actingUserId, namedUser } from './call-user.ts';
import { hostPattern } from './egress-ask.ts';
import type { Facts } from './facts.ts';
import { BodyAborted, HeldBody, holdBody } from './held-body.ts';
import type { AgentReply, AgentRequest } from './message.ts';
import type { Route } from './route.ts';

/** Fingerprints mean nothing outside of this process. */
const FINGERPRINT_KEY = randomBytes(32);
const PREVIEW_BYTES = 2_048;

/** Headers that decide what a request does, beside its target and body. Not the user's token, which is renewed often: the user is a fact of their own. */
const MEANT =
  /^(?:content-type|content-encoding|x-http-method(?:-override)?|x-method-override|x-amz-target|soapaction|destination|depth|overwrite|if-match|if-none-match|range|prefer|accept|notion-version|(?:x-)?alter-(?!user-token$).*)$/i;

export interface HoldPlane {
  readonly vault: Pick<VaultPort, 'authority'>;
  readonly approvals: ApprovalPort;
  readonly approvalHoldMs: number;
  readonly ruleBodyBytes: number;
}

interface Admitted {
  readonly facts: Facts;
  readonly grant: Grant | null;
  readonly user: ProvenUser | null;
}

/** What the row of the request says of it. */
interface Noted {
  rule: string | null;
  approval: { readonly id: string; readonly by: string | null } | null;
}

/**
 * @param rule that asks
 * @throws AlterError approval_pending, approval_denied, policy_violation, audit_unavailable; BodyAborted
 */
export async function holdForApproval(
  plane: HoldPlane,
  route: Route,
  request: AgentRequest,
  reply: AgentReply,
  { facts, grant, user }: Admitted,
  rule: string,
  noted: Noted,
): Promise<AgentRequest> {
  noted.rule = rule;
  // SECURITY: what goes through a WebSocket later is not what anybody was asked about (S-112).
  if (request.upgrade !== null) throw unapprovable(rule, grant, 'the messages of a WebSocket can not be shown to an approver');
  const held = request.body instanceof HeldBody ? request : await holdBody(request, reply, plane.ruleBodyBytes);
  if (held === null) throw unapprovable(rule, grant, `the body is longer than the ${plane.ruleBodyBytes} bytes that may be held`);
  const { bytes } = held.body as HeldBody;
  const left = new AbortController();
  const before = reply.onAbort;
  reply.onAbort = () => {
    before?.();
    left.abort();
  };
  const subject: ApprovalSubject = {
    ...subjectOf(route, held, facts, grant, rule, bytes),
    ...namedUser(plane.vault.authority, actingUserId(user, grant)),
  };
  const fingerprint = fingerprintOf(subject, facts, held.headers);
  const pattern = patternOf(subject, facts, held.headers);
  const answer = await plane.approvals.ask(subject, fingerprint, pattern, plane.approvalHoldMs, left.signal);
  reply.onAbort = before;
  if (answer.kind === 'limit') throw unapprovable(rule, grant, 'too many requests wait for an approval already');
  noted.approval = { id: answer.id, by: answer.kind === 'approved' ? answer.by : null };
  if (left.signal.aborted) throw new BodyAborted('the agent left while its request was held');
  if (answer.kind === 'denied') throw new AlterError('approval_denied', { approval_id: answer.id, rule });
  if (answer.kind === 'pending')
    throw new AlterError('approval_pending', {
      approval_id: answer.id,
      rule,
      expires_at: new Date(answer.expiresAt).toISOString(),
    });
  return held;
}

const unapprovable = (rule: string, grant: Grant | null, why: string): AlterError =>
  new AlterError('policy_violation', {
    policy_error: 'approval_unavailable',
    rule,
    ...(grant === null ? {} : { grant_id: grant.id }),
    reason: `The request needs an approval, and it can not be asked for: ${why}.`,
  });

function subjectOf(
  route: Route,
  request: AgentRequest,
  facts: Facts,
  grant: Grant | null,
  rule: string,
  body: Buffer,
): Omit<ApprovalSubject, 'userId' | 'user'> {
  const { identity, peer } = route.caller;
  const query = facts.target.query ?? '';
  const contentType =
    request.headers.find((_text, i) => i % 2 === 1 && /^content-type$/i.test(request.headers[i - 1] as string)) ?? null;
  return {
    agentId: identity.agentId,
    agent: identity.agentName,
    sessionId: identity.sessionId,
    uid: peer.uid,
    pid: peer.pid,
    executable: peer.executable,
    grantId: grant?.id ?? null,
    grantLabel: grant === null || grant.label === '' ? null : grant.label,
    providerId: grant?.providerId ?? null,
    credential: grant?.credentialName ?? null,
    rule,
    method: facts.method,
    origin: route.destination.origin,
    path: facts.target.path,
    queryKeys:
      query === ''
        ? []
        : query
            .split('&')
            .map((part) => part.split('=', 1)[0] as string)
            .slice(0, 64),
    contentType,
    bodyBytes: body.length,
    bodySha256: body.length === 0 ? null : createHash('sha256').update(body).digest('hex'),
    bodyPreview: previewOf(body),
    agentSays: { reason: facts.selectors.reason, runId: facts.selectors.runId, tool: facts.selectors.tool },
  };
}

/** SECURITY: a method that is asked for by header or query is one that an approver of the plain call did not see (S-42). */
function patternOf(subject: ApprovalSubject, facts: Facts, headers: readonly string[]): CallPattern {
  const { agentId, userId, grantId, rule, method, origin } = subject;
  if (grantId === null) return hostPattern(subject);
  const methods = [method, ...overrideMethods(headers, facts.target.query)].join('+');
  return { agentId, userId, grantId, rule, method: methods, origin, path: facts.target.canonical };
}

/** Text only: bytes that are none say nothing to a person. */
function previewOf(body: Buffer): string | null {
  if (body.length === 0) return null;
  const text = body.subarray(0, PREVIEW_BYTES).toString('utf8');
  return /[\x00-\x08\x0e-\x1f\ufffd]/.test(text.slice(0, -4)) ? null : text;
}

/** SECURITY: everything that decides what the origin does; a request that differs in any of it needs an approval of its own (S-95). */
function fingerprintOf(subject: ApprovalSubject, facts: Facts, headers: readonly string[]): string {
  const meant = headers.flatMap((text, i) =>
    i % 2 === 0 && MEANT.test(text) ? [text.toLowerCase(), headers[i + 1] as string] : [],
  );
  return digestOf([
    subject.agentId,
    subject.userId ?? '',
    subject.grantId ?? '',
    subject.rule,
    subject.method,
    subject.origin,
    facts.target.canonical,
    facts.target.path,
    facts.target.query ?? '',
    subject.bodySha256 ?? '',
    ...meant,
  ]);
}

function digestOf(parts: readonly string[]): string {
  const hmac = createHmac('sha256', FINGERPRINT_KEY);
  // Lengths first, so that no two lists make the same text.
  for (const part of parts) hmac.update(`${Buffer.byteLength(part)}:`).update(part);
  return hmac.digest('hex');
}
