/**
 * The few numbers that the data-plane thread and the journal's worker share, without messages: how far the segments are
 * written, how many are ready, whether someone follows the tail, and whether the worker sleeps.
 */

const CURRENT = 0;
const READY = 1;
const PARKED = 2;
const FOLLOWED = 3;
const TAKEN = 4;
const FIRST_END = 8;
/** Ends are kept in a ring; a backlog can never come near its length. */
const RING = 64;
export const MAX_BACKLOG_SEGMENTS = 48;

export class Progress {
  readonly buffer: SharedArrayBuffer;
  readonly #cells: Int32Array;

  constructor(buffer: SharedArrayBuffer = new SharedArrayBuffer((FIRST_END + RING) * 4)) {
    this.buffer = buffer;
    this.#cells = new Int32Array(buffer);
  }

  /** The segment that is being written. */
  get current(): number {
    return Atomics.load(this.#cells, CURRENT);
  }

  /** The highest segment that exists in full. */
  get ready(): number {
    return Atomics.load(this.#cells, READY);
  }

  set ready(segment: number) {
    Atomics.store(this.#cells, READY, segment);
  }

  /** The segment up to which the database has the rows. */
  get taken(): number {
    return Atomics.load(this.#cells, TAKEN);
  }

  set taken(segment: number) {
    Atomics.store(this.#cells, TAKEN, segment);
  }

  /** Bytes written to a segment. Ask `current` first: only then is the end of an older segment known to be final. */
  endOf(segment: number): number {
    return Atomics.load(this.#cells, FIRST_END + (segment % RING));
  }

  publish(segment: number, endBytes: number): void {
    Atomics.store(this.#cells, FIRST_END + (segment % RING), endBytes);
  }

  begin(segment: number): void {
    Atomics.store(this.#cells, FIRST_END + (segment % RING), 0);
    Atomics.store(this.#cells, CURRENT, segment);
  }

  /** Whether committed rows are to be sent. A flag and not a message: it holds from this moment on. */
  get followed(): boolean {
    return Atomics.load(this.#cells, FOLLOWED) === 1;
  }

  set followed(on: boolean) {
    Atomics.store(this.#cells, FOLLOWED, on ? 1 : 0);
  }

  park(): void {
    Atomics.store(this.#cells, PARKED, 1);
  }

  /** True for the one caller that has to send the wake message. */
  unpark(): boolean {
    return Atomics.load(this.#cells, PARKED) === 1 && Atomics.compareExchange(this.#cells, PARKED, 1, 0) === 1;
  }
}
