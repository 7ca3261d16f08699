/**
 * One writer a database: an exclusive transaction held open on a small SQLite file beside it. The kernel drops the lock when
 * the process ends, however it ends. The file is never removed: removing it would let two writers lock two files.
 */
import { closeSync, constants, lstatSync, openSync } from 'node:fs';
import Database from 'better-sqlite3';
import { isMissing, requirePrivate } from '../../crypto/private-file.ts';
import { AlterError } from '../../domain/errors.ts';

/**
 * Takes the lock of a database file; answers the function that lets it go.
 * @throws AlterError vault_unavailable when another process or another vault of this process holds it
 */
export function lockWriter(dbFile: string): () => void {
  const lockFile = `${dbFile}.lock`;
  try {
    // SECURITY: SQLite itself would follow a planted symlink. An existing file is looked at by name only: opening and closing
    // it here would drop a lock that this process holds through SQLite (POSIX locks belong to the process, not the descriptor).
    requirePrivate(lstatSync(lockFile), lockFile);
  } catch (cause) {
    if (!isMissing(cause)) throw cause;
    createEmpty(lockFile);
  }
  const lock = new Database(lockFile, { timeout: 0 });
  try {
    lock.pragma('journal_mode = memory');
    lock.exec('begin exclusive');
  } catch (cause) {
    lock.close();
    const busy = (cause as { code?: string }).code?.startsWith('SQLITE_BUSY');
    throw new AlterError(
      'vault_unavailable',
      { reason: busy ? `${dbFile} is in use by another alterd` : `the lock file ${lockFile} can't be used` },
      {
        cause,
        hint: busy
          ? 'Only one daemon may open a vault. See which one runs: `alterd status`.'
          : `Move it away: \`ls -l ${lockFile}\`.`,
      },
    );
  }
  return () => lock.close();
}

export function createEmpty(path: string): void {
  try {
    closeSync(openSync(path, constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW, 0o600));
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === 'EEXIST') return;
    throw new AlterError(
      'vault_unavailable',
      { reason: `${path} can't be created (${(cause as NodeJS.ErrnoException).code ?? 'unknown error'})` },
      { cause, hint: 'Check the free space and the owner of the directory.' },
    );
  }
}
