/**
 * The audit journal: what the proxy and the vault write to (AuditPort) and what the API reads from (JournalReader).
 * Rows go to write-ahead segments on this thread (append.ts) and from there into the database on another (writer.ts).
 * A failed write refuses the request; nothing here may ever let one pass unrecorded.
 */
import type { KeyObject } from 'node:crypto';
import type { AuditClosing, AuditEntry, AuditOpening, AuditPort, AuditTicket } from '../domain/audit.ts';
import { AlterError } from '../domain/errors.ts';
import { Appender, type Waiter } from './append.ts';
import { closedEnd, entryOf, openEnd, openingText } from './entry-text.ts';
import type { Ready } from './messages.ts';
import { MAX_BACKLOG_SEGMENTS, Progress } from './progress.ts';
import type { AuditFilter, JournalReader, JournalStats, VerifyResult } from './reader.ts';
import { linePrefix, MAX_PREFIX_CHARS } from './record.ts';
import { requestIdMaker } from './request-id.ts';
import { type LinkEvents, WorkerLink } from './worker-link.ts';

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
  /** Seals the record of the chain's head; must be the same at each start. */
  readonly headKey: KeyObject;
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
  /** Flushes, commits and ends the worker. Entries that are still open become `unknown` at the next start. */
  close(): Promise<void>;
}

const DEFAULT_SEGMENT_BYTES = 4 * 1024 * 1024;
const MIN_SEGMENT_BYTES = 64 * 1024;
const PAGE_ROWS = 500;
/** What a closing usually adds to the text of its opening, with a frame of its own. */
const CLOSING_BYTES = 320;

class Ticket implements AuditTicket, Waiter {
  readonly requestId: string;
  readonly #write: Appender;
  readonly #requestNo: number;
  readonly #opening: AuditOpening;
  readonly #text: string;
  readonly #resolve: (ticket: AuditTicket) => void;
  readonly refused: (error: AlterError) => void;
  #closed = false;

  constructor(
    requestId: string,
    requestNo: number,
    opening: AuditOpening,
    text: string,
    write: Appender,
    resolve: (ticket: AuditTicket) => void,
    reject: (error: AlterError) => void,
  ) {
    this.requestId = requestId;
    this.#requestNo = requestNo;
    this.#opening = opening;
    this.#text = text;
    this.#write = write;
    this.#resolve = resolve;
    this.refused = reject;
  }

  written(): void {
    this.#resolve(this);
  }

  close(closing: AuditClosing): void {
    if (this.#closed) return;
    this.#closed = true;
    const closedAt = Date.now();
    const { at, error } = this.#opening;
    const text = this.#text;
    let end = closedEnd(error, closing, closedAt);
    if (text.length + end.length + MAX_PREFIX_CHARS >= this.#write.maxLineBytes)
      end = closedEnd(null, { ...closing, error: null }, closedAt);
    const prefix = linePrefix('C', text.length + end.length, this.#requestNo, at, closedAt);
    this.#write.appendUnawaited(prefix, text, `${end}\n`, text.length + CLOSING_BYTES);
  }
}

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
  readonly #progress: Progress;
  readonly #listeners = new Set<(entry: AuditEntry) => void>();
  readonly mark: string;
  readonly epochAtStart: number | null;
  #requestNo: number;

  constructor(link: WorkerLink, ready: Ready, append: Appender, progress: Progress, onFault: (message: string) => void) {
    this.#progress = progress;
    this.#link = link;
    this.#append = append;
    this.#idOf = requestIdMaker(ready.installation);
    this.#requestNo = ready.lastRequestNo;
    this.mark = ready.installation;
    this.epochAtStart = ready.epoch;
    this.#onFault = onFault;
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
        new Ticket(requestId, requestNo, opening, text, this.#append, resolve, reject),
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

  async export(filter: AuditFilter, onRow: (entry: AuditEntry) => void | Promise<void>): Promise<number> {
    let count = 0;
    let after = filter.after;
    for (;;) {
      const page = await this.#ask({
        op: 'list',
        filter: { order: 'oldest', ...filter, limit: PAGE_ROWS, ...(after === undefined ? {} : { after }) },
      });
      for (const row of page) {
        await onRow(entryOf(row));
        after = row.n ?? after;
      }
      count += page.length;
      if (page.length < PAGE_ROWS) return count;
    }
  }

  async stats(): Promise<JournalStats> {
    const counts = await this.#ask({ op: 'stats' });
    const error = this.#append.refusal ?? this.#link.fault;
    return { ...counts, healthy: error === null, error };
  }

  async noteEpoch(epoch: number): Promise<void> {
    try {
      await this.#link.ask({ op: 'noteEpoch', epoch });
    } catch (error) {
      // The change is made and recorded; only a copy of the vault from just before it would now pass.
      this.#onFault(`the head of the journal could not be written: ${(error as Error).message}`);
    }
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
    retentionDays: options.retentionDays,
  };
  const { link, ready } = await WorkerLink.start(settings, {
    onFault: options.onFault,
    onSynced: (error) => append?.synced(error),
    onRows: (rows) => journal?.deliver(rows),
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
  journal = new OpenJournal(link, ready, append, progress, options.onFault);
  return journal;
}
