/**
 * Writes lines to a stream socket that never answers. The protocol can't say that a line arrived, so a connection that breaks is
 * told as a loss, and the pump sends again what it had given just before. One that ends in order does not count: the kernel
 * resets a connection whose reader left bytes unread.
 */
import type { Socket } from 'node:net';
import { ReceiverLost } from './sink.ts';

const WRITE_MS = 30_000;
const CLOSED = 'the receiver closed the connection';

export class StreamWriter {
  readonly #open: () => Promise<Socket>;
  onLost: () => void = () => {};
  #socket: Socket | null = null;
  #lost = false;

  constructor(open: () => Promise<Socket>) {
    this.#open = open;
  }

  /** @throws ReceiverLost, or what opening throws */
  async write(text: string): Promise<null> {
    this.check();
    const socket = this.#socket ?? (await this.#connect());
    await new Promise<void>((resolve, reject) => {
      const fail = (): void => {
        clearTimeout(timer);
        socket.off('close', fail);
        socket.destroy();
        this.#socket = null;
        reject(new ReceiverLost(CLOSED));
      };
      const timer = setTimeout(fail, WRITE_MS);
      socket.once('close', fail);
      socket.write(text, 'latin1', (error) => {
        if (error) return;
        clearTimeout(timer);
        socket.off('close', fail);
        resolve();
      });
    });
    return null;
  }

  /** @throws ReceiverLost */
  check(): void {
    if (!this.#lost) return;
    this.#lost = false;
    throw new ReceiverLost(CLOSED);
  }

  close(): void {
    this.#socket?.end();
    this.#socket = null;
  }

  async #connect(): Promise<Socket> {
    const socket = await this.#open();
    socket.setKeepAlive(true, 30_000);
    socket.on('end', () => socket.destroy());
    socket.on('error', () => {
      if (this.#socket !== socket) return;
      this.#lost = true;
      this.onLost();
    });
    socket.on('close', () => {
      if (this.#socket === socket) this.#socket = null;
    });
    // What a receiver says is of no meaning here, but it must be read for its end to be seen.
    socket.resume();
    this.#socket = socket;
    return socket;
  }
}
