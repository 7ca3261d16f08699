/** Errors of PostgreSQL, as they leave this room. No text of the driver is passed on: it may name a user, a value or a password. */
import pg from 'pg';
import { AlterError } from '../../domain/errors.ts';

/** What a transaction may meet although nothing is wrong with it: it is run again. */
const CONTENTION = new Set(['40001', '40P01']);

const REASONS: Readonly<Record<string, readonly [reason: string, hint: string]>> = {
  '28P01': ['the database refuses the password', 'Check user and password of the database URL.'],
  '28000': ['the database refuses this user', 'Check the user of the database URL, and pg_hba.conf.'],
  '3D000': ['there is no database of that name', 'Make it with `createdb`, or correct the database URL.'],
  '42501': ['the database user may not do that', 'Make it the owner of the database and of its tables.'],
  '25006': ['the database is read only (a standby?)', 'Name the primary in the database URL.'],
  '53100': ['the disk of the database is full', 'Make room on it; nothing was changed.'],
  '53300': ['the database has no connection left', 'Raise max_connections, or run fewer replicas.'],
  '57014': ['the database took too long', 'Look at its load: `select * from pg_stat_activity`.'],
};

/** It answers, and can't be written to: a standby, or a primary that is one by now. */
export class NotWritable extends AlterError<'vault_unavailable'> {
  constructor() {
    super(
      'vault_unavailable',
      { reason: 'the database is read only (a standby?)' },
      { hint: 'Name the primary in the database URL, or all hosts of which one is: postgresql://USER@HOST-A,HOST-B/DATABASE.' },
    );
  }
}

/** It goes up or down just now. */
const STARTING = '57P03';
/** No failure of the host: all connections to it are in use. */
const NO_PLACE = 'timeout exceeded when trying to connect';

/** Another host may be the one to ask. What a database decides (a password, a name) is the same everywhere. */
export const isElsewhere = (cause: unknown): boolean =>
  cause instanceof NotWritable ||
  (cause instanceof pg.DatabaseError ? cause.code === STARTING : (cause as Error | null)?.message !== NO_PLACE);

/** The connection leads to a database that became a standby. */
export const isReadOnly = (cause: unknown): boolean => codeOf(cause) === '25006';

const codeOf = (cause: unknown): string => {
  const code = (cause as { code?: unknown } | null)?.code;
  return typeof code === 'string' && /^[A-Z0-9_]{3,40}$/.test(code) ? code : 'connection lost';
};

/** It is not the database that says so: the connection, or the wait for it, has ended. */
export const isLost = (cause: unknown): boolean => !(cause instanceof AlterError || cause instanceof pg.DatabaseError);

/** The database says that the commit was not made. Where it goes down (FATAL, PANIC), or does not know itself, it may have been. */
export const isRefusedCommit = (cause: unknown): boolean =>
  cause instanceof pg.DatabaseError && cause.severity === 'ERROR' && cause.code !== '40003';

export const isContention = (cause: unknown): boolean => CONTENTION.has(codeOf(cause));

/** @param place host and port, without the user */
export function asStoreError(cause: unknown, place: string): AlterError {
  if (cause instanceof AlterError) return cause;
  const code = codeOf(cause);
  if (code === '23505') return new AlterError('conflict', { reason: 'The name is taken' }, { cause });
  if (code === '23503')
    return new AlterError('conflict', { reason: 'It is still in use, or what it belongs to is gone' }, { cause });
  const known = REASONS[code];
  if (known !== undefined)
    return new AlterError('vault_unavailable', { reason: `${known[0]} (${place})` }, { cause, hint: known[1] });
  if (CONTENTION.has(code))
    return new AlterError(
      'vault_unavailable',
      { reason: `too many writers at a time (${place})` },
      { cause, hint: 'Try again.' },
    );
  return new AlterError(
    'vault_unavailable',
    { reason: `the database at ${place} can't be reached or failed (${code})` },
    { cause, hint: 'Check that it runs and can be reached: `pg_isready`. alterd connects again by itself.' },
  );
}
