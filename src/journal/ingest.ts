/**
 * Takes records from the segments into the database, many in one transaction. It runs in the worker and, unchanged, over
 * what a crash left. It never parses an entry: texts are copied out of the segment as they are.
 * Whatever is in memory here changes only together with a commit; a failed transaction leaves no trace.
 */
import { closeSync, openSync, readSync } from 'node:fs';
import type { Database, Statement } from 'better-sqlite3';
import { ChainEnd, type CommittedRow } from './chain-end.ts';
import type { JournalState } from './database.ts';
import { unknownText } from './entry-text.ts';
import type { ChainFault, HeadFile } from './head.ts';
import { type OpeningPlace, Openings } from './openings.ts';
import { BODIES, OPENING, WHOLE } from './record.ts';
import { SegmentReader } from './segment-reader.ts';
import { removeSegment, segmentPath } from './segments.ts';

/** What one transaction takes in: about 10 ms of work. Between two the worker answers messages. */
const COMMIT_BYTES = 4 * 1024 * 1024;

/** How far the segments may be read, and whether that was said by a living writer. */
export interface SegmentBounds {
  /** Segments below this one are complete. Asked before `endOf`. */
  readonly current: number;
  endOf(segment: number): number;
}

export class Ingest {
  readonly #dir: string;
  readonly #db: Database;
  readonly #head: HeadFile;
  readonly #reader: SegmentReader;
  readonly #openings = new Openings();
  readonly #insertOpen: Statement;
  readonly #deleteOpen: Statement;
  readonly #insertBodies: Statement;
  /** Of the closing that comes next. */
  #bodies: Buffer | null = null;
  readonly #saveState: Statement;
  readonly #begin: Statement;
  readonly #commit: Statement;
  readonly #rollback: Statement;
  readonly end: ChainEnd;
  state: JournalState;
  fault: ChainFault | null;
  /** The vault's epoch, for the head; it is no part of the chain. */
  epoch: number | null;
  /** Told when a replay has to leave out what power loss tore. */
  onSkipped: ((segment: number, offset: number) => void) | undefined;
  /** Told of each row once it is committed, while someone listens. */
  onRow: ((row: CommittedRow) => void) | undefined;
  /** Told of each segment that is in the database in full. */
  onRetired: (segment: number) => void;

  constructor(dir: string, db: Database, head: HeadFile, state: JournalState) {
    this.#dir = dir;
    this.#db = db;
    this.#head = head;
    this.#reader = new SegmentReader(dir);
    this.onRetired = (segment) => removeSegment(dir, segment);
    this.state = state;
    this.end = new ChainEnd(db, state);
    this.fault = head.record?.fault ?? null;
    this.epoch = head.record?.epoch ?? null;
    this.#insertOpen = db.prepare('INSERT OR REPLACE INTO open_entries (request_no, at, body) VALUES (?, ?, ?)');
    this.#deleteOpen = db.prepare('DELETE FROM open_entries WHERE request_no = ?');
    this.#insertBodies = db.prepare('INSERT INTO bodies (n, bytes, sealed) VALUES (?, ?, ?)');
    this.#saveState = db.prepare('UPDATE journal_state SET segment = ?, segment_end = ?, last_request_no = ?');
    this.#begin = db.prepare('BEGIN IMMEDIATE');
    this.#commit = db.prepare('COMMIT');
    this.#rollback = db.prepare('ROLLBACK');
    const open = db.prepare<[], { request_no: number; at: number }>('SELECT request_no, at FROM open_entries');
    for (const row of open.iterate()) this.#openings.add(row.request_no, row.at, 0, 0, 0);
  }

  get openCount(): number {
    return this.#openings.count;
  }

  /** Rebuilds what was open at the position taken in, from the part of its segment that was read before. */
  reviewTaken(bounds: SegmentBounds): void {
    const { segment, segment_end } = this.state;
    if (bounds.endOf(segment) < segment_end) return;
    for (let position = 0; position < segment_end; ) {
      const next = this.#reader.read(segment, position, segment_end, true, (base) => {
        if (this.#reader.record.kind === OPENING) this.#addOpening(segment, base);
        else if (this.#reader.record.kind !== BODIES) this.#openings.take(this.#reader.record.requestNo);
      });
      if (next === position) return;
      position = next;
    }
  }

