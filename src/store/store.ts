/**
 * The Store port: what the vault needs of a database. Methods are promises, so that a database over a network can implement
 * them too. A store knows nothing of keys and policy: it must never open, compare or invent what it holds.
 */
import type { EpochChanges } from './change-log.ts';
import type { LastUse, RateLimitRow, SealedRow, StoreChange, StoreSnapshot } from './rows.ts';

/** A one-time text; after `expiresAt` it may be forgotten, so nothing that lives longer may rest on it. */
export interface Nonce {
  readonly key: string;
  readonly expiresAt: number;
}

/** A lease that changes are made under, by the token that acquireLease() gave. */
export interface HeldLease {
  readonly name: string;
  readonly fence: number;
}

/** A row of a host's journal. */
export interface HostAuditRow {
  readonly n: number;
  /** One line of JSON, as the host's journal exports it. */
  readonly line: string;
  /** Epoch milliseconds. */
  readonly arrivedAt: number;
}

/** How much of a limit that all hosts share is in whose hands. What stands in `state` is nothing that a store knows of. */
export interface QuotaRow {
  readonly key: string;
  /** Rises with each change, also when the row was forgotten in between. */
  readonly version: number;
  readonly state: string;
  /** From then on it says nothing any more, and may be forgotten. */
  readonly expiresAt: number;
}

/** One journal of one host. */
export interface HostChain {
  readonly hostId: string;
  readonly chain: string;
}

export interface Store {
  /** @throws AlterError vault_unavailable */
  load(): Promise<StoreSnapshot>;
  /** @throws AlterError vault_unavailable */
  readSealed(credentialId: string): Promise<SealedRow | undefined>;
  /** @throws AlterError vault_unavailable */
  listSealed(): Promise<SealedRow[]>;
  /**
   * Applies all changes or none, durably, when the epoch is still `expectedEpoch`; answers the new epoch.
   * With a lease: only while nobody else has acquired it since.
   * @throws StaleEpoch somebody else changed the store; LostLease; AlterError conflict when a name is taken or still in use; vault_unavailable
   */
  apply(changes: readonly StoreChange[], expectedEpoch: number, lease?: HeldLease): Promise<number>;
  /** @throws AlterError vault_unavailable */
  currentEpoch(): Promise<number>;
  /** True when the schema has steps that this alterd does not know; absent where that can't be. @throws AlterError vault_unavailable */
  readonly isBehindSchema?: (() => Promise<boolean>) | undefined;
  /** What was applied after an epoch, in order; null when that can't be told from the log: load again. @throws AlterError vault_unavailable */
  changesSince(epoch: number): Promise<readonly EpochChanges[] | null>;
  /** True for each that was new; a text is new once, whoever asks, also within one call. @throws AlterError vault_unavailable */
  useNonces(nonces: readonly Nonce[]): Promise<boolean[]>;
  /** Forgets those that expired before. @throws AlterError vault_unavailable */
  forgetNonces(expiredBefore: number): Promise<void>;
  /**
   * Makes `holder` the only one with this lease until it ends: answers a token that is higher than every one before, or null
   * while the lease is somebody else's. Who has it already gets a new token, and the old one is worth nothing.
   * Clocks of holders may differ: choose a time that is longer than the work by more than that difference.
   * @throws AlterError vault_unavailable
   */
  acquireLease(name: string, holder: string, ttlMs: number, now: number): Promise<number | null>;
  /** Moves the end of a lease that has not ended; false when it has, or is somebody else's. @throws AlterError vault_unavailable */
  renewLease(lease: HeldLease, ttlMs: number, now: number): Promise<boolean>;
  /** Nothing happens when it is somebody else's by now. @throws AlterError vault_unavailable */
  releaseLease(lease: HeldLease): Promise<void>;
  /** Keeps rows of a host's journal; one that is there already stays as it is. Not part of the epoch. @throws AlterError vault_unavailable */
  addHostAudit(of: HostChain, rows: readonly HostAuditRow[]): Promise<void>;
  /** The last row that is kept; undefined before the first. @throws AlterError vault_unavailable */
  lastHostAudit(of: HostChain): Promise<HostAuditRow | undefined>;
  /** Rows after `n`, in order. @throws AlterError vault_unavailable */
  listHostAudit(of: HostChain, after: number, limit: number): Promise<HostAuditRow[]>;
  /** The journals of a host, the newest last. @throws AlterError vault_unavailable */
  listHostChains(hostId: string): Promise<string[]>;
  /** @throws AlterError vault_unavailable */
  readQuota(key: string): Promise<QuotaRow | undefined>;
  /** Writes a row when the stored one still has that version (0: there is none); false when somebody else was there first. @throws AlterError vault_unavailable */
  writeQuota(row: QuotaRow, before: number): Promise<boolean>;
  /** @throws AlterError vault_unavailable */
  listQuotas(): Promise<QuotaRow[]>;
  /** Forgets those that expired before. @throws AlterError vault_unavailable */
  forgetQuotas(expiredBefore: number): Promise<void>;
  /** Notes when things were last used; earlier instants and unknown ids are ignored. Not part of the epoch. @throws AlterError vault_unavailable */
  noteUses(uses: readonly LastUse[]): Promise<void>;
  /** @throws AlterError vault_unavailable */
  listRateLimits(): Promise<RateLimitRow[]>;
  /** Keeps counters, and forgets those that were last used before `olderThan`. Not part of the epoch. @throws AlterError vault_unavailable */
  saveRateLimits(rows: readonly RateLimitRow[], olderThan: number): Promise<void>;
  /** Copies the database into a new file while it is in use; absent where it is no file of this machine. @throws AlterError vault_unavailable */
  readonly copyTo?: ((file: string) => Promise<void>) | undefined;
  /** Waits for what runs and lets go of the database. May be called twice. */
  close(): Promise<void>;
}

/** Of a store, what journals of hosts are kept by. */
export type HostAudit = Pick<Store, 'addHostAudit' | 'lastHostAudit' | 'listHostAudit' | 'listHostChains'>;

/** Of a store, what limits that all hosts share are kept by. */
export type QuotaStore = Pick<Store, 'readQuota' | 'writeQuota' | 'listQuotas' | 'forgetQuotas'>;
