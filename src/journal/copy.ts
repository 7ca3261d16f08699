/** Copies of a journal that is in use: files that nobody else can read, whole on disk when this resolves, and never over another file. */
import { closeSync, constants, copyFileSync, fsyncSync, openSync } from 'node:fs';
import { join } from 'node:path';
import type { Database } from 'better-sqlite3';

/**
 * Copies the sealed head as it is now, then the chain: that may be ahead of the head, and never behind. What is committed meanwhile by the
 * same connection is in the copy as well. Call it where nobody else writes the head.
 */
export async function copyJournal(from: string, db: Database, to: string): Promise<void> {
  const [head, chain] = [join(to, 'audit.head'), join(to, 'audit.db')];
  copyFileSync(join(from, 'audit.head'), head, constants.COPYFILE_EXCL);
  syncFile(head);
  // SECURITY: SQLite would make it readable for everyone.
  closeSync(openSync(chain, constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW, 0o600));
  await db.backup(chain);
  syncFile(chain);
}

function syncFile(file: string): void {
  const descriptor = openSync(file, constants.O_RDONLY);
  try {
    fsyncSync(descriptor);
  } finally {
    closeSync(descriptor);
  }
}
