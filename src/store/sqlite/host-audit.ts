/** Audit rows of hosts, on SQLite. Runs inside the store's transactions. */
import type { Database, Statement } from 'better-sqlite3';
import type { HostAuditRow, HostChain } from '../store.ts';

interface Stored {
  readonly n: number;
  readonly line: string;
  readonly arrived_at: number;
}

export class SqliteHostAudit {
  readonly #add: Statement;
  readonly #last: Statement<unknown[], Stored>;
  readonly #list: Statement<unknown[], Stored>;
  readonly #chains: Statement<unknown[], { chain: string }>;

  constructor(db: Database) {
    this.#add = db.prepare(
      'insert into host_audit (host_id, chain, n, line, arrived_at) values (?, ?, ?, ?, ?) on conflict (host_id, chain, n) do nothing',
    );
    this.#last = db.prepare('select n, line, arrived_at from host_audit where host_id = ? and chain = ? order by n desc limit 1');
    this.#list = db.prepare(
      'select n, line, arrived_at from host_audit where host_id = ? and chain = ? and n > ? order by n limit ?',
    );
    this.#chains = db.prepare('select chain from host_audit where host_id = ? group by chain order by min(arrived_at), chain');
  }

  add({ hostId, chain }: HostChain, rows: readonly HostAuditRow[]): void {
    for (const { n, line, arrivedAt } of rows) this.#add.run(hostId, chain, n, line, arrivedAt);
  }

  last({ hostId, chain }: HostChain): HostAuditRow | undefined {
    const found = this.#last.get(hostId, chain);
    return found === undefined ? undefined : rowOf(found);
  }

  list({ hostId, chain }: HostChain, after: number, limit: number): HostAuditRow[] {
    return this.#list.all(hostId, chain, after, limit).map(rowOf);
  }

  chains(hostId: string): string[] {
    return this.#chains.all(hostId).map(({ chain }) => chain);
  }
}

const rowOf = ({ n, line, arrived_at: arrivedAt }: Stored): HostAuditRow => ({ n, line, arrivedAt });
