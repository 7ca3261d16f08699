/**
 * Takes secrets out of a body before it is kept: values under names that say so, what has the shape of a key, and placeholders. Pure.
 * It knows names and shapes, not the truth: a secret under a name that says nothing stays. SECURITY: what is answered here is all that
 * may be written of a body.
 */
import { placeholderRanges } from './placeholder-search.ts';
import { formRanges, jsonRanges, multipartRanges, type Range, textRanges } from './redaction-ranges.ts';

export const REDACTED = '[redacted]';

export interface Redacted {
  readonly bytes: Buffer;
  /** How many stretches were masked. */
  readonly count: number;
}

/** Keys of alterd, also where the text ends amid one; what follows `Bearer`; private keys; tokens that say whose they are; signed URLs. */
const SHAPES: readonly RegExp[] = [
  /alter_key_\w*/g,
  /\bbearer\s{1,8}((?=\S{0,512}\d)[\w.~+/=-]{16,})/gi,
  /\b(?:gh[opusr]_|github_pat_|glpat-|[sr]k_(?:live|test)_|sk-|xox[abposr]-|A(?:KI|SI)A(?=[A-Z\d]{16}))[\w-]{12,}/g,
  /\bhooks\.slack\.com\/services\/([\w/]{8,})/g,
  /[?&](?:sig|signature|x-(?:amz|goog)-(?:signature|security-token|credential))=([^&\s"'<>]{8,})/gi,
  /-----BEGIN [A-Z ]{0,40}PRIVATE KEY-----[\s\S]*?(?:-----END [A-Z ]{0,40}PRIVATE KEY-----|$)/g,
];
/** @param contentType of the message; null when it names none */
export function redactBody(given: Buffer, contentType: string | null, placeholders: ReadonlySet<string>): Redacted {
  const bytes = inUtf8(given, contentType);
  // One character for each byte, so that bytes that are no text come out as they went in.
  const text = bytes.toString('latin1');
  const ranges: Range[] = [];
  const type = (contentType ?? '').toLowerCase();
  if (type.startsWith('application/x-www-form-urlencoded')) formRanges(text, ranges);
  const boundary = /^multipart\/.*;\s*boundary="?([^";\s]{1,70})/i.exec(contentType ?? '')?.[1];
  if (boundary !== undefined) multipartRanges(text, boundary, ranges);
  // Whatever it is said to be: JSON comes as text, in streams of events and without any type.
  jsonRanges(text, ranges);
  textRanges(text, ranges);
  for (const shape of SHAPES) matches(text, shape, ranges);
  placeholderRanges(text, placeholders, ranges);
  return masked(text, bytes, ranges);
}

/** What a shape has in brackets, which stands at its end, or all of it. */
function matches(text: string, shape: RegExp, out: Range[]): void {
  for (const match of text.matchAll(shape)) {
    const end = match.index + match[0].length;
    out.push({ start: end - (match[1] ?? match[0]).length, end, quoted: false });
  }
}

function masked(text: string, bytes: Buffer, ranges: Range[]): Redacted {
  ranges.sort((a, b) => a.start - b.start || b.end - a.end);
  let out = '';
  let done = 0;
  let count = 0;
  for (const { start, end, quoted } of ranges) {
    if (end <= Math.max(start, done)) continue;
    if (start >= done) {
      out += text.slice(done, start) + (quoted ? `"${REDACTED}"` : REDACTED);
      count += 1;
    }
    done = end;
  }
  return count === 0 ? { bytes, count } : { bytes: Buffer.from(out + text.slice(done), 'latin1'), count };
}

/** SECURITY: in UTF-16 no name would be found. */
function inUtf8(bytes: Buffer, contentType: string | null): Buffer {
  const mark = bytes.length < 2 ? 0 : bytes.readUInt16BE(0);
  const said = /charset="?utf-?16(le|be)?/i.exec(contentType ?? '');
  const guess = mark === 0xfffe || mark === 0xfeff || said !== null ? null : guessed(bytes);
  if (mark !== 0xfffe && mark !== 0xfeff && said === null && guess === null) return bytes;
  const isBigEndian = guess === null ? mark === 0xfeff || (mark !== 0xfffe && said?.[1]?.toLowerCase() !== 'le') : guess === 'be';
  return Buffer.from(new TextDecoder(isBigEndian ? 'utf-16be' : 'utf-16le').decode(bytes));
}

/** Texts in UTF-16 that say so nowhere: every second byte of plain Latin letters is zero. */
function guessed(bytes: Buffer): 'le' | 'be' | null {
  const start = bytes.subarray(0, 256);
  const zeros = [0, 0];
  for (let i = 0; i < start.length; i += 1) if (start[i] === 0) zeros[i & 1] = (zeros[i & 1] ?? 0) + 1;
  const [even = 0, odd = 0] = zeros;
  const many = start.length / 8;
  if (odd > many && even <= odd / 8) return 'le';
  return even > many && odd <= even / 8 ? 'be' : null;
}
