/**
 * Where values of secrets stand in a text: in JSON, forms and multipart by their structure, and in any text by what stands before them.
 * Pure and linear, whatever the text: it is what an agent or a provider sent. The text is Latin-1, one character for each byte, and may
 * end anywhere. A value that has no end goes to the end of the text.
 */
import { isCountName, isSecretName } from './secret-names.ts';

/** `quoted`: what stands there was no string in JSON, and what replaces it must be one. */
export interface Range {
  readonly start: number;
  readonly end: number;
  readonly quoted: boolean;
}

const plain = (start: number, end: number): Range => ({ start, end, quoted: false });

const isSpace = (code: number): boolean => code === 0x20 || (code >= 0x09 && code <= 0x0d);

function skipSpace(text: string, from: number, most = Number.POSITIVE_INFINITY): number {
  let at = from;
  while (at < text.length && at - from < most && isSpace(text.charCodeAt(at))) at += 1;
  return at;
}

/** Where the quote is that ends the string behind `from`; the text's length when none does. */
function closingQuote(text: string, from: number, quote = '"'): number {
  for (let at = text.indexOf(quote, from); at !== -1; at = text.indexOf(quote, at + 1)) {
    let slashes = 0;
    while (at - slashes > from && text.charCodeAt(at - slashes - 1) === 0x5c) slashes += 1;
    if (slashes % 2 === 0) return at;
  }
  return text.length;
}

/** The end of the object or list at `from`. */
function balancedEnd(text: string, from: number): number {
  let depth = 0;
  for (let at = from; at < text.length; at += 1) {
    const code = text.charCodeAt(at);
    if (code === 0x22) at = closingQuote(text, at + 1);
    else if (code === 0x7b || code === 0x5b) depth += 1;
    else if ((code === 0x7d || code === 0x5d) && --depth === 0) return at + 1;
  }
  return text.length;
}

function wordEnd(text: string, from: number, stop: RegExp): number {
  stop.lastIndex = from;
  return stop.exec(text)?.index ?? text.length;
}

const LITERAL_END = /[\s,}\]]/g;
const IS_WORD = /^(?:null|true|false)$/;
const IS_NUMBER = /^[-+]?[\d.]+(?:e[-+]?\d+)?$/i;

/** The value of a member of JSON under a secret's name; null where it is none. */
function jsonValue(text: string, at: number, name: string): Range | null {
  const first = text[at];
  if (first === undefined) return null;
  if (first === '"') return plain(at + 1, closingQuote(text, at + 1));
  if (first === '{' || first === '[') return { start: at, end: balancedEnd(text, at), quoted: true };
  const end = wordEnd(text, at, LITERAL_END);
  const literal = text.slice(at, Math.min(end, at + 64));
  if (IS_WORD.test(literal) || literal === '' || (IS_NUMBER.test(literal) && isCountName(name))) return null;
  return { start: at, end, quoted: true };
}

function unescaped(name: string): string {
  if (!name.includes('\\')) return name;
  try {
    return JSON.parse(`"${name}"`) as string;
  } catch {
    return name;
  }
}

/** Members that name what a member beside them has: `{"name":"DB_PASSWORD","value":"…"}`, as lists of variables and of headers do. */
const NAMING = new Set(['name', 'key', 'id', 'field', 'header', 'variable']);
const NAMED = new Set(['value', 'values', 'val', 'data']);

/** Pairs of members of one object, whichever comes first. */
class NamedValues {
  readonly #text: string;
  readonly #out: Range[];
  #isSecret = false;
  #value: Range | null = null;
  #end = 0;

  constructor(text: string, out: Range[]) {
    this.#text = text;
    this.#out = out;
  }

