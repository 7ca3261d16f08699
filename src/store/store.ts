/**
 * The Store port: what the vault needs of a database. Methods are promises, so that a database over a network can implement
 * them too. A store knows nothing of keys and policy: it must never open, compare or invent what it holds.
 */
import type { LastUse, RateLimitRow, SealedRow, StoreChange, StoreSnapshot } from './rows.ts';

export interface Store {
  /** @throws AlterError vault_unavailable */
  load(): Promise<StoreSnapshot>;
  /** @throws AlterError vault_unavailable */
  readSealed(credentialId: string): Promise<SealedRow | undefined>;
  /** @throws AlterError vault_unavailable */
  listSealed(): Promise<SealedRow[]>;
  /**
   * Applies all changes or none, durably, when the epoch is still `expectedEpoch`; answers the new epoch.
   * @throws AlterError conflict when somebody else changed the store, or a name is taken or still in use; vault_unavailable
   */
  apply(changes: readonly StoreChange[], expectedEpoch: number): Promise<number>;
  /** Notes when things were last used; earlier instants and unknown ids are ignored. Not part of the epoch. @throws AlterError vault_unavailable */
  noteUses(uses: readonly LastUse[]): Promise<void>;
  /** @throws AlterError vault_unavailable */
  listRateLimits(): Promise<RateLimitRow[]>;
  /** Keeps counters, and forgets those that were last used before `olderThan`. Not part of the epoch. @throws AlterError vault_unavailable */
  saveRateLimits(rows: readonly RateLimitRow[], olderThan: number): Promise<void>;
  /** Waits for what runs and lets go of the database. May be called twice. */
  close(): Promise<void>;
}
