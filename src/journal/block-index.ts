/**
 * Which terms each finished block holds, kept beside the blocks for searches. It is made after the rows are taken in, whenever
 * the worker has nothing else to do, so it costs a request nothing; a block that isn't indexed yet is read instead.
 * SECURITY: each entry is sealed with the block's own hash. An edited one is not believed, so nobody can hide rows from a search
 * by editing the index.
 */
import { createHmac, type KeyObject, timingSafeEqual } from 'node:crypto';
import type { Database, Statement } from 'better-sqlite3';
import { type Block, rowsOf } from './block.ts';
import { writeRelaxed } from './database.ts';
import { INDEXED_FIELDS, termOf } from './filter.ts';
import { mayHold, termSetOf } from './term-set.ts';

/** What a block's index says beside the bounds of the block. */
export interface IndexedBlock {
  readonly first_n: number;
  readonly last_n: number;
  readonly hash: string;
  readonly terms: Buffer | null;
  readonly seal: Buffer | null;
}

type Place = Pick<Block, 'first_n' | 'last_n' | 'hash'>;
type Entry = Place & { readonly terms: Buffer; readonly seal: Buffer };

/** In one transaction. */
const RESEAL_ENTRIES = 256;

export class BlockIndex {
  readonly #db: Database;
  #key: KeyObject;
  /** What entries may still be sealed by while the key is replaced. */
  #others: readonly KeyObject[];
  readonly #next: Statement<[number, number], Block>;
  readonly #insert: Statement;
  readonly #delete: Statement<[number]>;
  readonly #entries: Statement<[number, number], Entry>;
  readonly #lastBlock: Statement<[], number>;
  /** Every finished block up to this one is indexed. */
  #upTo = -1;

  constructor(db: Database, key: KeyObject, others: readonly KeyObject[] = []) {
    this.#db = db;
    this.#key = key;
    this.#others = others;
    this.#next = db.prepare(
      `SELECT b.* FROM blocks b LEFT JOIN block_index i ON i.first_n = b.first_n
       WHERE b.first_n > ? AND b.first_n < ? AND i.first_n IS NULL ORDER BY b.first_n LIMIT 1`,
    );
    this.#insert = db.prepare('INSERT OR REPLACE INTO block_index (first_n, terms, seal) VALUES (?, ?, ?)');
    this.#delete = db.prepare('DELETE FROM block_index WHERE first_n <= ?');
    this.#entries = db.prepare(
      `SELECT b.first_n, b.last_n, b.hash, i.terms, i.seal FROM block_index i JOIN blocks b ON b.first_n = i.first_n
       WHERE i.first_n > ? ORDER BY i.first_n LIMIT ?`,
    );
    this.#lastBlock = db.prepare<[], number>('SELECT max(first_n) FROM blocks').pluck();
  }

  /** Indexes one finished block; false when there is none left. */
  indexOne(): boolean {
    // The last block still grows.
    const last = this.#lastBlock.get() ?? 0;
    const block = this.#next.get(this.#upTo, last);
    this.#upTo = block?.first_n ?? Math.max(this.#upTo, last - 1);
    if (block === undefined) return false;
    const terms = new Set<string>();
    const before = new Array<unknown>(INDEXED_FIELDS.length);
    for (const { body } of rowsOf(block)) addTerms(terms, body, before);
    const set = termSetOf(terms);
    writeRelaxed(this.#db, () => void this.#insert.run(block.first_n, set, this.#seal(block, set)));
    return true;
  }

  /** Forgets blocks that retention removed. */
  remove(upTo: number): void {
    this.#delete.run(upTo);
  }

  /** Whether a block may hold one of each group of terms. */
  mayMatch(block: IndexedBlock, groups: readonly (readonly string[])[]): boolean {
    const { terms, seal } = block;
    if (groups.length === 0 || terms === null || seal === null) return true;
    if (!this.#isSealed(block, terms, seal)) return true;
    return groups.every((any) => any.some((term) => mayHold(terms, term)));
  }

  /** Seals by another key from now on; what is there already still counts until `reseal` is through. */
  useKey(key: KeyObject): void {
    this.#others = [this.#key, ...this.#others].filter((other) => !other.equals(key));
    this.#key = key;
  }

  /** Seals a few entries by the key of now, those after a place. Answers how far it came; null when there is none left. */
  resealAfter(place: number): number | null {
    const entries = this.#entries.all(place, RESEAL_ENTRIES);
    const last = entries.at(-1);
    if (last === undefined) return null;
    this.#db.transaction(() => {
      for (const entry of entries) {
        // SECURITY: only what one of our keys vouches for; sealing an edited entry anew would make it believed.
        if (this.#isSealed(entry, entry.terms, entry.seal))
          this.#insert.run(entry.first_n, entry.terms, this.#seal(entry, entry.terms));
      }
    })();
    return last.first_n;
  }

  /** Once every entry is sealed by the key of now. */
  forgetOtherKeys(): void {
    this.#others = [];
  }

  #isSealed(block: Place, terms: Buffer, seal: Buffer): boolean {
    return [this.#key, ...this.#others].some((key) => {
      const expected = this.#seal(block, terms, key);
      return seal.length === expected.length && timingSafeEqual(seal, expected);
    });
  }

  #seal({ first_n, last_n, hash }: Place, terms: Buffer, key = this.#key): Buffer {
    return createHmac('sha256', key).update(`alterd-audit-index\n${first_n} ${last_n} ${hash}\n`).update(terms).digest();
  }
}

/** @param before values of the row before: most are the same, and known already */
function addTerms(terms: Set<string>, body: string, before: unknown[]): void {
  let entry: Record<string, unknown>;
  try {
    entry = JSON.parse(body) as Record<string, unknown>;
  } catch {
    // Only a damaged row; the check of the chain tells of it.
    return;
  }
  for (const [i, field] of INDEXED_FIELDS.entries()) {
    const value = entry[field];
    if (value === before[i]) continue;
    before[i] = value;
    if (typeof value === 'string' || typeof value === 'number') terms.add(termOf(field, value));
  }
}
