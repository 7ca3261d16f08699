/**
 * The Store on SQLite (better-sqlite3, one connection, one writer). Statements are prepared once; every set of changes is one
 * immediate transaction that also raises the epoch.
 */
import type { Database, Statement } from 'better-sqlite3';
import { AlterError } from '../../domain/errors.ts';
import { type EpochChanges, wholeLog } from '../change-log.ts';
import type { Columns } from '../columns/columns.ts';
import { sealedRow } from '../columns/credentials.ts';
import { rateLimitColumns, rateLimitRow } from '../columns/policies.ts';
import { columnsOf, REMOVALS, removal, selectAll, snapshotOf, upsert, valuesOf } from '../columns/statements.ts';
import { TABLES, type TableKey } from '../columns/tables.ts';
import { StaleEpoch } from '../conflicts.ts';
import { MIGRATIONS, type Migration } from '../migrations.ts';
import type { LastUse, RateLimitRow, SealedRow, StoreChange, StoreSnapshot } from '../rows.ts';
import type { HeldLease, HostAuditRow, HostChain, Nonce, QuotaRow, Store } from '../store.ts';
import { SqliteCoordination } from './coordination.ts';
import { asVaultError, openDatabaseFile } from './database-file.ts';
import { SqliteHostAudit } from './host-audit.ts';
import { SqliteQuotas } from './quotas.ts';
import { TableReader } from './row-reader.ts';
import { createEmpty } from './writer-lock.ts';

export interface SqliteStoreOptions {
  readonly dbFile: string;
  /** Other steps, for tests of upgrades. */
  readonly migrations?: readonly Migration[] | undefined;
}

/**
 * Opens or creates the database file; it belongs to this store alone until close().
 * @throws AlterError vault_unavailable
 */
export async function openSqliteStore(options: SqliteStoreOptions): Promise<Store> {
  const { db, unlock } = openDatabaseFile(options.dbFile, options.migrations ?? MIGRATIONS);
  return new SqliteStore(db, unlock);
}

class SqliteStore implements Store {
  readonly #db: Database;
  readonly #unlock: () => void;
  readonly #tables = new Map<string, TableReader>();
  readonly #puts = new Map<string, Statement>();
  readonly #removes = new Map<string, Statement>();
  readonly #coordination: SqliteCoordination;
  readonly #hostAudit: SqliteHostAudit;
  readonly #quotas: SqliteQuotas;
  readonly #raiseEpoch: Statement;
  readonly #epoch: Statement<unknown[], { value: string }>;
  readonly #readSealed: Statement<unknown[], Columns>;
  readonly #forgetLimits: Statement;
  readonly #noteUse: Readonly<Record<LastUse['of'], Statement>>;

