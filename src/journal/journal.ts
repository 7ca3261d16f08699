/**
 * The audit journal: what the proxy and the vault write to (AuditPort) and what the API reads from (JournalReader).
 * Rows go to write-ahead segments on this thread (append.ts) and from there into the database on another (writer.ts).
 * A failed write refuses the request; nothing here may ever let one pass unrecorded.
 */
import type { KeyObject } from 'node:crypto';
import { MessageChannel, type MessagePort, type Worker } from 'node:worker_threads';
import type { AuditClosing, AuditEntry, AuditOpening, AuditPort, AuditTicket } from '../domain/audit.ts';
import type { StoredBodies } from '../domain/audit-body.ts';
import { AlterError } from '../domain/errors.ts';
import { Appender } from './append.ts';
import { BodyKeeper } from './body-keeper.ts';
import { bodyKeyOf } from './body-record.ts';
import { type Checkpoint, checkpointLineOf } from './checkpoint.ts';
import { bodyDigestOf, closedEnd, entryOf, openEnd, openingText, type StoredRow } from './entry-text.ts';
import type { Ready } from './messages.ts';
import { MAX_BACKLOG_SEGMENTS, Progress } from './progress.ts';
import type { AuditFilter, AuditSummary, JournalReader, JournalStats, OnLine, VerifyResult } from './reader.ts';
import { linePrefix, MAX_PREFIX_CHARS } from './record.ts';
import { requestIdMaker } from './request-id.ts';
import { type ChainedRow, rowLineOf } from './row-line.ts';
import { publicPemOf } from './signing-key.ts';
import { CLOSING_BYTES, type EntryObserver, Ticket } from './ticket.ts';
import { type LinkEvents, startWriter, WorkerLink } from './worker-link.ts';

/**
 * When a row counts as durable. `interval`: once the kernel has it; the death of the daemon loses nothing, power loss at
 * most the last syncIntervalMs (and the worker's turn). `before_egress`: once the disk has it, at the price of a sync for
 * each group of requests.
 */
export type AuditSync = 'interval' | 'before_egress';

export interface JournalOptions {
  /** Made 0700 when it does not exist. */
  readonly dir: string;
  readonly sync: AuditSync;
  /** Default 50. */
  readonly syncIntervalMs?: number;
  /** Default 4 MiB, at least 64 KiB. */
  readonly segmentBytes?: number;
  /** Openings are refused when the database is this many segments behind; default 16, at most 48. */
  readonly maxBacklogSegments?: number;
  /** Seals the record of the chain's head; the same at each start, unless it was replaced. */
  readonly headKey: KeyObject;
  /** What else may seal it, while the key is replaced: `rekey` ends that. */
  readonly otherHeadKeys?: readonly KeyObject[];
  /** Ed25519, private: signs checkpoints. Absent or null signs none. */
  readonly signingKey?: KeyObject | null;
  /** Bodies are left out where more than this would be stored; default 1 GiB. Without a signing key none are kept. */
  readonly maxBodiesBytes?: number;
  /** Told of each closing and of each entry that begins and ends at once, on the caller's thread: it must be quick and not throw. */
  readonly onEntry?: EntryObserver;
  /** Told when retention has removed rows, with the last of them. */
  readonly onRemoved?: (upTo: number) => void;
  /** Of `startWriter`, for this journal alone; absent: one is started now. */
  readonly writer?: Worker | undefined;
  /** Null keeps rows for ever. */
  readonly retentionDays: number | null;
  /** Told once about each new trouble; never carries row contents. */
  readonly onFault: (message: string) => void;
}

export interface Journal extends AuditPort, JournalReader {
  /** Of the database: another one has another mark. */
  readonly mark: string;
  /** The vault's epoch that the sealed head knew at the start; null when it knew none. */
  readonly epochAtStart: number | null;
  /** Keeps the vault's epoch in the sealed head, from where a vault that is older at the next start is noticed. Never rejects. */
  noteEpoch(epoch: number): Promise<void>;
  /** Copies the chain and its sealed head into an empty directory, while rows go on coming. @throws AlterError audit_unavailable */
  backUp(to: string): Promise<void>;
  /** Seals the head, and what searches go by, with another key; on disk when this resolves. @throws AlterError audit_unavailable */
  rekey(headKey: KeyObject): Promise<void>;
  /** A port that another thread reads the chain through (messages.ts, FeedRequest). */
  feed(): MessagePort;
  /** Flushes, commits and ends the worker. Entries that are still open become `unknown` at the next start. */
  close(): Promise<void>;
}

const DEFAULT_BODIES_BYTES = 1024 * 1024 * 1024;
const DEFAULT_SEGMENT_BYTES = 4 * 1024 * 1024;
const MIN_SEGMENT_BYTES = 64 * 1024;
const PAGE_ROWS = 500;
/** The instant as a whole number that fits a record, whatever the caller measured. */
function wholeInstant(opening: AuditOpening): AuditOpening {
  const at = opening.at;
  if (Number.isSafeInteger(at) && at >= 0) return opening;
  return { ...opening, at: Number.isFinite(at) && at > 0 ? Math.min(Math.trunc(at), Number.MAX_SAFE_INTEGER) : Date.now() };
}

