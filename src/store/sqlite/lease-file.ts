/**
 * The file in which a host keeps what it borrowed: sealed entries by name, nothing else. It knows neither what they are nor how to open
 * them. Same care as for the vault's own file: 0600, one process, no symlinks.
 */
import type Database from 'better-sqlite3';
import type { Migration } from '../migrations.ts';
import { asVaultError, openDatabaseFile } from './database-file.ts';

const MIGRATIONS: readonly Migration[] = [
  { version: 1, name: 'leases', sql: 'create table leases (name text primary key, sealed blob not null) strict;' },
];

export interface LeaseEntry {
  readonly name: string;
  /** null: it is to be there no more. */
  readonly sealed: Uint8Array | null;
}

export class LeaseFile {
  readonly #db: Database.Database;
  readonly #unlock: () => void;
  readonly #put: Database.Statement;
  readonly #remove: Database.Statement;
  #closed = false;

  /** @throws AlterError vault_unavailable */
  constructor(path: string) {
    const { db, unlock } = openDatabaseFile(path, MIGRATIONS);
    this.#db = db;
    this.#unlock = unlock;
    this.#put = db.prepare(
      'insert into leases (name, sealed) values (?, ?) on conflict (name) do update set sealed = excluded.sealed',
    );
    this.#remove = db.prepare('delete from leases where name = ?');
  }

  /** @throws AlterError vault_unavailable */
  readAll(): ReadonlyMap<string, Uint8Array> {
    return guarded(() => {
      const rows = this.#db.prepare('select name, sealed from leases').all() as { name: string; sealed: Uint8Array }[];
      return new Map(rows.map(({ name, sealed }) => [name, sealed]));
    });
  }

  /** All of them or none, durably. @throws AlterError vault_unavailable */
  write(entries: readonly LeaseEntry[]): void {
    guarded(() =>
      this.#db.transaction(() => {
        for (const { name, sealed } of entries) {
          if (sealed === null) this.#remove.run(name);
          else this.#put.run(name, sealed);
        }
      })(),
    );
  }

  /** @throws AlterError vault_unavailable */
  clear(): void {
    guarded(() => this.#db.exec('delete from leases'));
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#db.close();
    this.#unlock();
  }
}

function guarded<T>(work: () => T): T {
  try {
    return work();
  } catch (cause) {
    throw asVaultError(cause);
  }
}
