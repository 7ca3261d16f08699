/** Brings a database to the newest schema, one transaction a step, and refuses one that is newer or was tampered with. */
import type { Database } from 'better-sqlite3';
import { AlterError } from '../../domain/errors.ts';
import { APPLICATION_ID, checksumOf, type Migration } from '../migrations.ts';

const LEDGER = `create table if not exists migrations (
  version integer primary key,
  name text not null,
  checksum text not null
) strict`;

const refuse = (reason: string, hint: string): AlterError => new AlterError('vault_unavailable', { reason }, { hint });

/**
 * Checks that this program may use the database: it is a vault, not newer, and its steps are those known here. Only reads.
 * @throws AlterError vault_unavailable
 */
export function requireKnownSchema(db: Database, migrations: readonly Migration[]): void {
  const applicationId = db.pragma('application_id', { simple: true });
  if (applicationId !== APPLICATION_ID)
    throw refuse('the database file is not one of alterd', 'Name another file; this one was not touched.');
  const version = db.pragma('user_version', { simple: true }) as number;
  if (version > migrations.length) {
    throw refuse(
      `the database has schema version ${version}, this alterd knows up to ${migrations.length}`,
      'Use the alterd that wrote it, or a newer one; the database was not touched.',
    );
  }
  const applied = db.prepare('select version, checksum from migrations order by version').all() as {
    version: number;
    checksum: string;
  }[];
  const known = migrations.slice(0, version);
  if (
    applied.length !== known.length ||
    known.some((step, i) => applied[i]?.version !== step.version || applied[i]?.checksum !== checksumOf(step))
  ) {
    throw refuse('the schema of the database is not the one that this alterd made', 'Restore the database from a backup.');
  }
  const [damage] = db.pragma('quick_check(1)') as { quick_check: string }[];
  if (damage?.quick_check !== 'ok') throw refuse('the database file is damaged', 'Restore it from a backup; it was not touched.');
}

/** Runs the steps that are missing. */
export function migrate(db: Database, migrations: readonly Migration[]): void {
  const version = db.pragma('user_version', { simple: true }) as number;
  for (const step of migrations.slice(version)) {
    db.transaction(() => {
      db.pragma(`application_id = ${APPLICATION_ID}`);
      db.exec(LEDGER);
      db.exec(step.sql);
      db.prepare('insert into migrations (version, name, checksum) values (?, ?, ?)').run(
        step.version,
        step.name,
        checksumOf(step),
      );
      db.pragma(`user_version = ${step.version}`);
    }).immediate();
  }
}
