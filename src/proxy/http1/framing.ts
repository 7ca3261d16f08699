/**
 * Where a message ends (RFC 9112 6): the framing that a head announces, and readers that follow it through the bytes.
 * A reader hands on slices of what it is fed and never copies or keeps body bytes.
 */

import { HeaderKind } from '../header-kinds.ts';
import { type AnyFields, HeadError, parseTrailers } from './head.ts';

export type Framing =
  | { readonly kind: 'none' }
  | { readonly kind: 'length'; readonly length: number }
  | { readonly kind: 'chunked' }
  /** Responses only: the body ends with the socket. */
  | { readonly kind: 'close' };

export const NO_BODY: Framing = { kind: 'none' };

/**
 * Content-Length of a head: null when absent. Equal repetitions are refused too: we re-frame, but a sender that repeats itself is not trusted.
 * @throws HeadError
 */
function contentLength(fields: AnyFields): number | null {
  if ((fields.present & (1 << HeaderKind.contentLength)) === 0) return null;
  let length: number | null = null;
  for (let i = 0; i < fields.kinds.length; i++) {
    if (fields.kinds[i] !== HeaderKind.contentLength) continue;
    const text = fields.headers[2 * i + 1] as string;
    // SECURITY: only plain digits. `+5`, `5, 5` and 2^53 overflows are read differently elsewhere (S-33).
    if (text.length === 0 || text.length > 15) throw new HeadError('Content-Length is not a number');
    let n = 0;
    for (let j = 0; j < text.length; j++) {
      const d = text.charCodeAt(j) - 48;
      if (!(d >= 0 && d <= 9)) throw new HeadError('Content-Length is not a number');
      n = n * 10 + d;
    }
    if (length !== null) throw new HeadError('more than one Content-Length');
    length = n;
  }
  return length;
}

/** True when Transfer-Encoding is there, and then it is exactly one `chunked`. @throws HeadError */
function isChunked(fields: AnyFields, minor: 0 | 1): boolean {
  if ((fields.present & (1 << HeaderKind.transferEncoding)) === 0) return false;
  let chunked = false;
  for (let i = 0; i < fields.kinds.length; i++) {
    if (fields.kinds[i] !== HeaderKind.transferEncoding) continue;
    // SECURITY: `identity, chunked`, `xchunked`, an empty value or two fields are the classic smuggling vectors (S-33).
    if (chunked || (fields.headers[2 * i + 1] as string).toLowerCase() !== 'chunked')
      throw new HeadError('Transfer-Encoding is not exactly "chunked"');
    if (minor === 0) throw new HeadError('Transfer-Encoding in an HTTP/1.0 message');
    chunked = true;
  }
  return chunked;
}

/** Framing of a request. @throws HeadError */
export function requestFraming(fields: AnyFields, minor: 0 | 1): Framing {
  const length = contentLength(fields);
  const chunked = isChunked(fields, minor);
  // SECURITY: both at once is the request-smuggling primitive (RFC 9112 6.3 allows to refuse).
  if (chunked && length !== null) throw new HeadError('both Content-Length and Transfer-Encoding');
  if (chunked) return { kind: 'chunked' };
  return length === null || length === 0 ? NO_BODY : { kind: 'length', length };
}

/** Framing of a response to `method`. @throws HeadError */
export function responseFraming(fields: AnyFields, minor: 0 | 1, status: number, method: string): Framing {
  const length = contentLength(fields);
  const chunked = isChunked(fields, minor);
  if (chunked && length !== null) throw new HeadError('both Content-Length and Transfer-Encoding');
  if (method === 'HEAD' || status === 204 || status === 304 || status < 200) return NO_BODY;
  if (chunked) return { kind: 'chunked' };
  if (length !== null) return length === 0 ? NO_BODY : { kind: 'length', length };
  return { kind: 'close' };
}

/** What a reader tells while it is fed. */
export interface BodyEvents {
  onBody(slice: Buffer): void;
  /** The message is complete; `trailers` is a flat list. */
  onBodyEnd(trailers: string[]): void;
}

/** Follows one body. `feed` answers how many bytes from `offset` belonged to it. */
export interface BodyReader {
  /** @throws HeadError */
  feed(chunk: Buffer, offset: number, events: BodyEvents): number;
  /** Body bytes that are still to come; null when unknown. */
  readonly remaining: number | null;
  /** The end of the socket is the end of the body. */
  readonly endsWithSocket: boolean;
}

const NO_TRAILERS: string[] = [];

class LengthReader implements BodyReader {
  readonly endsWithSocket = false;
  remaining: number;
  constructor(length: number) {
    this.remaining = length;
  }
  feed(chunk: Buffer, offset: number, events: BodyEvents): number {
    const take = Math.min(this.remaining, chunk.length - offset);
    this.remaining -= take;
    if (take > 0) events.onBody(offset === 0 && take === chunk.length ? chunk : chunk.subarray(offset, offset + take));
    if (this.remaining === 0) events.onBodyEnd(NO_TRAILERS);
    return take;
  }
}

class CloseReader implements BodyReader {
  readonly endsWithSocket = true;
  readonly remaining = null;
  feed(chunk: Buffer, offset: number, events: BodyEvents): number {
    events.onBody(offset === 0 ? chunk : chunk.subarray(offset));
    return chunk.length - offset;
  }
}

