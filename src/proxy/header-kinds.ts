/**
 * What a proxy must do with a header field, by name: one small number per field, so that a head is classified once while
 * it is parsed and never searched by name again. Must never look at values.
 */

export const HeaderKind = {
  endToEnd: 0,
  host: 1,
  contentLength: 2,
  transferEncoding: 3,
  connection: 4,
  /** Hop-by-hop in itself (RFC 9110 7.6.1), never forwarded. */
  hop: 5,
  upgrade: 6,
  expect: 7,
  te: 8,
  trailer: 9,
  proxyAuthorization: 10,
  /** Tells the origin who asked (S-44): Forwarded, Via, X-Forwarded-*. Never forwarded. */
  platform: 11,
  /** Alter-* and X-Alter-*: for us, never forwarded. */
  selector: 12,
  altSvc: 13,
  traceparent: 14,
  contentEncoding: 15,
  keepAlive: 16,
  contentType: 17,
  /** Gives whoever reads the answer a credential, or says how to use one. */
  credential: 18,
} as const;

export type HeaderKind = (typeof HeaderKind)[keyof typeof HeaderKind];

const EXACT: Readonly<Record<string, HeaderKind>> = {
  host: HeaderKind.host,
  'content-length': HeaderKind.contentLength,
  'transfer-encoding': HeaderKind.transferEncoding,
  connection: HeaderKind.connection,
  'keep-alive': HeaderKind.keepAlive,
  'proxy-connection': HeaderKind.hop,
  'proxy-authenticate': HeaderKind.hop,
  'proxy-authentication-info': HeaderKind.hop,
  'http2-settings': HeaderKind.hop,
  upgrade: HeaderKind.upgrade,
  expect: HeaderKind.expect,
  te: HeaderKind.te,
  trailer: HeaderKind.trailer,
  'proxy-authorization': HeaderKind.proxyAuthorization,
  forwarded: HeaderKind.platform,
  via: HeaderKind.platform,
  'x-real-ip': HeaderKind.platform,
  'client-ip': HeaderKind.platform,
  'true-client-ip': HeaderKind.platform,
  'alt-svc': HeaderKind.altSvc,
  traceparent: HeaderKind.traceparent,
  'content-encoding': HeaderKind.contentEncoding,
  'content-type': HeaderKind.contentType,
  'set-cookie': HeaderKind.credential,
  'set-cookie2': HeaderKind.credential,
  'authentication-info': HeaderKind.credential,
  'authentication-control': HeaderKind.credential,
  'www-authenticate': HeaderKind.credential,
  'optional-www-authenticate': HeaderKind.credential,
};

const byName = new Map<string, HeaderKind>();
/** Names are the client's choice: the memo is emptied rather than let it grow. */
const MEMO_LIMIT = 2048;

/** `length * 32 + first letter`, for every name in EXACT: most fields of a request are told apart by this alone, without hashing. */
const SHAPES = new Uint8Array(32 * 64);
for (const name of Object.keys(EXACT)) SHAPES[name.length * 32 + (name.charCodeAt(0) & 31)] = 1;
const LETTER_A = 1;
const LETTER_X = 24;

/** False when the name at `start` to `end` is certainly endToEnd, by its length and first letters. */
function mayBeSpecial(text: string, start: number, end: number): boolean {
  const letter = text.charCodeAt(start) & 31;
  const length = end - start;
  if (length < 64 && SHAPES[length * 32 + letter] === 1) return true;
  // The prefixes: `al…` for Alter-, `x-a…` and `x-f…` for X-Alter- and X-Forwarded-.
  if (letter === LETTER_A) return (text.charCodeAt(start + 1) & 31) === 12;
  if (letter !== LETTER_X) return false;
  const third = text.charCodeAt(start + 2) & 31;
  return third === 1 || third === 6;
}

/** Kind of the field name that stands in `text`, in any letter case. */
export function headerKindAt(text: string, start: number, end: number): HeaderKind {
  return mayBeSpecial(text, start, end) ? lookUp(text.slice(start, end)) : HeaderKind.endToEnd;
}

/** Kind of a field name in any letter case. */
export function headerKindOf(name: string): HeaderKind {
  return mayBeSpecial(name, 0, name.length) ? lookUp(name) : HeaderKind.endToEnd;
}

function lookUp(name: string): HeaderKind {
  const known = byName.get(name);
  if (known !== undefined) return known;
  const lower = name.toLowerCase();
  let kind: HeaderKind = Object.hasOwn(EXACT, lower) ? (EXACT[lower] as HeaderKind) : HeaderKind.endToEnd;
  if (lower.startsWith('alter-') || lower.startsWith('x-alter-')) kind = HeaderKind.selector;
  else if (lower.startsWith('x-forwarded-')) kind = HeaderKind.platform;
  if (byName.size >= MEMO_LIMIT) byName.clear();
  // A slice of the request's text would keep the whole text alive: store a flat copy.
  byName.set(Buffer.from(name, 'latin1').toString('latin1'), kind);
  return kind;
}

/** First value of a field in a flat name/value list, by lower-case name; null when absent. */
export function findHeader(headers: readonly string[], lowerName: string): string | null {
  for (let i = 0; i < headers.length; i += 2) {
    const name = headers[i] as string;
    if (name.length === lowerName.length && name.toLowerCase() === lowerName) return headers[i + 1] as string;
  }
  return null;
}

/** Kinds of a flat list, with the bit set of those that are there. */
export function classifyHeaders(headers: readonly string[]): { kinds: HeaderKind[]; present: number } {
  const kinds: HeaderKind[] = [];
  let present = 0;
  for (let i = 0; i < headers.length; i += 2) {
    const kind = headerKindOf(headers[i] as string);
    kinds.push(kind);
    present |= 1 << kind;
  }
  return { kinds, present };
}
