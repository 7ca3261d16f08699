/**
 * How segments are divided. A segment begins with a line that says its number and a tag, made by chance for each life of the
 * file; then come frames, one for each write: a line with the tag, length and checksum, then records (record.ts).
 * SECURITY: segment files are used again without being emptied. Only frames with the tag of this life count, so nothing that
 * an earlier life left there, and nothing that an agent put into a path, can be read as a row after a crash.
 */
import { randomBytes } from 'node:crypto';
import { crc32 } from './checksum.ts';

const TAG_CHARS = 22;
const MAGIC = 'alterd-wal ';
const HEADER = /^alterd-wal (\d{16}) ([\w-]{22})\n$/;
/** Length of a segment's first line. */
export const HEADER_BYTES = MAGIC.length + 16 + 1 + TAG_CHARS + 1;
/** Length of a frame's first line: `#TAG LENGTH CHECKSUM\n`, the last two in eight hex digits each. */
export const FRAME_HEAD_BYTES = 1 + TAG_CHARS + 1 + 8 + 1 + 8 + 1;
const LENGTH_AT = 1 + TAG_CHARS + 1;
const CHECKSUM_AT = LENGTH_AT + 8 + 1;

/** Over the tag too: the first bytes of a torn write may stand before a frame that a former life left just there. */
const checksumOf = (tag: string, records: Buffer): number => crc32(records, crc32(Buffer.from(tag, 'latin1')));
const hex8 = (value: number): string => value.toString(16).padStart(8, '0');

/** The first line of a segment that begins a new life. */
export function newSegmentHeader(segment: number): string {
  return `${MAGIC}${String(segment).padStart(16, '0')} ${randomBytes(16).toString('base64url')}\n`;
}

/** The tag of a segment, from its first bytes; undefined when they aren't those of this segment. */
export function tagOf(bytes: Buffer, segment: number): string | undefined {
  const match = HEADER.exec(bytes.toString('latin1', 0, HEADER_BYTES));
  return match !== null && Number(match[1]) === segment ? match[2] : undefined;
}

/** The first line of a frame; `records` is what follows it. */
export function frameHead(tag: string, records: Buffer): string {
  return `#${tag} ${hex8(records.length)} ${hex8(checksumOf(tag, records))}\n`;
}

/** Bytes of records that a frame of the living writer says it has. NaN when there is no frame here. */
export function frameLength(bytes: Buffer, start: number): number {
  let length = 0;
  for (let at = start + LENGTH_AT; at < start + LENGTH_AT + 8; at += 1) {
    const byte = bytes[at] as number;
    length = length * 16 + (byte <= 0x39 ? byte - 0x30 : byte - 0x57);
  }
  return bytes[start] === 0x23 && length >= 0 ? length : Number.NaN;
}

/** Whether a frame of this life begins here, whole or torn. */
export function isFrameOf(tag: string, bytes: Buffer, start: number): boolean {
  return bytes.toString('latin1', start, start + LENGTH_AT) === `#${tag} `;
}

/** Whether the frame is as it was written. */
export function isFrameWhole(tag: string, bytes: Buffer, start: number, end: number): boolean {
  const said = bytes.toString('latin1', start + CHECKSUM_AT, start + CHECKSUM_AT + 8);
  return said === hex8(checksumOf(tag, bytes.subarray(start + FRAME_HEAD_BYTES, end)));
}
