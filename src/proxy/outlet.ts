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

export class Outlet {
  readonly socket: Socket;
  #text = '';
  /** TLSSocket encrypts in the call when nothing waits, so that the caller's buffer may be reused; a plain socket may not. */
  readonly #consumesAtOnce: boolean;

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
    const socket = this.socket;
    const mustCopy = shared && !(this.#consumesAtOnce && socket.writableLength === 0);
    socket.write(mustCopy ? Buffer.from(slice) : slice);
    return this.writable;
  }

  /** Writes what waits. */
  flush(): void {
    const text = this.#text;
    if (text === '') return;
    this.#text = '';
    const socket = this.socket;
    // A string would be copied to the heap by Node first; this saves the allocation on nearly every small write.
    if (this.#consumesAtOnce && socket.writableLength === 0 && text.length <= SCRATCH.length) {
      socket.write(SCRATCH.subarray(0, SCRATCH.write(text, 0, 'latin1')));
    } else socket.write(text, 'latin1');
  }

  get writable(): boolean {
    return this.socket.writableLength < HIGH_WATER_BYTES;
  }
}
