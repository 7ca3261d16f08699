/**
 * `egress = "ask"`: a tunnel to a host that nobody configured waits until a person lets the agent go there. What goes through it
 * afterwards is not seen, so the approval is for the host, and for one tunnel unless it was given for a time.
 */
import type { ApprovalSubject } from '../domain/approval.ts';
import type { Destination } from '../domain/destination.ts';
import { AlterError } from '../domain/errors.ts';
import { type CallPattern, patternKey } from '../domain/permit.ts';
import type { HoldPlane } from './approval-hold.ts';
import { namedUser } from './call-user.ts';
import type { Caller } from './caller.ts';
import type { AgentReply } from './message.ts';

/** What a permit for a whole host is about; never equal to one for a call. */
export const hostPattern = ({
  agentId,
  userId,
  origin,
  rule,
}: Pick<ApprovalSubject, 'agentId' | 'userId' | 'origin' | 'rule'>): CallPattern => ({
  agentId,
  userId,
  grantId: null,
  rule,
  method: 'CONNECT',
  origin,
  path: null,
});

/**
 * Answers when the agent may go there; false when it has left.
 * @throws AlterError approval_pending, approval_denied, destination_refused, audit_unavailable
 */
export async function askForHost(
  plane: HoldPlane,
  caller: Caller,
  destination: Destination,
  reply: AgentReply,
): Promise<boolean> {
  const rule = 'egress.ask';
  const left = new AbortController();
  reply.onAbort = () => left.abort();
  const subject = { ...subjectOf(caller, destination, rule), ...namedUser(plane.vault.authority, caller.identity.userId) };
  const pattern = hostPattern(subject);
  const answer = await plane.approvals.ask(subject, patternKey(pattern), pattern, plane.approvalHoldMs, left.signal);
  reply.onAbort = null;
  if (left.signal.aborted) return false;
  if (answer.kind === 'approved') return true;
  if (answer.kind === 'limit')
    throw new AlterError('destination_refused', { host: destination.authority, policy_error: 'approval_unavailable' });
  if (answer.kind === 'denied') throw new AlterError('approval_denied', { approval_id: answer.id, rule });
  throw new AlterError('approval_pending', {
    approval_id: answer.id,
    rule,
    expires_at: new Date(answer.expiresAt).toISOString(),
  });
}

function subjectOf({ identity, peer }: Caller, destination: Destination, rule: string): Omit<ApprovalSubject, 'userId' | 'user'> {
  return {
    agentId: identity.agentId,
    agent: identity.agentName,
    sessionId: identity.sessionId,
    uid: peer.uid,
    pid: peer.pid,
    executable: peer.executable,
    grantId: null,
    grantLabel: null,
    providerId: null,
    credential: null,
    rule,
    method: 'CONNECT',
    origin: destination.origin,
    path: null,
    queryKeys: [],
    contentType: null,
    bodyBytes: 0,
    bodySha256: null,
    bodyPreview: null,
    agentSays: { reason: null, runId: null, tool: null },
  };
}
