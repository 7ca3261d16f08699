/** Quotas of limits that all hosts share, on SQLite. One statement each; a change compares the version and sets the row. */
import type { Database, Statement } from 'better-sqlite3';
import type { QuotaRow } from '../store.ts';

interface Stored {
  readonly key: string;
  readonly version: number;
  readonly state: string;
  readonly expires_at: number;
}

export class SqliteQuotas {
  readonly #read: Statement<unknown[], Stored>;
  readonly #list: Statement<unknown[], Stored>;
  readonly #add: Statement;
  readonly #change: Statement;
  readonly #forget: Statement;

  constructor(db: Database) {
    const columns = 'select key, version, state, expires_at from quotas';
    this.#read = db.prepare(`${columns} where key = ?`);
    this.#list = db.prepare(`${columns} order by key`);
    this.#add = db.prepare(
      'insert into quotas (key, version, state, expires_at) values (@key, @version, @state, @expiresAt) on conflict (key) do nothing',
    );
    this.#change = db.prepare(
      'update quotas set version = @version, state = @state, expires_at = @expiresAt where key = @key and version = @before',
    );
    this.#forget = db.prepare('delete from quotas where expires_at < ?');
  }

  read(key: string): QuotaRow | undefined {
    const found = this.#read.get(key);
    return found === undefined ? undefined : rowOf(found);
  }

  write(row: QuotaRow, before: number): boolean {
    const changed = before === 0 ? this.#add.run(row) : this.#change.run({ ...row, before });
    return changed.changes === 1;
  }

  list(): QuotaRow[] {
    return this.#list.all().map(rowOf);
  }

  forget(expiredBefore: number): void {
    this.#forget.run(expiredBefore);
  }
}

const rowOf = ({ key, version, state, expires_at: expiresAt }: Stored): QuotaRow => ({ key, version, state, expiresAt });
