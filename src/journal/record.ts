/**
 * Records of the write-ahead segments: one line each, `KLEN NO AT CLOSED TEXT\n` in ASCII, where K is O (opening), C (closing
 * with the complete text of the entry) or R (opening and closing at once) and LEN counts the characters of TEXT. B holds sealed bytes
 * in place of a text: the bodies of the closing right behind it, in the same frame.
 * Whether it was written in this life of the segment, and in full, the frame around it tells (frame.ts).
 */

export const OPENING = 0x4f;
export const CLOSING = 0x43;
export const WHOLE = 0x52;
export const BODIES = 0x42;
const SPACE = 0x20;
const NEWLINE = 0x0a;

/** Longest prefix of a line. */
export const MAX_PREFIX_CHARS = 72;

/** What stands before the text; the text itself and a line feed follow. `closedAt` is 0 for an opening. */
export function linePrefix(
  kind: 'O' | 'C' | 'R' | 'B',
  textLength: number,
  requestNo: number,
  at: number,
  closedAt: number,
): string {
  return `${kind}${textLength} ${requestNo} ${at} ${closedAt} `;
}

/** The record that was parsed last; one object, reused: this loop runs for each row. */
export interface RecordView {
  kind: number;
  requestNo: number;
  at: number;
  closedAt: number;
  /** Bounds of the text in the buffer. */
  textStart: number;
  textEnd: number;
}

export const emptyRecord = (): RecordView => ({ kind: 0, requestNo: 0, at: 0, closedAt: 0, textStart: 0, textEnd: 0 });

/** Why `parseRecord` stopped: the buffer ends inside a record, or what is there is none. */
export const INCOMPLETE = -1;
export const BROKEN = -2;

let cursor = 0;

/** Digits up to a space; leaves the cursor behind it. -1 when the buffer ends first, -2 when they aren't digits. */
function parseDigits(bytes: Uint8Array, end: number): number {
  let value = 0;
  const limit = Math.min(end, cursor + 17);
  const start = cursor;
  while (cursor < limit) {
    const byte = bytes[cursor++] as number;
    if (byte === SPACE) return cursor - 1 === start ? BROKEN : value;
    if (byte < 0x30 || byte > 0x39) return BROKEN;
    value = value * 10 + (byte - 0x30);
  }
  return limit === end ? INCOMPLETE : BROKEN;
}

/** Parses the record at `start` into `view`; answers where the next one starts, INCOMPLETE or BROKEN. */
export function parseRecord(bytes: Uint8Array, start: number, end: number, view: RecordView): number {
  if (start >= end) return INCOMPLETE;
  const kind = bytes[start] as number;
  if (kind !== OPENING && kind !== CLOSING && kind !== WHOLE && kind !== BODIES) return BROKEN;
  cursor = start + 1;
  const length = parseDigits(bytes, end);
  if (length < 0) return length;
  const requestNo = parseDigits(bytes, end);
  if (requestNo < 0) return requestNo;
  const at = parseDigits(bytes, end);
  if (at < 0) return at;
  const closedAt = parseDigits(bytes, end);
  if (closedAt < 0) return closedAt;
  view.kind = kind;
  view.requestNo = requestNo;
  view.at = at;
  view.closedAt = closedAt;
  view.textStart = cursor;
  view.textEnd = cursor + length;
  if (view.textEnd >= end) return INCOMPLETE;
  return bytes[view.textEnd] === NEWLINE ? view.textEnd + 1 : BROKEN;
}
