/**
 * The canonical forms of Signature Version 4: path, query and headers as AWS reads them again from the bytes that arrive.
 * Pure. Must never look at anything but what is sent, and never change it.
 */

const hexPair = (code: number): string => `%${code.toString(16).toUpperCase().padStart(2, '0')}`;
const isUnreserved = (c: number): boolean =>
  (c >= 0x30 && c <= 0x39) ||
  (c >= 0x41 && c <= 0x5a) ||
  (c >= 0x61 && c <= 0x7a) ||
  c === 0x2d ||
  c === 0x2e ||
  c === 0x5f ||
  c === 0x7e;

/** Percent-encodes each latin1 character that is not unreserved (RFC 3986), but those in `also`. */
function encode(text: string, also: string): string {
  if (/^[\w.~-]*$/.test(text)) return text;
  let out = '';
  for (let i = 0; i < text.length; i++) {
    const char = text[i] as string;
    const code = text.charCodeAt(i);
    out += isUnreserved(code) || also.includes(char) ? char : hexPair(code);
  }
  return out;
}

const decode = (text: string): string =>
  text.includes('%')
    ? text.replace(/%([0-9A-Fa-f]{2})/g, (_all, digits: string) => String.fromCharCode(Number.parseInt(digits, 16)))
    : text;

/**
 * S3 takes the path as it is sent, dots and double slashes included, since all of it is the object's key; the others resolve
 * dots and double slashes and encode what was sent once more.
 */
export function canonicalPath(path: string, isS3: boolean): string {
  if (isS3) return encode(path, '/%').replace(/%[0-9a-f]{2}/gi, (pair) => pair.toUpperCase());
  const kept: string[] = [];
  for (const segment of path.split('/')) {
    if (segment === '' || segment === '.') continue;
    if (segment === '..') kept.pop();
    else kept.push(encode(segment, ''));
  }
  const isDirectory = /(?:^|\/)(?:\.{0,2})$/.test(path);
  return `/${kept.join('/')}${isDirectory && kept.length > 0 ? '/' : ''}`;
}

/** Sorted by name, then value, both encoded anew; `+` is the space that AWS reads it as. */
export function canonicalQuery(query: string): string {
  if (query === '') return '';
  const pairs = query
    .split('&')
    .filter((piece) => piece !== '')
    .map((piece): [string, string] => {
      const equals = piece.indexOf('=');
      const name = equals === -1 ? piece : piece.slice(0, equals);
      return [recode(name), equals === -1 ? '' : recode(piece.slice(equals + 1))];
    });
  return pairs
    .sort(([a, x], [b, y]) => (a < b ? -1 : a > b ? 1 : x < y ? -1 : x > y ? 1 : 0))
    .map(([name, value]) => `${name}=${value}`)
    .join('&');
}

const recode = (raw: string): string => encode(decode(raw.replaceAll('+', ' ')), '');

/** Fields that anything between client and server may change, or that are none of the server's business. */
const UNSIGNABLE: ReadonlySet<string> = new Set([
  'authorization',
  'connection',
  'expect',
  'host',
  'keep-alive',
  'proxy-authorization',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
  'user-agent',
  'x-amzn-trace-id',
]);

export interface CanonicalHeaders {
  /** `name:value` lines, each with its line break. */
  readonly lines: string;
  /** Names, joined by `;`. */
  readonly names: string;
}

/**
 * Host, what describes the body, every `x-amz-` field, and those that the client had signed and that are still there.
 * SECURITY: names come from the fields that are sent, never from the client's list, which could name what is not.
 */
export function canonicalHeaders(headers: readonly string[], authority: string, listed: ReadonlySet<string>): CanonicalHeaders {
  const fields = new Map<string, string>([['host', authority]]);
  for (let i = 0; i < headers.length; i += 2) {
    const name = (headers[i] as string).toLowerCase();
    const isSigned = name.startsWith('x-amz-') || name === 'content-type' || name === 'content-md5' || listed.has(name);
    if (!isSigned || UNSIGNABLE.has(name)) continue;
    const value = (headers[i + 1] as string).trim().replace(/[ \t]+/g, ' ');
    const before = fields.get(name);
    fields.set(name, before === undefined ? value : `${before},${value}`);
  }
  const names = [...fields.keys()].sort();
  return { lines: names.map((name) => `${name}:${fields.get(name)}\n`).join(''), names: names.join(';') };
}
