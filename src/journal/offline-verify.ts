/**
 * Checks an export by itself: every row's hash, the order, both ends, and the checkpoints that were signed over it. It needs the
 * lines and a public key, and must never need a journal or a daemon: whoever checks need not trust the machine that wrote.
 */
import type { KeyObject } from 'node:crypto';
import { GENESIS, nextHash } from './chain.ts';
import { type Checkpoint, isCheckpointSigned, keyIdOf, parseCheckpointLine } from './checkpoint.ts';
import { type ChainedRow, parseRowLine } from './row-line.ts';

export interface OfflineOptions {
  /** Null: signatures are not looked at, and checkpoints prove nothing. */
  readonly publicKey: KeyObject | null;
  /** The export is a part on purpose: rows before its first and behind its last are not missed. */
  readonly partial: boolean;
}

export interface OfflineResult {
  readonly ok: boolean;
  /** Rows checked. */
  readonly rows: number;
  readonly firstN: number | null;
  readonly lastN: number | null;
  readonly headHash: string | null;
  /** Checkpoints whose signature fits and whose row is as it was signed. */
  readonly checkpoints: number;
  /** The last row that a signature covers. */
  readonly signedUpTo: number | null;
  readonly firstBad?: number;
  readonly reason?: string;
}

interface Fault {
  readonly n: number;
  readonly reason: string;
}

/** The checkpoints among lines. */
export async function readCheckpoints(lines: AsyncIterable<string>): Promise<Checkpoint[]> {
  const found: Checkpoint[] = [];
  for await (const line of lines) {
    const checkpoint = parseCheckpointLine(line);
    if (checkpoint !== undefined) found.push(checkpoint);
  }
  return found;
}

/** Checks the lines of an export; `given` are all checkpoints that are known, those of the export included. */
export async function verifyExport(
  lines: AsyncIterable<string>,
  given: readonly Checkpoint[],
  options: OfflineOptions,
): Promise<OfflineResult> {
  const { publicKey } = options;
  const checkpoints = publicKey === null ? [] : given.toSorted((a, b) => a.n - b.n || a.at - b.at);
  const run = new ExportCheck(checkpoints, options.partial);
  if (publicKey !== null) run.fault = signatureFault(checkpoints, publicKey);
  for await (const line of lines) if (!isBeside(line)) run.add(line);
  return run.result();
}

/** What stands among the rows of an export and is none: a checkpoint, and bodies, which a row holds only the digest of as they are stored. */
const isBeside = (line: string): boolean =>
  line === '' || line.startsWith('{"kind":"bodies",') || parseCheckpointLine(line) !== undefined;

function signatureFault(checkpoints: readonly Checkpoint[], publicKey: KeyObject): Fault | null {
  const key = keyIdOf(publicKey);
  for (const checkpoint of checkpoints) {
    const { n } = checkpoint;
    // SECURITY: one that does not fit is a fault and not merely left out: leaving it out would let a cut tail take its checkpoint along.
    if (checkpoint.key !== key)
      return { n, reason: `the checkpoint of row ${n} was signed by the key ${checkpoint.key}, not by ${key}` };
    if (!isCheckpointSigned(publicKey, checkpoint))
      return { n, reason: `the signature of the checkpoint of row ${n} does not fit` };
  }
  return null;
}

class ExportCheck {
  fault: Fault | null = null;
  readonly #checkpoints: readonly Checkpoint[];
  readonly #partial: boolean;
  /** A row that stands where another was expected: whether that one comes later decides what happened. */
  #awaited: { readonly n: number; readonly instead: number } | null = null;
  #line = 0;
  #first: number | null = null;
  #last: ChainedRow | null = null;
  #rows = 0;
  #next = 0;
  #checked = 0;
  #signedUpTo: number | null = null;

  constructor(checkpoints: readonly Checkpoint[], partial: boolean) {
    this.#checkpoints = checkpoints;
    this.#partial = partial;
  }

