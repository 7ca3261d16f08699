/**
 * The journal's worker thread: takes the segments into the database, makes new segments ahead of need, puts what is
 * written on disk, and answers questions. It must never hold up the data-plane thread, which only ever looks at Progress.
 */
import type { KeyObject } from 'node:crypto';
import { setPriority } from 'node:os';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { type MessagePort, parentPort } from 'node:worker_threads';
import { AlterError } from '../domain/errors.ts';
import { RowAnswers } from './answers.ts';
import { BlockIndex } from './block-index.ts';
import type { CommittedRow } from './chain-end.ts';
import { CheckpointBook } from './checkpoints.ts';
import { copyJournal } from './copy.ts';
import { bodyBytesOf } from './database.ts';
import { DiskSync } from './disk-sync.ts';
import { Feeds } from './feeds.ts';
import type { FromWorker, Question, ToWorker, WriterSettings } from './messages.ts';
import { Progress } from './progress.ts';
import { type RecoveredJournal, recoverJournal } from './recover.ts';
import { DAY_MS, removeExpired } from './retention.ts';
import { listSegments, removeSegment } from './segments.ts';
import { Spares } from './spares.ts';

/** Under load rows wait this long for company: a commit costs an fsync, pages and a seal however few they are. */
const COLLECT_MS = 250;
/** While someone follows the tail. */
const FOLLOWED_COLLECT_MS = 25;
/** What is due this soon is done now, with one wake-up and one sync instead of two. */
const SLACK_MS = 10;
const RETRY_MS = 250;
const RETENTION_MS = 3_600_000;
/** How often a quiet journal looks whether a checkpoint is due. */
const CHECKPOINT_MS = 60_000;
/** Behind the data plane, so that a commit doesn't hold up requests where both share a core. */
const NICENESS = 5;

const reasonOf = (error: unknown): string => {
  const { code, message } = error as { code?: string; message?: string };
  return code === 'ENOSPC' || code === 'SQLITE_FULL' || code === 'EDQUOT' || code === 'EFBIG'
    ? `no space left for the journal (${code})`
    : `${code ?? message ?? error}`;
};

/** Indexing costs as much as taking rows in. While rows come it waits for a pause, and is never more than this often. */
const INDEX_QUIET_MS = 250;
const INDEX_EVERY_MS = 1_000;

