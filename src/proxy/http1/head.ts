/**
 * Strict HTTP/1.x heads (RFC 9112): bytes in, a flat list of fields out. Anything doubtful is an error: the agent's
 * request is answered 400 and its socket closed, the origin's answer becomes 502. Nothing is repaired, because a head
 * that two parsers read differently is how requests are smuggled (S-33, S-34).
 */
import { HeaderKind, headerKindAt, headerKindOf } from '../header-kinds.ts';

export interface Fields {
  /** Name, value, name, value …: order, case and duplicates as sent; values without surrounding white space. */
  readonly headers: string[];
  /** HeaderKind of each pair. */
  readonly kinds: HeaderKind[];
  /** Bit `1 << kind` for each kind that is there, so that a head is not searched for what it does not have. */
  readonly present: number;
}

export interface RequestHead extends Fields {
  readonly method: string;
  readonly target: string;
  /** 0 for HTTP/1.0, 1 for HTTP/1.1. */
  readonly minor: 0 | 1;
}

/** Fields of a head, or of a request or answer from any protocol. */
export interface AnyFields {
  readonly headers: readonly string[];
  readonly kinds: readonly HeaderKind[];
  readonly present: number;
}

export interface ResponseHead extends AnyFields {
  readonly status: number;
  readonly reason: string;
  readonly minor: 0 | 1;
  /**
   * The lines (with CRLF) of the fields that `keeps` wants, exactly as they came; null when the head did not come as text.
   * Most answers travel unchanged but for a field or two: this saves taking them apart and putting them together again.
   */
  readonly lines: ((keeps: (index: number) => boolean) => string) | null;
}

/** Why a head was not accepted; `tooLarge` asks for 431 in place of 400. */
export class HeadError extends Error {
  readonly tooLarge: boolean;
  constructor(message: string, tooLarge = false) {
    super(message);
    this.tooLarge = tooLarge;
  }
}

// RFC 9110 5.6.2 tchar, and field-value bytes: VCHAR, obs-text, SP, HTAB.
const TOKEN = new Uint8Array(256);
for (const c of "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ") TOKEN[c.charCodeAt(0)] = 1;
const VALUE = new Uint8Array(256);
for (let c = 0x20; c < 256; c++) if (c !== 0x7f) VALUE[c] = 1;
VALUE[9] = 1;

const CR = 13;
const LF = 10;
const SP = 32;
const TAB = 9;
const COLON = 58;

/** True when the text is a non-empty RFC 9110 token. */
export function isToken(text: string): boolean {
  if (text.length === 0) return false;
  for (let i = 0; i < text.length; i++) if (TOKEN[text.charCodeAt(i)] !== 1) return false;
  return true;
}

/** True when every byte may stand in a field value (no control but HTAB). */
export function isFieldValue(text: string): boolean {
  for (let i = 0; i < text.length; i++) if (VALUE[text.charCodeAt(i)] !== 1) return false;
  return true;
}

const END_OF_HEAD = Buffer.from('\r\n\r\n');

/** Offset just behind the head's empty line, or -1. `from` may point into the head where an earlier search stopped. */
export function findHeadEnd(bytes: Buffer, from: number): number {
  const at = bytes.indexOf(END_OF_HEAD, from);
  return at === -1 ? -1 : at + 4;
}