  /** A member, and where it stands. */
  see(name: string, at: number, valueAt: number): void {
    const folded = name.toLowerCase();
    if (!NAMING.has(folded) && !NAMED.has(folded)) return;
    if (/[{}]/.test(this.#text.slice(this.#end, at))) {
      this.#isSecret = false;
      this.#value = null;
    }
    const value = jsonValue(this.#text, valueAt, name);
    if (value === null) return;
    if (NAMED.has(folded)) this.#value = value;
    else this.#isSecret = isSecretName(unescaped(this.#text.slice(value.start, value.end)));
    if (this.#isSecret && this.#value !== null) this.#out.push(this.#value);
    this.#end = value.end;
  }
}

/** By the members of JSON, or of several texts of JSON one behind the other. */
export function jsonRanges(text: string, out: Range[]): void {
  const named = new NamedValues(text, out);
  for (let at = text.indexOf('"'); at !== -1; ) {
    const end = closingQuote(text, at + 1);
    const colon = skipSpace(text, end + 1);
    if (text[colon] !== ':') {
      at = text.indexOf('"', end + 1);
      continue;
    }
    const name = unescaped(text.slice(at + 1, end));
    const valueAt = skipSpace(text, colon + 1);
    named.see(name, at, valueAt);
    const range = isSecretName(name) ? jsonValue(text, valueAt, name) : null;
    if (range !== null) out.push(range);
    // Behind a value that is a string as well: its end must not be taken for a beginning.
    at = text.indexOf('"', range === null ? valueAt : text[valueAt] === '"' ? range.end + 1 : range.end);
  }
}

function decoded(name: string): string {
  try {
    return decodeURIComponent(name.replaceAll('+', ' '));
  } catch {
    return name;
  }
}

/** JSON within a form, as webhooks send it: masked as a whole. */
function hasSecret(value: string): boolean {
  if (!/^\s*[{[]/.test(value)) return false;
  const found: Range[] = [];
  jsonRanges(value, found);
  return found.length > 0;
}

/** By the fields of `application/x-www-form-urlencoded`. */
export function formRanges(text: string, out: Range[]): void {
  for (let start = 0; start < text.length; ) {
    const ampersand = text.indexOf('&', start);
    const end = ampersand === -1 ? text.length : ampersand;
    const equals = text.indexOf('=', start);
    if (equals === -1) return;
    if (equals < end && (isSecretName(decoded(text.slice(start, equals))) || hasSecret(decoded(text.slice(equals + 1, end)))))
      out.push(plain(equals + 1, end));
    start = end + 1;
  }
}

const MAX_PART_HEAD = 4096;

/** By the parts of `multipart/form-data`. */
export function multipartRanges(text: string, boundary: string, out: Range[]): void {
  const delimiter = `--${boundary}`;
  for (let start = text.indexOf(delimiter); start !== -1; ) {
    const next = text.indexOf(delimiter, start + delimiter.length);
    const end = next === -1 ? text.length : next;
    const head = text.slice(start, Math.min(end, start + MAX_PART_HEAD));
    const blank = /\r?\n\r?\n/.exec(head);
    const headEnd = blank?.index ?? -1;
    const name = /\bname="?([^"\r\n;]{1,256})/i.exec(headEnd === -1 ? head : head.slice(0, headEnd))?.[1];
    if (headEnd !== -1 && name !== undefined && isSecretName(name)) {
      const valueAt = start + headEnd + (blank?.[0].length ?? 0);
      out.push(plain(valueAt, Math.max(valueAt, text.startsWith('\r\n', end - 2) ? end - 2 : end)));
    }
    start = next;
  }
}

/** In every name of a secret; most texts have none of them, and no word of theirs has to be looked at. */
const HINT = /pass|pwd|secret|token|key|auth|cred|cooki|beare|sessi|verif|asser|saml|pin|otp|sid|jwt|cv[cv]/gi;
const WORD_CHAR = /[\w.-]/;
const MAX_NAME = 128;
/** How far a value may stand from its name. */
const MAX_GAP = 8;
const QUOTES = `"'\``;
const FIELD_END = /[\s&;,"'`<>)\]}\\]/g;
const LINE_END = /[\r\n"\\<]/g;
const MAX_TAG = 512;

/** By what stands before them, in any text: `name: value`, `name=value`, `"name":"value"` within a string, `<name>value</name>`. */
export function textRanges(text: string, out: Range[]): void {
  HINT.lastIndex = 0;
  for (let hint = HINT.exec(text); hint !== null; hint = HINT.exec(text)) {
    let start = hint.index;
    let end = HINT.lastIndex;
    while (start > 0 && hint.index - start < MAX_NAME && WORD_CHAR.test(text[start - 1] as string)) start -= 1;
    while (end < text.length && end - hint.index < MAX_NAME && WORD_CHAR.test(text[end] as string)) end += 1;
    HINT.lastIndex = end;
    const name = text.slice(start, end);
    const range = isSecretName(name) ? valueAfter(text, start, end, name) : null;
    if (range === null || range.end <= range.start) continue;
    out.push(range);
    HINT.lastIndex = Math.max(end, range.end);
  }
}

function valueAfter(text: string, start: number, end: number, name: string): Range | null {
  if (text[start - 1] === '<' || text[start - 1] === ':') {
    const element = elementValue(text, start, end);
    if (element !== null) return element;
  }
  let at = end;
  let slashes = 0;
  while (text[at] === '\\' && slashes < MAX_GAP) {
    slashes += 1;
    at += 1;
  }
  const isQuoted = at < text.length && QUOTES.includes(text[at] as string);
  if (!isQuoted && slashes > 0) return null;
  at = skipSpace(text, isQuoted ? at + 1 : at, MAX_GAP);
  const separator = text[at];
  if (separator !== ':' && separator !== '=') return null;
  at += text[at + 1] === '>' ? 2 : 1;
  return afterSeparator(text, skipSpace(text, at, MAX_GAP), { name, isQuoted, isField: separator === '=' });
}

interface Separated {
  readonly name: string;
  readonly isQuoted: boolean;
  readonly isField: boolean;
}

function afterSeparator(text: string, from: number, { name, isQuoted, isField }: Separated): Range | null {
  let at = from;
  while (text[at] === '\\') at += 1;
  const quote = text[at];
  if (quote !== undefined && QUOTES.includes(quote)) return plain(at + 1, nestedQuote(text, at + 1, quote, at - from));
  if (at > from) return null;
  if (isQuoted) return jsonValue(text, at, name);
  const end = wordEnd(text, at, isField ? FIELD_END : LINE_END);
  return IS_NUMBER.test(text.slice(at, Math.min(end, at + 64)).trim()) && isCountName(name) ? null : plain(at, end);
}

/** The end of a string that is itself in strings: `depth` backslashes stand before its quotes, and more before those in it. */
function nestedQuote(text: string, from: number, quote: string, depth: number): number {
  if (depth === 0) return closingQuote(text, from, quote);
  for (let at = text.indexOf(quote, from); at !== -1; at = text.indexOf(quote, at + 1)) {
    let slashes = 0;
    while (at - slashes > from && text.charCodeAt(at - slashes - 1) === 0x5c) slashes += 1;
    // The quote of the string outside ends what is in it, too.
    if (slashes <= depth || slashes % (2 * (depth + 1)) === depth) return Math.max(from, at - Math.min(slashes, depth));
  }
  return text.length;
}

/** `<name …>value</name>`, with or without a prefix of a name space. */
function elementValue(text: string, start: number, end: number): Range | null {
  if (text[start - 1] === ':' && !/<[\w.-]{1,64}:$/.test(text.slice(Math.max(0, start - 66), start))) return null;
  const close = text.slice(end, end + MAX_TAG).search(/[<>]/);
  if (close === -1 || text[end + close] !== '>' || text[end + close - 1] === '/') return null;
  const valueAt = end + close + 1;
  const valueEnd = text.indexOf('</', valueAt);
  return plain(valueAt, valueEnd === -1 ? text.length : valueEnd);
}
