/**
 * A client of one kept-alive connection that knows just enough HTTP/1.1 to see where an answer ends. It takes the length of
 * the last answer for a guess, so that a small answer in one piece costs almost nothing.
 */
import type { TLSSocket } from 'node:tls';
import { type ConnectionOptions, openConnection } from './connection.ts';

export interface Answer {
  readonly bytes: number;
  /** Body text, when it was asked for. */
  readonly text: string;
}

type Done = (error: Error | null, answer: Answer) => void;

const NOTHING: Answer = { bytes: 0, text: '' };
const PIECE = Buffer.alloc(256 * 1024, 'x');
const END = Buffer.from('\r\n\r\n');

export class Client {
  #socket!: TLSSocket;
  #done: Done | null = null;
  #head: Buffer | null = null;
  /** Body bytes to come, -1 for a chunked body, -2 before the head is read. */
  #left = -2;
  #body = 0;
  #tail = '';
  #lastTotal = -1;
  #lastBody = 0;
  #text = '';
  #keep = false;

  static async open(options: Omit<ConnectionOptions, 'alpn' | 'onBytes'>): Promise<Client> {
    const client = new Client();
    client.#socket = await openConnection({ ...options, alpn: 'http/1.1', onBytes: (bytes) => client.#take(bytes) });
    client.#socket.once('close', () => client.#finish(new Error('closed before the answer ended')));
    return client;
  }

  /** Sends one request and calls `done` once. */
  send(request: Buffer, done: Done, options: { bodyBytes?: number; keep?: boolean } = {}): void {
    this.#done = done;
    this.#keep = options.keep === true;
    this.#text = '';
    this.#socket.write(request);
    if (options.bodyBytes !== undefined) this.#sendBody(options.bodyBytes);
  }

  close(): void {
    this.#done = null;
    this.#socket.end();
    this.#socket.destroySoon();
  }

  #sendBody(left: number): void {
    let rest = left;
    const more = (): void => {
      while (rest > 0) {
        const piece = rest >= PIECE.length ? PIECE : PIECE.subarray(0, rest);
        rest -= piece.length;
        if (!this.#socket.write(piece)) {
          if (rest > 0) this.#socket.once('drain', more);
          return;
        }
      }
    };
    more();
  }

  #take(bytes: Buffer): void {
    if (this.#left === -2) {
      // The same kind of answer as the last one, in one piece: `HTTP/1.1 2`.
      if (this.#head === null && bytes.length === this.#lastTotal && bytes[9] === 0x32 && !this.#keep) {
        this.#body = this.#lastBody;
        this.#finish(null);
        return;
      }
      this.#readHead(bytes);
      return;
    }
    this.#readBody(bytes);
  }

  #readHead(bytes: Buffer): void {
    // Copied: the bytes are in the shared buffer.
    const head = this.#head === null ? Buffer.from(bytes) : Buffer.concat([this.#head, bytes]);
    const end = head.indexOf(END);
    if (end === -1) {
      this.#head = head;
      return;
    }
    this.#head = null;
    const text = head.toString('latin1', 0, end + 2);
    if (!/^HTTP\/1\.1 2\d\d/.test(text)) {
      this.#finish(new Error(`answered ${text.slice(0, 40).split('\r')[0]}`));
      return;
    }
    const length = /\r\ncontent-length: *(\d+)/i.exec(text)?.[1];
    if (length === undefined && !/\r\ntransfer-encoding: *chunked/i.test(text)) {
      this.#finish(new Error('an answer without a length'));
      return;
    }
    this.#left = length === undefined ? -1 : Number(length);
    this.#body = 0;
    const total = length === undefined ? -1 : end + 4 + Number(length);
    this.#lastTotal = total === head.length ? total : -1;
    this.#lastBody = Number(length ?? 0);
    this.#readBody(head.subarray(end + 4));
  }

  #readBody(bytes: Buffer): void {
    this.#body += bytes.length;
    if (this.#keep) this.#text += bytes.toString('latin1');
    if (this.#left >= 0) {
      this.#left -= bytes.length;
      if (this.#left <= 0) this.#finish(null);
      return;
    }
    // No body of the origin ends in these bytes.
    this.#tail = (this.#tail + bytes.subarray(-5).toString('latin1')).slice(-5);
    if (this.#tail === '0\r\n\r\n') this.#finish(null);
  }

  #finish(error: Error | null): void {
    const done = this.#done;
    this.#done = null;
    this.#left = -2;
    this.#tail = '';
    if (error !== null) this.#socket.destroy();
    done?.(error, error === null ? { bytes: this.#body, text: this.#text } : NOTHING);
  }
}
