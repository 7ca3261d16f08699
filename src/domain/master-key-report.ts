/** What is said of the master key and of its replacement. Types only; nothing here says anything of the key itself. */

export interface MasterKeyFacts {
  /** Where it is kept: "file", "keyring" or "systemd". */
  readonly source: string;
  /** Tells two keys apart without saying anything of either. */
  readonly check: string;
  /** When it was put in force, epoch milliseconds; null for the first one of the vault. */
  readonly since: number | null;
}

export interface RotationReport extends MasterKeyFacts {
  /** `staged`: the next key waits; `finished`: what an earlier attempt had left undone is done. */
  readonly outcome: 'rotated' | 'staged' | 'finished';
  /** Where the next key waits, when it does. */
  readonly waitsIn: string | null;
  /** What is left for the operator. */
  readonly todo: readonly string[];
}
