/**
 * Makes, keeps and reads the checkpoints of a journal, in its worker. It signs only what is committed, and nothing any more once
 * damage was found: a signature must never cover it up.
 */
import { createPublicKey, type KeyObject } from 'node:crypto';
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { Database, Statement } from 'better-sqlite3';
import { type Checkpoint, isCheckpointSigned, keyIdOf, signCheckpoint } from './checkpoint.ts';
import { writeRelaxed } from './database.ts';
import type { Ingest } from './ingest.ts';

const EVERY_ROWS = 1000;
const EVERY_MS = 5 * 60_000;
const PAGE = 256;
const NO_HASH = '';
const COLUMNS = 'n, hash, at, rows, installation, key_id AS key, signature';

export class CheckpointBook {
  readonly #db: Database;
  readonly #ingest: Ingest;
  readonly #key: KeyObject | null;
  readonly #insert: Statement;
  readonly #between: Statement<[number, number, number], Checkpoint>;
  readonly #delete: Statement<[number]>;
  #lastN: number;
  #lastAt: number;

  constructor(db: Database, ingest: Ingest, key: KeyObject | null) {
    this.#db = db;
    this.#ingest = ingest;
    this.#key = key;
    this.#insert = db.prepare(
      `INSERT OR REPLACE INTO checkpoints (n, hash, at, rows, installation, key_id, signature)
       VALUES (@n, @hash, @at, @rows, @installation, @key, @signature)`,
    );
    this.#between = db.prepare(`SELECT ${COLUMNS} FROM checkpoints WHERE n > ? AND n <= ? ORDER BY n LIMIT ?`);
    this.#delete = db.prepare('DELETE FROM checkpoints WHERE n < ?');
    const last = db.prepare<[], { n: number; at: number }>('SELECT n, at FROM checkpoints ORDER BY n DESC LIMIT 1').get();
    this.#lastN = last?.n ?? 0;
    this.#lastAt = last?.at ?? 0;
  }

  /** Signs the chain as it is committed now, when enough rows or time have passed, or when `force` says so. */
  advance(now: number, force = false): void {
    const { end, fault, state } = this.#ingest;
    if (this.#key === null || fault !== null || end.n <= this.#lastN) return;
    if (!force && end.n - this.#lastN < EVERY_ROWS && now - this.#lastAt < EVERY_MS) return;
    this.#sign(now, state.anchor_n);
  }

  /** Retention removed the start: says so under a new signature, and drops what speaks of rows that are gone. */
  advancePastRemoval(now: number): void {
    const { end, fault, state } = this.#ingest;
    if (this.#key === null || fault !== null || end.n === 0) return;
    this.#sign(now, state.anchor_n);
    this.#delete.run(state.anchor_n);
  }

  /** Those of rows in (after, upTo], oldest first. */
  between(after: number, upTo: number, limit: number): Checkpoint[] {
    return this.#between.all(after, upTo, limit);
  }

  /**
   * What was signed, by row, to be held against the chain. A signature that does not fit, or rows beyond the end, become a hash that
   * no row has.
   */
  async signedHashes(lastN: number): Promise<Map<number, string>> {
    const hashes = new Map<number, string>();
    if (this.#key === null) return hashes;
    const publicKey = createPublicKey(this.#key);
    const ownKey = keyIdOf(publicKey);
    for (let after = -1, page: Checkpoint[] = []; ; after = page.at(-1)?.n ?? after) {
      page = this.between(after, Number.MAX_SAFE_INTEGER, PAGE);
      for (const each of page) {
        // One of a key that is gone can be checked offline, with the public half that was exported then.
        if (each.key !== ownKey) continue;
        const isRight = each.n <= lastN && isCheckpointSigned(publicKey, each);
        hashes.set(Math.min(each.n, lastN), isRight ? each.hash : NO_HASH);
      }
      if (page.length < PAGE) return hashes;
      await nextTurn();
    }
  }

  #sign(at: number, anchorN: number): void {
    const { end, state } = this.#ingest;
    const facts = { installation: state.installation, n: end.n, hash: end.hash, at, rows: end.n - anchorN };
    const checkpoint = signCheckpoint(this.#key as KeyObject, facts);
    writeRelaxed(this.#db, () => void this.#insert.run(checkpoint));
    this.#lastN = end.n;
    this.#lastAt = at;
  }
}
