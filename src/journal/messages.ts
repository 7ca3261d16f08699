/**
 * What the data-plane thread and the journal's worker say to each other. Types only. Rows never travel to the worker this
 * way: it reads them from the segments.
 */
import type { KeyObject } from 'node:crypto';
import type { MessagePort } from 'node:worker_threads';
import type { CommittedRow } from './chain-end.ts';
import type { Checkpoint } from './checkpoint.ts';
import type { StoredRow } from './entry-text.ts';
import type { AuditFilter, AuditSummary, JournalStats, VerifyResult } from './reader.ts';

export interface WriterSettings {
  readonly dir: string;
  readonly progress: SharedArrayBuffer;
  readonly syncIntervalMs: number;
  /** Requests wait for this thread's syncs. */
  readonly isAwaited: boolean;
  readonly segmentBytes: number;
  readonly maxBacklogSegments: number;
  readonly headKey: KeyObject;
  /** What else the head may be sealed by, while the key is replaced. */
  readonly otherHeadKeys: readonly KeyObject[];
  /** Ed25519, private; null signs no checkpoints. */
  readonly signingKey: KeyObject | null;
  readonly retentionDays: number | null;
}

export type Question =
  | { readonly op: 'list'; readonly filter: AuditFilter }
  | { readonly op: 'listOpen' }
  | { readonly op: 'find'; readonly requestId: string }
  /** What is stored beside a row. */
  | { readonly op: 'bodies'; readonly requestId: string }
  | { readonly op: 'verify' }
  | { readonly op: 'stats' }
  /** Puts the vault's epoch into the head, on disk. */
  | { readonly op: 'noteEpoch'; readonly epoch: number }
  /** Seals the head and the index of terms by another key, on disk. */
  | { readonly op: 'rekey'; readonly key: KeyObject }
  | { readonly op: 'summary'; readonly filter: AuditFilter }
  /** Those of rows after a place, oldest first. `sign` asks for one of the chain as it is now. */
  | { readonly op: 'checkpoints'; readonly after: number; readonly upTo: number; readonly sign: boolean }
  /** A copy of the chain and of its sealed head into an empty directory, while rows go on coming. */
  | { readonly op: 'backUp'; readonly to: string }
  | { readonly op: 'close' };

export interface Answers {
  list: StoredRow[];
  listOpen: StoredRow[];
  find: StoredRow | null;
  /** Null: no such row. */
  bodies: { readonly row: StoredRow; readonly sealed: Uint8Array | null } | null;
  verify: VerifyResult;
  noteEpoch: null;
  backUp: null;
  rekey: null;
  stats: Omit<JournalStats, 'healthy' | 'error' | 'backlogSegments'>;
  summary: AuditSummary;
  checkpoints: Checkpoint[];
  /** Null when everything was taken in, else what was left for the next start. */
  close: string | null;
}

/** What a feed asks for, and what it is given: rows after `n`, and checkpoints after `checkpoint` of rows up to the last of these. */
export interface FeedRequest {
  readonly n: number;
  readonly checkpoint: number;
  readonly limit: number;
}
export interface FeedPage {
  readonly rows: readonly StoredRow[];
  readonly checkpoints: readonly Checkpoint[];
  /** The last row of the chain, and the first one that retention has left. */
  readonly end: number;
  readonly first: number;
}
/** A number instead of a page: the chain goes up to there now. */
export type FeedAnswer = FeedPage | number;

/** Null: wake up, something was written. `sync`: put what is written on disk and say so. A port: feed it. */
export type ToWorker = null | 'sync' | { readonly id: number; readonly question: Question } | { readonly feed: MessagePort };

export interface Ready {
  readonly type: 'ready';
  readonly installation: string;
  readonly lastRequestNo: number;
  /** What the head said of the vault's epoch. */
  readonly epoch: number | null;
  readonly segment: number;
  /** What the stored bodies take up. */
  readonly bodyBytes: number;
}

export type FromWorker =
  | Ready
  | { readonly type: 'failed'; readonly reason: string }
  | { readonly type: 'answer'; readonly id: number; readonly value: Answers[keyof Answers] }
  | { readonly type: 'error'; readonly id: number; readonly message: string }
  | { readonly type: 'synced'; readonly error: string | null }
  /** Null: the trouble is over. */
  | { readonly type: 'fault'; readonly message: string | null }
  /** Something to tell the operator that doesn't stop anything. */
  | { readonly type: 'notice'; readonly message: string }
  /** Retention removed the rows up to this one, and with them this much of bodies. */
  | { readonly type: 'removed'; readonly upTo: number; readonly freed: number }
  | { readonly type: 'rows'; readonly rows: readonly CommittedRow[] };
