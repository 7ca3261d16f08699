/**
 * One kept-alive connection to a vault that knows just enough HTTP/1.1 to see where an answer ends, so that the load costs as little
 * as it can beside what is measured.
 */
import type { SecureContext, TLSSocket } from 'node:tls';
import { openConnection } from '../load/connection.ts';
import { VAULT_NAME } from '../names.ts';

const END = Buffer.from('\r\n\r\n');

type Done = (error: Error | null) => void;

export class SignedConnection {
  #socket!: TLSSocket;
  #done: Done | null = null;
  #held: Buffer | null = null;
  /** Bytes that the answer has in all; -1 before its head is read. */
  #total = -1;
  #status = 0;

  static async open(port: number, context: SecureContext): Promise<SignedConnection> {
    const connection = new SignedConnection();
    connection.#socket = await openConnection({
      via: { mode: 'front', port, authorization: null },
      ...{ host: VAULT_NAME, originPort: port, context, alpn: 'http/1.1' },
      onBytes: (bytes) => connection.#take(bytes),
    });
    connection.#socket.once('close', () => connection.#finish(new Error('closed before the answer ended')));
    return connection;
  }

  send(call: Buffer, done: Done): void {
    this.#done = done;
    this.#socket.write(call);
  }

  close(): void {
    this.#done = null;
    this.#socket.destroy();
  }

  #take(bytes: Buffer): void {
    // Copied: the bytes are in a shared buffer.
    const all = this.#held === null ? Buffer.from(bytes) : Buffer.concat([this.#held, bytes]);
    this.#held = all;
    if (this.#total < 0) {
      const end = all.indexOf(END);
      if (end < 0) return;
      const head = all.toString('latin1', 0, end + 2);
      this.#status = Number(head.slice(9, 12));
      this.#total = end + 4 + Number(/\r\ncontent-length: *(\d+)/i.exec(head)?.[1] ?? 0);
    }
    if (all.length < this.#total) return;
    this.#finish(this.#status < 400 ? null : new Error(all.toString('latin1').slice(9, 400)));
  }

  #finish(error: Error | null): void {
    const done = this.#done;
    this.#done = null;
    this.#held = null;
    this.#total = -1;
    done?.(error);
  }
}
