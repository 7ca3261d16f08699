/** A row as a database driver reads and binds it: booleans are 0 and 1, lists are JSON text. The same for every database. */
export type Columns = Record<string, string | number | null | Uint8Array>;

export const json = (value: unknown): string | null => (value === null ? null : JSON.stringify(value));

/** Most rows say the same in most of their lists: those are parsed once, and are one object. */
const known = new Map<string, unknown>();
const KNOWN_TEXTS = 1_000;
const KNOWN_CHARS = 256;

/** Frozen, for it may be in many rows. The text was written by json() above, and the vault's MAC over all rows vouches that nobody else wrote it. */
export function parsed<T>(text: unknown): T {
  if (text === null) return null as T;
  const written = text as string;
  const found = known.get(written);
  if (found !== undefined) return found as T;
  const value = JSON.parse(written) as unknown;
  if (written.length > KNOWN_CHARS) return value as T;
  if (known.size >= KNOWN_TEXTS) known.clear();
  known.set(written, frozen(value));
  return value as T;
}

function frozen(value: unknown): unknown {
  if (value === null || typeof value !== 'object') return value;
  for (const part of Object.values(value)) frozen(part);
  return Object.freeze(value);
}