class OpenJournal implements Journal {
  readonly #link: WorkerLink;
  readonly #append: Appender;
  readonly #idOf: (requestNo: number) => string;
  readonly #onFault: (message: string) => void;
  readonly #onEntry: EntryObserver | undefined;
  readonly publicKeyPem: string | null;
  readonly #bodies: BodyKeeper | null;
  readonly #progress: Progress;
  readonly #listeners = new Set<(entry: AuditEntry) => void>();
  readonly mark: string;
  readonly epochAtStart: number | null;
  #requestNo: number;

  constructor(link: WorkerLink, ready: Ready, append: Appender, progress: Progress, options: JournalOptions) {
    this.#progress = progress;
    this.#link = link;
    this.#append = append;
    this.#idOf = requestIdMaker(ready.installation);
    this.#requestNo = ready.lastRequestNo;
    this.mark = ready.installation;
    this.epochAtStart = ready.epoch;
    this.#onFault = options.onFault;
    this.#onEntry = options.onEntry;
    this.#bodies = options.signingKey
      ? new BodyKeeper(bodyKeyOf(options.signingKey), append, options.maxBodiesBytes ?? DEFAULT_BODIES_BYTES, ready.bodyBytes)
      : null;
    this.publicKeyPem = options.signingKey ? publicPemOf(options.signingKey) : null;
  }

  open(given: AuditOpening): Promise<AuditTicket> {
    return new Promise((resolve, reject) => {
      const opening = wholeInstant(given);
      const requestNo = ++this.#requestNo;
      const requestId = this.#idOf(requestNo);
      const text = openingText(requestId, opening);
      const end = openEnd(opening.error);
      const prefix = linePrefix('O', text.length + end.length, requestNo, opening.at, 0);
      this.#assertFits(text.length * 2);
      this.#append.append(
        prefix,
        text,
        `${end}\n`,
        new Ticket(requestId, requestNo, opening, text, this.#append, resolve, reject, this.#onEntry, this.#bodies),
        text.length + CLOSING_BYTES,
      );
    });
  }

  record(given: AuditOpening, closing: AuditClosing): Promise<string> {
    return new Promise((resolve, reject) => {
      const opening = wholeInstant(given);
      const requestNo = ++this.#requestNo;
      const requestId = this.#idOf(requestNo);
      const closedAt = Date.now();
      const text = openingText(requestId, opening);
      const end = closedEnd(opening.error, closing, closedAt);
      const prefix = linePrefix('R', text.length + end.length, requestNo, opening.at, closedAt);
      this.#assertFits(text.length + end.length);
      this.#append.append(prefix, text, `${end}\n`, { written: () => resolve(requestId), refused: reject }, 0);
      this.#onEntry?.(opening, closing, null);
    });
  }

