/**
 * The write side of one socket: collects the small pieces of a message (head, chunk sizes, small bodies) into one write,
 * and hands on large slices without a copy where that is safe. Must never keep a shared slice beyond the call.
 */
import type { Socket } from 'node:net';
import { TLSSocket } from 'node:tls';

/** Slices up to this many bytes join the text that waits; larger ones are written as they are. */
const JOIN_BYTES = 4096;
/** More than this waiting in the socket asks the sender to pause. */
const HIGH_WATER_BYTES = 256 * 1024;

/** One for all sockets: its bytes are encrypted before the write returns. */
const SCRATCH = Buffer.allocUnsafeSlow(16 * 1024);

/** What comes while a write is under way is collected: most answers are short, and no sender sends much more before it is asked to pause. */
const SMALL = { bytes: 64 * 1024, spare: [] as Buffer[], most: 32 };
const LARGE = { bytes: HIGH_WATER_BYTES + 16 * 1024, spare: [] as Buffer[], most: 8 };

const bufferOf = ({ bytes, spare }: typeof SMALL): Buffer => spare.pop() ?? Buffer.allocUnsafeSlow(bytes);

/** For the next one that wants such a buffer. */
function giveBack(buffer: Buffer): void {
  const { spare, most } = buffer.length === SMALL.bytes ? SMALL : LARGE;
  if (spare.length < most) spare.push(buffer);
}

export class Outlet {
  readonly socket: Socket;
  #text = '';
  /** TLSSocket encrypts in the call when nothing waits, so that the caller's buffer may be reused; a plain socket may not. */
  readonly #consumesAtOnce: boolean;
  /** What came while a write was under way. Node would queue the pieces, and copy them together before it encrypts them. */
  #gathered: Buffer | null = null;
  #used = 0;
  readonly #onTurn = (): void => this.#writeGathered();

  constructor(socket: Socket) {
    this.socket = socket;
    this.#consumesAtOnce = socket instanceof TLSSocket;
  }

  /** Adds latin1 text. */
  text(text: string): void {
    this.#text += text;
  }

  /** Adds body bytes. Answers false when the sender should pause. */
  bytes(slice: Buffer, shared: boolean): boolean {
    if (slice.length <= JOIN_BYTES) {
      this.#text += slice.toString('latin1');
      if (this.#text.length > 8 * JOIN_BYTES) this.flush();
      return this.writable;
    }
    this.flush();
    if (this.#isBusy && slice.length <= SMALL.bytes) {
      const at = this.#roomFor(slice.length);
      slice.copy(this.#gathered as Buffer, at);
    } else {
      this.#writeGathered();
      const mustCopy = shared && !(this.#consumesAtOnce && this.socket.writableLength === 0);
      this.socket.write(mustCopy ? Buffer.from(slice) : slice);
    }
    return this.writable;
  }

  /** Writes what waits, at the latest when the write that is under way is over. */
  flush(): void {
    const text = this.#text;
    if (text === '') return;
    this.#text = '';
    const { socket } = this;
    if (this.#isBusy && text.length <= SMALL.bytes) {
      const at = this.#roomFor(text.length);
      (this.#gathered as Buffer).write(text, at, 'latin1');
      return;
    }
    this.#writeGathered();
    // A string would be copied to the heap by Node first; this saves the allocation on nearly every small write.
    if (this.#consumesAtOnce && socket.writableLength === 0 && text.length <= SCRATCH.length) {
      socket.write(SCRATCH.subarray(0, SCRATCH.write(text, 0, 'latin1')));
    } else socket.write(text, 'latin1');
  }

  /** The same, with all of it in the socket when this returns: before the socket is ended, or written to by somebody else. */
  settle(): void {
    this.flush();
    this.#writeGathered();
  }

  get writable(): boolean {
    return this.socket.writableLength + this.#used < HIGH_WATER_BYTES;
  }

  get #isBusy(): boolean {
    return this.#consumesAtOnce && (this.#used > 0 || this.socket.writableLength > 0);
  }

  /** Where as much as this, at most a small buffer full, may be put into `#gathered`. */
  #roomFor(bytes: number): number {
    let buffer = this.#gathered;
    if (buffer !== null && this.#used + bytes > buffer.length) {
      if (buffer.length === SMALL.bytes) {
        const larger = bufferOf(LARGE);
        buffer.copy(larger, 0, 0, this.#used);
        giveBack(buffer);
        this.#gathered = larger;
      } else this.#writeGathered();
      buffer = this.#gathered;
    }
    if (buffer === null) this.#gathered = bufferOf(SMALL);
    // Node tells that a write is over in this turn's immediates, before ours.
    if (this.#used === 0) setImmediate(this.#onTurn);
    const at = this.#used;
    this.#used = at + bytes;
    return at;
  }

  #writeGathered(): void {
    const buffer = this.#gathered;
    if (buffer === null) return;
    const bytes = buffer.subarray(0, this.#used);
    this.#gathered = null;
    this.#used = 0;
    // SECURITY: what waits in the socket's queue keeps the buffer: given to another one, it would go out with somebody else's bytes. What is
    // encrypted at once leaves it.
    const isFree = this.socket.writableLength === 0;
    this.socket.write(bytes);
    if (isFree) giveBack(buffer);
  }
}
