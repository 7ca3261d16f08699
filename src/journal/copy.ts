/** Copies of a journal that is in use: files that nobody else can read, whole on disk when this returns, and never over another file. */
import { closeSync, constants, copyFileSync, fsyncSync, openSync } from 'node:fs';
import { join } from 'node:path';
import type { Database } from 'better-sqlite3';

/** The sealed head as it is now. Call it where nobody writes it meanwhile. */
export function copyHead(from: string, to: string): void {
  const file = join(to, 'audit.head');
  copyFileSync(join(from, 'audit.head'), file, constants.COPYFILE_EXCL);
  syncFile(file);
}

/** What is committed meanwhile by the same connection is in the copy as well. */
export async function copyDatabase(db: Database, file: string): Promise<void> {
  // SECURITY: SQLite would make it readable for everyone.
  closeSync(openSync(file, constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW, 0o600));
  await db.backup(file);
  syncFile(file);
}

function syncFile(file: string): void {
  const descriptor = openSync(file, constants.O_RDONLY);
  try {
    fsyncSync(descriptor);
  } finally {
    closeSync(descriptor);
  }
}
