/**
 * Do vault and journal belong to each other, and is neither of them an older copy? The vault notes which journal it writes to; the journal's
 * sealed head notes how far the vault came. Each alone can be copied back; whoever copies one back is found out by the other. Both copied
 * back together can't be told from the inside. Pure.
 */

export interface ContinuityFacts {
  readonly vaultEpoch: number;
  /** The journal that the vault wrote to when it was changed last; null before that, and in vaults of before this was noted. */
  readonly vaultJournal: string | null;
  /** The journal that is there. */
  readonly journal: string;
  /** The vault's epoch that its sealed head knows; null when there is no head, or one of before this was noted. */
  readonly journalEpoch: number | null;
}

/** What is wrong, in words that go on after "the vault can't be used:"; null when all fits. */
export function continuityFault(facts: ContinuityFacts): string | null {
  const { vaultEpoch, vaultJournal, journal, journalEpoch } = facts;
  // SECURITY: an older vault brings back what was revoked since: agents, keys, grants, secrets (S-86).
  if (journalEpoch !== null && vaultEpoch < journalEpoch)
    return `it is older than the audit journal says: change ${vaultEpoch} of ${journalEpoch}, so what was changed or revoked since is undone`;
  if (vaultJournal === null) return null;
  // SECURITY: without these two, taking away the journal or its head would be enough to make an older vault pass.
  if (vaultJournal !== journal) return 'its audit journal is gone, or another one is in its place';
  if (journalEpoch === null) return 'the head of its audit journal is gone, or its seal does not fit';
  return null;
}
