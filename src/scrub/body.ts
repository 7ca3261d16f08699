/**
 * The body of one answer on its way to the agent, in the way that its coding asks for: plain bytes are masked in place; coded
 * ones are decoded and go on plain, or, when the agent did not ask for the coding, go on as they came once they are read.
 * SECURITY: no byte leaves here that was not searched.
 */
import { type Coding, Decoder, decodeWhole } from './decoder.ts';
import type { NeedleSet } from './needle-set.ts';
import { Patience } from './patience.ts';
import { Scrubber } from './scrubber.ts';

export interface BodyEvents {
  /** Clean bytes for the agent. `shared`: overwritten after the call. Answers false to pause. */
  onClean(slice: Buffer, shared: boolean): boolean;
  /** Nothing more comes for now. */
  onCleanFlush(): void;
  /** More may be written. */
  onDrain(): void;
  /** Everything has gone to `onClean`. */
  onEnd(): void;
  /** The answer must not go on, for this reason. */
  onRefused(reason: string): void;
}

export interface ScrubbedBody {
  /** Needles found so far. */
  readonly count: number;
  write(slice: Buffer, shared: boolean): boolean;
  /** The sender's current read is over. */
  flush(): void;
  /** The sender is done; `onEnd` follows, at once or later. */
  end(): void;
  /** The agent takes more again. Answers true when the sender may go on too. */
  resume(): boolean;
  destroy(): void;
}

/** An answer without a coding: no copy, no wait. */
export class PlainBody implements ScrubbedBody {
  readonly #scrubber: Scrubber;
  readonly #patience: Patience;
  readonly #events: BodyEvents;

  constructor(needles: NeedleSet, events: BodyEvents) {
    this.#scrubber = new Scrubber(needles, (slice, shared) => events.onClean(slice, shared));
    this.#patience = new Patience(this.#scrubber, () => events.onCleanFlush());
    this.#events = events;
  }

  get count(): number {
    return this.#scrubber.count;
  }

  write(slice: Buffer, shared: boolean): boolean {
    return this.#scrubber.write(slice, shared);
  }

  flush(): void {
    this.#events.onCleanFlush();
    this.#patience.begin();
  }

  end(): void {
    this.#patience.stop();
    this.#scrubber.end();
    this.#events.onEnd();
  }

  resume(): boolean {
    return true;
  }

  destroy(): void {
    this.#patience.stop();
  }
}

/** Coded bytes that arrive at once, up to this many, are decoded at once … */
const WHOLE_BYTES = 64 * 1024;
/** … when they become no more than this. */
const WHOLE_PLAIN_BYTES = 1024 * 1024;

/** A coded answer that goes on plain. */
export class DecodedBody implements ScrubbedBody {
  readonly #coding: Coding;
  readonly #scrubber: Scrubber;
  readonly #patience: Patience;
  readonly #events: BodyEvents;
  readonly #decoder: Decoder;
  /** What came since the head, as long as no read has ended: a small answer often comes whole. */
  #early: Buffer[] | null = [];
  #earlyBytes = 0;

