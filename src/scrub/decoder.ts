/**
 * Content codings of an answer, read as a stream: gzip, deflate and br in, plain bytes out, with backpressure on both sides,
 * so that a small answer that becomes a large one never waits in memory. Anything else is not readable here.
 */
import {
  type BrotliDecompress,
  brotliDecompressSync,
  createBrotliDecompress,
  createGunzip,
  createInflate,
  createInflateRaw,
  type Gunzip,
  gunzipSync,
  type Inflate,
  type InflateRaw,
  inflateRawSync,
  inflateSync,
} from 'node:zlib';

export type Coding = 'gzip' | 'deflate' | 'br';

const CODINGS: Readonly<Record<string, Coding | 'identity'>> = {
  gzip: 'gzip',
  'x-gzip': 'gzip',
  deflate: 'deflate',
  br: 'br',
  // What servers write there by mistake for "none".
  identity: 'identity',
  none: 'identity',
  'utf-8': 'identity',
};

/** What `Content-Encoding` says: null for codings that can't be read, several of them included. */
export function codingOf(value: string): Coding | 'identity' | null {
  const name = value.trim().toLowerCase();
  if (name === '') return 'identity';
  return Object.hasOwn(CODINGS, name) ? (CODINGS[name] as Coding | 'identity') : null;
}

const READABLE = /^(?:gzip|x-gzip|deflate|br|identity)$/i;

/** `Accept-Encoding` with nothing in it that can't be read; `*` would invite anything. */
export function readableCodings(value: string): string {
  const members = value.split(',').map((member) => member.trim());
  const kept = members.filter((member) => READABLE.test((member.split(';')[0] as string).trim()));
  if (kept.length === members.length) return value;
  return kept.length === 0 ? 'identity' : kept.join(', ');
}

/** True when `Accept-Encoding` asks for the coding: its sender reads a plain answer as well. */
export function asksFor(value: string | null, coding: Coding): boolean {
  if (value === null) return false;
  return value.split(',').some((member) => {
    const [name = '', ...parameters] = member.split(';').map((part) => part.trim().toLowerCase());
    return (name === '*' || name === coding || name === `x-${coding}`) && !parameters.some((each) => /^q=0(?:\.0*)?$/.test(each));
  });
}

/** RFC 1950 says zlib, and some servers send the bare stream of RFC 1951. */
const isZlib = (first: number): boolean => (first & 0x0f) === 8;

/**
 * A whole body at once; null when it is longer than `maxBytes` as plain bytes. Costs a fifth of what a stream does.
 * @throws Error when the bytes are not of this coding
 */
export function decodeWhole(coding: Coding, bytes: Buffer, maxBytes: number): Buffer | null {
  const options = { maxOutputLength: maxBytes };
  try {
    if (coding === 'gzip') return gunzipSync(bytes, options);
    if (coding === 'br') return brotliDecompressSync(bytes, options);
    return isZlib(bytes[0] as number) ? inflateSync(bytes, options) : inflateRawSync(bytes, options);
  } catch (thrown) {
    if ((thrown as NodeJS.ErrnoException).code === 'ERR_BUFFER_TOO_LARGE') return null;
    throw thrown;
  }
}

export interface DecoderEvents {
  /** Answers false to pause. */
  onPlain(bytes: Buffer): boolean;
  /** Everything that was written is decoded, as far as it can be. */
  onSettled(): void;
  /** More may be written. */
  onDrain(): void;
  onEnd(): void;
  /** The bytes are not of this coding, or end too early. */
  onBroken(): void;
}

type Stream = Gunzip | Inflate | InflateRaw | BrotliDecompress;

const CHUNK_BYTES = 32 * 1024;

function streamOf(coding: Coding, first: number): Stream {
  const options = { chunkSize: CHUNK_BYTES };
  if (coding === 'gzip') return createGunzip(options);
  if (coding === 'br') return createBrotliDecompress(options);
  return isZlib(first) ? createInflate(options) : createInflateRaw(options);
}

/** One answer's decoder. Nothing is told after `destroy`. */
export class Decoder {
  readonly #coding: Coding;
  readonly #events: DecoderEvents;
  #stream: Stream | null = null;
  /** The coded stream is over; what comes behind it is no part of the answer. */
  #over = false;
  #ending = false;
  #gone = false;

  constructor(coding: Coding, events: DecoderEvents) {
    this.#coding = coding;
    this.#events = events;
  }

  /** Keeps the bytes: they must not be overwritten. Answers false when the sender should pause. */
  write(bytes: Buffer): boolean {
    if (this.#gone || this.#over || bytes.length === 0) return true;
    this.#stream ??= this.#open(bytes[0] as number);
    return this.#stream.write(bytes, () => this.#settle());
  }

  end(): void {
    this.#ending = true;
    if (this.#gone) return;
    // An empty body is no body, whatever its coding is said to be.
    if (this.#stream === null || this.#over) this.#events.onEnd();
    else this.#stream.end();
  }

  /** The plain bytes are wanted again. Answers true when more may be written too. */
  resume(): boolean {
    this.#stream?.resume();
    return this.#stream?.writableNeedDrain !== true;
  }

  destroy(): void {
    this.#gone = true;
    this.#stream?.destroy();
  }

  #open(first: number): Stream {
    const stream = streamOf(this.#coding, first);
    stream.on('data', (bytes: Buffer) => {
      if (this.#gone) return;
      if (!this.#events.onPlain(bytes)) stream.pause();
      else this.#settle();
    });
    stream.on('drain', () => this.#gone || this.#events.onDrain());
    stream.on('end', () => {
      if (this.#gone) return;
      this.#over = true;
      this.#events.onSettled();
      if (this.#ending) this.#events.onEnd();
      // Bytes behind the end are never asked for again by the stream.
      else this.#events.onDrain();
    });
    stream.on('error', () => {
      if (this.#gone) return;
      this.#gone = true;
      this.#events.onBroken();
    });
    return stream;
  }

  #settle(): void {
    const stream = this.#stream;
    if (!this.#gone && stream !== null && stream.readableLength === 0 && stream.writableLength === 0) this.#events.onSettled();
  }
}
