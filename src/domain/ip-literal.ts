/**
 * IP address literals in every spelling that a resolver or a URL parser takes, to one spelling each (S-09 … S-11).
 * Must never take a text for a name that somebody else would dial as an address.
 */
import { isIPv6 } from 'node:net';

const DIGIT_0 = 48;
const DIGIT_9 = 57;

/**
 * True when a resolver may read the name as an IPv4 address: its last label is a number, decimal or 0x…
 * @param host lower-case, without trailing dot
 */
export function endsInNumber(host: string): boolean {
  const start = host.lastIndexOf('.') + 1;
  const first = host.charCodeAt(start);
  if (first < DIGIT_0 || first > DIGIT_9) return false;
  const label = host.slice(start);
  return /^(?:\d+|0x[0-9a-f]*)$/.test(label);
}

/** One number of inet_aton: decimal, 0-octal or 0x-hexadecimal; NaN when it is none. */
function readPart(text: string): number {
  if (/^0x[0-9a-f]+$/.test(text)) return Number.parseInt(text.slice(2), 16);
  if (/^0[0-7]*$/.test(text)) return Number.parseInt(text, 8);
  return /^[1-9]\d*$/.test(text) ? Number(text) : Number.NaN;
}

/**
 * Dotted form of what inet_aton would read (`127.1`, `0x7f.0.0.1`, `2130706433`, `0177.0.0.1`); null when it is no address.
 * @param text lower-case, without trailing dot
 */
export function canonicalIPv4(text: string): string | null {
  const parts = text.split('.');
  if (parts.length > 4) return null;
  let value = 0;
  for (let i = 0; i < parts.length; i++) {
    const part = readPart(parts[i] as string);
    // The last number fills all bytes that are left.
    const bytes = i === parts.length - 1 ? 5 - parts.length : 1;
    if (!(part < 256 ** bytes)) return null;
    value = value * 256 ** bytes + part;
  }
  return dotted(Math.floor(value / 65_536), value % 65_536);
}

const dotted = (high: number, low: number): string => `${high >> 8}.${high & 255}.${low >> 8}.${low & 255}`;

/** The eight groups of a text that isIPv6 accepts. */
function groupsOf(text: string): number[] {
  const dot = text.lastIndexOf('.');
  let hex = text;
  if (dot !== -1) {
    const at = text.lastIndexOf(':') + 1;
    const [a = 0, b = 0, c = 0, d = 0] = text.slice(at).split('.').map(Number);
    hex = `${text.slice(0, at)}${((a << 8) | b).toString(16)}:${((c << 8) | d).toString(16)}`;
  }
  const read = (part: string): number[] => (part === '' ? [] : part.split(':').map((group) => Number.parseInt(group, 16)));
  const [head = '', tail] = hex.split('::');
  const left = read(head);
  if (tail === undefined) return left;
  const right = read(tail);
  return [...left, ...new Array<number>(8 - left.length - right.length).fill(0), ...right];
}

/** RFC 5952 form without brackets, IPv4-mapped addresses in mixed notation; null when it is no address or has a zone. */
export function canonicalIPv6(text: string): string | null {
  // SECURITY: a zone id hides a suffix (`::ffff:1.2.3.4%x.allowed.test`), and isIPv6 accepts it (S-10).
  if (text.includes('%') || !isIPv6(text)) return null;
  const groups = groupsOf(text);
  if (groups[5] === 0xffff && groups.slice(0, 5).every((group) => group === 0))
    return `::ffff:${dotted(groups[6] as number, groups[7] as number)}`;
  let bestAt = -1;
  let bestLength = 1;
  for (let i = 0; i < 8; i++) {
    let length = 0;
    while (groups[i + length] === 0) length++;
    if (length > bestLength) {
      bestAt = i;
      bestLength = length;
    }
    i += length;
  }
  const hex = groups.map((group) => group.toString(16));
  if (bestAt === -1) return hex.join(':');
  return `${hex.slice(0, bestAt).join(':')}::${hex.slice(bestAt + bestLength).join(':')}`;
}
