/**
 * Reads segments frame by frame into one buffer, for the living worker and for a replay. It tells whole records only; where
 * a replay meets bytes that are no whole frame of the segment's own life, the segment ends.
 */
import { closeSync, openSync, readSync } from 'node:fs';
import { FRAME_HEAD_BYTES, frameLength, HEADER_BYTES, isFrameOf, isFrameWhole, tagOf } from './frame.ts';
import { emptyRecord, parseRecord } from './record.ts';
import { segmentPath } from './segments.ts';

/** Small enough to stay in the processor's cache together with a block. */
const READ_BYTES = 256 * 1024;

export class SegmentReader {
  readonly record = emptyRecord();
  readonly #dir: string;
  #buffer = Buffer.allocUnsafeSlow(READ_BYTES);
  #fd = -1;
  #segment = -1;
  #tag: string | undefined;
  /** Highest request number of the last `read`. */
  highest = 0;
  /** Whether the last `read` of a replay ended at a frame that power loss tore. */
  isTorn = false;

  constructor(dir: string) {
    this.#dir = dir;
  }

  /** What the bounds in `record` refer to. */
  get bytes(): Buffer {
    return this.#buffer;
  }

  /**
   * Reads what follows `start` and calls `visit` for each record, with the segment's position of the buffer. Answers the
   * position behind the last whole frame; `start` when there is none.
   */
  read(segment: number, start: number, limit: number, isReplay: boolean, visit: (base: number) => void): number {
    this.#open(segment);
    this.highest = 0;
    this.isTorn = false;
    if (isReplay && this.#tag === undefined) return start;
    let base = Math.max(start, HEADER_BYTES);
    let end = this.#fill(base, limit);
    if (end >= FRAME_HEAD_BYTES) {
      const wanted = FRAME_HEAD_BYTES + frameLength(this.#buffer, 0);
      if (wanted > this.#buffer.length && base + wanted <= limit) {
        this.#buffer = Buffer.allocUnsafeSlow(wanted);
        end = this.#fill(base, limit);
      }
    }
    let position = 0;
    while (end - position > FRAME_HEAD_BYTES) {
      if (isReplay && !isFrameOf(this.#tag as string, this.#buffer, position)) break;
      const frameEnd = position + FRAME_HEAD_BYTES + frameLength(this.#buffer, position);
      if (!(frameEnd <= end)) {
        this.isTorn = isReplay && position === 0;
        break;
      }
      if (isReplay && !isFrameWhole(this.#tag as string, this.#buffer, position, frameEnd)) {
        this.isTorn = true;
        break;
      }
      this.#visitRecords(base, position + FRAME_HEAD_BYTES, frameEnd, visit);
      position = frameEnd;
    }
    if (position === 0) base = start;
    return base + position;
  }

  close(): void {
    if (this.#fd >= 0) closeSync(this.#fd);
    this.#fd = -1;
    this.#segment = -1;
  }

  #visitRecords(base: number, start: number, end: number, visit: (base: number) => void): void {
    const { record } = this;
    for (let position = start; position < end; ) {
      position = parseRecord(this.#buffer, position, end, record);
      if (position < 0) throw new Error('a whole frame holds something that is no record');
      if (record.requestNo > this.highest) this.highest = record.requestNo;
      visit(base);
    }
  }

  #open(segment: number): void {
    if (this.#segment === segment) return;
    this.close();
    this.#fd = openSync(segmentPath(this.#dir, segment), 'r');
    this.#segment = segment;
    const first = Buffer.alloc(HEADER_BYTES);
    readSync(this.#fd, first, 0, HEADER_BYTES, 0);
    this.#tag = tagOf(first, segment);
  }

  #fill(start: number, limit: number): number {
    const wanted = Math.min(this.#buffer.length, limit - start);
    return wanted > 0 ? readSync(this.#fd, this.#buffer, 0, wanted, start) : 0;
  }
}