  /**
   * Takes in up to about 4 MiB; true when there may be more. A replay goes on with the next segment where one breaks off.
   * @throws the error of SQLite or the file system, with nothing changed
   */
  takeIn(bounds: SegmentBounds, isReplay = false): boolean {
    const { current } = bounds;
    const limit = bounds.endOf(current);
    const isBehind = (): boolean =>
      this.state.segment < current || (this.state.segment === current && this.state.segment_end < limit);
    if (!isBehind()) return false;
    const retired: number[] = [];
    this.#inTransaction(() => {
      for (let taken = 0; taken < COMMIT_BYTES && isBehind(); ) {
        taken += this.#takeSome(bounds.endOf(this.state.segment), current, isReplay, retired);
      }
    });
    for (const segment of retired) this.onRetired(segment);
    return isBehind();
  }

  /** Closes everything that is still open as `unknown` and starts over at `segment`: the end of a replay. */
  closeUnknown(now: number, segment: number): number {
    const lost = this.#openings.all();
    this.#inTransaction(() => {
      for (const place of lost) {
        const bytes = Buffer.from(unknownText(this.#textOf(place), now), 'latin1');
        this.end.append(place.requestNo, place.at, now, bytes, 0, bytes.length);
        this.#openings.take(place.requestNo);
      }
      this.#db.exec('DELETE FROM open_entries');
      this.state = { ...this.state, segment, segment_end: 0 };
    });
    return lost.length;
  }

  /** Moves what is open out of the segments, so that all of them may go: the end of an orderly life. */
  retireAll(segment: number): void {
    this.#inTransaction(() => {
      this.#moveOpenings(this.#openings.all().filter((place) => place.segment !== 0));
      this.state = { ...this.state, segment: segment + 1, segment_end: 0 };
    });
    this.sealHead(true);
  }

  /** The texts of the entries that are open now, oldest first, or of one of them. */
  openBodies(only?: number): string[] {
    const place = only === undefined ? undefined : this.#openings.placeOf(only);
    const chosen = only === undefined ? this.#openings.all() : place === undefined ? [] : [place];
    return chosen.map((one) => this.#textOf(one));
  }

  /** Writes the head record for the chain as it is now. */
  sealHead(clean: boolean, anchor = this.state, toDisk = clean): void {
    const { n, hash } = this.end;
    const { anchor_n: anchorN, anchor_hash: anchorHash } = anchor;
    this.#head.write({ n, hash, anchorN, anchorHash, clean, fault: this.fault, epoch: this.epoch }, toDisk);
  }

  close(): void {
    this.#reader.close();
  }

  /** One read. Answers how far it came, at least 1. */
  #takeSome(limit: number, current: number, isReplay: boolean, retired: number[]): number {
    const { segment, segment_end: start } = this.state;
    const end = start < limit ? this.#reader.read(segment, start, limit, isReplay, (base) => this.#apply(segment, base)) : start;
    const isStuck = end === start && start < limit;
    if (isStuck && !isReplay) throw new Error(`segment ${segment} can't be read at byte ${start}`);
    if (isStuck && this.#reader.isTorn) this.onSkipped?.(segment, start);
    const last_request_no = Math.max(this.state.last_request_no, start < limit ? this.#reader.highest : 0);
    if (segment < current && (end >= limit || isStuck)) {
      this.#moveOpenings(this.#openings.all().filter((place) => place.segment === segment));
      retired.push(segment);
      this.state = { ...this.state, segment: segment + 1, segment_end: 0, last_request_no };
    } else {
      this.state = { ...this.state, segment_end: end, last_request_no };
    }
    return Math.max(1, end - start);
  }

  #apply(segment: number, base: number): void {
    const { record, bytes } = this.#reader;
    if (record.kind === OPENING) {
      this.#addOpening(segment, base);
      return;
    }
    if (record.kind === BODIES) {
      this.#bodies = Buffer.from(bytes.subarray(record.textStart, record.textEnd));
      return;
    }
    const bodies = this.#bodies;
    this.#bodies = null;
    if (record.kind !== WHOLE) {
      const where = this.#openings.take(record.requestNo);
      // A closing that was written twice because its first write failed half-way.
      if (where === undefined) return;
      if (where === 0) this.#deleteOpen.run(record.requestNo);
    }
    this.end.append(record.requestNo, record.at, record.closedAt, bytes, record.textStart, record.textEnd);
    // With its row, in one transaction: no row without its bodies, and none that no row speaks of.
    if (bodies !== null) this.#insertBodies.run(this.end.n, bodies.length, bodies);
  }

  #addOpening(segment: number, base: number): void {
    const { requestNo, at, textStart, textEnd } = this.#reader.record;
    this.#openings.add(requestNo, at, segment, base + textStart, textEnd - textStart);
  }

  #moveOpenings(places: readonly OpeningPlace[]): void {
    for (const place of places) {
      this.#insertOpen.run(place.requestNo, place.at, this.#textOf(place));
      this.#openings.take(place.requestNo);
      this.#openings.add(place.requestNo, place.at, 0, 0, 0);
    }
  }

  #textOf({ requestNo, segment, offset, length }: OpeningPlace): string {
    if (segment === 0) {
      const row = this.#db.prepare('SELECT body FROM open_entries WHERE request_no = ?').get(requestNo) as { body: string };
      return row.body;
    }
    const bytes = Buffer.alloc(length);
    const fd = openSync(segmentPath(this.#dir, segment), 'r');
    readSync(fd, bytes, 0, length, offset);
    closeSync(fd);
    return bytes.toString('latin1');
  }

  /** Runs `change` and commits it together with the chain's end and the state; undoes everything in memory when that fails. */
  #inTransaction(change: () => void): void {
    const { end, state } = this;
    const mark = end.mark();
    this.#openings.mark();
    end.fresh = this.onRow === undefined ? undefined : [];
    try {
      this.#begin.run();
      change();
      end.save();
      this.#saveState.run(this.state.segment, this.state.segment_end, this.state.last_request_no);
      this.#commit.run();
    } catch (error) {
      if (this.#db.inTransaction) this.#rollback.run();
      end.rollback(mark);
      this.#openings.rollback();
      this.state = state;
      throw error;
    }
    this.sealHead(false);
    const fresh = end.fresh;
    end.fresh = undefined;
    if (fresh !== undefined) for (const row of fresh) this.onRow?.(row);
  }
}
