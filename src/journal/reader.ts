/**
 * What can be asked of the audit journal: filters, pages, verification, the live tail. Types only.
 * Every answer includes whatever was written before the question was asked (read your own writes).
 */
import type { AuditEntry, AuditKind, AuditOutcome } from '../domain/audit.ts';
import type { StoredBodies } from '../domain/audit-body.ts';
import type { Checkpoint } from './checkpoint.ts';

/** All given members must match. Times are epoch milliseconds of the opening, both ends inclusive. */
export interface AuditFilter {
  /** Name or id of the agent. */
  readonly agent?: string;
  /** Label of the caller, or the uid of its process. */
  readonly user?: string;
  /** Id or label of the grant. */
  readonly grant?: string;
  readonly provider?: string;
  readonly credential?: string;
  readonly host?: string;
  readonly method?: string;
  readonly status?: number;
  readonly outcome?: AuditOutcome;
  readonly decision?: 'allow' | 'deny';
  readonly rule?: string;
  readonly kind?: AuditKind;
  readonly action?: string;
  /** Error code of the entry, or the policy error beside it. */
  readonly error?: string;
  readonly session?: string;
  /** Prefix or id of the key. */
  readonly key?: string;
  readonly run?: string;
  readonly thread?: string;
  readonly tool?: string;
  /** Id of a trace or of a run. */
  readonly trace?: string;
  /** Part of any value, whatever its case. */
  readonly text?: string;
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
  /** Segments that wait for the database. */
  readonly backlogSegments: number;
}

/** Requests (exchanges, tunnels, refusals) and events of a period, counted. */
export interface AuditSummary {
  readonly requests: number;
  readonly events: number;
  readonly denied: number;
  readonly bytes_in: number;
  readonly bytes_out: number;
  readonly scrubbed: number;
  /** Epoch milliseconds of the first and the last request; null when there is none. */
  readonly first_at: number | null;
  readonly last_at: number | null;
  /** Most frequent first; what is beyond the twentieth value is `other`. */
  readonly by: Readonly<Record<'provider' | 'agent' | 'decision' | 'error' | 'status', readonly AuditCount[]>>;
  /** Of answered requests, within 1 %; null when there is none. */
  readonly latency_ms: { readonly p50: number; readonly p90: number; readonly p99: number; readonly max: number } | null;
  /** Requests of each hour that has any; `at` is its start. */
  readonly hours: readonly { readonly at: number; readonly requests: number; readonly denied: number }[];
}

export interface AuditCount {
  readonly name: string;
  readonly requests: number;
}

/** `bodiesOf`: the entry of the line, when bodies are kept beside it. */
export type OnLine = (line: string, bodiesOf?: string | null) => void | Promise<void>;

export interface JournalReader {
  /** Closed entries, one page. */
  list(filter: AuditFilter): Promise<AuditEntry[]>;
  /** Entries that are open now, oldest first: `n`, `hash` and `closed_at` are null, `outcome` is a filler. */
  listOpen(): Promise<AuditEntry[]>;
  /** One entry, open or closed; undefined when there is none of that id. */
  find(requestId: string): Promise<AuditEntry | undefined>;
  /** What is kept of the bodies of an exchange; null where nothing is. @throws AlterError conflict when it was changed */
  bodies(requestId: string): Promise<StoredBodies | null>;
  /** Calls `listener` for each entry as it enters the chain; answers the function that stops it. */
  tail(listener: (entry: AuditEntry) => void): () => void;
  /** Checks the whole chain against the sealed head without holding up requests. */
  verify(): Promise<VerifyResult>;
  /** Streams every matching entry, oldest first unless the filter says otherwise; waits for `onRow`. Answers how many there were. */
  export(filter: AuditFilter, onRow: (entry: AuditEntry) => void | Promise<void>): Promise<number>;
  /**
   * As `export`, as the lines that can be checked without the journal: each row as it was hashed, and after the rows the checkpoints
   * that were signed over them, when nothing but an order is asked for.
   */
  exportLines(filter: AuditFilter, onLine: OnLine): Promise<number>;
  /** Every checkpoint, oldest first; `sign` adds one of the chain as it is now. */
  checkpoints(options: { readonly sign: boolean }): Promise<Checkpoint[]>;
  /** Public half of the key that signs them, as PEM; null when nothing is signed. */
  readonly publicKeyPem: string | null;
  summary(filter: AuditFilter): Promise<AuditSummary>;
  stats(): Promise<JournalStats>;
}
