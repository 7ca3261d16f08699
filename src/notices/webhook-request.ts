/**
 * A notice of an approval for a program of the operator, signed. What the agent said stands apart from what alterd saw. Nothing in it
 * can decide anything: it says where a person decides.
 */
import type { KeyObject } from 'node:crypto';
import { signatureOf } from '../crypto/body-signature.ts';
import type { Approval } from '../domain/approval.ts';

export interface NoticeRequest {
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Buffer;
}

const iso = (at: number | null): string | null => (at === null ? null : new Date(at).toISOString());

/** What a person types to see the request, and to decide. */
export const commandOf = ({ id }: Approval): string => `alterd approvals show ${id}`;

/** The body of the request is not in it: only its length and digest leave this machine. */
export function webhookRequest(key: KeyObject, a: Approval, now: number): NoticeRequest {
  const notice = {
    event: `approval.${a.status}`,
    sent_at: iso(now),
    command: commandOf(a),
    approval: {
      id: a.id,
      status: a.status,
      agent: a.agent,
      session_id: a.sessionId,
      user_id: a.userId,
      user: a.user,
      grant_id: a.grantId,
      grant_label: a.grantLabel,
      provider: a.providerId,
      credential: a.credential,
      rule: a.rule,
      method: a.method,
      origin: a.origin,
      path: a.path,
      query_keys: a.queryKeys,
      content_type: a.contentType,
      body_bytes: a.bodyBytes,
      body_sha256: a.bodySha256,
      created_at: iso(a.createdAt),
      expires_at: iso(a.expiresAt),
      decided_at: iso(a.decidedAt),
      decided_by: a.decidedBy,
    },
    agent_says: { reason: a.agentSays.reason, run_id: a.agentSays.runId, tool: a.agentSays.tool },
  };
  return signedNotice(key, now, `${a.id}-${a.status}`, notice);
}

/** @param delivery the same for each attempt, so that a receiver can tell one that it has already */
export function signedNotice(key: KeyObject, now: number, delivery: string, notice: object): NoticeRequest {
  const body = Buffer.from(JSON.stringify(notice));
  return {
    headers: {
      'content-type': 'application/json',
      'Alter-Delivery': delivery,
      'Alter-Signature': signatureOf(key, body, now),
    },
    body,
  };
}
