/**
 * What is open: request numbers, and where the texts of their openings lie. Numbers are handed out in order and most
 * entries close soon, so the newest are kept in a ring of plain numbers, without an object for each request; whatever is
 * pushed out of the ring goes into a map. It changes only together with a commit: `mark` before, `rollback` when that failed.
 */

const SLOTS = 4096;

/** Where the text of an opening lies; in the table of open entries when `segment` is 0. */
export interface OpeningPlace {
  readonly requestNo: number;
  readonly at: number;
  readonly segment: number;
  readonly offset: number;
  readonly length: number;
}

/** Numbers of one slot: request number (0 when free), at, segment, offset, length. */
const WIDTH = 5;

export class Openings {
  readonly #ring = new Float64Array(SLOTS * WIDTH);
  readonly #ringBefore = new Float64Array(SLOTS * WIDTH);
  readonly #older = new Map<number, OpeningPlace>();
  readonly #undo: [number, OpeningPlace | undefined][] = [];
  #inRing = 0;
  #inRingBefore = 0;

  get count(): number {
    return this.#inRing + this.#older.size;
  }

  add(requestNo: number, at: number, segment: number, offset: number, length: number): void {
    const ring = this.#ring;
    const slot = (requestNo & (SLOTS - 1)) * WIDTH;
    const there = ring[slot] as number;
    if (there === 0) this.#inRing += 1;
    else if (there !== requestNo) this.#setOlder(there, this.#placeIn(slot));
    if (this.#older.size > 0 && this.#older.has(requestNo)) this.#setOlder(requestNo, undefined);
    ring[slot] = requestNo;
    ring[slot + 1] = at;
    ring[slot + 2] = segment;
    ring[slot + 3] = offset;
    ring[slot + 4] = length;
  }

  /** Takes one out. Answers the segment of its text; undefined when it isn't open. */
  take(requestNo: number): number | undefined {
    const slot = (requestNo & (SLOTS - 1)) * WIDTH;
    if (this.#ring[slot] === requestNo) {
      this.#ring[slot] = 0;
      this.#inRing -= 1;
      return this.#ring[slot + 2];
    }
    const place = this.#older.get(requestNo);
    if (place !== undefined) this.#setOlder(requestNo, undefined);
    return place?.segment;
  }

  placeOf(requestNo: number): OpeningPlace | undefined {
    const slot = (requestNo & (SLOTS - 1)) * WIDTH;
    return this.#ring[slot] === requestNo ? this.#placeIn(slot) : this.#older.get(requestNo);
  }

  /** All of them, oldest first. */
  all(): OpeningPlace[] {
    const places = [...this.#older.values()];
    for (let slot = 0; slot < this.#ring.length; slot += WIDTH) if (this.#ring[slot] !== 0) places.push(this.#placeIn(slot));
    return places.sort((a, b) => a.requestNo - b.requestNo);
  }

  mark(): void {
    this.#ringBefore.set(this.#ring);
    this.#inRingBefore = this.#inRing;
    this.#undo.length = 0;
  }

  rollback(): void {
    this.#ring.set(this.#ringBefore);
    this.#inRing = this.#inRingBefore;
    for (const [requestNo, place] of this.#undo.reverse()) {
      if (place === undefined) this.#older.delete(requestNo);
      else this.#older.set(requestNo, place);
    }
    this.#undo.length = 0;
  }

  #setOlder(requestNo: number, place: OpeningPlace | undefined): void {
    this.#undo.push([requestNo, this.#older.get(requestNo)]);
    if (place === undefined) this.#older.delete(requestNo);
    else this.#older.set(requestNo, place);
  }

  #placeIn(slot: number): OpeningPlace {
    const [requestNo = 0, at = 0, segment = 0, offset = 0, length = 0] = this.#ring.subarray(slot, slot + WIDTH);
    return { requestNo, at, segment, offset, length };
  }
}
