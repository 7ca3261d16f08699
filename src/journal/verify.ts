/**
 * Checks the chain: every hash, the bounds of every block against the texts in it, the numbering, and both ends against
 * the sealed head record. Block by block, so that the worker keeps taking in rows meanwhile.
 */
import type { Database, Statement } from 'better-sqlite3';
import { type Block, bytesOf, hashAt } from './block.ts';
import { digestOf } from './body-record.ts';
import { HASH_CHARS, hashBetween } from './chain.ts';
import type { JournalState } from './database.ts';
import { bodyDigestOf, identityOf } from './entry-text.ts';
import type { ChainFault, HeadRecord } from './head.ts';
import type { VerifyResult } from './reader.ts';
import { requestNoOf } from './request-id.ts';

const NEWLINE = 0x0a;
const HASH_LINE = HASH_CHARS + 1;

/** What both ends of the chain say about themselves, before any row is read. */
export interface ChainEnds {
  readonly state: JournalState;
  /** The last row. */
  readonly n: number;
  readonly hash: string;
}

const fault = (n: number, reason: string): ChainFault => ({ n, reason });

/** Compares both ends with the head record of the last commit; null when they agree. Cheap: it reads one block. */
export function endsFault(db: Database, ends: ChainEnds, head: HeadRecord | undefined): ChainFault | null {
  const { state } = ends;
  if (head === undefined) {
    return ends.n === 0 ? null : fault(ends.n, 'the head record is missing or its seal does not fit');
  }
  if (state.anchor_n > head.anchorN || (state.anchor_n === head.anchorN && state.anchor_hash !== head.anchorHash)) {
    return fault(Math.min(head.anchorN + 1, state.anchor_n), 'rows at the start were removed, and not by retention');
  }
  if (ends.n < head.n) return fault(ends.n + 1, `rows ${ends.n + 1} to ${head.n} are missing at the end`);
  if (head.clean && ends.n > head.n) return fault(head.n + 1, 'rows were added while the daemon was not running');
  const there = head.n === state.anchor_n ? state.anchor_hash : hashAt(db, head.n);
  if (there !== head.hash) return fault(head.n, 'the chain does not lead to the sealed head');
  return null;
}

/** What the texts of a block say about it, to be held against its columns. */
type Bounds = Pick<Block, 'min_request_no' | 'max_request_no' | 'min_at' | 'max_at'>;

/** The sealed bodies beside row `n`. */
export function bodiesAt(db: Database, n: number): Buffer | undefined {
  return db.prepare<[number], Buffer>('SELECT sealed FROM bodies WHERE n = ?').pluck().get(n);
}

/** One run over the chain. Call `step` until it answers false, then read `result`. */
export class ChainCheck {
  readonly #next: Statement<[number], Block>;
  readonly #ends: ChainEnds;
  readonly #last: number;
  readonly #first: () => number | null;
  readonly #tail: () => ChainFault | null;
  readonly #signed: ReadonlyMap<number, string>;
  readonly #bodies: (n: number) => Buffer | undefined;
  #expected: number;
  #hash: string;
  #chainAt: number;
  #count = 0;
  #fault: ChainFault | null = null;

  /** @param signed hashes that checkpoints were signed for, by row */
  constructor(db: Database, ends: ChainEnds, head: HeadRecord | undefined, signed: ReadonlyMap<number, string> = new Map()) {
    // Rows that SQLite still holds in memory would hide what was done to the file.
    db.pragma('shrink_memory');
    this.#ends = ends;
    this.#signed = signed;
    this.#last = ends.n;
    this.#expected = ends.state.anchor_n + 1;
    this.#hash = ends.state.anchor_hash;
    this.#chainAt = ends.state.anchor_chain_at;
    this.#next = db.prepare('SELECT * FROM blocks WHERE first_n >= ? ORDER BY first_n LIMIT 1');
    this.#bodies = (n) => bodiesAt(db, n);
    this.#tail = () => endsFault(db, ends, head) ?? head?.fault ?? null;
    this.#first = () => db.prepare('SELECT min(first_n) FROM blocks').pluck().get() as number | null;
  }

