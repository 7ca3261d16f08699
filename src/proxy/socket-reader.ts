/**
 * Reads an agent's TLS socket into one buffer for all sockets. Node offers this (`onread`) only for sockets that it connects
 * itself; for an accepted TLS socket it means reaching for two of its symbols, and without them the ordinary `data` events
 * serve as well, at the price of an allocation for each read. Whoever takes the bytes is done with them when it returns.
 */
import type { Socket } from 'node:net';

export type TakeBytes = (chunk: Buffer, shared: boolean) => void;

/** Large enough for a full read of the socket, though TLS hands over at most one record (16 KiB) at a time. */
const READ_BUFFER = Buffer.allocUnsafeSlow(64 * 1024);

interface WithHandle {
  readonly _handle?: { useUserBuffer?: (buffer: Uint8Array) => void } | null;
}

export class SocketReader {
  readonly #socket: Socket;
  #take: TakeBytes;
  readonly #shared: boolean;
  readonly #onData = (chunk: Buffer): void => this.#take(chunk, false);

  constructor(socket: Socket, mayShare: boolean, take: TakeBytes) {
    this.#socket = socket;
    this.#take = take;
    this.#shared = mayShare && this.#share();
    if (!this.#shared) socket.on('data', this.#onData);
  }

  /** Hands all later bytes to someone else. */
  redirect(take: TakeBytes): void {
    this.#take = take;
  }

  /** Ends the subscription; only for sockets whose reads are not shared. */
  stop(): void {
    this.#socket.off('data', this.#onData);
  }

  #share(): boolean {
    const socket = this.#socket as Socket & WithHandle & Record<symbol, unknown>;
    const symbols = Object.getOwnPropertySymbols(socket);
    const named = (name: string): symbol | undefined => symbols.find((symbol) => symbol.description === name);
    const buffer = named('kBuffer');
    const callback = named('kBufferCb');
    const handle = socket._handle;
    if (
      buffer === undefined ||
      callback === undefined ||
      named('kBufferGen') === undefined ||
      typeof handle?.useUserBuffer !== 'function'
    )
      return false;
    // Bytes that are in the stream already would never be read.
    if (socket.readableLength > 0) return false;
    socket[buffer] = READ_BUFFER;
    socket[callback] = (bytes: number): boolean => {
      this.#take(READ_BUFFER.subarray(0, bytes), true);
      return !socket.isPaused();
    };
    handle.useUserBuffer(READ_BUFFER);
    return true;
  }
}
