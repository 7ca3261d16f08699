/**
 * The hash chain: each hash covers the one before (as hex), a line feed, and the text of its row, so no row can be edited, removed from
 * the middle or moved without showing. A chain alone can't show a cut tail: that is what the head record is for (head.ts).
 */
import { hash } from 'node:crypto';

/** Hashes are hex everywhere. */
export const HASH_CHARS = 64;
/** What stands before the first row. */
export const GENESIS = '0'.repeat(HASH_CHARS);

/** The hash that follows `previous` for a text. */
export function nextHash(previous: string, text: string): string {
  return hash('sha256', `${previous}\n${text}`, 'hex');
}

/** The same where both lie in one buffer, one after the other. */
export function hashBetween(bytes: Buffer, start: number, end: number): string {
  return hash('sha256', bytes.subarray(start, end), 'hex');
}
