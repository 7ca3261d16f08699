/** What is said of the master key and of its replacement. Types only; nothing here says anything of the key itself. */

export interface MasterKeyFacts {
  /** Where it is kept: "file", "keyring" or "systemd". */
  readonly source: string;
  /** Tells two keys apart without saying anything of either. */
  readonly check: string;
  /** When it was put in force, epoch milliseconds; null for the first one of the vault. */
  readonly since: number | null;
}

export interface RotationRequest {
  /** Only make the next key. */
  readonly stage: boolean;
  /** Seal every secret anew as well, under a new data key. */
  readonly reseal: boolean;
}

export interface RotationReport extends MasterKeyFacts {
  /** `staged`: the next key waits; `finished`: what an earlier attempt had left undone is done. */
  readonly outcome: 'rotated' | 'staged' | 'finished';
  /** Every secret was sealed anew as well, under a new data key. */
  readonly isResealed: boolean;
  /** Where the next key waits, when it does. */
  readonly waitsIn: string | null;
  /** What is left for the operator. */
  readonly todo: readonly string[];
}