  step(): boolean {
    if (this.#count === 0) {
      const first = this.#first();
      if (first !== null && first < this.#expected) this.#fault = fault(first, 'a row stands before the start of the chain');
      if (this.#fault !== null) return false;
    }
    const block = this.#expected <= this.#last ? this.#next.get(this.#expected) : undefined;
    if (block !== undefined) {
      this.#fault = block.first_n === this.#expected ? this.#checkBlock(block) : this.#missing();
      return this.#fault === null;
    }
    if (this.#expected <= this.#last) this.#fault = fault(this.#expected, `rows ${this.#expected} to ${this.#last} are missing`);
    else if (this.#hash !== this.#ends.hash) {
      this.#fault = fault(this.#last, 'the chain does not lead to the row written last');
    } else this.#fault = this.#tail();
    return false;
  }

  get result(): VerifyResult {
    const base = { rows: this.#count, headHash: this.#ends.hash };
    return this.#fault === null
      ? { ok: true, ...base }
      : { ok: false, ...base, firstBad: this.#fault.n, reason: this.#fault.reason };
  }

  #missing(): ChainFault {
    return fault(this.#expected, `row ${this.#expected} is missing`);
  }

  #checkBlock(block: Block): ChainFault | null {
    const bytes = bytesOf(block);
    const { MAX_SAFE_INTEGER: most } = Number;
    const bounds: Bounds = { min_request_no: most, max_request_no: 0, min_at: most, max_at: 0 };
    if (bytes.toString('latin1', 0, HASH_LINE) !== `${this.#hash}\n`) {
      return fault(block.first_n, `row ${block.first_n} does not follow the row before`);
    }
    let start = HASH_LINE;
    while (start < bytes.length && this.#expected <= this.#last) {
      const end = bytes.indexOf(NEWLINE, start);
      const found = end - start < HASH_CHARS ? this.#missing() : this.#checkLine(bytes, start, end - HASH_CHARS, bounds);
      if (found !== null) return found;
      start = end + 1;
    }
    // The last block may have grown since this run began; then its columns speak of rows that aren't looked at.
    if (block.last_n > this.#last && this.#expected > this.#last) return null;
    if (block.last_n >= this.#expected) return this.#missing();
    const n = this.#expected - 1;
    if (block.last_n < n || start < bytes.length) {
      const added = Math.min(n, block.last_n) + 1;
      return fault(added, `row ${added} was added, or the end of its block was changed`);
    }
    if (block.hash !== this.#hash) return fault(n, `the hash of row ${n} does not fit`);
    const isSame = (Object.keys(bounds) as (keyof Bounds)[]).every((name) => block[name] === bounds[name]);
    if (!isSame || block.chain_at !== this.#chainAt) {
      return fault(block.first_n, `the bounds of the block of rows ${block.first_n} to ${n} were changed`);
    }
    return null;
  }

  #bodyFault(n: number, text: string): ChainFault | null {
    const digest = bodyDigestOf(text);
    if (digest === undefined) return null;
    const sealed = this.#bodies(n);
    if (sealed === undefined) return fault(n, `the bodies kept beside row ${n} are missing`);
    return digestOf(sealed) === digest ? null : fault(n, `the bodies kept beside row ${n} were changed`);
  }

  #checkLine(bytes: Buffer, start: number, end: number, bounds: Bounds): ChainFault | null {
    const n = this.#expected;
    const text = bytes.toString('latin1', start, end);
    const identity = identityOf(text);
    const requestNo = identity && requestNoOf(this.#ends.state.installation, identity.requestId);
    if (identity === undefined || requestNo === undefined) return fault(n, `the text of row ${n} was changed`);
    this.#hash = hashBetween(bytes, start - HASH_LINE, end);
    if (bytes.toString('latin1', end, end + HASH_CHARS) !== this.#hash) return fault(n, `the hash of row ${n} does not fit`);
    if ((this.#signed.get(n) ?? this.#hash) !== this.#hash) return fault(n, `row ${n} is not what a checkpoint was signed for`);
    const bodies = this.#bodyFault(n, text);
    if (bodies !== null) return bodies;
    this.#chainAt = Math.max(this.#chainAt, identity.closedAt);
    bounds.min_request_no = Math.min(bounds.min_request_no, requestNo);
    bounds.max_request_no = Math.max(bounds.max_request_no, requestNo);
    bounds.min_at = Math.min(bounds.min_at, identity.at);
    bounds.max_at = Math.max(bounds.max_at, identity.at);
    this.#expected += 1;
    this.#count += 1;
    return null;
  }
}