class Writer {
  readonly #port: MessagePort;
  readonly #settings: WriterSettings;
  readonly #progress: Progress;
  readonly #journal: RecoveredJournal;
  readonly #spares: Spares;
  readonly #disk: DiskSync;
  readonly #answers: RowAnswers;
  readonly #index: BlockIndex;
  /** When a block may be indexed though rows keep coming. */
  #indexAt = 0;
  /** When rows were last taken in. */
  #rowsAt = 0;
  readonly #book: CheckpointBook;
  readonly #feeds: Feeds;
  readonly #checkpointTimer: NodeJS.Timeout;
  readonly #retentionTimer: NodeJS.Timeout;
  #timer: NodeJS.Timeout | undefined;
  /** When the next commit and the next sync are due, by the monotonic clock; Infinity while the worker sleeps. */
  #commitAt = 0;
  #syncAt = Number.POSITIVE_INFINITY;
  #committedAt = Number.NEGATIVE_INFINITY;
  #fault: string | null = null;
  #closed = false;
  #fresh: CommittedRow[] = [];
  /** Copies that are being made. */
  #copies = 0;
  readonly #collect = (row: CommittedRow): void => {
    this.#fresh.push(row);
  };

  constructor(port: MessagePort, settings: WriterSettings, recovered: RecoveredJournal) {
    this.#port = port;
    this.#settings = settings;
    this.#progress = new Progress(settings.progress);
    this.#journal = recovered;
    this.#spares = new Spares(settings.dir, settings.segmentBytes, this.#progress);
    this.#disk = new DiskSync(settings.dir, this.#progress, recovered.ingest, recovered.segment);
    this.#index = new BlockIndex(recovered.db, settings.headKey, settings.otherHeadKeys);
    this.#book = new CheckpointBook(recovered.db, recovered.ingest, settings.signingKey);
    this.#answers = new RowAnswers(recovered.db, recovered.head, recovered.ingest, this.#index, this.#book);
    this.#feeds = new Feeds((request) => this.#answers.feed(request));
    recovered.ingest.onRetired = (segment) => this.#spares.retire(segment);
    this.#retentionTimer = setInterval(() => void this.#removeExpired(), RETENTION_MS);
    this.#checkpointTimer = setInterval(() => this.#signDue(), CHECKPOINT_MS);
    port.on('message', (message: ToWorker) => this.#receive(message));
    this.#arm();
    void this.#removeExpired();
  }

  #post(message: FromWorker): void {
    this.#port.postMessage(message);
  }

  #receive(message: ToWorker): void {
    if (message === null) this.#wake();
    else if (message === 'sync') this.#post({ type: 'synced', error: this.#sync() });
    else if ('feed' in message) this.#feeds.add(message.feed);
    else void this.#answer(message.id, message.question);
  }

  /** Something was written, a segment was begun, or someone follows the tail now. */
  #wake(): void {
    const now = performance.now();
    const { syncIntervalMs } = this.#settings;
    // After a pause the first rows are committed when they would have been synced; from then on rows wait for company.
    const collectMs = Math.max(Math.min(syncIntervalMs, COLLECT_MS), this.#committedAt + COLLECT_MS - now);
    const waitMs = this.#fault === null && this.#spares.isShort ? 0 : this.#progress.followed ? FOLLOWED_COLLECT_MS : collectMs;
    this.#commitAt = Math.min(this.#commitAt, now + waitMs);
    this.#syncAt = Math.min(this.#syncAt, now + syncIntervalMs);
    this.#arm();
  }

  #arm(): void {
    clearTimeout(this.#timer);
    const at = Math.min(this.#commitAt, this.#syncAt);
    if (this.#closed || at === Number.POSITIVE_INFINITY) return;
    this.#timer = setTimeout(() => this.#tick(), Math.max(0, at - performance.now()));
  }

  #tick(): void {
    if (performance.now() + SLACK_MS >= this.#commitAt) this.#cycle();
    else {
      const error = this.#sync();
      if (error !== null) this.#tell(error);
    }
    this.#arm();
  }

  #cycle(): void {
    let more = false;
    // One segment first when requests are about to be refused; what is committed here gives its files to the others.
    let fault = this.#spares.isOut ? this.#makeSpares('next') : null;
    try {
      more = this.#takeIn();
    } catch (error) {
      fault ??= `the database can't take rows: ${reasonOf(error)}`;
    }
    fault ??= this.#makeSpares('all');
    this.#tell(fault);
    const now = performance.now();
    this.#commitAt = now + (fault !== null ? RETRY_MS : more ? 0 : Number.POSITIVE_INFINITY);
    this.#syncAt = now + this.#settings.syncIntervalMs;
    if (fault !== null || more) return;
    // Another round for the next block, when there is one: messages come first.
    const isQuiet = now - this.#rowsAt >= INDEX_QUIET_MS;
    if ((isQuiet || now >= this.#indexAt) && this.#indexOne()) {
      this.#indexAt = now + INDEX_EVERY_MS;
      this.#commitAt = now;
      return;
    }
    if (!isQuiet) this.#commitAt = now + INDEX_QUIET_MS;
    this.#park();
  }

  #takeIn(): boolean {
    const { ingest } = this.#journal;
    ingest.onRow = this.#progress.followed ? this.#collect : undefined;
    const before = ingest.end.n;
    const more = ingest.takeIn(this.#progress);
    this.#committedAt = performance.now();
    if (ingest.end.n !== before) this.#rowsAt = this.#committedAt;
    this.#progress.taken = ingest.state.segment;
    if (this.#fresh.length > 0) this.#post({ type: 'rows', rows: this.#fresh.splice(0) });
    this.#signDue();
    this.#feeds.tell(ingest.end.n);
    return more;
  }

  /** A checkpoint that can't be kept now is made a little later: it stops no row. */
  #signDue(): void {
    try {
      this.#book.advance(Date.now());
    } catch (error) {
      this.#post({ type: 'notice', message: `a checkpoint can't be kept: ${reasonOf(error)}` });
    }
  }

  #signLast(): void {
    try {
      this.#book.advance(Date.now(), true);
    } catch {
      // The next start signs what this one could not.
    }
  }

  #indexOne(): boolean {
    try {
      return this.#index.indexOne();
    } catch {
      // Searches read what is not indexed.
      return false;
    }
  }

  /** Sleeps until a message, unless something was written between the last look and the flag. */
  #park(): void {
    this.#syncAt = Number.POSITIVE_INFINITY;
    this.#progress.park();
    if (this.#isBehind() && this.#progress.unpark()) this.#wake();
  }

  #isBehind(): boolean {
    const { current } = this.#progress;
    const { segment, segment_end } = this.#journal.ingest.state;
    return segment < current || segment_end < this.#progress.endOf(current);
  }

  #makeSpares(which: 'next' | 'all'): string | null {
    const behind = this.#progress.current - this.#journal.ingest.state.segment;
    if (behind >= this.#settings.maxBacklogSegments) return `the database is ${behind} segments behind`;
    try {
      if (which === 'next') this.#spares.makeNext();
      else this.#spares.makeAll();
      return null;
    } catch (error) {
      return reasonOf(error);
    }
  }

  #tell(fault: string | null): void {
    if (fault === this.#fault) return;
    this.#fault = fault;
    this.#post({ type: 'fault', message: fault });
  }

  /** Puts everything written so far on disk. Answers what went wrong. */
  #sync(): string | null {
    this.#syncAt =
      this.#commitAt === Number.POSITIVE_INFINITY ? this.#commitAt : performance.now() + this.#settings.syncIntervalMs;
    try {
      this.#disk.run();
      return null;
    } catch (error) {
      return `the journal can't be put on disk: ${reasonOf(error)}`;
    }
  }

  async #answer(id: number, question: Question): Promise<void> {
    try {
      await this.#catchUp();
      const value =
        question.op === 'close'
          ? this.#close()
          : question.op === 'noteEpoch'
            ? this.#noteEpoch(question.epoch)
            : question.op === 'backUp'
              ? await this.#backUp(question.to)
              : question.op === 'rekey'
                ? await this.#rekey(question.key)
                : await this.#answers.reply(question);
      this.#post({ type: 'answer', id, value });
    } catch (error) {
      this.#post({ type: 'error', id, message: reasonOf(error) });
    }
    if (question.op === 'close') this.#port.close();
  }

  /** Takes in what was written before now. A database that refuses is told as a fault; answers then lack the newest rows. */
  async #catchUp(): Promise<void> {
    const target = this.#progress.current;
    const end = this.#progress.endOf(target);
    const isThere = (): boolean => {
      const { segment, segment_end } = this.#journal.ingest.state;
      return segment > target || (segment === target && segment_end >= end);
    };
    try {
      while (!isThere()) {
        this.#takeIn();
        if (!isThere()) await nextTurn();
      }
    } catch (error) {
      this.#tell(`the database can't take rows: ${reasonOf(error)}`);
      this.#commitAt = Math.min(this.#commitAt, performance.now() + RETRY_MS);
      this.#arm();
    }
  }

  async #removeExpired(): Promise<void> {
    const { retentionDays } = this.#settings;
    const { db, ingest } = this.#journal;
    if (retentionDays === null) return;
    try {
      // A check under way would take the removed rows for missing ones.
      const mayGoOn = (): boolean => !this.#closed && this.#answers.checks === 0 && this.#copies === 0;
      const before = ingest.state.anchor_n;
      const freed = await removeExpired(db, ingest, Date.now() - retentionDays * DAY_MS, mayGoOn);
      if (this.#closed || ingest.state.anchor_n === before) return;
      this.#book.advancePastRemoval(Date.now());
      this.#index.remove(ingest.state.anchor_n);
      this.#post({ type: 'removed', upTo: ingest.state.anchor_n, freed });
    } catch (error) {
      this.#post({ type: 'notice', message: `old audit rows can't be removed: ${reasonOf(error)}` });
    }
  }

  #noteEpoch(epoch: number): null {
    const { ingest } = this.#journal;
    ingest.epoch = epoch;
    ingest.sealHead(false, ingest.state, true);
    return null;
  }

  /** Retention waits meanwhile: rows that it removes would be missing behind the head that was copied. */
  async #backUp(to: string): Promise<null> {
    this.#copies += 1;
    await copyJournal(this.#settings.dir, this.#journal.db, to).finally(() => {
      this.#copies -= 1;
    });
    return null;
  }

  /** The head last: a crash before it begins again at the next start. */
  async #rekey(key: KeyObject): Promise<null> {
    const { head } = this.#journal;
    if (head.isSealedBy(key)) return null;
    this.#index.useKey(key);
    for (let place = this.#index.resealAfter(-1); place !== null && !this.#closed; place = this.#index.resealAfter(place))
      await nextTurn();
    if (this.#closed) throw new Error('the journal is closed');
    head.rekey(key);
    this.#index.forgetOtherKeys();
    return null;
  }

  #close(): string | null {
    const { db, head, ingest } = this.#journal;
    this.#closed = true;
    clearTimeout(this.#timer);
    clearInterval(this.#retentionTimer);
    clearInterval(this.#checkpointTimer);
    this.#feeds.close();
    let left: string | null = null;
    if (this.#isBehind()) {
      left = this.#sync() ?? 'some rows are still in the segments; the next start takes them in';
    } else {
      ingest.retireAll(this.#progress.current);
      for (const segment of listSegments(this.#settings.dir)) removeSegment(this.#settings.dir, segment);
    }
    this.#signLast();
    ingest.close();
    head.close();
    db.close();
    return left;
  }
}

/** On Linux a priority belongs to a thread; elsewhere this would slow down the data plane too. */
function stepBack(): void {
  if (process.platform !== 'linux') return;
  try {
    setPriority(NICENESS);
  } catch {
    // Only a courtesy.
  }
}

function start(port: MessagePort, settings: WriterSettings): void {
  let recovered: RecoveredJournal;
  try {
    recovered = recoverJournal(settings);
    const progress = new Progress(settings.progress);
    progress.ready = recovered.segment;
    progress.begin(recovered.segment);
    progress.taken = recovered.segment;
  } catch (error) {
    const reason = error instanceof AlterError && 'reason' in error.details ? `${error.details.reason}` : reasonOf(error);
    port.postMessage({ type: 'failed', reason } satisfies FromWorker);
    port.close();
    return;
  }
  for (const message of recovered.notices) port.postMessage({ type: 'notice', message } satisfies FromWorker);
  const { segment, ingest } = recovered;
  const { installation, last_request_no } = ingest.state;
  const { epoch } = ingest;
  if (!settings.isAwaited) stepBack();
  new Writer(port, settings, recovered);
  const taken = { installation, lastRequestNo: last_request_no, bodyBytes: bodyBytesOf(recovered.db) };
  port.postMessage({ type: 'ready', ...taken, segment, epoch } satisfies FromWorker);
}

// The settings are the first message: a thread is worth starting before anybody knows them.
if (parentPort !== null) {
  const port = parentPort;
  port.once('message', (settings: WriterSettings) => start(port, settings));
}
