/**
 * Delegations: "this agent may use this grant of mine". Without one, a grant of a user or a group is of no use to any agent.
 */

export type DelegationStatus = 'active' | 'revoked';
export type DelegationEnder = 'user' | 'operator' | 'agent';

export interface Delegation {
  /** UUID. */
  readonly id: string;
  /** Who delegates; null for every member of the group that owns the grant, which only an operator may say. */
  readonly userId: string | null;
  readonly agentId: string;
  readonly grantId: string;
  readonly status: DelegationStatus;
  readonly createdAt: number;
  /** Epoch milliseconds; null for no end. */
  readonly expiresAt: number | null;
  readonly revokedAt: number | null;
  readonly revokedBy: DelegationEnder | null;
}

export const isDelegationLive = (delegation: Delegation, now: number): boolean =>
  delegation.status === 'active' && (delegation.expiresAt === null || delegation.expiresAt > now);
