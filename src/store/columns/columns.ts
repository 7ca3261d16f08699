/** A row as a database driver reads and binds it: booleans are 0 and 1, lists are JSON text. The same for every database. */
export type Columns = Record<string, string | number | null | Uint8Array>;

export const json = (value: unknown): string | null => (value === null ? null : JSON.stringify(value));
/** The text was written by json() above, and the vault's MAC over all rows vouches that nobody else wrote it. */
export const parsed = <T>(text: unknown): T => (text === null ? null : JSON.parse(text as string)) as T;
