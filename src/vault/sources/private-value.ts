/** A secret in a file of the operator's: whose file it is, who else may read it, whether it changed. Must never follow what is not a file. */
import { closeSync, constants, fstatSync, openSync, readSync, type Stats, statSync } from 'node:fs';
import { SourceFailure } from './source-failure.ts';

export const MAX_VALUE_BYTES = 65_536;

/** Its value without the line break that editors put at the end. @throws SourceFailure */
export function readPrivateValue(path: string): { readonly text: string; readonly mark: string } {
  let fd: number;
  try {
    // A pipe would block everything, a device more.
    fd = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOCTTY);
  } catch (cause) {
    throw new SourceFailure((cause as NodeJS.ErrnoException).code === 'ENOENT' ? 'source_missing' : 'source_unreadable', cause);
  }
  try {
    const stats = fstatSync(fd);
    requirePrivate(stats);
    if (stats.size > MAX_VALUE_BYTES) throw new SourceFailure('source_too_long');
    const buffer = Buffer.alloc(MAX_VALUE_BYTES + 1);
    let length = 0;
    for (let count = 1; count > 0 && length < buffer.length; length += count)
      count = readSync(fd, buffer, length, buffer.length - length, null);
    if (length > MAX_VALUE_BYTES) throw new SourceFailure('source_too_long');
    const text = asText(buffer.subarray(0, length));
    buffer.fill(0);
    return { text, mark: markOf(stats) };
  } finally {
    closeSync(fd);
  }
}

/** SECURITY: a secret that others can read is lost, and one that others can write is theirs. */
function requirePrivate(stats: Stats): void {
  if (!stats.isFile()) throw new SourceFailure('source_unreadable');
  const own = process.geteuid?.() ?? 0;
  // Files of root that a group may read are how service managers hand out credentials.
  const forbidden = stats.uid === own && own !== 0 ? 0o077 : 0o037;
  if ((stats.uid !== own && stats.uid !== 0) || (stats.mode & forbidden) !== 0) throw new SourceFailure('source_not_private');
}

/** Differs when the file was written or replaced. */
const markOf = (stats: Stats): string => `${stats.dev}:${stats.ino}:${stats.size}:${stats.mtimeMs}:${stats.ctimeMs}`;

/** null when it is gone. */
export function markOfFile(path: string): string | null {
  const stats = statSync(path, { throwIfNoEntry: false });
  return stats === undefined ? null : markOf(stats);
}

/** The bytes as a value: without the last line break. @throws SourceFailure */
export function asText(bytes: Uint8Array): string {
  let text: string;
  try {
    text = new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch (cause) {
    throw new SourceFailure('source_not_text', cause);
  }
  text = text.replace(/\r?\n$/, '');
  if (text === '') throw new SourceFailure('source_empty');
  return text;
}
