/**
 * A row as it leaves the journal in exports and to sinks: its own text, between its place and the hash before on one side and
 * its hash on the other. The text is not parsed and not written anew, so whoever has the line can compute the hash: it is
 * SHA-256 over `prev`, a line feed, and `{` with what stands between the second comma and `,"hash":"`, and `}`.
 * Pure; shared with the offline check, which must never need a journal.
 */
import { HASH_CHARS } from './chain.ts';
import type { StoredRow } from './entry-text.ts';

/** A row of the chain: what is open has no line. */
export type ChainedRow = StoredRow & { readonly n: number; readonly hash: string; readonly prev: string };

const HEX = `[0-9a-f]{${HASH_CHARS}}`;
const START = new RegExp(`^\\{"n":(\\d{1,16}),"prev":"(${HEX})",`);
const END = new RegExp(`,"hash":"(${HEX})"\\}$`);

/** One line of ASCII without its line feed. Members that are null, false, zero or empty are left out of a text. */
export function rowLineOf({ n, body, hash, prev }: ChainedRow): string {
  return `{"n":${n},"prev":"${prev}",${body.slice(1, -1)},"hash":"${hash}"}`;
}

/** The row of a line; undefined when the line isn't of this shape. */
export function parseRowLine(line: string): ChainedRow | undefined {
  const start = START.exec(line);
  const end = END.exec(line);
  if (start === null || end === null || start[0].length > end.index) return undefined;
  return {
    n: Number(start[1]),
    prev: start[2] as string,
    body: `{${line.slice(start[0].length, end.index)}}`,
    hash: end[1] as string,
  };
}
