/**
 * The log of changes that replicas follow each other by: one text for each epoch, written in the transaction of the change itself.
 * It must never keep anything sealed: a secret that was removed has to be gone from the database, and so has an old data key.
 */
import { readChange } from './columns/stored-form.ts';
import type { StoreChange } from './rows.ts';

/** Who is further behind loads everything again. */
export const KEPT_EPOCHS = 1024;
/** A longer change costs about as much to follow as a new start. */
const MAX_CHARS = 1_000_000;

export interface EpochChanges {
  /** The epoch that these changes led to. */
  readonly epoch: number;
  /** Without what is sealed. */
  readonly changes: readonly StoreChange[];
}

/** The text of the log; null for changes that must not stand in it, which everybody has to load anew. */
export function writeChanges(changes: readonly StoreChange[]): string | null {
  const kept: StoreChange[] = [];
  for (const change of changes) {
    const kind = 'remove' in change ? change.remove : change.put;
    if (kind === 'data_key' || kind === 'provider_client') return null;
    if (kind !== 'sealed') kept.push(change);
  }
  const text = JSON.stringify(kept);
  return text.length > MAX_CHARS ? null : text;
}

/**
 * What the log says, in the form that the tables have it; null where that can't be told from the log alone. The text comes from the database, and
 * perhaps from another version of alterd: whoever follows it checks the vault's MAC over what comes of it.
 */
export function readChanges(text: string): readonly StoreChange[] | null {
  try {
    const read = (JSON.parse(text) as unknown[]).map(readChange);
    return read.some((change) => change === null) ? null : (read as StoreChange[]);
  } catch {
    return null;
  }
}

/** A row of the log, as it is stored. */
export interface LogRow {
  readonly epoch: number;
  readonly changes: string;
}

/** The log from one epoch to another; null when a part of it is missing, or is not to be read here. Rows are in order. */
export function wholeLog(rows: readonly LogRow[], after: number, current: number): readonly EpochChanges[] | null {
  if (after > current || rows.length !== current - after) return null;
  const log: EpochChanges[] = [];
  for (const [i, row] of rows.entries()) {
    const changes = row.epoch === after + i + 1 ? readChanges(row.changes) : null;
    if (changes === null) return null;
    log.push({ epoch: row.epoch, changes });
  }
  return log;
}
