/**
 * The growing end of the chain: rows are copied into the bytes of a block, hashed there, and saved block by block within
 * the caller's transaction. The last block is written anew while it is small, so that a quiet daemon doesn't leave a block
 * for each row. What is in memory here must match what is committed: `mark` before a transaction, `rollback` when it failed.
 */
import type { Database, Statement } from 'better-sqlite3';
import type { Block } from './block.ts';
import { HASH_CHARS, hashBetween } from './chain.ts';
import type { JournalState } from './database.ts';

export const BLOCK_BYTES = 256 * 1024;
export const BLOCK_ROWS = 512;
/** The last block is written anew below this size: what one more row may cost at most. */
const MERGE_BYTES = 32 * 1024;
/** Retention removes whole blocks: none may span much time. */
const MERGE_SPAN_MS = 6 * 3_600_000;
const NEWLINE = 0x0a;
const HASH_LINE = HASH_CHARS + 1;

/** `latin1Write` is `write(…, 'latin1')` without the look at its arguments; Node has it on every Buffer, its types don't. */
type FastBuffer = Buffer & { latin1Write(text: string, offset: number): number };

export interface CommittedRow {
  readonly n: number;
  readonly body: string;
  readonly hash: string;
}

interface Mark {
  readonly n: number;
  readonly hash: string;
  readonly chainAt: number;
  readonly used: number;
  readonly rows: number;
  readonly saved: boolean;
  readonly block: Omit<Block, 'body'>;
}

const emptyBlock = (): Omit<Block, 'body'> => ({
  first_n: 0,
  last_n: 0,
  min_request_no: Number.MAX_SAFE_INTEGER,
  max_request_no: 0,
  min_at: Number.MAX_SAFE_INTEGER,
  max_at: 0,
  chain_at: 0,
  hash: '',
});

export class ChainEnd {
  /** The last row of the chain. */
  n: number;
  hash: string;
  chainAt: number;
  /** Rows since the last `mark`, while someone wants them. */
  fresh: CommittedRow[] | undefined;
  readonly #insert: Statement;
  readonly #update: Statement;
  #bytes = Buffer.allocUnsafeSlow(BLOCK_BYTES) as FastBuffer;
  #block = emptyBlock();
  #used = 0;
  #rows = 0;
  #startedAt = 0;
  /** Whether the block is in the database, in an earlier state. */
  #saved = false;

  constructor(db: Database, state: JournalState) {
    const last = db.prepare('SELECT last_n, hash, chain_at FROM blocks ORDER BY first_n DESC LIMIT 1').get() as
      | Pick<Block, 'last_n' | 'hash' | 'chain_at'>
      | undefined;
    this.n = last?.last_n ?? state.anchor_n;
    this.hash = last?.hash ?? state.anchor_hash;
    this.chainAt = last?.chain_at ?? state.anchor_chain_at;
    this.#insert = db.prepare(
      `INSERT INTO blocks (first_n, last_n, min_request_no, max_request_no, min_at, max_at, chain_at, hash, body)
       VALUES (@first_n, @last_n, @min_request_no, @max_request_no, @min_at, @max_at, @chain_at, @hash, @body)`,
    );
    this.#update = db.prepare(
      `UPDATE blocks SET last_n = @last_n, min_request_no = @min_request_no, max_request_no = @max_request_no, min_at = @min_at,
       max_at = @max_at, chain_at = @chain_at, hash = @hash, body = @body WHERE first_n = @first_n`,
    );
  }

  append(requestNo: number, at: number, closedAt: number, bytes: Buffer, start: number, end: number): void {
    const length = end - start + HASH_LINE;
    if (this.#rows > 0 && this.#isFull(length, closedAt)) {
      this.save();
      this.#begin();
    }
    if (this.#rows === 0) this.#startLine(length);
    const own = this.#bytes;
    const text = this.#used;
    const textEnd = text + end - start;
    bytes.copy(own, text, start, end);
    // What stands before the text is the hash before and a line feed: of the row before, or the block's first line.
    this.hash = hashBetween(own, text - HASH_LINE, textEnd);
    own.latin1Write(this.hash, textEnd);
    own[textEnd + HASH_CHARS] = NEWLINE;
    this.#used = textEnd + HASH_LINE;
    this.n += 1;
    if (closedAt > this.chainAt) this.chainAt = closedAt;
    this.#count(requestNo, at, closedAt);
    this.fresh?.push({ n: this.n, body: bytes.toString('latin1', start, end), hash: this.hash });
  }

  /** Begins a block: its first line repeats the hash before. */
  #startLine(length: number): void {
    if (length + HASH_LINE > this.#bytes.length) this.#bytes = Buffer.allocUnsafeSlow((length + HASH_LINE) * 2) as FastBuffer;
    this.#bytes.latin1Write(`${this.hash}\n`, 0);
    this.#used = HASH_LINE;
  }

  /** Writes the block as it is now: the end of a transaction. */
  save(): void {
    if (this.#rows === 0 || this.#block.last_n === this.n) return;
    const block = this.#block;
    block.last_n = this.n;
    block.hash = this.hash;
    block.chain_at = this.chainAt;
    (this.#saved ? this.#update : this.#insert).run({ ...block, body: this.#bytes.subarray(0, this.#used) });
    this.#saved = true;
  }

  /** What `rollback` goes back to. A block that has its size is left behind here. */
  mark(): Mark {
    if (this.#used >= MERGE_BYTES) this.#begin();
    const { n, hash, chainAt } = this;
    return { n, hash, chainAt, used: this.#used, rows: this.#rows, saved: this.#saved, block: { ...this.#block } };
  }

  rollback(mark: Mark): void {
    this.n = mark.n;
    this.hash = mark.hash;
    this.chainAt = mark.chainAt;
    if (this.#block.first_n === mark.block.first_n && mark.rows > 0) {
      this.#block = { ...mark.block };
      this.#used = mark.used;
      this.#rows = mark.rows;
      this.#saved = mark.saved;
    } else this.#begin();
    this.fresh = undefined;
  }

  /** The next row starts a block of its own: what was the last one is gone. */
  leaveBlock(): void {
    this.#begin();
  }

  #isFull(length: number, closedAt: number): boolean {
    return this.#used + length > BLOCK_BYTES || this.#rows >= BLOCK_ROWS || closedAt - this.#startedAt > MERGE_SPAN_MS;
  }

  #begin(): void {
    this.#block = emptyBlock();
    this.#used = 0;
    this.#rows = 0;
    this.#saved = false;
  }

  #count(requestNo: number, at: number, closedAt: number): void {
    const block = this.#block;
    if (this.#rows === 0) {
      block.first_n = this.n;
      this.#startedAt = closedAt;
    }
    this.#rows += 1;
    if (requestNo < block.min_request_no) block.min_request_no = requestNo;
    if (requestNo > block.max_request_no) block.max_request_no = requestNo;
    if (at < block.min_at) block.min_at = at;
    if (at > block.max_at) block.max_at = at;
  }
}