  add(line: string): void {
    this.#line += 1;
    if (this.fault !== null) return;
    const row = parseRowLine(line);
    if (this.#awaited !== null) {
      if (row?.n === this.#awaited.n) this.#resolveAwaited(true);
      return;
    }
    const n = (this.#last?.n ?? (row === undefined ? 0 : row.n - 1)) + 1;
    if (row === undefined) this.fault = { n, reason: `line ${this.#line}, where row ${n} is expected, is no row of an export` };
    else if (row.n > n) this.#awaited = { n, instead: row.n };
    else if (row.n < n) this.fault = { n: row.n, reason: `row ${row.n} stands behind row ${n - 1}: reordered or repeated` };
    else this.#check(row);
  }

  #check(row: ChainedRow): void {
    const { n, prev, body, hash } = row;
    if (nextHash(prev, body) !== hash) this.fault = { n, reason: `row ${n} was changed: its hash does not fit` };
    else if (this.#last !== null && prev !== this.#last.hash)
      this.fault = { n, reason: `row ${n} does not follow row ${n - 1}: one of the two was changed` };
    else if (n === 1 && prev !== GENESIS) this.fault = { n, reason: 'row 1 does not begin a chain' };
    if (this.fault !== null) return;
    this.#first ??= n;
    this.#last = row;
    this.#rows += 1;
    this.#compare(n, hash);
  }

  /** Holds the row against the checkpoints that were signed for it. */
  #compare(n: number, hash: string): void {
    for (let next = this.#checkpoints[this.#next]; next !== undefined && next.n <= n; next = this.#checkpoints[++this.#next]) {
      if (next.n < n) continue;
      if (next.hash !== hash) {
        const from = (this.#signedUpTo ?? (this.#first ?? 1) - 1) + 1;
        const which = from === n ? `row ${n}` : `a row from ${from} to ${n}`;
        this.fault = {
          n: from,
          reason: `${which} was changed: row ${n} is not what was signed on ${new Date(next.at).toISOString()}`,
        };
        return;
      }
      this.#checked += 1;
      this.#signedUpTo = n;
    }
  }

  #resolveAwaited(isThere: boolean): void {
    const { n, instead } = this.#awaited as { n: number; instead: number };
    this.#awaited = null;
    const gap = instead - 1 > n && !isThere ? `rows ${n} to ${instead - 1} are missing` : `row ${n} is missing`;
    this.fault = { n, reason: isThere ? `row ${n} stands behind row ${instead}: reordered` : gap };
  }

  /** Whether rows are missing at an end. */
  #endsFault(): Fault | null {
    if (this.#partial) return null;
    const newest = this.#checkpoints.at(-1);
    const last = this.#last?.n ?? 0;
    if (newest !== undefined && newest.n > last) {
      return {
        n: last + 1,
        reason: `rows ${last + 1} to ${newest.n} are missing at the end: a checkpoint was signed for row ${newest.n}`,
      };
    }
    // What retention removes it says under a new signature: the newest checkpoint knows where the chain begins.
    const begins = newest === undefined ? 1 : newest.n - newest.rows + 1;
    if (this.#first !== null && this.#first > begins) {
      return { n: begins, reason: `rows ${begins} to ${this.#first - 1} are missing at the start` };
    }
    return null;
  }

  result(): OfflineResult {
    if (this.fault === null && this.#awaited !== null) this.#resolveAwaited(false);
    this.fault ??= this.#endsFault();
    const { fault } = this;
    return {
      ok: fault === null,
      rows: this.#rows,
      firstN: this.#first,
      lastN: this.#last?.n ?? null,
      headHash: this.#last?.hash ?? null,
      checkpoints: this.#checked,
      signedUpTo: this.#signedUpTo,
      ...(fault === null ? {} : { firstBad: fault.n, reason: fault.reason }),
    };
  }
}
