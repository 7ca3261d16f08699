/**
 * Brings a database to the newest schema, once for however many replicas start: a one-row lock that ends by itself, then one
 * transaction a step. The steps are those of SQLite, in the words of PostgreSQL; they use only what both understand.
 */

import { AlterError } from '../../domain/errors.ts';
import { checksumOf, type Migration } from '../migrations.ts';
import type { Connection } from './connection.ts';
import { asStoreError } from './failures.ts';
import type { Transactions } from './transactions.ts';

const LOCK_MS = 60_000;
const WAIT_MS = 100;
/** What two who make the same table at a time may meet. */
const RACES = new Set(['23505', '42P07', '42710']);

const LEDGER = [
  'create table if not exists alterd_migrations (version bigint primary key, name text not null, checksum text not null)',
  'create table if not exists alterd_migration_lock (id text primary key, holder text not null, expires_at bigint not null)',
  `insert into alterd_migration_lock values ('schema', '', 0) on conflict (id) do nothing`,
  'alter table alterd_migrations add column if not exists goes_with bigint',
];

const toPostgres = (sql: string): string =>
  sql
    .replace(/\binteger\b/g, 'bigint')
    .replace(/\bblob\b/g, 'bytea')
    .replace(/\) strict;/g, ');');

const refuse = (reason: string, hint: string): AlterError => new AlterError('vault_unavailable', { reason }, { hint });

/** @throws AlterError vault_unavailable */
export async function migratePostgres(
  connection: Connection,
  transactions: Transactions,
  migrations: readonly Migration[],
  holder: string,
): Promise<void> {
  await makeLedger(connection);
  const version = await requireKnown(transactions, migrations);
  if (version >= migrations.length) return;
  const locked = async (): Promise<boolean> =>
    transactions.write(async (client) => {
      const now = Date.now();
      const taken = await client.query(
        `update alterd_migration_lock set holder = $1, expires_at = $2 where id = 'schema' and expires_at <= $3`,
        [holder, now + LOCK_MS, now],
      );
      return taken.rowCount === 1;
    });
  const deadline = Date.now() + 2 * LOCK_MS;
  while (!(await locked())) {
    if (Date.now() > deadline)
      throw refuse('another replica has been changing the schema for long', 'See what it does, then start again.');
    await new Promise((resolve) => setTimeout(resolve, WAIT_MS));
  }
  try {
    const from = await requireKnown(transactions, migrations);
    for (const step of migrations.slice(from)) await runStep(transactions, step);
  } finally {
    await transactions
      .write((client) => client.query('update alterd_migration_lock set expires_at = 0 where holder = $1', [holder]))
      .catch(() => {});
  }
}

async function makeLedger({ pool, place }: Connection): Promise<void> {
  for (const sql of LEDGER) {
    try {
      await pool.query(sql);
    } catch (cause) {
      if (!RACES.has((cause as { code?: string }).code ?? '')) throw asStoreError(cause, place);
      await pool.query(sql).catch((again: unknown) => {
        throw asStoreError(again, place);
      });
    }
  }
}

async function runStep(transactions: Transactions, step: Migration): Promise<void> {
  await transactions.write(async (client) => {
    // First, so that a second one who believes that it has the lock fails here.
    await client.query('insert into alterd_migrations (version, name, checksum, goes_with) values ($1, $2, $3, $4)', [
      step.version,
      step.name,
      checksumOf(step),
      step.goesWith ?? step.version,
    ]);
    await client.query(toPostgres(step.sql));
  });
}

/**
 * The version of a database whose steps are those known here, or newer ones that go with what is known here.
 * @throws AlterError vault_unavailable
 */
async function requireKnown(transactions: Transactions, migrations: readonly Migration[]): Promise<number> {
  const { rows } = await transactions.read((client) =>
    client.query<{ version: number; checksum: string; goes_with: number | null }>(
      'select version, checksum, goes_with from alterd_migrations order by version',
    ),
  );
  // SECURITY: a program that does not know a step may only pass over it when the step says so: it could leave a restriction unread.
  if (rows.slice(migrations.length).some(({ version, goes_with }) => (goes_with ?? version) > migrations.length))
    throw refuse(
      `the database has schema version ${rows.length}, this alterd knows up to ${migrations.length}`,
      'Use the alterd that wrote it, or a newer one; the database was not touched.',
    );
  const isKnown = (row: { version: number; checksum: string }, i: number): boolean => {
    if (i >= migrations.length) return true;
    const step = migrations[i];
    return step !== undefined && row.version === step.version && row.checksum === checksumOf(step);
  };
  if (!rows.every(isKnown))
    throw refuse('the schema of the database is not the one that this alterd made', 'Restore the database from a backup.');
  return rows.length;
}
