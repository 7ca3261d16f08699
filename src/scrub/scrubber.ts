/**
 * Masks every needle in a stream of bytes, however the stream is cut, and keeps every length: Content-Length stays true.
 * Bytes wait only while they are the beginning of a needle, so that an event of a stream goes out when it comes in.
 */
import type { NeedleSet } from './needle-set.ts';

/** Stands where a secret stood. Constant, so that it says nothing of the secret but its length in a body (S-62). */
export const MASK = '[redacted by alterd]';
const MASK_BYTES = Buffer.from(MASK);
const STAR = 42;
const EMPTY = Buffer.alloc(0);

/** Takes clean bytes. `shared`: the slice is overwritten after the call. Answers false when the sender should pause. */
export type Output = (slice: Buffer, shared: boolean) => boolean;

/**
 * A beginning of at most so many bytes may go out when nothing follows it for a while: a binary stream may end its message on
 * the first byte of a needle and then wait for an answer. What follows is still masked.
 */
export const RELEASED_BYTES = 4;

/** One stretch to mask, in offsets of the stream. */
interface Region {
  readonly from: number;
  readonly to: number;
}

export class Scrubber {
  /** Needles found so far. */
  count = 0;
  readonly #needles: NeedleSet;
  readonly #output: Output;
  /** Where the next slice begins in the stream. */
  #base = 0;
  /** The last bytes of the stream, which begin a needle. Unmasked: they are still searched. */
  #held = EMPTY;
  /** Where the next byte to put out stands in the stream. */
  #put = 0;
  /** Found and not yet put out; in order, never overlapping. */
  #regions: Region[] = [];
  /** End of what was found last. */
  #maskedTo = 0;

  constructor(needles: NeedleSet, output: Output) {
    this.#needles = needles;
    this.#output = output;
  }

  /** True while the last bytes wait for what follows them. */
  get holds(): boolean {
    return this.#put < this.#base;
  }

  get heldBytes(): number {
    return this.#held.length;
  }

  /** Bytes of the stream so far. */
  get position(): number {
    return this.#base;
  }

  /** The slice may be overwritten. */
  write(slice: Buffer, shared: boolean): boolean {
    if (slice.length === 0) return true;
    const base = this.#base;
    const heldAt = base - this.#held.length;
    const end = base + slice.length;
    let clean = end;
    const found = (start: number, length: number): void => {
      if (start + length > end) clean = start;
      else this.#mark(start, start + length);
    };
    if (heldAt < base) this.#searchHeld(slice, found);
    if (clean === end) this.#needles.search(slice, 0, (start, length) => found(base + start, length));
    const held = this.#held;
    const outFrom = this.#put;
    let writable = true;
    if (outFrom < base && clean > outFrom)
      writable = this.#emit(held.subarray(outFrom - heldAt, Math.min(clean, base) - heldAt), outFrom, false);
    this.#held = EMPTY;
    if (clean < end) {
      // Copied before the slice is masked: what is held is searched again, and a mask may end inside it.
      const rest = clean <= base ? slice : slice.subarray(clean - base);
      this.#held = clean < base ? Buffer.concat([held.subarray(clean - heldAt), rest]) : Buffer.from(rest);
    }
    this.#base = end;
    if (clean <= base) return writable;
    return this.#emit(clean === end ? slice : slice.subarray(0, clean - base), base, shared) && writable;
  }

  /** Puts out what waits, when that is little, and goes on searching as if it waited. */
  release(): boolean {
    const held = this.#held;
    if (!this.holds || held.length > RELEASED_BYTES) return true;
    const from = held.length - (this.#base - this.#put);
    return this.#emit(Buffer.from(held.subarray(from)), this.#put, false);
  }

  /** The stream has ended: what waits is only the beginning of a needle, and goes out. */
  end(): boolean {
    if (!this.holds) return true;
    const held = this.#held;
    this.#held = EMPTY;
    const heldAt = this.#base - held.length;
    return this.#emit(held.subarray(this.#put - heldAt), this.#put, false);
  }

  /** What begins in the held bytes. */
  #searchHeld(slice: Buffer, found: (start: number, length: number) => void): void {
    const held = this.#held;
    const heldAt = this.#base - held.length;
    for (let start = 0; start < held.length; start++) {
      const length = this.#needles.startsAcross(held, start, slice);
      if (length === 0) continue;
      found(heldAt + start, length);
      if (start + length > held.length + slice.length) return;
    }
  }

  /** Occurrences may overlap: each byte of each of them is masked. */
  #mark(from: number, to: number): void {
    this.count++;
    const start = Math.max(from, this.#maskedTo);
    if (to <= start) return;
    this.#regions.push({ from: start, to });
    this.#maskedTo = to;
  }

  #emit(bytes: Buffer, at: number, shared: boolean): boolean {
    this.#put = at + bytes.length;
    if (this.#regions.length > 0) this.#mask(bytes, at);
    return this.#output(bytes, shared);
  }

  #mask(bytes: Buffer, at: number): void {
    const end = at + bytes.length;
    for (const { from, to } of this.#regions) {
      for (let i = Math.max(from, at); i < Math.min(to, end); i++) bytes[i - at] = MASK_BYTES[i - from] ?? STAR;
    }
    this.#regions = this.#regions.filter(({ to }) => to > end);
  }
}

/** A short Latin-1 text, such as a header's value, with each needle replaced by the whole mask; null when there is none. */
export function scrubText(needles: NeedleSet, text: string): { readonly text: string; readonly count: number } | null {
  if (!needles.maySee(text)) return null;
  let out = '';
  let count = 0;
  let done = 0;
  needles.search(Buffer.from(text, 'latin1'), 0, (start, length) => {
    if (start + length > text.length) return;
    count++;
    if (start >= done) out += text.slice(done, start) + MASK;
    done = Math.max(done, start + length);
  });
  return count === 0 ? null : { text: out + text.slice(done), count };
}
