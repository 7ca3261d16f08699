/**
 * The data-plane thread's end of the segments. Everything that is written in one turn of the event loop is collected in one
 * buffer and goes out in one write(), as one frame; from then on it survives the death of the process at any point.
 * It must never wait, never allocate blocks on disk, and never let an opening pass that was not written.
 */
import { closeSync, openSync, readSync, writeSync } from 'node:fs';
import { AlterError } from '../domain/errors.ts';
import { FRAME_HEAD_BYTES, frameHead, HEADER_BYTES, tagOf } from './frame.ts';
import type { Progress } from './progress.ts';
import { BODIES, CLOSING, emptyRecord, parseRecord } from './record.ts';
import { segmentPath } from './segments.ts';

const BATCH_BYTES = 1024 * 1024;
const RETRY_MS = 100;
/** Closings that no opening takes along are written this late: a crash before that makes their entries `unknown`. */
const LATE_MS = 5;
/** What may stay unused at the end of a segment because the next line didn't fit. */
const BOUNDARY_SLACK_BYTES = 4096;
/** So many segments may wait for the database before bodies are left out. */
const MAX_BEHIND_SEGMENTS = 2;

/** Whoever waits for a line to be durable. */
export interface Waiter {
  written(): void;
  refused(error: AlterError): void;
}

/** `latin1Write` is `write(…, 'latin1')` without the look at its arguments; Node has it on every Buffer, its types don't. */
type FastBuffer = Buffer & { latin1Write(text: string, offset: number): number };

export interface AppenderOptions {
  readonly dir: string;
  readonly segmentBytes: number;
  readonly progress: Progress;
  readonly segment: number;
  /** Given: waiters are answered by `synced`, not by the write. Asks for a sync. */
  readonly requestSync: (() => void) | undefined;
  readonly wakeWorker: () => void;
  /** What the worker complains of, for refusals. */
  readonly trouble: () => string | null;
}

