/**
 * Lets the few bytes go that a scrubber holds when a stream falls silent on the beginning of a needle: the two ends may be
 * waiting for each other. One timer a stream at most, and none for an answer that comes whole.
 */
import { RELEASED_BYTES, type Scrubber } from './scrubber.ts';

/** A cut between two packets of one message is shorter. */
const SILENCE_MS = 20;

export class Patience {
  readonly #scrubber: Scrubber;
  readonly #onReleased: () => void;
  #timer: NodeJS.Timeout | null = null;
  #since = 0;

  constructor(scrubber: Scrubber, onReleased: () => void) {
    this.#scrubber = scrubber;
    this.#onReleased = onReleased;
  }

  /** To be called when everything that came is written. */
  begin(): void {
    if (this.#timer !== null || !this.#scrubber.holds || this.#scrubber.heldBytes > RELEASED_BYTES) return;
    this.#since = this.#scrubber.position;
    this.#timer = setTimeout(() => this.#expire(), SILENCE_MS);
  }

  stop(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
  }

  #expire(): void {
    this.#timer = null;
    // Something came meanwhile: what is held now has waited for less.
    if (this.#scrubber.position !== this.#since) {
      this.begin();
      return;
    }
    this.#scrubber.release();
    this.#onReleased();
  }
}
