/**
 * Members that come and go with traffic: requests under way, sockets, deadlines. In place of a Set, for one reason: V8's sets
 * grow and shrink by making a new table, the old table keeps its entries and a link to the new one, and once such a table is
 * old, the young collector copies everything that it still names into old space. Measured at 64 busy connections: 6 KiB of
 * each request outlived it, which cost a fifth of the daemon's CPU. A roster forgets whoever has left at once.
 */

/** A member's place. */
export interface Seat {
  /** Again does nothing. */
  leave(): void;
}

class Place<M> implements Seat {
  member: M | null;
  at: number;
  readonly #places: Place<M>[];

  constructor(member: M, places: Place<M>[]) {
    this.member = member;
    this.#places = places;
    this.at = places.push(this) - 1;
  }

  leave(): void {
    if (this.member === null) return;
    this.member = null;
    // The last one moves to the free place: nothing has to shift.
    const last = this.#places.pop() as Place<M>;
    if (last === this) return;
    last.at = this.at;
    this.#places[this.at] = last;
  }
}

export class Roster<M> {
  readonly #places: Place<M>[] = [];

  get size(): number {
    return this.#places.length;
  }

  /** The same member twice is two members. */
  add(member: M): Seat {
    return new Place(member, this.#places);
  }

  /** Whoever is here at the beginning and has not left when it is their turn; members may leave and come meanwhile. */
  *[Symbol.iterator](): Generator<M> {
    for (const { member } of this.#places.slice()) if (member !== null) yield member;
  }
}
