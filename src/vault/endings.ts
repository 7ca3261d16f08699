/** What ends along: the delegations of a grant that is revoked, of an agent that is, or of one that takes another's place. */
import type { Delegation, DelegationEnder } from '../domain/delegation.ts';
import type { StoreChange } from '../store/rows.ts';

/** The changes that end these, in one piece with what ends them. */
export const endings = (delegations: readonly Delegation[], by: DelegationEnder, now: number): StoreChange[] =>
  delegations
    .filter((delegation) => delegation.status === 'active')
    .map((row) => ({ put: 'delegation', row: { ...row, status: 'revoked', revokedAt: now, revokedBy: by } }));
