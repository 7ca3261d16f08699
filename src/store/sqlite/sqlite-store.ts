/**
 * The Store on SQLite (better-sqlite3, one connection, one writer). Statements are prepared once; every set of changes is one
 * immediate transaction that also raises the epoch.
 */
import type { Database, Statement } from 'better-sqlite3';
import { AlterError } from '../../domain/errors.ts';
import { type EpochChanges, wholeLog } from '../change-log.ts';
import { StaleEpoch } from '../conflicts.ts';
import type { LastUse, RateLimitRow, RowKind, SealedRow, StoreChange, StoreSnapshot } from '../rows.ts';
import { byCreation } from '../snapshot.ts';
import type { HeldLease, Nonce, Store } from '../store.ts';
import { SqliteCoordination } from './coordination.ts';
import { asVaultError, openDatabaseFile } from './database-file.ts';
import * as hosts from './host-mapping.ts';
import { MIGRATIONS, type Migration } from './migrations.ts';
import * as people from './people-mapping.ts';
import * as map from './row-mapping.ts';

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

const REMOVALS = [
  'agent',
  'credential',
  'grant',
  'user',
  'delegation',
  'data_key',
  'provider_client',
  'policy',
  'policy_set',
  'permit',
  'host',
] as const satisfies readonly RowKind[];

class SqliteStore implements Store {
  readonly #db: Database;
  readonly #unlock: () => void;
  readonly #reads = new Map<string, Statement<unknown[], map.Columns>>();
  readonly #puts = new Map<string, Statement>();
  readonly #removes = new Map<string, Statement>();
  readonly #coordination: SqliteCoordination;
  readonly #raiseEpoch: Statement;
  readonly #epoch: Statement<unknown[], { value: string }>;
  readonly #readSealed: Statement<unknown[], map.Columns>;
  readonly #forgetLimits: Statement;
  readonly #noteUse: Readonly<Record<LastUse['of'], Statement>>;

  constructor(db: Database, unlock: () => void) {
    this.#db = db;
    this.#unlock = unlock;
    this.#coordination = new SqliteCoordination(db);
    for (const [key, table] of Object.entries(map.TABLES)) {
      this.#reads.set(key, db.prepare(`select ${table.columns.join(', ')} from ${table.name}`));
      this.#puts.set(key, db.prepare(upsert(table.name, table.columns)));
    }
    for (const key of REMOVALS) this.#removes.set(key, db.prepare(`delete from ${map.TABLES[key].name} where id = ?`));
    this.#removes.set('sealed', db.prepare('delete from sealed_material where credential_id = ?'));
    this.#raiseEpoch = db.prepare(`update meta set value = ? where name = 'epoch' and value = ?`);
    this.#epoch = db.prepare(`select value from meta where name = 'epoch'`);
    this.#readSealed = db.prepare(`select ${map.TABLES.sealed.columns.join(', ')} from sealed_material where credential_id = ?`);
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
    return this.#guarded(() =>
      this.#db.transaction(() => {
        const meta = new Map(this.#all('meta').map((c) => [c.name as string, c.value as string]));
        const epoch = Number(meta.get('epoch'));
        meta.delete('epoch');
        return {
          epoch,
          agents: this.#all('agent').map(map.agentRow).sort(byCreation),
          keys: this.#all('key').map(map.keyRow).sort(byCreation),
          credentials: this.#all('credential').map(map.credentialRow).sort(byCreation),
          grants: this.#all('grant').map(map.grantRow).sort(byCreation),
          users: this.#all('user').map(people.userRow).sort(byCreation),
          delegations: this.#all('delegation').map(people.delegationRow).sort(byCreation),
          dataKeys: this.#all('data_key').map(map.dataKeyRow).sort(byCreation),
          policies: this.#all('policy').map(map.policyRow).sort(byCreation),
          policySets: this.#all('policy_set').map(map.policySetRow).sort(byCreation),
          providerClients: this.#all('provider_client').map(map.providerClientRow).sort(byCreation),
          permits: this.#all('permit').map(map.permitRow).sort(byCreation),
          hosts: this.#all('host').map(hosts.hostRow).sort(byCreation),
          meta,
        };
      })(),
    );
  }

  async readSealed(credentialId: string): Promise<SealedRow | undefined> {
    const columns = this.#guarded(() => this.#readSealed.get(credentialId));
    return columns && map.sealedRow(columns);
  }

  async listSealed(): Promise<SealedRow[]> {
    return this.#guarded(() => this.#all('sealed').map(map.sealedRow));
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
    return this.#guarded(() => this.#all('rate_limit').map(map.rateLimitRow));
  }

  async saveRateLimits(rows: readonly RateLimitRow[], olderThan: number): Promise<void> {
    this.#guarded(() =>
      this.#db
        .transaction(() => {
          for (const row of rows) this.#puts.get('rate_limit')!.run(map.rateLimitColumns(row));
          this.#forgetLimits.run(olderThan);
        })
        .immediate(),
    );
  }

  async close(): Promise<void> {
    if (!this.#db.open) return;
    this.#db.close();
    this.#unlock();
  }

  #all(key: map.TableKey): map.Columns[] {
    return this.#reads.get(key)!.all();
  }

  #applyOne(change: StoreChange): void {
    if ('remove' in change) this.#removes.get(change.remove)!.run(change.id);
    else this.#puts.get(change.put)!.run(columnsOf(change));
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

function columnsOf(change: Extract<StoreChange, { put: string }>): map.Columns {
  switch (change.put) {
    case 'agent':
      return map.agentColumns(change.row);
    case 'key':
      return map.keyColumns(change.row);
    case 'credential':
      return map.credentialColumns(change.row);
    case 'sealed':
      return map.sealedColumns(change.row);
    case 'grant':
      return map.grantColumns(change.row);
    case 'user':
      return people.userColumns(change.row);
    case 'delegation':
      return people.delegationColumns(change.row);
    case 'data_key':
      return map.dataKeyColumns(change.row);
    case 'policy':
      return map.policyColumns(change.row);
    case 'policy_set':
      return map.policySetColumns(change.row);
    case 'provider_client':
      return map.providerClientColumns(change.row);
    case 'permit':
      return map.permitColumns(change.row);
    case 'host':
      return hosts.hostColumns(change.row);
    case 'meta':
      if (change.name === 'epoch') throw new TypeError('the epoch is raised by apply() alone');
      return { name: change.name, value: change.value };
  }
}

function upsert(table: string, columns: readonly string[]): string {
  const [key, ...others] = columns;
  // A moment of use is only ever moved by noteUses().
  const updates = others
    .filter((column) => column !== 'last_used_at')
    .map((column) => `${column} = excluded.${column}`)
    .join(', ');
  return `insert into ${table} (${columns.join(', ')}) values (${columns.map((c) => `@${c}`).join(', ')})
    on conflict (${key}) do update set ${updates}`;
}
