/** What a look at a database from outside says, without opening the vault: nothing of its rows, nothing sealed. Types only. */

export interface StoreGlance {
  readonly kind: 'sqlite' | 'postgresql';
  /** A path, or host and port. */
  readonly place: string;
  readonly schemaVersion: number;
  /** The newest that this alterd knows. */
  readonly knownVersion: number;
  /** Of one small question. */
  readonly latencyMs: number;
  /** Names and values of the vault's own settings. */
  readonly meta: ReadonlyMap<string, string>;
  /** How far this machine's clock is ahead of the database's; null where that is the same machine. */
  readonly clockAheadMs: number | null;
  /** Where alterd is connected from, with how many connections; null where only one can be. */
  readonly replicas: readonly { readonly from: string; readonly connections: number }[] | null;
}
