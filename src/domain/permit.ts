/**
 * Permits: what a person lets pass without being asked each time. A permit answers the question of one rule about one kind of call;
 * it grants nothing by itself. Pure.
 */

/** What decides whether a call is of the kind that a person let pass. */
export interface CallPattern {
  readonly agentId: string;
  /** In whose name the call goes out: what one user's requests may do says nothing of another's. null: nobody's but the agent's own. */
  readonly userId: string | null;
  /** null: a whole host without a grant. */
  readonly grantId: string | null;
  /** The rule that asks: another rule is another question. */
  readonly rule: string;
  /** With the methods that headers or the query ask for instead: `POST+DELETE`. */
  readonly method: string;
  readonly origin: string;
  /** Canonical, without its query; null for a whole host. */
  readonly path: string | null;
}

export interface Permit extends CallPattern {
  /** `prm_…`. */
  readonly id: string;
  /** By which the agent uses a grant of a person or a group; null for any other grant, and for a host. */
  readonly delegationId: string | null;
  /** The question that it was the answer to. */
  readonly approvalId: string;
  readonly createdBy: string;
  readonly createdAt: number;
  /** Epoch milliseconds; null: until it is revoked, or what it rests on ends. */
  readonly expiresAt: number | null;
}

/** How long a permit is for: milliseconds, or until it is revoked. */
export type PermitTerm = number | 'standing';

/** Equal for equal patterns and for no others. */
export const patternKey = (p: CallPattern): string =>
  JSON.stringify([p.agentId, p.userId, p.grantId, p.rule, p.method, p.origin, p.path]);