  constructor(coding: Coding, needles: NeedleSet, events: BodyEvents) {
    this.#coding = coding;
    this.#scrubber = new Scrubber(needles, (slice, shared) => events.onClean(slice, shared));
    this.#patience = new Patience(this.#scrubber, () => events.onCleanFlush());
    this.#events = events;
    this.#decoder = new Decoder(coding, {
      onPlain: (bytes) => {
        const writable = this.#scrubber.write(bytes, false);
        events.onCleanFlush();
        this.#patience.begin();
        return writable;
      },
      onSettled: () => {},
      onDrain: () => events.onDrain(),
      onEnd: () => this.#finish(),
      onBroken: () => events.onRefused(`its ${coding} coding is broken`),
    });
  }

  get count(): number {
    return this.#scrubber.count;
  }

  write(slice: Buffer, shared: boolean): boolean {
    const bytes = shared ? Buffer.from(slice) : slice;
    if (this.#early === null) return this.#decoder.write(bytes);
    this.#early.push(bytes);
    this.#earlyBytes += bytes.length;
    return this.#earlyBytes <= WHOLE_BYTES || this.#goOn();
  }

  flush(): void {
    if (this.#early !== null && this.#earlyBytes > 0) this.#goOn();
    // The head waits in the same place, and the origin may take its time with the first byte.
    else this.#events.onCleanFlush();
  }

  end(): void {
    const early = this.#early;
    if (early === null || this.#earlyBytes === 0) {
      this.#decoder.end();
      return;
    }
    let plain: Buffer | null;
    try {
      plain = decodeWhole(this.#coding, early.length === 1 ? (early[0] as Buffer) : Buffer.concat(early), WHOLE_PLAIN_BYTES);
    } catch {
      this.#events.onRefused(`its ${this.#coding} coding is broken`);
      return;
    }
    if (plain === null) {
      this.#goOn();
      this.#decoder.end();
      return;
    }
    this.#early = null;
    this.#scrubber.write(plain, false);
    this.#finish();
  }

  resume(): boolean {
    return this.#decoder.resume();
  }

  destroy(): void {
    this.#patience.stop();
    this.#early = null;
    this.#decoder.destroy();
  }

  /** From here on as a stream. */
  #goOn(): boolean {
    const early = this.#early ?? [];
    this.#early = null;
    let writable = true;
    for (const bytes of early) writable = this.#decoder.write(bytes);
    return writable;
  }

  #finish(): void {
    this.#patience.stop();
    this.#scrubber.end();
    this.#events.onEnd();
  }
}

/**
 * A coded answer to an agent that did not ask for the coding, such as an archive that is stored with one: its bytes must not
 * change, for their checksum is known. They are read, and held until they are; with a needle in them they don't go on.
 */
export class VerbatimBody implements ScrubbedBody {
  readonly #events: BodyEvents;
  /** Of the bytes as they are: behind the end of the coding anything may stand. */
  readonly #raw: Scrubber;
  readonly #plain: Scrubber;
  readonly #decoder: Decoder;
  #waiting: Buffer[] = [];
  #refused = false;
  #full = false;

  constructor(coding: Coding, needles: NeedleSet, events: BodyEvents) {
    this.#events = events;
    this.#decoder = new Decoder(coding, {
      onPlain: (bytes) => {
        this.#plain.write(bytes, false);
        return this.#check();
      },
      onSettled: () => this.#release(),
      onDrain: () => this.#full || events.onDrain(),
      onEnd: () => {
        this.#plain.end();
        if (this.#check()) this.#release();
        if (!this.#refused) events.onEnd();
      },
      onBroken: () => events.onRefused(`its ${coding} coding is broken`),
    });
    this.#plain = new Scrubber(needles, () => true);
    this.#raw = new Scrubber(needles, (slice, shared) => {
      const bytes = shared ? Buffer.from(slice) : slice;
      this.#waiting.push(bytes);
      return this.#decoder.write(bytes);
    });
  }

  get count(): number {
    return this.#raw.count + this.#plain.count;
  }

  write(slice: Buffer, shared: boolean): boolean {
    const writable = this.#raw.write(slice, shared);
    return this.#check() && writable && !this.#full;
  }

  flush(): void {
    if (this.#waiting.length === 0) this.#events.onCleanFlush();
  }

  end(): void {
    this.#raw.end();
    if (this.#check()) this.#decoder.end();
  }

  resume(): boolean {
    this.#full = false;
    return this.#decoder.resume();
  }

  destroy(): void {
    this.#refused = true;
    this.#waiting = [];
    this.#decoder.destroy();
  }

  /** SECURITY: compressed bytes can't be masked: an answer with a needle in it ends here. */
  #check(): boolean {
    if (this.#refused || this.count === 0) return !this.#refused;
    this.destroy();
    this.#events.onRefused('it repeats the credential within a coding that the client did not ask for');
    return false;
  }

  #release(): void {
    if (this.#refused || this.#plain.holds || this.#waiting.length === 0) return;
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const bytes of waiting) this.#full = !this.#events.onClean(bytes, false);
    this.#events.onCleanFlush();
  }
}
