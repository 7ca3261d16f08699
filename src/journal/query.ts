/**
 * Filters over the chain, block by block, so that no question, however rare its matches, keeps the worker from taking in
 * rows. Blocks that can't hold a match are passed by their bounds; in the others a look at the characters comes before any
 * parsing.
 */
import type { Database, Statement } from 'better-sqlite3';
import { type Block, blockAtOrBefore, firstBlockSince, rowStartingWith, rowsOf } from './block.ts';
import { quoted, type StoredRow } from './entry-text.ts';
import type { AuditFilter } from './reader.ts';

/** Rows whose blocks are passed in one step when none of them can match. */
const WINDOW_ROWS = 100_000;
export const MAX_PAGE_ROWS = 1000;
const DEFAULT_PAGE_ROWS = 100;

/** Equality on members of the text; several names mean "any of them". */
const TESTS: readonly { readonly member: keyof AuditFilter; readonly names: readonly string[] }[] = [
  { member: 'agent', names: ['agent', 'agent_id'] },
  { member: 'grant', names: ['grant_id', 'grant_label'] },
  { member: 'host', names: ['host'] },
  { member: 'status', names: ['status'] },
  { member: 'outcome', names: ['outcome'] },
  { member: 'decision', names: ['decision'] },
  { member: 'kind', names: ['kind'] },
  { member: 'action', names: ['action'] },
  { member: 'error', names: ['error'] },
];

type Matcher = (body: string) => boolean;

/** Answers what decides about one text. The look at the characters passes more than matches, never less. */
function matcherOf(filter: AuditFilter): Matcher {
  const tests = TESTS.flatMap(({ member, names }) => {
    const value = filter[member];
    if (value === undefined) return [];
    const text = typeof value === 'number' ? `${value}` : quoted(`${value}`);
    return [{ value, names, traces: names.map((name) => `"${name}":${text}`) }];
  });
  const { since, until } = filter;
  if (tests.length === 0 && since === undefined && until === undefined) return () => true;
  return (body) => {
    for (const { traces } of tests) if (!traces.some((trace) => body.includes(trace))) return false;
    const entry = JSON.parse(body) as Record<string, unknown> & { at: number };
    if ((since !== undefined && entry.at < since) || (until !== undefined && entry.at > until)) return false;
    return tests.every(({ value, names }) => names.some((name) => entry[name] === value));
  };
}

/** One page of matches. Call `step` until it answers false, then read `rows`. */
export class PageScan {
  readonly rows: StoredRow[] = [];
  readonly #next: Statement<[number, number, number, number], Block>;
  readonly #matches: Matcher;
  readonly #limit: number;
  readonly #newest: boolean;
  readonly #since: number;
  readonly #until: number;
  /** Rows that may be answered. */
  #low: number;
  #high: number;

  constructor(db: Database, filter: AuditFilter, first: number, last: number) {
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
    this.#next = db.prepare(
      `SELECT * FROM blocks WHERE first_n BETWEEN ? AND ? AND max_at >= ? AND min_at <= ?
       ORDER BY first_n ${this.#newest ? 'DESC' : 'ASC'} LIMIT 1`,
    );
  }

  /** Where the next block is looked for, by its first row, and where the last one is. */
  #from: number;
  readonly #end: number;

  step(): boolean {
    if (this.rows.length >= this.#limit || (this.#newest ? this.#from < this.#end : this.#from > this.#end)) return false;
    const [from, to] = this.#newest
      ? [Math.max(this.#end, this.#from - WINDOW_ROWS), this.#from]
      : [this.#from, Math.min(this.#end, this.#from + WINDOW_ROWS)];
    const block = this.#next.get(from, to, this.#since, this.#until);
    if (block !== undefined) this.#search(block);
    if (this.#newest) this.#from = (block?.first_n ?? from) - 1;
    else this.#from = (block?.first_n ?? to) + 1;
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
