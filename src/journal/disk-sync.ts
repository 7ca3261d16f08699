/**
 * Puts what is written to the segments on disk, and knows what needs no more of that: nothing new, or what a commit has
 * made durable in the database already.
 */
import type { Ingest } from './ingest.ts';
import type { Progress } from './progress.ts';
import { syncSegment } from './segments.ts';

export class DiskSync {
  readonly #dir: string;
  readonly #progress: Progress;
  readonly #ingest: Ingest;
  #segment: number;
  #end = 0;

  constructor(dir: string, progress: Progress, ingest: Ingest, segment: number) {
    this.#dir = dir;
    this.#progress = progress;
    this.#ingest = ingest;
    this.#segment = segment;
  }

  /** Everything written so far is on disk when this returns. @throws the error of the file system */
  run(): void {
    const { current } = this.#progress;
    const end = this.#progress.endOf(current);
    // SECURITY: also when the last commit failed; only what it did take in is in the database.
    const { segment: taken, segment_end: takenEnd } = this.#ingest.state;
    if (taken > this.#segment || (taken === this.#segment && takenEnd > this.#end)) {
      this.#segment = taken;
      this.#end = takenEnd;
    }
    if (this.#segment === current && this.#end >= end) return;
    for (let segment = this.#segment; segment <= current; segment += 1) syncSegment(this.#dir, segment);
    this.#segment = current;
    this.#end = end;
  }
}
