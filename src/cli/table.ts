/** Columns aligned for people. Pure; knows nothing of terminals but the width of text. */

/** What an agent wrote must not move the cursor, recolour or reorder the operator's terminal. */
const UNPRINTABLE = /[\u0000-\u001f\u007f-\u009f\u200e\u200f\u2028-\u202e\u2066-\u2069]/g;

const escapedUnit = (char: string): string => `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`;

/** SECURITY: every cell, and every message with foreign text, goes through this: an audit row could hold terminal escapes. */
export const printable = (text: string): string => text.replace(UNPRINTABLE, escapedUnit);

/** JSON with the same characters escaped; it stays the same value. */
export const printableJson = (value: unknown, indent?: number): string =>
  JSON.stringify(value, null, indent).replace(/[\u007f-\u009f\u200e\u200f\u2028-\u202e\u2066-\u2069]/g, escapedUnit);

export interface Grid {
  readonly header: string | null;
  readonly rows: readonly string[];
}

/** Lines of a table: two spaces between columns, none at the end of a line. */
export function grid(headers: readonly string[] | null, rows: readonly (readonly string[])[]): Grid {
  const all = headers === null ? rows : [headers, ...rows];
  const widths: number[] = [];
  for (const row of all) {
    for (const [i, cell] of row.entries()) widths[i] = Math.max(widths[i] ?? 0, [...cell].length);
  }
  const line = (row: readonly string[]): string =>
    row
      .map((cell, i) => (i === row.length - 1 ? cell : cell + ' '.repeat((widths[i] ?? 0) - [...cell].length + 2)))
      .join('')
      .trimEnd();
  return { header: headers === null ? null : line(headers), rows: rows.map(line) };
}
