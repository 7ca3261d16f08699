/**
 * Opens the database file of a vault: directory, lock, file checks, schema, pragmas, in this order.
 * A file that is foreign, damaged, newer or too open is refused before anything is written to it.
 */
import { closeSync, constants, existsSync, lstatSync, openSync, readSync, renameSync, type Stats, unlinkSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import Database from 'better-sqlite3';
import { ensurePrivateDirectory, isMissing, requirePrivate, syncDirectory } from '../../crypto/private-file.ts';
import { AlterError } from '../../domain/errors.ts';
import { APPLICATION_ID, type Migration } from '../migrations.ts';
import { migrate, requireKnownSchema } from './migrate.ts';
import { createEmpty, lockWriter } from './writer-lock.ts';

const BUSY_TIMEOUT_MS = 5000;
const MAGIC = Buffer.from('SQLite format 3\0', 'latin1');
const HEADER_BYTES = 100;
const SIDE_FILES = ['-wal', '-shm', '-journal'];

export interface OpenDatabase {
  readonly db: Database.Database;
  readonly unlock: () => void;
}

/** @throws AlterError vault_unavailable */
export function openDatabaseFile(path: string, migrations: readonly Migration[]): OpenDatabase {
  const dbFile = join(ensurePrivateDirectory(dirname(path)), basename(path));
  // SECURITY: the link check comes before the lock, so that a planted link does not even get a lock file beside it.
  const before = statFile(dbFile);
  const unlock = lockWriter(dbFile);
  try {
    if (before === undefined && statFile(dbFile) === undefined) createDatabase(dbFile, migrations);
    else requireOwnFile(dbFile, migrations);
    return { db: openConfigured(dbFile, migrations), unlock };
  } catch (cause) {
    unlock();
    throw asVaultError(cause);
  }
}

/** Errors of SQLite, as they leave this room. */
export function asVaultError(cause: unknown): AlterError {
  if (cause instanceof AlterError) return cause;
  const code = (cause as { code?: string }).code ?? 'unknown error';
  const reason =
    code === 'SQLITE_CORRUPT' || code === 'SQLITE_NOTADB'
      ? `the database file is damaged (${code})`
      : `the database failed (${code})`;
  return new AlterError(
    'vault_unavailable',
    { reason },
    { cause, hint: 'Check the free disk space; if the file is damaged, restore it from a backup.' },
  );
}

function statFile(path: string): Stats | undefined {
  try {
    const stats = lstatSync(path);
    requirePrivate(stats, path);
    // A side file with the old mode or a link in its place is as bad as the database itself.
    for (const side of SIDE_FILES) statSideFile(path + side);
    return stats;
  } catch (cause) {
    if (isMissing(cause)) return undefined;
    throw cause;
  }
}

function statSideFile(path: string): void {
  try {
    requirePrivate(lstatSync(path), path);
  } catch (cause) {
    if (!isMissing(cause)) throw cause;
  }
}

/** Built beside its final name and moved there whole, so that a crash leaves no half-made database. */
function createDatabase(dbFile: string, migrations: readonly Migration[]): void {
  const draft = `${dbFile}.new`;
  for (const leftover of [draft, ...SIDE_FILES.map((side) => draft + side)]) removeIfThere(leftover);
  createEmpty(draft);
  const db = new Database(draft);
  try {
    db.pragma('journal_mode = delete');
    db.pragma('synchronous = full');
    migrate(db, migrations);
    db.pragma('journal_mode = wal');
  } finally {
    db.close();
  }
  renameSync(draft, dbFile);
  syncDirectory(dirname(dbFile));
}

function removeIfThere(path: string): void {
  try {
    unlinkSync(path);
  } catch (cause) {
    if (!isMissing(cause)) throw cause;
  }
}

/** Looks at an existing file with plain reads, then through a read-only connection; writes nothing. */
function requireOwnFile(dbFile: string, migrations: readonly Migration[]): void {
  requireOwnHeader(dbFile);
  const absent = ['-wal', '-shm'].map((side) => dbFile + side).filter((path) => !existsSync(path));
  const db = new Database(dbFile, { readonly: true, fileMustExist: true, timeout: BUSY_TIMEOUT_MS });
  try {
    requireKnownSchema(db, migrations);
  } finally {
    db.close();
    // Looking at a database in WAL mode leaves an empty log and its index behind.
    if (sizeOf(`${dbFile}-wal`) === 0) for (const path of absent) removeIfThere(path);
  }
}

function requireOwnHeader(dbFile: string): void {
  const header = Buffer.alloc(HEADER_BYTES);
  // Safe to open and close by hand only because this process holds the writer lock and no SQLite connection yet.
  const descriptor = openSync(dbFile, constants.O_RDONLY | constants.O_NOFOLLOW);
  let bytes: number;
  try {
    bytes = readSync(descriptor, header, 0, HEADER_BYTES, 0);
  } finally {
    closeSync(descriptor);
  }
  const refuse = (reason: string): AlterError =>
    new AlterError(
      'vault_unavailable',
      { reason },
      { hint: `Look at ${dbFile}; it was not touched. Restore it from a backup or name another file.` },
    );
  if (bytes < HEADER_BYTES || !header.subarray(0, MAGIC.length).equals(MAGIC))
    throw refuse('the database file is not an SQLite database');
  if (header.readUInt32BE(68) !== APPLICATION_ID) throw refuse('the database file is not one of alterd');
  const pageBytes = header.readUInt16BE(16) === 1 ? 65_536 : header.readUInt16BE(16);
  // A WAL may hold pages that the file does not have yet; without one a short file has lost its end.
  if (sizeOf(`${dbFile}-wal`) === 0 && sizeOf(dbFile) < header.readUInt32BE(28) * pageBytes)
    throw refuse('the database file is cut short');
}

function sizeOf(path: string): number {
  try {
    return lstatSync(path).size;
  } catch {
    return 0;
  }
}

function openConfigured(dbFile: string, migrations: readonly Migration[]): Database.Database {
  const db = new Database(dbFile, { fileMustExist: true, timeout: BUSY_TIMEOUT_MS });
  try {
    requireKnownSchema(db, migrations);
    db.pragma('journal_mode = wal');
    // A committed change (a revocation) must survive a power cut.
    db.pragma('synchronous = full');
    db.pragma('foreign_keys = on');
    // Deleted rows are overwritten, not only unlinked.
    db.pragma('secure_delete = on');
    db.pragma('trusted_schema = off');
    migrate(db, migrations);
    db.pragma('wal_checkpoint(truncate)');
    return db;
  } catch (cause) {
    db.close();
    throw cause;
  }
}