  constructor(db: Database, unlock: () => void) {
    this.#db = db;
    this.#unlock = unlock;
    this.#coordination = new SqliteCoordination(db);
    this.#hostAudit = new SqliteHostAudit(db);
    this.#quotas = new SqliteQuotas(db);
    const mark = (): string => '?';
    for (const key of Object.keys(TABLES) as TableKey[]) {
      this.#tables.set(key, new TableReader(db, key));
      this.#puts.set(key, db.prepare(upsert(key, mark)));
    }
    for (const key of [...REMOVALS, 'sealed'] as const) this.#removes.set(key, db.prepare(removal(key, mark)));
    this.#raiseEpoch = db.prepare(`update meta set value = ? where name = 'epoch' and value = ?`);
    this.#epoch = db.prepare(`select value from meta where name = 'epoch'`);
    this.#readSealed = db.prepare(`${selectAll('sealed')} where credential_id = ?`);
    this.#forgetLimits = db.prepare('delete from rate_limits where at < ?');
    const noteUse = (table: string): Statement =>
      db.prepare(`update ${table} set last_used_at = @at where id = @id and (last_used_at is null or last_used_at < @at)`);
    this.#noteUse = {
      key: noteUse('agent_keys'),
      credential: noteUse('credentials'),
      user: noteUse('users'),
      host: noteUse('hosts'),
    };
  }

  async load(): Promise<StoreSnapshot> {
    return this.#guarded(() => this.#db.transaction(() => snapshotOf((key, make) => this.#all(key, make)))());
  }

  async readSealed(credentialId: string): Promise<SealedRow | undefined> {
    const columns = this.#guarded(() => this.#readSealed.get(credentialId));
    return columns && sealedRow(columns);
  }

  async listSealed(): Promise<SealedRow[]> {
    return this.#guarded(() => this.#all('sealed', sealedRow));
  }

  async apply(changes: readonly StoreChange[], expectedEpoch: number, lease?: HeldLease): Promise<number> {
    const epoch = expectedEpoch + 1;
    return this.#guarded(() =>
      this.#db
        .transaction(() => {
          const raised = this.#raiseEpoch.run(String(epoch), String(expectedEpoch));
          if (raised.changes !== 1) throw new StaleEpoch();
          if (lease !== undefined) this.#coordination.requireLease(lease);
          for (const change of changes) this.#applyOne(change);
          this.#coordination.logChanges(epoch, changes);
          return epoch;
        })
        .immediate(),
    );
  }

  async currentEpoch(): Promise<number> {
    return this.#guarded(() => Number(this.#epoch.get()?.value));
  }

  async changesSince(epoch: number): Promise<readonly EpochChanges[] | null> {
    return this.#guarded(() =>
      this.#db.transaction(() => wholeLog(this.#coordination.log(epoch), epoch, Number(this.#epoch.get()?.value)))(),
    );
  }

  async useNonces(nonces: readonly Nonce[]): Promise<boolean[]> {
    return this.#guarded(() => this.#db.transaction(() => nonces.map((nonce) => this.#coordination.useNonce(nonce))).immediate());
  }

  async forgetNonces(expiredBefore: number): Promise<void> {
    this.#guarded(() => this.#coordination.forgetNonces(expiredBefore));
  }

  async acquireLease(name: string, holder: string, ttlMs: number, now: number): Promise<number | null> {
    return this.#guarded(() => this.#coordination.acquireLease(name, holder, ttlMs, now));
  }

  async renewLease(lease: HeldLease, ttlMs: number, now: number): Promise<boolean> {
    return this.#guarded(() => this.#coordination.renewLease(lease, ttlMs, now));
  }

  async releaseLease(lease: HeldLease): Promise<void> {
    this.#guarded(() => this.#coordination.releaseLease(lease));
  }

  async addHostAudit(of: HostChain, rows: readonly HostAuditRow[]): Promise<void> {
    this.#guarded(() => this.#db.transaction(() => this.#hostAudit.add(of, rows)).immediate());
  }

  async lastHostAudit(of: HostChain): Promise<HostAuditRow | undefined> {
    return this.#guarded(() => this.#hostAudit.last(of));
  }

  async listHostAudit(of: HostChain, after: number, limit: number): Promise<HostAuditRow[]> {
    return this.#guarded(() => this.#hostAudit.list(of, after, limit));
  }

  async listHostChains(hostId: string): Promise<string[]> {
    return this.#guarded(() => this.#hostAudit.chains(hostId));
  }

  async readQuota(key: string): Promise<QuotaRow | undefined> {
    return this.#guarded(() => this.#quotas.read(key));
  }

  async writeQuota(row: QuotaRow, before: number): Promise<boolean> {
    return this.#guarded(() => this.#quotas.write(row, before));
  }

  async listQuotas(): Promise<QuotaRow[]> {
    return this.#guarded(() => this.#quotas.list());
  }

  async forgetQuotas(expiredBefore: number): Promise<void> {
    this.#guarded(() => this.#quotas.forget(expiredBefore));
  }

  async noteUses(uses: readonly LastUse[]): Promise<void> {
    this.#guarded(() =>
      this.#db
        .transaction(() => {
          for (const { of, id, at } of uses) this.#noteUse[of].run({ id, at });
        })
        .immediate(),
    );
  }

  async listRateLimits(): Promise<RateLimitRow[]> {
    return this.#guarded(() => this.#all('rate_limit', rateLimitRow));
  }

  async saveRateLimits(rows: readonly RateLimitRow[], olderThan: number): Promise<void> {
    this.#guarded(() =>
      this.#db
        .transaction(() => {
          for (const row of rows) this.#puts.get('rate_limit')!.run(...valuesOf('rate_limit', rateLimitColumns(row)));
          this.#forgetLimits.run(olderThan);
        })
        .immediate(),
    );
  }

  async copyTo(file: string): Promise<void> {
    try {
      // SECURITY: SQLite would make it readable for everyone.
      createEmpty(file);
      await this.#db.backup(file);
    } catch (cause) {
      throw asVaultError(cause);
    }
  }

  async close(): Promise<void> {
    if (!this.#db.open) return;
    this.#db.close();
    this.#unlock();
  }

  #all<R>(key: TableKey, make: (columns: Columns) => R): R[] {
    return this.#tables.get(key)!.all(make);
  }

  #applyOne(change: StoreChange): void {
    if ('remove' in change) this.#removes.get(change.remove)!.run(change.id);
    else this.#puts.get(change.put)!.run(...valuesOf(change.put, columnsOf(change)));
  }

  #guarded<T>(work: () => T): T {
    try {
      if (!this.#db.open) throw new AlterError('vault_unavailable', { reason: 'it is closed' });
      return work();
    } catch (cause) {
      const code = (cause as { code?: string }).code;
      if (code?.startsWith('SQLITE_CONSTRAINT')) {
        const reason =
          code === 'SQLITE_CONSTRAINT_FOREIGNKEY' ? 'It is still in use, or what it belongs to is gone' : 'The name is taken';
        throw new AlterError('conflict', { reason }, { cause });
      }
      throw asVaultError(cause);
    }
  }
}
