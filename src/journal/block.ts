/**
 * Blocks: how rows lie in the database. The body of a block begins with a line that repeats the hash before its first row;
 * then comes a line for each row, its text and right behind that its own hash. So what a hash covers (the hash before, a line
 * feed, the text) lies together and is hashed where it is, and every row can still be judged by itself.
 */
import type { Database, Statement } from 'better-sqlite3';
import { HASH_CHARS } from './chain.ts';
import type { StoredRow } from './entry-text.ts';

const NEWLINE = 0x0a;

export interface Block {
  first_n: number;
  last_n: number;
  min_request_no: number;
  max_request_no: number;
  /** Of the openings. */
  min_at: number;
  max_at: number;
  /** Latest `closed_at` up to the last row: never falls from block to block, so that it can be searched by halves. */
  chain_at: number;
  /** Of the last row. */
  hash: string;
  body: Buffer;
}

/** The body as bytes, also when someone put something else there. */
export function bytesOf(block: Block): Buffer {
  return Buffer.isBuffer(block.body) ? block.body : Buffer.from(`${block.body}`);
}

/** The rows of a block, in order. */
export function rowsOf(block: Block): StoredRow[] {
  const lines = bytesOf(block).toString('latin1').split('\n');
  return lines.slice(1, -1).map((line, index) => ({
    n: block.first_n + index,
    body: line.slice(0, -HASH_CHARS),
    hash: line.slice(-HASH_CHARS),
    prev: (lines[index] ?? '').slice(-HASH_CHARS),
  }));
}

/** The row whose text begins with `start`, without a look at the others. */
export function rowStartingWith(block: Block, start: string): StoredRow | undefined {
  const bytes = bytesOf(block);
  // Free facts of an event may hold the same characters; only a text begins at the start of a line.
  const found = bytes.indexOf(`\n${start}`, 0, 'latin1');
  if (found < 0) return undefined;
  let n = block.first_n;
  for (let at = bytes.indexOf(NEWLINE); at >= 0 && at < found; at = bytes.indexOf(NEWLINE, at + 1)) n += 1;
  const line = bytes.toString('latin1', found + 1, bytes.indexOf(NEWLINE, found + 1));
  const prev = bytes.toString('latin1', Math.max(0, found - HASH_CHARS), found);
  return { n, body: line.slice(0, -HASH_CHARS), hash: line.slice(-HASH_CHARS), prev };
}

/** The statement that reads the block a row is in, or the nearest one before it. */
export function blockAtOrBefore(db: Database): Statement<[number], Block> {
  return db.prepare('SELECT * FROM blocks WHERE first_n <= ? ORDER BY first_n DESC LIMIT 1');
}

/** The hash of a row; undefined when there is no such row. */
export function hashAt(db: Database, n: number): string | undefined {
  const block = blockAtOrBefore(db).get(n);
  if (block === undefined || block.last_n < n) return undefined;
  return rowsOf(block)[n - block.first_n]?.hash ?? undefined;
}

/** The first row of the first block that reaches `time` or later; `last + 1` when there is none. */
export function firstBlockSince(db: Database, first: number, last: number, time: number): number {
  const nearest = db.prepare<[number], Pick<Block, 'first_n' | 'last_n' | 'chain_at'>>(
    'SELECT first_n, last_n, chain_at FROM blocks WHERE first_n <= ? ORDER BY first_n DESC LIMIT 1',
  );
  let low = first;
  let high = last + 1;
  while (low < high) {
    const middle = Math.floor((low + high) / 2);
    const block = nearest.get(middle);
    if (block !== undefined && block.chain_at >= time) high = Math.max(low, Math.min(middle, block.first_n));
    else low = Math.max(middle, block?.last_n ?? middle) + 1;
  }
  return Math.min(low, last + 1);
}
