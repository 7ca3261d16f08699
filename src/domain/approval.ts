/**
 * Approvals: a person says yes or no to one request of an agent before it leaves. What a card shows is what alterd itself saw of the
 * request; what the agent said of it is marked as the agent's. Nothing here may hold a secret.
 */

import type { CallPattern } from './permit.ts';

export type ApprovalStatus = 'pending' | 'approved' | 'denied' | 'expired' | 'used' | 'cancelled';

/** What an approver is asked about. All of it is seen by the proxy, but for `agentSays`. */
export interface ApprovalSubject {
  readonly agentId: string;
  readonly agent: string;
  readonly sessionId: string | null;
  /** In whose name the request goes out; null: nobody's but the agent's own. Proved, never the agent's word. */
  readonly userId: string | null;
  readonly user: string | null;
  readonly uid: number | null;
  readonly pid: number | null;
  readonly executable: string | null;
  /** null: a host without a grant. */
  readonly grantId: string | null;
  readonly grantLabel: string | null;
  readonly providerId: string | null;
  readonly credential: string | null;
  /** The rule that asks. */
  readonly rule: string;
  readonly method: string;
  readonly origin: string;
  readonly path: string | null;
  /** Names only. */
  readonly queryKeys: readonly string[];
  readonly contentType: string | null;
  readonly bodyBytes: number;
  /** Hex SHA-256. */
  readonly bodySha256: string | null;
  /** The beginning of a body that is text, as the agent sent it; the agent's words. */
  readonly bodyPreview: string | null;
  /** The agent's words: why it calls, and on which run. */
  readonly agentSays: { readonly reason: string | null; readonly runId: string | null; readonly tool: string | null };
}

export interface Approval extends ApprovalSubject {
  /** `apr_…`. */
  readonly id: string;
  readonly status: ApprovalStatus;
  readonly createdAt: number;
  /** An undecided one ends then, and an approved one that nobody used. Epoch milliseconds. */
  readonly expiresAt: number;
  readonly decidedAt: number | null;
  readonly decidedBy: string | null;
  /** Requests that are held for it now. */
  readonly waiting: number;
}

export type ApprovalAnswer =
  | { readonly kind: 'approved'; readonly id: string; readonly by: string }
  | { readonly kind: 'denied'; readonly id: string }
  /** Nobody decided in the time that a request is held. */
  | { readonly kind: 'pending'; readonly id: string; readonly expiresAt: number }
  /** As many are undecided as may be. */
  | { readonly kind: 'limit' };

export interface ApprovalPort {
  /**
   * Holds until somebody decides, the time is over, or the agent leaves. An identical request joins what is asked already; an
   * approval lets exactly one of them pass.
   * @param fingerprint of everything that decides what the request does
   * @param pattern of the call without its body and query: what a permit is about
   * @throws AlterError audit_unavailable
   */
  ask(
    subject: ApprovalSubject,
    fingerprint: string,
    pattern: CallPattern,
    holdMs: number,
    left: AbortSignal,
  ): Promise<ApprovalAnswer>;
}
