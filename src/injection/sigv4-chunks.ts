/**
 * The body of a chunk-signed upload (aws-chunked), signed again chunk by chunk as it passes. The client's chunks keep their sizes, so
 * the length of the body stays what the head says. Holds at most one chunk: its signature stands in front of its data.
 */
import { AlterError } from '../domain/errors.ts';
import type { BodyRewriter } from './signer.ts';
import { EMPTY_SHA256, sha256Hex } from './sigv4-key.ts';

/** SDKs send 64 KiB to 1 MiB. A chunk is held in memory, so a client must not choose its size freely. */
export const MAX_CHUNK_BYTES = 4 * 1024 * 1024;
const MAX_LINE_BYTES = 256;
const MAX_TRAILER_BYTES = 8 * 1024;

const malformed = (reason: string): AlterError =>
  new AlterError('malformed_request', { reason: `its aws-chunked body can't be signed again: ${reason}` });

/** `kind` is PAYLOAD or TRAILER, `hashes` the last lines of the string to sign. */
export type SignChunk = (kind: 'PAYLOAD' | 'TRAILER', hashes: string, previous: string) => string;

export class ChunkSigner implements BodyRewriter {
  readonly #sign: SignChunk;
  readonly #hasTrailer: boolean;
  #previous: string;
  #state: 'line' | 'data' | 'trailer' | 'over' = 'line';
  #line = '';
  #size = 0;
  /** The hex size as the client wrote it. */
  #sizeText = '';
  #held: Buffer[] = [];
  #heldBytes = 0;

  /** @param seed the signature of the head */
  constructor(seed: string, sign: SignChunk, hasTrailer: boolean) {
    this.#previous = seed;
    this.#sign = sign;
    this.#hasTrailer = hasTrailer;
  }

  push(slice: Buffer): Buffer[] {
    const out: Buffer[] = [];
    let pos = 0;
    while (pos < slice.length) {
      if (this.#state === 'line') pos = this.#readLine(slice, pos, out);
      else if (this.#state === 'data') pos = this.#readData(slice, pos, out);
      else if (this.#state === 'trailer') pos = this.#readTrailer(slice, pos, out);
      else throw malformed('there are bytes behind its end');
    }
    return out;
  }

  end(): void {
    if (this.#state !== 'over') throw malformed('it ends within a chunk');
  }

  /** `SIZE;chunk-signature=HEX` */
  #readLine(slice: Buffer, from: number, out: Buffer[]): number {
    const end = slice.indexOf(0x0a, from);
    const stop = end === -1 ? slice.length : end + 1;
    this.#line += slice.toString('latin1', from, stop);
    if (this.#line.length > MAX_LINE_BYTES) throw malformed('the head of a chunk is too long');
    if (end === -1) return stop;
    const match = /^([0-9a-f]{1,8});chunk-signature=[0-9a-f]{64}\r\n$/i.exec(this.#line);
    if (match === null) throw malformed('the head of a chunk is not a size with a signature');
    this.#line = '';
    this.#sizeText = match[1] as string;
    this.#size = Number.parseInt(this.#sizeText, 16);
    if (this.#size > MAX_CHUNK_BYTES) throw malformed(`a chunk is larger than ${MAX_CHUNK_BYTES} bytes`);
    if (this.#size === 0 && this.#hasTrailer) {
      out.push(this.#headOf(EMPTY_SHA256));
      this.#state = 'trailer';
    } else this.#state = 'data';
    return stop;
  }

  #headOf(hash: string): Buffer {
    this.#previous = this.#sign('PAYLOAD', `${EMPTY_SHA256}\n${hash}`, this.#previous);
    return Buffer.from(`${this.#sizeText};chunk-signature=${this.#previous}\r\n`, 'latin1');
  }

  /** The data and the line break behind it. */
  #readData(slice: Buffer, from: number, out: Buffer[]): number {
    const wanted = this.#size + 2 - this.#heldBytes;
    const piece = Buffer.from(slice.subarray(from, from + wanted));
    this.#held.push(piece);
    this.#heldBytes += piece.length;
    if (piece.length < wanted) return from + piece.length;
    const data = this.#held.length === 1 ? piece : Buffer.concat(this.#held);
    this.#held = [];
    this.#heldBytes = 0;
    if (data[this.#size] !== 0x0d || data[this.#size + 1] !== 0x0a) throw malformed('a chunk is longer than it says');
    out.push(this.#headOf(sha256Hex(data.subarray(0, this.#size))), data);
    this.#state = this.#size === 0 ? 'over' : 'line';
    return from + piece.length;
  }

  /** Fields, the client's signature over them, an empty line. */
  #readTrailer(slice: Buffer, from: number, out: Buffer[]): number {
    this.#line += slice.toString('latin1', from);
    if (this.#line.length > MAX_TRAILER_BYTES) throw malformed('its trailer is too long');
    if (!this.#line.endsWith('\r\n\r\n')) return slice.length;
    const fields = this.#line
      .slice(0, -4)
      .split('\r\n')
      .filter((line) => !/^x-amz-trailer-signature:/i.test(line));
    if (fields.some((line) => !/^[!#$%&'*+.^_`|~0-9A-Za-z-]+:[\x20-\x7e]*$/.test(line)))
      throw malformed('its trailer is not a list of fields');
    const canonical = fields.map((line) => {
      const colon = line.indexOf(':');
      return `${line.slice(0, colon).toLowerCase()}:${line.slice(colon + 1).trim()}\n`;
    });
    this.#previous = this.#sign('TRAILER', sha256Hex(canonical.sort().join('')), this.#previous);
    const text = `${fields.map((line) => `${line}\r\n`).join('')}x-amz-trailer-signature:${this.#previous}\r\n\r\n`;
    if (text.length !== this.#line.length) throw malformed('its trailer has no signature of its own');
    out.push(Buffer.from(text, 'latin1'));
    this.#state = 'over';
    return slice.length;
  }
}
