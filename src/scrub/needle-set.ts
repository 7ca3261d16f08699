/**
 * Needles compiled for searching many bytes quickly. Every occurrence of a needle begins with `window` bytes that hold every
 * `stride`-th triple of the text, whatever the place: so one look at a triple in `stride` bytes is enough to exclude an
 * occurrence, and only where a triple is one of a needle's is anything compared. Immutable; made once for a credential version.
 */

/** A longer window skips further but puts more triples into the table. */
const MAX_WINDOW = 40;
const TRIPLE = 3;
const TABLE_BITS = 15;
const TABLE_MASK = (1 << TABLE_BITS) - 1;

/** Told of each needle that stands in the bytes at `start`, in rising order of `start`; `length` may reach beyond their end. */
export type Found = (start: number, length: number) => void;

const hashOf = (a: number, b: number, c: number): number => (a ^ (b << 5) ^ (c << 10)) & TABLE_MASK;

export class NeedleSet {
  /** All bytes of needles together, for those who ask what a set costs. */
  readonly bytes: number;
  readonly #window: number;
  readonly #stride: number;
  readonly #hot = new Uint8Array(1 << TABLE_BITS);
  /** By hash, where its entries begin. */
  readonly #entriesAt = new Int32Array((1 << TABLE_BITS) + 1);
  /** Each entry: number of the needle, offset of the triple in it. */
  readonly #entries: Int32Array;
  readonly #needles: readonly Buffer[];
  /** Needles by first byte. */
  readonly #byFirst: (readonly Buffer[] | null)[] = new Array<readonly Buffer[] | null>(256).fill(null);

  /** @param needles at least one, each of at least 8 bytes, none within another */
  constructor(needles: readonly Buffer[]) {
    this.bytes = needles.reduce((sum, needle) => sum + needle.length, 0);
    this.#needles = needles;
    this.#window = Math.min(MAX_WINDOW, ...needles.map((needle) => needle.length));
    this.#stride = this.#window - TRIPLE + 1;
    this.#entries = new Int32Array(2 * needles.length * this.#stride);
    for (const needle of needles) {
      const first = needle[0] as number;
      this.#byFirst[first] = [...(this.#byFirst[first] ?? []), needle];
    }
    this.#index();
  }

  /** Sorts every triple of every window by its hash: counts first, then places. */
  #index(): void {
    const at = this.#entriesAt;
    const each = (visit: (hash: number, needle: number, offset: number) => void): void =>
      this.#needles.forEach((needle, number) => {
        for (let offset = 0; offset < this.#stride; offset++)
          visit(hashOf(needle[offset] as number, needle[offset + 1] as number, needle[offset + 2] as number), number, offset);
      });
    each((hash) => {
      this.#hot[hash] = 1;
      at[hash + 1] = (at[hash + 1] as number) + 1;
    });
    for (let hash = 1; hash < at.length; hash++) at[hash] = (at[hash] as number) + (at[hash - 1] as number);
    const next = at.slice();
    each((hash, number, offset) => {
      const place = next[hash] as number;
      next[hash] = place + 1;
      this.#entries[2 * place] = number;
      this.#entries[2 * place + 1] = offset;
    });
  }

  /**
   * Every needle in `bytes` that begins at `from` or later, up to and with the first that reaches beyond the end. What begins
   * later than that one can't be complete: no needle is within another.
   */
  search(bytes: Buffer, from: number, found: Found): void {
    const hot = this.#hot;
    const stride = this.#stride;
    const last = bytes.length - TRIPLE;
    for (let at = from + stride - 1; at <= last; at += stride) {
      // The table is asked without a call: this line is the cost of a clean answer.
      const hash = ((bytes[at] as number) ^ ((bytes[at + 1] as number) << 5) ^ ((bytes[at + 2] as number) << 10)) & TABLE_MASK;
      if (hot[hash] === 1 && this.#confirm(bytes, at, from, hash, found)) return;
    }
    this.#searchEnd(bytes, from, found);
  }

  /** Answers true when one reaches beyond the end. */
  #confirm(bytes: Buffer, at: number, from: number, hash: number, found: Found): boolean {
    let hits: { start: number; length: number }[] | null = null;
    const end = this.#entriesAt[hash + 1] as number;
    for (let i = this.#entriesAt[hash] as number; i < end; i++) {
      const needle = this.#needles[this.#entries[2 * i] as number] as Buffer;
      const start = at - (this.#entries[2 * i + 1] as number);
      if (start >= from && beginsAt(needle, bytes, start)) (hits ??= []).push({ start, length: needle.length });
    }
    if (hits === null) return false;
    hits.sort((a, b) => a.start - b.start);
    for (const { start, length } of hits) {
      found(start, length);
      if (start + length > bytes.length) return true;
    }
    return false;
  }

  /** The bytes behind the last whole window: nothing complete can begin there. */
  #searchEnd(bytes: Buffer, from: number, found: Found): void {
    for (let start = Math.max(from, bytes.length - this.#window + 1); start < bytes.length; start++) {
      for (const needle of this.#byFirst[bytes[start] as number] ?? NONE) {
        if (!beginsAt(needle, bytes, start)) continue;
        found(start, needle.length);
        return;
      }
    }
  }

  /** The same for what begins in `head` at `start`, where the text goes on in `rest`; answers its length, or 0. */
  startsAcross(head: Buffer, start: number, rest: Buffer): number {
    for (const needle of this.#byFirst[head[start] as number] ?? NONE) {
      const inHead = head.length - start;
      if (beginsAt(needle, head, start) && (needle.length <= inHead || goesOn(needle, inHead, rest))) return needle.length;
    }
    return 0;
  }

  /** True when a needle may be in the text, which is Latin-1. False is certain. */
  maySee(text: string): boolean {
    const hot = this.#hot;
    const stride = this.#stride;
    const last = text.length - TRIPLE;
    for (let at = stride - 1; at <= last; at += stride) {
      const hash = (text.charCodeAt(at) ^ (text.charCodeAt(at + 1) << 5) ^ (text.charCodeAt(at + 2) << 10)) & TABLE_MASK;
      if (hot[hash] === 1) return true;
    }
    return false;
  }
}

const NONE: readonly Buffer[] = [];

/** True when the bytes from `start` on are the needle, or its beginning as far as they go. */
function beginsAt(needle: Buffer, bytes: Buffer, start: number): boolean {
  const length = Math.min(needle.length, bytes.length - start);
  for (let i = 0; i < length; i++) if (needle[i] !== bytes[start + i]) return false;
  return true;
}

/** True when `rest` is what follows the first `done` bytes of the needle, as far as both go. */
function goesOn(needle: Buffer, done: number, rest: Buffer): boolean {
  const length = Math.min(needle.length - done, rest.length);
  for (let i = 0; i < length; i++) if (needle[done + i] !== rest[i]) return false;
  return true;
}