  async list(filter: AuditFilter): Promise<AuditEntry[]> {
    return (await this.#ask({ op: 'list', filter })).map(entryOf);
  }

  async listOpen(): Promise<AuditEntry[]> {
    return (await this.#ask({ op: 'listOpen' })).map(entryOf);
  }

  async find(requestId: string): Promise<AuditEntry | undefined> {
    const row = await this.#ask({ op: 'find', requestId });
    return row === null ? undefined : entryOf(row);
  }

  async bodies(requestId: string): Promise<StoredBodies | null> {
    const found = await this.#ask({ op: 'bodies', requestId });
    return found === null ? null : (this.#bodies?.open(requestId, entryOf(found.row).body_digest, found.sealed) ?? null);
  }

  /** Retention removed bodies. */
  freed(bytes: number): void {
    this.#bodies?.freed(bytes);
  }

  tail(listener: (entry: AuditEntry) => void): () => void {
    this.#listeners.add(listener);
    this.#progress.followed = true;
    this.#link.wake();
    return () => {
      this.#listeners.delete(listener);
      this.#progress.followed = this.#listeners.size > 0;
    };
  }

  verify(): Promise<VerifyResult> {
    return this.#ask({ op: 'verify' });
  }

  export(filter: AuditFilter, onRow: (entry: AuditEntry) => void | Promise<void>): Promise<number> {
    return this.#each(filter, (row) => onRow(entryOf(row)));
  }

  async exportLines(filter: AuditFilter, onLine: OnLine): Promise<number> {
    // A checkpoint amid rows that were picked would speak of rows that aren't there.
    const { order: _order, limit: _limit, ...picked } = filter;
    const isWhole = Object.keys(picked).length === 0;
    if (isWhole) await this.checkpoints({ sign: true });
    let last = 0;
    const count = await this.#each(filter, (row) => {
      last = row.n ?? last;
      return onLine(rowLineOf(row as ChainedRow), bodyDigestOf(row.body) === undefined ? null : entryOf(row).request_id);
    });
    if (isWhole) for (const each of await this.#checkpointsUpTo(last)) await onLine(checkpointLineOf(each));
    return count;
  }

  async checkpoints({ sign }: { readonly sign: boolean }): Promise<Checkpoint[]> {
    if (sign) await this.#ask({ op: 'checkpoints', after: 0, upTo: 0, sign });
    return this.#checkpointsUpTo(Number.MAX_SAFE_INTEGER);
  }

  async #checkpointsUpTo(upTo: number): Promise<Checkpoint[]> {
    const all: Checkpoint[] = [];
    for (;;) {
      const page = await this.#ask({ op: 'checkpoints', after: all.at(-1)?.n ?? -1, upTo, sign: false });
      if (page.length === 0) return all;
      all.push(...page);
    }
  }

  summary(filter: AuditFilter): Promise<AuditSummary> {
    return this.#ask({ op: 'summary', filter });
  }

  async backUp(to: string): Promise<void> {
    await this.#ask({ op: 'backUp', to });
  }

  feed(): MessagePort {
    const { port1, port2 } = new MessageChannel();
    this.#link.feed(port1);
    return port2;
  }

  async #each(filter: AuditFilter, onRow: (row: StoredRow) => void | Promise<void>): Promise<number> {
    let count = 0;
    let after = filter.after;
    for (;;) {
      const page = await this.#ask({
        op: 'list',
        filter: { order: 'oldest', ...filter, limit: PAGE_ROWS, ...(after === undefined ? {} : { after }) },
      });
      for (const row of page) {
        await onRow(row);
        after = row.n ?? after;
      }
      count += page.length;
      if (page.length < PAGE_ROWS) return count;
    }
  }

  async stats(): Promise<JournalStats> {
    // Before the question: the answer waits until there is no backlog.
    const backlogSegments = Math.max(0, this.#progress.current - this.#progress.taken);
    const counts = await this.#ask({ op: 'stats' });
    const error = this.#append.refusal ?? this.#link.fault;
    return { ...counts, healthy: error === null, error, backlogSegments };
  }

  async noteEpoch(epoch: number): Promise<void> {
    try {
      await this.#link.ask({ op: 'noteEpoch', epoch });
    } catch (error) {
      // The change is made and recorded; only a copy of the vault from just before it would now pass.
      this.#onFault(`the head of the journal could not be written: ${(error as Error).message}`);
    }
  }

  async rekey(key: KeyObject): Promise<void> {
    await this.#link.ask({ op: 'rekey', key });
  }

  async close(): Promise<void> {
    const homeless = this.#append.close();
    if (homeless > 0) this.#onFault(`${homeless} audit closings found no room; their entries become unknown`);
    const left = await this.#link.ask({ op: 'close' }).finally(() => this.#link.ended());
    if (left !== null) this.#onFault(left);
  }

  /** Entries of a committed batch, for those who follow. */
  deliver: LinkEvents['onRows'] = (rows) => {
    for (const row of rows) {
      const entry = entryOf(row);
      for (const listener of this.#listeners) listener(entry);
    }
  };

  /** Whatever was written before is in the segments, and so in the answer. */
  #ask<Q extends Parameters<WorkerLink['ask']>[0]>(question: Q) {
    this.#append.settle();
    return this.#link.ask(question);
  }

  #assertFits(textLength: number): void {
    if (textLength + MAX_PREFIX_CHARS > this.#append.maxLineBytes)
      throw new AlterError('audit_unavailable', { reason: 'the row is too long' });
  }
}

/**
 * Opens the journal, taking in whatever a crash left and closing as `unknown` what it never finished.
 * @throws AlterError audit_unavailable when the directory is unusable, full, in use, or holds a foreign or corrupt database.
 */
export async function openJournal(options: JournalOptions): Promise<Journal> {
  const segmentBytes = Math.max(MIN_SEGMENT_BYTES, options.segmentBytes ?? DEFAULT_SEGMENT_BYTES);
  const progress = new Progress();
  let append: Appender | undefined;
  let journal: OpenJournal | undefined;
  const settings = {
    dir: options.dir,
    progress: progress.buffer,
    syncIntervalMs: options.syncIntervalMs ?? 50,
    isAwaited: options.sync === 'before_egress',
    segmentBytes,
    maxBacklogSegments: Math.min(options.maxBacklogSegments ?? 16, MAX_BACKLOG_SEGMENTS),
    headKey: options.headKey,
    otherHeadKeys: options.otherHeadKeys ?? [],
    signingKey: options.signingKey ?? null,
    retentionDays: options.retentionDays,
  };
  const { link, ready } = await WorkerLink.start(options.writer ?? startWriter(), settings, {
    onFault: options.onFault,
    onSynced: (error) => append?.synced(error),
    onRows: (rows) => journal?.deliver(rows),
    onRemoved: (upTo, freedBytes) => {
      journal?.freed(freedBytes);
      options.onRemoved?.(upTo);
    },
    onLost: (reason) => {
      append?.lose(reason);
      if (append !== undefined) options.onFault(reason);
    },
  });
  append = new Appender({
    dir: options.dir,
    segmentBytes,
    progress,
    segment: ready.segment,
    requestSync: options.sync === 'before_egress' ? () => link.sync() : undefined,
    wakeWorker: () => link.wake(),
    trouble: () => link.fault,
  });
  journal = new OpenJournal(link, ready, append, progress, options);
  return journal;
}
