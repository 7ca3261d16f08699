/**
 * What can be asked of the audit journal: filters, pages, verification, the live tail. Types only.
 * Every answer includes whatever was written before the question was asked (read your own writes).
 */
import type { AuditEntry, AuditKind, AuditOutcome } from '../domain/audit.ts';

/** All given members must match. Times are epoch milliseconds of the opening, both ends inclusive. */
export interface AuditFilter {
  /** Name or id of the agent. */
  readonly agent?: string;
  /** Id or label of the grant. */
  readonly grant?: string;
  readonly host?: string;
  readonly status?: number;
  readonly outcome?: AuditOutcome;
  readonly decision?: 'allow' | 'deny';
  readonly kind?: AuditKind;
  readonly action?: string;
  /** Error code of the entry. */
  readonly error?: string;
  readonly since?: number;
  readonly until?: number;
  /** `newest` first is the default; `oldest` first follows the chain. */
  readonly order?: 'newest' | 'oldest';
  /** Chain position (`n`) of the last entry of the page before: the answer goes on after it, in the order asked for. */
  readonly after?: number;
  /** Default 100, at most 1000. Ignored by `export`. */
  readonly limit?: number;
}

/** `firstBad` is the first chain position that is missing, edited or out of order. */
export interface VerifyResult {
  readonly ok: boolean;
  /** Rows checked. */
  readonly rows: number;
  readonly firstBad?: number;
  readonly reason?: string;
  /** Hex hash of the last row. */
  readonly headHash: string;
}

export interface JournalStats {
  /** Rows in the chain now (without those that retention removed). */
  readonly rows: number;
  /** Openings without a closing. */
  readonly open: number;
  readonly headHash: string;
  /** False while openings are, or are about to be, refused, and when the chain was found damaged at the start. */
  readonly healthy: boolean;
  readonly error: string | null;
}

export interface JournalReader {
  /** Closed entries, one page. */
  list(filter: AuditFilter): Promise<AuditEntry[]>;
  /** Entries that are open now, oldest first: `n`, `hash` and `closed_at` are null, `outcome` is a filler. */
  listOpen(): Promise<AuditEntry[]>;
  /** One entry, open or closed; undefined when there is none of that id. */
  find(requestId: string): Promise<AuditEntry | undefined>;
  /** Calls `listener` for each entry as it enters the chain; answers the function that stops it. */
  tail(listener: (entry: AuditEntry) => void): () => void;
  /** Checks the whole chain against the sealed head without holding up requests. */
  verify(): Promise<VerifyResult>;
  /** Streams every matching entry, oldest first unless the filter says otherwise; waits for `onRow`. Answers how many there were. */
  export(filter: AuditFilter, onRow: (entry: AuditEntry) => void | Promise<void>): Promise<number>;
  stats(): Promise<JournalStats>;
}