function parseFields(text: string, start: number, maxHeaders: number): Fields {
  const headers: string[] = [];
  const kinds: HeaderKind[] = [];
  let present = 0;
  let pos = start;
  const end = text.length;
  while (pos < end) {
    let i = pos;
    while (i < end && TOKEN[text.charCodeAt(i)] === 1) i++;
    // SECURITY: white space before the colon, a folded line or an empty name make parsers disagree (S-34).
    if (i === pos || text.charCodeAt(i) !== COLON) throw new HeadError('a header name is not a token');
    const name = text.slice(pos, i);
    i++;
    while (i < end && (text.charCodeAt(i) === SP || text.charCodeAt(i) === TAB)) i++;
    const from = i;
    while (i < end && VALUE[text.charCodeAt(i)] === 1) i++;
    // SECURITY: a bare CR or LF inside a value is a header of its own to a lenient parser.
    if (text.charCodeAt(i) !== CR || text.charCodeAt(i + 1) !== LF) throw new HeadError('a header value has a control byte');
    let to = i;
    while (to > from && (text.charCodeAt(to - 1) === SP || text.charCodeAt(to - 1) === TAB)) to--;
    if (kinds.length >= maxHeaders) throw new HeadError(`more than ${maxHeaders} headers`, true);
    headers.push(name, text.slice(from, to));
    const kind = headerKindOf(name);
    kinds.push(kind);
    present |= 1 << kind;
    pos = i + 2;
  }
  return { headers, kinds, present };
}

/** Fields of an answer: checked as strictly as a request's, but cut into names and values only when someone asks. */
class ScannedFields {
  readonly kinds: HeaderKind[] = [];
  present = 0;
  readonly #text: string;
  /** Start of each line and, last, the end of the text. */
  readonly #starts: number[] = [];
  #headers: string[] | null = null;

  constructor(text: string, start: number, maxHeaders: number) {
    this.#text = text;
    const end = text.length;
    let pos = start;
    while (pos < end) {
      let i = pos;
      while (i < end && TOKEN[text.charCodeAt(i)] === 1) i++;
      if (i === pos || text.charCodeAt(i) !== COLON) throw new HeadError('a header name is not a token');
      const kind = headerKindAt(text, pos, i);
      i++;
      while (i < end && VALUE[text.charCodeAt(i)] === 1) i++;
      if (text.charCodeAt(i) !== CR || text.charCodeAt(i + 1) !== LF) throw new HeadError('a header value has a control byte');
      if (this.kinds.length >= maxHeaders) throw new HeadError(`more than ${maxHeaders} headers`, true);
      this.#starts.push(pos);
      this.kinds.push(kind);
      this.present |= 1 << kind;
      pos = i + 2;
    }
    this.#starts.push(end);
  }

  get headers(): readonly string[] {
    this.#headers ??= parseFields(this.#text, this.#starts[0] as number, this.kinds.length).headers;
    return this.#headers;
  }

  lines(keeps: (index: number) => boolean): string {
    let out = '';
    let from = -1;
    for (let i = 0; i < this.kinds.length; i++) {
      if (keeps(i)) {
        if (from === -1) from = this.#starts[i] as number;
      } else if (from !== -1) {
        out += this.#text.slice(from, this.#starts[i]);
        from = -1;
      }
    }
    return from === -1 ? out : out + this.#text.slice(from);
  }
}

class ScannedHead extends ScannedFields implements ResponseHead {
  readonly status: number;
  readonly reason: string;
  readonly minor: 0 | 1;

  constructor(status: number, reason: string, minor: 0 | 1, text: string, start: number, maxHeaders: number) {
    super(text, start, maxHeaders);
    this.status = status;
    this.reason = reason;
    this.minor = minor;
  }
}

/**
 * Parses a request head.
 * @param bytes buffer that holds it; @param end offset behind the empty line, from findHeadEnd
 * @throws HeadError
 */
export function parseRequestHead(bytes: Buffer, start: number, end: number, maxHeaders: number): RequestHead {
  const text = bytes.toString('latin1', start, end - 2);
  let i = 0;
  while (TOKEN[text.charCodeAt(i)] === 1) i++;
  if (i === 0 || text.charCodeAt(i) !== SP) throw new HeadError('the request line has no valid method');
  const method = text.slice(0, i);
  const targetAt = ++i;
  for (let c = text.charCodeAt(i); c > SP && c < 0x7f; c = text.charCodeAt(++i));
  if (i === targetAt || text.charCodeAt(i) !== SP) throw new HeadError('the request target has a byte that is not allowed');
  const target = text.slice(targetAt, i);
  const minor = versionAt(text, i + 1);
  if (minor === -1) throw new HeadError('the version is not HTTP/1.0 or HTTP/1.1');
  if (text.charCodeAt(i + 9) !== CR || text.charCodeAt(i + 10) !== LF)
    throw new HeadError('the request line does not end after the version');
  const fields = parseFields(text, i + 11, maxHeaders);
  return { method, target, minor, headers: fields.headers, kinds: fields.kinds, present: fields.present };
}