/** Longest chunk-size line incl. extensions, and longest trailer section, in bytes (S-37). */
const MAX_CHUNK_LINE_BYTES = 256;
const MAX_TRAILER_BYTES = 8192;

/** RFC 9112 7.1.1, without optional white space. They are read over and dropped: nobody uses them but smugglers. */
const EXTENSIONS =
  /^(?:;[!#$%&'*+.^_`|~\w-]+(?:=(?:[!#$%&'*+.^_`|~\w-]+|"(?:[\t\x20!#-[\]-~\x80-\xff]|\\[\t\x20-~\x80-\xff])*"))?)*$/;

const ChunkState = { size: 0, data: 1, dataEnd: 2, trailers: 3, done: 4 } as const;
type ChunkState = (typeof ChunkState)[keyof typeof ChunkState];

function hexDigit(c: number): number {
  if (c >= 48 && c <= 57) return c - 48;
  const l = c | 32;
  return l >= 97 && l <= 102 ? l - 87 : -1;
}

class ChunkedReader implements BodyReader {
  readonly endsWithSocket = false;
  readonly remaining = null;
  #state: ChunkState = ChunkState.size;
  #left = 0;
  /** Bytes of an unfinished line (chunk size, CRLF behind data, trailers). Small by the limits above. */
  #line: Buffer = Buffer.alloc(0);
  readonly #maxHeaders: number;

  constructor(maxHeaders: number) {
    this.#maxHeaders = maxHeaders;
  }

  feed(chunk: Buffer, offset: number, events: BodyEvents): number {
    let pos = offset;
    while (pos < chunk.length && this.#state !== ChunkState.done) {
      if (this.#state === ChunkState.data) {
        const take = Math.min(this.#left, chunk.length - pos);
        this.#left -= take;
        if (this.#left === 0) this.#state = ChunkState.dataEnd;
        const from = pos;
        pos += take;
        events.onBody(chunk.subarray(from, pos));
      } else if (this.#state === ChunkState.trailers) {
        pos = this.#feedTrailers(chunk, pos, events);
      } else {
        pos = this.#feedLine(chunk, pos);
      }
    }
    return pos - offset;
  }

  /** Collects one CRLF-terminated line (a chunk size, or the empty line behind a chunk's data). */
  #feedLine(chunk: Buffer, pos: number): number {
    const lf = chunk.indexOf(LF, pos);
    const end = lf === -1 ? chunk.length : lf + 1;
    if (this.#line.length + (end - pos) > MAX_CHUNK_LINE_BYTES) throw new HeadError('a chunk-size line is too long');
    const line = this.#line.length === 0 ? chunk.subarray(pos, end) : Buffer.concat([this.#line, chunk.subarray(pos, end)]);
    if (lf === -1) {
      this.#line = Buffer.from(line);
      return end;
    }
    this.#line = EMPTY;
    // SECURITY: a bare LF as line end is where lenient and strict chunk parsers part (S-34).
    if (line.length < 2 || line[line.length - 2] !== 13) throw new HeadError('a chunk line does not end with CRLF');
    if (this.#state === ChunkState.dataEnd) {
      if (line.length !== 2) throw new HeadError('a chunk is longer than its size');
      this.#state = ChunkState.size;
    } else this.#startChunk(line);
    return end;
  }

  #startChunk(line: Buffer): void {
    let i = 0;
    let size = 0;
    for (let d = hexDigit(line[0] as number); d !== -1; d = hexDigit(line[++i] as number)) {
      if (i >= 12) throw new HeadError('a chunk size is too large');
      size = size * 16 + d;
    }
    if (i === 0) throw new HeadError('a chunk size is not hexadecimal');
    // SECURITY: white space behind the size is skipped by some parsers and ends the message in others (S-33).
    if (i !== line.length - 2 && !EXTENSIONS.test(line.toString('latin1', i, line.length - 2)))
      throw new HeadError('a chunk size is followed by something that is no extension');
    this.#left = size;
    this.#state = size === 0 ? ChunkState.trailers : ChunkState.data;
  }

  #feedTrailers(chunk: Buffer, pos: number, events: BodyEvents): number {
    const before = this.#line.length;
    const bytes = before === 0 ? chunk.subarray(pos) : Buffer.concat([this.#line, chunk.subarray(pos)]);
    let end = -1;
    if (bytes.length >= 2 && bytes[0] === 13 && bytes[1] === LF) end = 2;
    else {
      const at = bytes.indexOf('\r\n\r\n');
      if (at !== -1) end = at + 4;
    }
    if (end === -1) {
      if (bytes.length > MAX_TRAILER_BYTES) throw new HeadError('the trailers are too long', true);
      this.#line = Buffer.from(bytes);
      return chunk.length;
    }
    if (end > MAX_TRAILER_BYTES) throw new HeadError('the trailers are too long', true);
    // Before the reader says that it is through: trailers that are none are no end.
    const trailers = end === 2 ? NO_TRAILERS : parseTrailers(bytes, 0, end, this.#maxHeaders);
    this.#state = ChunkState.done;
    this.#line = EMPTY;
    events.onBodyEnd(trailers);
    return pos + end - before;
  }
}

const LF = 10;
const EMPTY = Buffer.alloc(0);

/** A reader for a framing that has a body. */
export function bodyReader(framing: Framing, maxHeaders: number): BodyReader {
  if (framing.kind === 'length') return new LengthReader(framing.length);
  if (framing.kind === 'chunked') return new ChunkedReader(maxHeaders);
  return new CloseReader();
}
