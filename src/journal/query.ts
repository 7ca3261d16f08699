/**
 * Filters over the chain, block by block, so that no question, however rare its matches, keeps the worker from taking in
 * rows. Blocks that can't hold a match are passed by their bounds; in the others a look at the characters comes before any
 * parsing.
 */
import type { Database, Statement } from 'better-sqlite3';
import { type Block, blockAtOrBefore, firstBlockSince, rowStartingWith, rowsOf } from './block.ts';
import type { BlockIndex, IndexedBlock } from './block-index.ts';
import type { StoredRow } from './entry-text.ts';
import { matcherOf, termsOf } from './filter.ts';
import type { AuditFilter } from './reader.ts';

/** Blocks that are judged by their bounds and index in one step. */
const CANDIDATES = 256;
export const MAX_PAGE_ROWS = 1000;
const DEFAULT_PAGE_ROWS = 100;

/** One page of matches. Call `step` until it answers false, then read `rows`. */
export class PageScan {
  readonly rows: StoredRow[] = [];
  readonly #next: Statement<[number, number, number, number], IndexedBlock>;
  readonly #block: Statement<[number], Block>;
  readonly #index: BlockIndex;
  readonly #terms: readonly (readonly string[])[];
  readonly #matches: (body: string) => boolean;
  readonly #limit: number;
  readonly #newest: boolean;
  readonly #since: number;
  readonly #until: number;
  /** Rows that may be answered. */
  #low: number;
  #high: number;

  constructor(db: Database, index: BlockIndex, filter: AuditFilter, first: number, last: number) {
    this.#index = index;
    this.#terms = termsOf(filter);
    this.#newest = filter.order !== 'oldest';
    this.#limit = Math.max(1, Math.min(filter.limit ?? DEFAULT_PAGE_ROWS, MAX_PAGE_ROWS));
    this.#matches = matcherOf(filter);
    this.#since = filter.since ?? Number.MIN_SAFE_INTEGER;
    this.#until = filter.until ?? Number.MAX_SAFE_INTEGER;
    // An entry closes after it opened, so whatever opened since then also closed since then.
    this.#low = filter.since === undefined ? first : firstBlockSince(db, first, last, filter.since);
    this.#high = last;
    if (filter.after !== undefined && this.#newest) this.#high = Math.min(last, filter.after - 1);
    else if (filter.after !== undefined) this.#low = Math.max(this.#low, filter.after + 1);
    // The block that the first row lies in begins before it.
    if (!this.#newest) this.#from = blockAtOrBefore(db).get(this.#low)?.first_n ?? this.#low;
    else this.#from = this.#high;
    this.#end = this.#newest ? (blockAtOrBefore(db).get(this.#low)?.first_n ?? this.#low) : this.#high;
    this.#block = db.prepare('SELECT * FROM blocks WHERE first_n = ?');
    this.#next = db.prepare(
      `SELECT b.first_n, b.last_n, b.hash, i.terms, i.seal FROM blocks b LEFT JOIN block_index i ON i.first_n = b.first_n
       WHERE b.first_n BETWEEN ? AND ? AND b.max_at >= ? AND b.min_at <= ?
       ORDER BY b.first_n ${this.#newest ? 'DESC' : 'ASC'} LIMIT ${CANDIDATES}`,
    );
  }

  /** Where the next block is looked for, by its first row, and where the last one is. */
  #from: number;
  readonly #end: number;
  #candidates: IndexedBlock[] = [];

  /** Reads one block, or passes many that can't match. */
  step(): boolean {
    if (this.rows.length >= this.#limit) return false;
    const next = this.#candidates.pop();
    if (next !== undefined) {
      const block = this.#block.get(next.first_n);
      if (block !== undefined) this.#search(block);
      return true;
    }
    if (this.#newest ? this.#from < this.#end : this.#from > this.#end) return false;
    const [low, high] = this.#newest ? [this.#end, this.#from] : [this.#from, this.#end];
    const found = this.#next.all(low, high, this.#since, this.#until);
    const last = found.at(-1);
    if (last === undefined) this.#from = this.#newest ? this.#end - 1 : this.#end + 1;
    else this.#from = last.first_n + (this.#newest ? -1 : 1);
    this.#candidates = found.filter((block) => this.#index.mayMatch(block, this.#terms)).reverse();
    return true;
  }

  #search(block: Block): void {
    const rows = rowsOf(block);
    if (this.#newest) rows.reverse();
    for (const row of rows) {
      if (this.rows.length >= this.#limit) return;
      const n = row.n as number;
      if (n >= this.#low && n <= this.#high && this.#matches(row.body)) this.rows.push(row);
    }
  }
}

/** One entry by its id. Call `step` until it answers false, then read `row`. */
export class IdSearch {
  row: StoredRow | undefined;
  readonly #start: string;
  readonly #blocks: number[];
  readonly #block: Statement<[number], Block>;

  constructor(db: Database, requestId: string, requestNo: number) {
    this.#start = `{"request_id":"${requestId}"`;
    this.#block = db.prepare('SELECT * FROM blocks WHERE first_n = ?');
    // Most entries close soon: of the blocks whose bounds include a number, the oldest is the likeliest to hold it.
    this.#blocks = db
      .prepare<[number, number], number>(
        'SELECT first_n FROM blocks WHERE max_request_no >= ? AND min_request_no <= ? ORDER BY first_n DESC',
      )
      .pluck()
      .all(requestNo, requestNo);
  }

  step(): boolean {
    const first = this.#blocks.pop();
    if (first === undefined || this.row !== undefined) return false;
    const block = this.#block.get(first);
    if (block !== undefined) this.row = rowStartingWith(block, this.#start);
    return true;
  }
}