function versionAt(text: string, at: number): 0 | 1 | -1 {
  if (!text.startsWith('HTTP/1.', at)) return -1;
  const c = text.charCodeAt(at + 7);
  return c === 49 ? 1 : c === 48 ? 0 : -1;
}

/**
 * Parses a response head. The reason phrase may hold any field-value byte; the status must be 100…599.
 * @throws HeadError
 */
export function parseResponseHead(bytes: Buffer, start: number, end: number, maxHeaders: number): ResponseHead {
  const text = bytes.toString('latin1', start, end - 2);
  const minor = versionAt(text, 0);
  if (minor === -1 || text.charCodeAt(8) !== SP) throw new HeadError('the status line does not start with HTTP/1.x');
  const status = digits(text, 9, 12);
  if (status < 100 || status > 599) throw new HeadError('the status is not between 100 and 599');
  let i = 12;
  // RFC 9112 4: the space before the reason is required, but servers with an empty reason leave it out.
  if (text.charCodeAt(i) === SP) i++;
  else if (text.charCodeAt(i) !== CR) throw new HeadError('the status is not three digits');
  const from = i;
  while (VALUE[text.charCodeAt(i)] === 1) i++;
  if (text.charCodeAt(i) !== CR || text.charCodeAt(i + 1) !== LF) throw new HeadError('the reason phrase has a control byte');
  return new ScannedHead(status, text.slice(from, i), minor, text, i + 2, maxHeaders);
}

function digits(text: string, from: number, to: number): number {
  let n = 0;
  for (let i = from; i < to; i++) {
    const d = text.charCodeAt(i) - 48;
    if (!(d >= 0 && d <= 9)) return -1;
    n = n * 10 + d;
  }
  return n;
}

/**
 * Parses a trailer section (everything between the last chunk and the empty line).
 * @throws HeadError
 */
export function parseTrailers(bytes: Buffer, start: number, end: number, maxHeaders: number): string[] {
  const fields = parseFields(bytes.toString('latin1', start, end - 2), 0, maxHeaders);
  // SECURITY: framing that comes after the fact is obeyed by some parsers for the next message (S-33).
  if ((fields.present & ((1 << HeaderKind.contentLength) | (1 << HeaderKind.transferEncoding))) !== 0)
    throw new HeadError('a trailer is about framing');
  return fields.headers;
}

const NO_TOKENS: readonly string[] = [];

/** A list field's members: lower-case tokens of every field of that kind, in order. */
export function listTokens(fields: AnyFields, kind: HeaderKind): readonly string[] {
  if ((fields.present & (1 << kind)) === 0) return NO_TOKENS;
  const tokens: string[] = [];
  for (let i = 0; i < fields.kinds.length; i++) {
    if (fields.kinds[i] !== kind) continue;
    const value = fields.headers[2 * i + 1] as string;
    if (isToken(value)) {
      tokens.push(value.toLowerCase());
      continue;
    }
    for (const part of value.split(',')) {
      const token = part.trim().toLowerCase();
      if (token !== '') tokens.push(token);
    }
  }
  return tokens;
}

/** The only value of a kind: null when absent, an error when there are two. @throws HeadError */
export function singleValue(fields: AnyFields, kind: HeaderKind, name: string): string | null {
  if ((fields.present & (1 << kind)) === 0) return null;
  let found: string | null = null;
  for (let i = 0; i < fields.kinds.length; i++) {
    if (fields.kinds[i] !== kind) continue;
    if (found !== null) throw new HeadError(`more than one ${name} header`);
    found = fields.headers[2 * i + 1] as string;
  }
  return found;
}
