/**
 * A look at the database file of a vault that another process may have open. Reads only. It may leave the empty log behind that SQLite
 * makes beside a database, which is never removed here: a daemon that starts in that moment may have made it.
 */
import { lstatSync, type Stats } from 'node:fs';
import Database from 'better-sqlite3';
import { isMissing, requirePrivate } from '../../crypto/private-file.ts';
import { AlterError } from '../../domain/errors.ts';
import type { StoreGlance } from '../glance.ts';
import { MIGRATIONS } from '../migrations.ts';
import { asVaultError } from './database-file.ts';
import { requireKnownSchema } from './migrate.ts';

const BUSY_TIMEOUT_MS = 2_000;

/** @throws AlterError vault_unavailable, forbidden for another user than the owner */
export function glanceAtFile(dbFile: string): StoreGlance {
  requirePrivate(ownFile(dbFile), dbFile);
  try {
    const db = new Database(dbFile, { readonly: true, fileMustExist: true, timeout: BUSY_TIMEOUT_MS });
    try {
      requireKnownSchema(db, MIGRATIONS);
      const before = performance.now();
      const rows = db.prepare('select name, value from meta').all() as { name: string; value: string }[];
      return {
        ...{ kind: 'sqlite', place: dbFile, clockAheadMs: null, replicas: null },
        latencyMs: performance.now() - before,
        schemaVersion: db.pragma('user_version', { simple: true }) as number,
        knownVersion: MIGRATIONS.length,
        meta: new Map(rows.map(({ name, value }) => [name, value])),
      };
    } finally {
      db.close();
    }
  } catch (cause) {
    throw asVaultError(cause);
  }
}

function ownFile(dbFile: string): Stats {
  let stats: Stats;
  try {
    stats = lstatSync(dbFile);
  } catch (cause) {
    const reason = isMissing(cause) ? `there is no database ${dbFile}` : `${dbFile} can't be looked at`;
    throw new AlterError('vault_unavailable', { reason }, { cause, hint: 'Name the directory of the vault with --home.' });
  }
  // Files that SQLite makes beside it would belong to this user, and the daemon could not open them.
  if (stats.uid !== process.geteuid?.())
    throw new AlterError(
      'forbidden',
      { reason: `${dbFile} belongs to uid ${stats.uid}` },
      { hint: `Run this as that user: \`sudo -u '#${stats.uid}' alterd vault doctor\`.` },
    );
  return stats;
}
