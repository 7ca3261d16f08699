/**
 * Segments made ahead of need: what can still be written while a pause of the disk holds up the worker. Files of segments
 * that are in the database in full are used again, so that each row is written to them once and not twice.
 */
import type { Progress } from './progress.ts';
import { makeSegment, removeSegment, reuseSegment } from './segments.ts';

/** More after they ran out once. */
const MIN_SPARE_SEGMENTS = 2;
const MAX_SPARE_SEGMENTS = 8;
/** Files that may wait for their next life beside the spares that are wanted. */
const MAX_WAITING_SEGMENTS = 2;

export class Spares {
  readonly #dir: string;
  readonly #segmentBytes: number;
  readonly #progress: Progress;
  readonly #retired: number[] = [];
  #wanted = MIN_SPARE_SEGMENTS;

  constructor(dir: string, segmentBytes: number, progress: Progress) {
    this.#dir = dir;
    this.#segmentBytes = segmentBytes;
    this.#progress = progress;
  }

  /** Whether there are fewer than there should always be. */
  get isShort(): boolean {
    return this.#progress.ready < this.#progress.current + MIN_SPARE_SEGMENTS;
  }

  get isOut(): boolean {
    return this.#progress.ready === this.#progress.current;
  }

  /** Makes the next one, and notes that more are wanted than there were. @throws the error of the file system */
  makeNext(): void {
    this.#wanted = Math.min(this.#wanted * 2, MAX_SPARE_SEGMENTS);
    this.#make();
  }

  /** Makes what is missing. @throws the error of the file system */
  makeAll(): void {
    while (this.#progress.ready < this.#progress.current + this.#wanted) this.#make();
  }

  /** Takes over the file of a segment that is in the database. */
  retire(segment: number): void {
    const missing = this.#progress.current + this.#wanted - this.#progress.ready;
    if (this.#retired.length < missing + MAX_WAITING_SEGMENTS) this.#retired.push(segment);
    else removeSegment(this.#dir, segment);
  }

  #make(): void {
    const next = this.#progress.ready + 1;
    const old = this.#retired.shift();
    if (old === undefined) makeSegment(this.#dir, next, this.#segmentBytes);
    else reuseSegment(this.#dir, old, next);
    this.#progress.ready = next;
  }
}
