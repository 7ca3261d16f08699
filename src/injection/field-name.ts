/**
 * Header names as origins read them: without letter case, and with `_` and `.` as `-`, since CGI and its heirs fold them (S-39).
 * Must never be used to choose what is sent, only what is removed.
 */

const FOLD = new Uint8Array(256);
for (let c = 0; c < 256; c++) FOLD[c] = c >= 0x41 && c <= 0x5a ? c | 0x20 : c === 0x5f || c === 0x2e ? 0x2d : c;

const HYPHEN = 0x2d;

export const foldName = (name: string): string => name.toLowerCase().replace(/[_.]/g, '-');

/**
 * True when an origin may take the name for the folded one: `authorization`, `X_API_KEY`, `Authorization_`.
 * Folding keeps the length, so nearly every name is told apart by it alone.
 */
export function isTwin(name: string, folded: string): boolean {
  const extra = name.length - folded.length;
  if (extra < 0) return false;
  if (extra === 0) return matchesAt(name, 0, folded);
  let start = 0;
  let end = name.length;
  if (FOLD[name.charCodeAt(0)] !== HYPHEN && FOLD[name.charCodeAt(end - 1)] !== HYPHEN) return false;
  while (start < end && FOLD[name.charCodeAt(start)] === HYPHEN) start++;
  while (end > start && FOLD[name.charCodeAt(end - 1)] === HYPHEN) end--;
  return end - start === folded.length && matchesAt(name, start, folded);
}

/** Index of the first twin at or behind `from` in a flat name/value list; -1 when there is none. */
export function indexOfTwin(headers: readonly string[], folded: string, from: number): number {
  for (let i = from; i < headers.length; i += 2) if (isTwin(headers[i] as string, folded)) return i;
  return -1;
}

function matchesAt(name: string, at: number, folded: string): boolean {
  for (let i = 0; i < folded.length; i++) if (FOLD[name.charCodeAt(at + i)] !== folded.charCodeAt(i)) return false;
  return true;
}