export class Appender {
  readonly #options: AppenderOptions;
  readonly #batch: FastBuffer;
  /** The head of the frame is filled in last. */
  #used = FRAME_HEAD_BYTES;
  #fd: number;
  #tag: string;
  #segment: number;
  #position = HEADER_BYTES;
  #waiters: Waiter[] = [];
  /** Lines nobody waits for that have no place in any segment yet. */
  #stalled: string[] = [];
  /** Room kept free for the closings of what is open, so that a full disk can't make them wait. */
  #promised = 0;
  #scheduled = false;
  #late: NodeJS.Timeout | undefined;
  #isLateArmed = false;
  #retry: NodeJS.Timeout | undefined;
  #unsynced: Waiter[] = [];
  #syncing: Waiter[] | undefined;
  #lost: string | undefined;
  readonly #onTurnEnd = (): void => {
    this.#scheduled = false;
    this.flush();
  };
  readonly #onLate = (): void => {
    this.#isLateArmed = false;
    this.flush();
  };

  constructor(options: AppenderOptions) {
    this.#options = options;
    this.#batch = Buffer.allocUnsafeSlow(Math.min(BATCH_BYTES, options.segmentBytes >> 2)) as FastBuffer;
    this.#segment = options.segment;
    const opened = openSegment(options.dir, options.segment);
    this.#fd = opened.fd;
    this.#tag = opened.tag;
  }

  /** Longest line that fits; openings may fill half of it, so that their closing fits too. */
  get maxLineBytes(): number {
    return this.#batch.length - FRAME_HEAD_BYTES;
  }

  /** Why openings are refused now; undefined when they aren't. */
  get refusal(): string | undefined {
    return this.#lost ?? (this.#stalled.length > 0 ? this.#noRoom() : undefined);
  }

  /**
   * Adds a line that someone waits for, in parts (joining them first would copy the long one twice); it is answered after
   * the turn's write. ASCII only: one character is one byte. `promiseBytes` stay free for the line that will follow it.
   * @throws AlterError audit_unavailable
   */
  append(prefix: string, text: string, end: string, waiter: Waiter, promiseBytes: number): void {
    // What has happened already comes before what is only asked for.
    if (this.#stalled.length > 0) this.#unstall();
    const length = prefix.length + text.length + end.length;
    const refusal =
      this.refusal ?? (this.#isPromisable(length + promiseBytes) && this.#makeRoom(length) ? undefined : this.#noRoom());
    if (refusal !== undefined) throw new AlterError('audit_unavailable', { reason: refusal });
    this.#promised += promiseBytes;
    this.#copy(prefix, text, end);
    this.#waiters.push(waiter);
    if (this.#scheduled) return;
    this.#scheduled = true;
    setImmediate(this.#onTurnEnd);
  }

  /**
   * Adds a line that nobody waits for. It goes out with the next opening, or a little later. It is kept until there is room:
   * what it tells has happened already.
   */
  appendUnawaited(prefix: string, text: string, end: string, promisedBytes: number): void {
    this.#promised -= promisedBytes;
    if (this.#stalled.length > 0 || !this.#makeRoom(prefix.length + text.length + end.length)) {
      this.#stalled.push(prefix + text + end);
      this.#retryLater();
      return;
    }
    this.#copy(prefix, text, end);
    if (this.#scheduled || this.#isLateArmed) return;
    this.#isLateArmed = true;
    if (this.#late === undefined) this.#late = setTimeout(this.#onLate, LATE_MS).unref();
    else this.#late.refresh();
  }

  /**
   * Makes room for lines of this length together, which then go out in one write, where rows don't need it. Half a segment stays free
   * behind them and the worker keeps up, so that what was promised to closings, and the next openings, have their room.
   */
  makeSpareRoom(length: number): boolean {
    const { progress, segmentBytes } = this.#options;
    if (this.refusal !== undefined || this.#segment - progress.taken > MAX_BEHIND_SEGMENTS) return false;
    const end = this.#position + this.#used + length;
    // Never more than half a segment is held back for closings.
    const isSpare = end <= segmentBytes >> 1 || progress.ready - this.#segment >= (end <= segmentBytes ? 1 : 2);
    return isSpare && this.#makeRoom(length) && this.#stalled.length === 0;
  }

  /** Writes everything that has a place, now: what a question must be able to see. */
  settle(): void {
    this.#unstall();
    this.flush();
  }

  /** Writes the batch. */
  flush(): void {
    if (this.#used === FRAME_HEAD_BYTES) return;
    const waiters = this.#waiters;
    const length = this.#used;
    this.#waiters = [];
    this.#used = FRAME_HEAD_BYTES;
    this.#batch.latin1Write(frameHead(this.#tag, this.#batch.subarray(FRAME_HEAD_BYTES, length)), 0);
    try {
      for (let done = 0; done < length; ) done += writeSync(this.#fd, this.#batch, done, length - done, this.#position + done);
    } catch (error) {
      // Some of it may be there all the same: a replay then finds openings that were refused, and closes them as unknown.
      const reason = (error as NodeJS.ErrnoException).code ?? `${error}`;
      for (const waiter of waiters) waiter.refused(new AlterError('audit_unavailable', { reason }, { cause: error }));
      this.#keepClosings(length);
      return;
    }
    this.#position += length;
    const { progress, requestSync } = this.#options;
    progress.publish(this.#segment, this.#position);
    if (progress.unpark()) this.#options.wakeWorker();
    if (requestSync === undefined) for (const waiter of waiters) waiter.written();
    else if (waiters.length > 0) {
      this.#unsynced.push(...waiters);
      if (this.#syncing === undefined) this.#syncNext(requestSync);
    }
  }

  /** The sync asked for last is over: answers those that were written before it was asked for. */
  synced(error: string | null): void {
    const waiters = this.#syncing ?? [];
    this.#syncing = undefined;
    const { requestSync } = this.#options;
    if (this.#unsynced.length > 0 && requestSync !== undefined) this.#syncNext(requestSync);
    for (const waiter of waiters) {
      if (error === null) waiter.written();
      else waiter.refused(new AlterError('audit_unavailable', { reason: error }));
    }
  }

  /** Nothing can be recorded any more: refuses whoever waits and whoever comes. */
  lose(reason: string): void {
    this.#lost = reason;
    const waiting = [...(this.#syncing ?? []), ...this.#unsynced];
    this.#syncing = undefined;
    this.#unsynced = [];
    for (const waiter of waiting) waiter.refused(new AlterError('audit_unavailable', { reason }));
  }

  /** Answers how many lines found no place. */
  close(): number {
    clearTimeout(this.#retry);
    clearTimeout(this.#late);
    this.settle();
    this.#lost ??= 'the journal is closed';
    closeSync(this.#fd);
    return this.#stalled.length;
  }

  #copy(prefix: string, text: string, end: string): void {
    const batch = this.#batch;
    let used = this.#used;
    used += batch.latin1Write(prefix, used);
    used += batch.latin1Write(text, used);
    this.#used = used + batch.latin1Write(end, used);
  }

  /** Takes the lines that nobody waits for out of a batch that couldn't be written. */
  #keepClosings(length: number): void {
    const record = emptyRecord();
    // Bodies and the closing behind them stay one line: the row says that they are there.
    let kept = -1;
    for (let start = FRAME_HEAD_BYTES; start < length; ) {
      const next = parseRecord(this.#batch, start, length, record);
      if (next < 0) break;
      if (record.kind === CLOSING) this.#stalled.push(this.#batch.toString('latin1', kept < 0 ? start : kept, next));
      kept = record.kind === BODIES ? start : -1;
      start = next;
    }
    if (this.#stalled.length > 0) this.#retryLater();
  }

  /** Whether the segments that exist hold this much beside what is promised already. */
  #isPromisable(length: number): boolean {
    const { segmentBytes, progress } = this.#options;
    const here = segmentBytes - this.#position - this.#used;
    // More than a segment is never held back: thousands of open tunnels must not stop new requests.
    const wanted = Math.min(this.#promised, segmentBytes >> 1) + length;
    return wanted <= here || wanted <= here + (progress.ready - this.#segment) * (segmentBytes - BOUNDARY_SLACK_BYTES);
  }

  #makeRoom(length: number): boolean {
    if (this.#used + length > this.#batch.length) {
      this.flush();
      if (this.#used + length > this.#batch.length) return false;
    }
    if (this.#position + this.#used + length <= this.#options.segmentBytes) return true;
    this.flush();
    return this.#roll();
  }

  /** Goes on with the next segment, when the worker has made it. */
  #roll(): boolean {
    const { dir, progress } = this.#options;
    const next = this.#segment + 1;
    if (progress.ready < next) return false;
    let opened: ReturnType<typeof openSegment>;
    try {
      opened = openSegment(dir, next);
    } catch {
      return false;
    }
    closeSync(this.#fd);
    this.#fd = opened.fd;
    this.#tag = opened.tag;
    this.#segment = next;
    this.#position = HEADER_BYTES;
    progress.begin(next);
    // Whether it sleeps or not: the next spare is wanted now, not when its time comes.
    this.#options.wakeWorker();
    return true;
  }

  #noRoom(): string {
    return this.#options.trouble() ?? 'the journal writer is behind';
  }

  #syncNext(requestSync: () => void): void {
    this.#syncing = this.#unsynced;
    this.#unsynced = [];
    requestSync();
  }

  #retryLater(): void {
    this.#retry ??= setTimeout(() => {
      this.#retry = undefined;
      this.#unstall();
    }, RETRY_MS).unref();
  }

  #unstall(): void {
    if (this.#stalled.length === 0) return;
    const lines = this.#stalled;
    this.#stalled = [];
    for (const line of lines) this.appendUnawaited(line, '', '', 0);
  }
}

/** @throws the error of the file system, or that it is no segment of this number */
function openSegment(dir: string, segment: number): { fd: number; tag: string } {
  const fd = openSync(segmentPath(dir, segment), 'r+');
  const header = Buffer.alloc(HEADER_BYTES);
  readSync(fd, header, 0, HEADER_BYTES, 0);
  const tag = tagOf(header, segment);
  if (tag !== undefined) return { fd, tag };
  closeSync(fd);
  throw new AlterError('audit_unavailable', { reason: `segment ${segment} is not as it was made` });
}
