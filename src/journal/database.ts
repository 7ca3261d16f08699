/**
 * audit.db: the chain of closed entries, the openings that outlived their segment, and how far the segments are taken in.
 * Only the journal's worker opens it, exclusively: a second daemon on the same directory finds it locked.
 */
import { closeSync, existsSync, openSync, readSync, renameSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import Database from 'better-sqlite3';
import { AlterError } from '../domain/errors.ts';
import { GENESIS } from './chain.ts';
import { newInstallationMark } from './request-id.ts';

/** What version 3 added. */
const EXTRAS = `
CREATE TABLE checkpoints (      -- what this installation signed: see checkpoint.ts
  n INTEGER PRIMARY KEY,
  hash TEXT NOT NULL,
  at INTEGER NOT NULL,
  rows INTEGER NOT NULL,
  installation TEXT NOT NULL,
  key_id TEXT NOT NULL,
  signature TEXT NOT NULL
);
CREATE TABLE block_index (      -- terms of finished blocks, for searches: see block-index.ts
  first_n INTEGER PRIMARY KEY,
  terms BLOB NOT NULL,
  seal BLOB NOT NULL
);`;

/** What version 4 added. */
const BODIES = `
CREATE TABLE bodies (           -- beside rows whose grant keeps them: see body-record.ts
  n INTEGER PRIMARY KEY,        -- of the row
  bytes INTEGER NOT NULL,
  sealed BLOB NOT NULL
);
CREATE INDEX bodies_bytes ON bodies (bytes);`;

/** "altj", at offset 68 of the file. */
const APPLICATION_ID = 0x616c746a;
const SCHEMA_VERSION = 4;
/** Forward migrations, by the version that they start from. */
const MIGRATIONS: Readonly<Record<number, string>> = {
  2: EXTRAS,
  3: BODIES,
};
/** About 50 ms of checking. */
const QUICK_CHECK_BYTES = 16 * 1024 * 1024;

const SCHEMA = `
CREATE TABLE blocks (           -- rows of the chain, many to a block: see block.ts
  first_n INTEGER PRIMARY KEY,  -- places in the chain, without gaps
  last_n INTEGER NOT NULL,
  min_request_no INTEGER NOT NULL,
  max_request_no INTEGER NOT NULL,
  min_at INTEGER NOT NULL,      -- of the openings
  max_at INTEGER NOT NULL,
  chain_at INTEGER NOT NULL,    -- latest closed_at up to the last row
  hash TEXT NOT NULL,           -- of the last row
  body BLOB NOT NULL            -- the hash before; a line for each row: text, hash
);
CREATE INDEX blocks_request_no ON blocks (max_request_no, min_request_no);
CREATE TABLE open_entries (
  request_no INTEGER PRIMARY KEY,
  at INTEGER NOT NULL,
  body TEXT NOT NULL
);
CREATE TABLE journal_state (
  id INTEGER PRIMARY KEY CHECK (id = 1),
  installation TEXT NOT NULL,
  segment INTEGER NOT NULL,         -- taken in up to this segment
  segment_end INTEGER NOT NULL,     -- and this byte of it
  last_request_no INTEGER NOT NULL,
  anchor_n INTEGER NOT NULL,        -- last row that retention removed
  anchor_hash TEXT NOT NULL,
  anchor_chain_at INTEGER NOT NULL
);${EXTRAS}${BODIES}`;

export interface JournalState {
  installation: string;
  segment: number;
  segment_end: number;
  last_request_no: number;
  anchor_n: number;
  anchor_hash: string;
  anchor_chain_at: number;
}

const unusable = (reason: string, cause?: unknown): AlterError => new AlterError('audit_unavailable', { reason }, { cause });

/** SECURITY: looked at as bytes, before SQLite gets to see the file: opening alone could change a file that isn't ours. */
function assertOurs(path: string): void {
  const header = Buffer.alloc(100);
  const fd = openSync(path, 'r');
  const length = readSync(fd, header, 0, 100, 0);
  closeSync(fd);
  if (length < 100 || header.toString('latin1', 0, 15) !== 'SQLite format 3' || header.readUInt32BE(68) !== APPLICATION_ID) {
    throw unusable(`${path} is not an audit database of alterd; it was left alone`);
  }
  const version = header.readUInt32BE(60);
  if (version !== SCHEMA_VERSION && MIGRATIONS[version] === undefined) {
    throw unusable(`${path} has schema version ${version}, this alterd knows ${SCHEMA_VERSION}`);
  }
}

/** Made under another name first, so that a crash leaves either no database or a complete one. */
function createDatabase(path: string): void {
  const draft = `${path}.new`;
  rmSync(draft, { force: true });
  rmSync(`${draft}-journal`, { force: true });
  // SECURITY: SQLite would make it readable for everyone; its -wal takes over the mode of the database.
  closeSync(openSync(draft, 'w', 0o600));
  const db = new Database(draft);
  db.pragma('page_size = 16384');
  db.pragma(`application_id = ${APPLICATION_ID}`);
  db.pragma(`user_version = ${SCHEMA_VERSION}`);
  db.exec(SCHEMA);
  db.prepare('INSERT INTO journal_state VALUES (1, ?, 0, 0, 0, 0, ?, 0)').run(newInstallationMark(), GENESIS);
  db.close();
  renameSync(draft, path);
}

/** All steps in one transaction: a crash leaves the old schema or the new one. The header may lag behind the log, SQLite doesn't. */
function migrate(db: Database.Database): void {
  db.transaction(() => {
    for (let version = db.pragma('user_version', { simple: true }) as number; version < SCHEMA_VERSION; version += 1) {
      db.exec(MIGRATIONS[version] ?? '');
      db.pragma(`user_version = ${version + 1}`);
    }
  })();
}

/**
 * Writes what can be made again (an index, a signature over rows that are durable) without waiting for the disk: it is there after the
 * next commit of rows. Somebody may be waiting for this thread's syncs.
 */
export function writeRelaxed(db: Database.Database, write: () => void): void {
  db.pragma('synchronous = NORMAL');
  try {
    write();
  } finally {
    db.pragma('synchronous = FULL');
  }
}

/** How much the stored bodies take up. */
export const bodyBytesOf = (db: Database.Database): number =>
  db.prepare('SELECT coalesce(sum(bytes), 0) FROM bodies').pluck().get() as number;

/** Touches both ends of a database that is too big to be checked whole at a start; SQLite throws where pages are damaged. */
function sample(db: Database.Database): string {
  db.prepare('SELECT * FROM blocks ORDER BY first_n DESC LIMIT 2').all();
  db.prepare('SELECT * FROM blocks ORDER BY first_n LIMIT 2').all();
  db.prepare(
    'SELECT max(max_request_no), (SELECT count(*) FROM open_entries), (SELECT anchor_n FROM journal_state) FROM blocks',
  ).all();
  return 'ok';
}

/**
 * Opens or creates the database and takes its lock.
 * @throws AlterError audit_unavailable when the file is foreign, corrupt or in use.
 */
export function openAuditDatabase(dir: string): Database.Database {
  const path = join(dir, 'audit.db');
  if (!existsSync(path)) createDatabase(path);
  assertOurs(path);
  let db: Database.Database | undefined;
  try {
    db = new Database(path, { timeout: 0 });
    db.pragma('locking_mode = EXCLUSIVE');
    db.exec('BEGIN IMMEDIATE');
    const found =
      statSync(path).size <= QUICK_CHECK_BYTES ? (db.pragma('quick_check(1)', { simple: true }) as string) : sample(db);
    db.exec('ROLLBACK');
    if (found !== 'ok') throw unusable(`${path} is corrupt: ${found.slice(0, 200)}`);
    db.pragma('journal_mode = WAL');
    db.pragma('synchronous = FULL');
    db.pragma('cache_size = -8192');
    migrate(db);
    return db;
  } catch (error) {
    db?.close();
    if (error instanceof AlterError) throw error;
    const code = (error as { code?: string }).code ?? '';
    throw unusable(
      code.startsWith('SQLITE_BUSY') ? `${path} is in use by another process` : `${path} can't be opened (${code || error})`,
      error,
    );
  }
}
