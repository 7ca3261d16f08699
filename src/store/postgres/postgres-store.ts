/**
 * The Store on PostgreSQL, for any number of replicas. Only SQL that compatible distributed databases share: what is exclusive is
 * decided by comparing and setting rows in serializable transactions, never by locks of the server.
 */
import { randomUUID } from 'node:crypto';
import type { PoolClient } from 'pg';
import { toAlterError } from '../../domain/errors.ts';
import { type EpochChanges, KEPT_EPOCHS, type LogRow, wholeLog, writeChanges } from '../change-log.ts';
import type { Columns } from '../columns/columns.ts';
import { sealedRow } from '../columns/credentials.ts';
import { rateLimitColumns, rateLimitRow } from '../columns/policies.ts';
import { columnsOf, removal, SNAPSHOT_TABLES, selectAll, snapshotOf, upsert, valuesOf } from '../columns/statements.ts';
import { CommitUnknown, LostLease, StaleEpoch } from '../conflicts.ts';
import { MIGRATIONS, type Migration } from '../migrations.ts';
import type { LastUse, RateLimitRow, SealedRow, StoreChange, StoreSnapshot } from '../rows.ts';
import type { HeldLease, HostAuditRow, HostChain, Nonce, QuotaRow, Store } from '../store.ts';
import { connectionOf } from './connection.ts';
import { migratePostgres } from './migrate.ts';
import { Transactions } from './transactions.ts';

export interface PostgresStoreOptions {
  /** postgresql://…; may hold a password, which is shown nowhere. */
  readonly url: string;
  /** Other steps, for tests of upgrades. */
  readonly migrations?: readonly Migration[] | undefined;
}

const USED_TABLES = { key: 'agent_keys', credential: 'credentials', user: 'users', host: 'hosts' } as const satisfies Record<
  LastUse['of'],
  string
>;

/** How long a change waits for a database that went away while it was made. */
const SETTLE_MS = 3_000;
const SETTLE_PAUSE_MS = 100;

const mark = (n: number): string => `$${n}`;

/** Connects, and brings the schema up to date. @throws AlterError vault_unavailable */
export async function openPostgresStore(options: PostgresStoreOptions): Promise<Store> {
  const connection = connectionOf(options.url);
  const transactions = new Transactions(connection);
  const migrations = options.migrations ?? MIGRATIONS;
  try {
    await migratePostgres(connection, transactions, migrations, randomUUID());
  } catch (thrown) {
    await transactions.close();
    throw thrown;
  }
  return new PostgresStore(transactions, migrations.length);
}

async function epochOf(client: PoolClient): Promise<number> {
  const { rows } = await client.query<{ value: string }>(`select value from meta where name = 'epoch'`);
  return Number(rows[0]?.value);
}

async function applyOne(client: PoolClient, change: StoreChange): Promise<void> {
  if ('remove' in change) await client.query(removal(change.remove, mark), [change.id]);
  else await client.query(upsert(change.put, mark), valuesOf(change.put, columnsOf(change)));
}

class PostgresStore implements Store {
  readonly #transactions: Transactions;
  readonly #steps: number;

  /** @param steps of the schema that are known here */
  constructor(transactions: Transactions, steps: number) {
    this.#transactions = transactions;
    this.#steps = steps;
  }

  load(): Promise<StoreSnapshot> {
    return this.#transactions.read(async (client) => {
      const read = new Map<string, Columns[]>();
      for (const key of SNAPSHOT_TABLES) read.set(key, (await client.query<Columns>(selectAll(key))).rows);
      return snapshotOf((key, make) => (read.get(key) ?? []).map(make));
    });
  }

  async readSealed(credentialId: string): Promise<SealedRow | undefined> {
    const { rows } = await this.#transactions.read((client) =>
      client.query<Columns>(`${selectAll('sealed')} where credential_id = $1`, [credentialId]),
    );
    return rows[0] && sealedRow(rows[0]);
  }

  async listSealed(): Promise<SealedRow[]> {
    const { rows } = await this.#transactions.read((client) => client.query<Columns>(selectAll('sealed')));
    return rows.map(sealedRow);
  }

  /** A commit whose answer was lost is made again: only one of the two can get through the epoch, and what the log says tells which. */
  async apply(changes: readonly StoreChange[], expectedEpoch: number, lease?: HeldLease): Promise<number> {
    let unknown: CommitUnknown | null = null;
    for (const end = performance.now() + SETTLE_MS; ; await new Promise((resolve) => setTimeout(resolve, SETTLE_PAUSE_MS))) {
      try {
        return await this.#applyOnce(changes, expectedEpoch, lease);
      } catch (thrown) {
        if (thrown instanceof CommitUnknown) unknown = thrown;
        // About a second attempt only what the database decided counts; while it is away it says nothing of the first.
        if (unknown === null || (toAlterError(thrown).code === 'conflict' && !(thrown instanceof StaleEpoch))) throw thrown;
        const isMade = thrown instanceof StaleEpoch ? await this.#isMade(changes, expectedEpoch + 1) : null;
        if (isMade === true) return expectedEpoch + 1;
        if (isMade === false) throw thrown;
        if (performance.now() > end) throw unknown;
      }
    }
  }

  /** Whether these changes led to this epoch; null when that can't be told, now or any more. */
  async #isMade(changes: readonly StoreChange[], epoch: number): Promise<boolean | null> {
    const text = writeChanges(changes);
    const look = async (client: PoolClient): Promise<boolean | null> => {
      const { rows } = await client.query<{ changes: string }>('select changes from change_log where epoch = $1', [epoch]);
      if (rows[0] !== undefined) return rows[0].changes === text;
      // No log of it: while it is the newest, what it wrote beside the rows shows whose it was.
      if ((await epochOf(client)) !== epoch) return null;
      const { rows: meta } = await client.query<{ name: string; value: string }>('select name, value from meta');
      const values = new Map(meta.map(({ name, value }) => [name, value]));
      const written = changes.flatMap((change) => ('put' in change && change.put === 'meta' ? [change] : []));
      return written.length > 0 && written.every(({ name, value }) => values.get(name) === value);
    };
    return this.#transactions.read(look).catch(() => null);
  }

  #applyOnce(changes: readonly StoreChange[], expectedEpoch: number, lease?: HeldLease): Promise<number> {
    const epoch = expectedEpoch + 1;
    return this.#transactions.write(async (client) => {
      const raised = await client.query(`update meta set value = $1 where name = 'epoch' and value = $2`, [
        String(epoch),
        String(expectedEpoch),
      ]);
      if (raised.rowCount !== 1) throw new StaleEpoch();
      if (lease !== undefined) {
        const held = await client.query('select 1 from leases where name = $1 and fence = $2', [lease.name, lease.fence]);
        if (held.rowCount !== 1) throw new LostLease();
      }
      for (const change of changes) await applyOne(client, change);
      const text = writeChanges(changes);
      await client.query('delete from change_log where epoch <= $1', [text === null ? epoch : epoch - KEPT_EPOCHS]);
      if (text !== null) await client.query('insert into change_log (epoch, changes) values ($1, $2)', [epoch, text]);
      return epoch;
    });
  }

  currentEpoch(): Promise<number> {
    return this.#transactions.read(epochOf);
  }

  async isBehindSchema(): Promise<boolean> {
    const sql = 'select count(*) as steps from alterd_migrations';
    const { rows } = await this.#transactions.read((client) => client.query<{ steps: number }>(sql));
    return (rows[0]?.steps ?? 0) > this.#steps;
  }

  changesSince(epoch: number): Promise<readonly EpochChanges[] | null> {
    return this.#transactions.read(async (client) => {
      const { rows } = await client.query<LogRow>('select epoch, changes from change_log where epoch > $1 order by epoch', [
        epoch,
      ]);
      return wholeLog(rows, epoch, await epochOf(client));
    });
  }

  async useNonces(nonces: readonly Nonce[]): Promise<boolean[]> {
    if (nonces.length === 0) return [];
    const rows = [...new Map(nonces.toReversed().map((nonce) => [nonce.key, nonce])).values()];
    const marks = rows.map((_row, i) => `(${mark(i * 2 + 1)}, ${mark(i * 2 + 2)})`).join(', ');
    const sql = `insert into nonces (key, expires_at) values ${marks} on conflict (key) do nothing returning key`;
    const values = rows.flatMap(({ key, expiresAt }) => [key, expiresAt]);
    const inserted = await this.#transactions.write((client) => client.query<{ key: string }>(sql, values));
    const fresh = new Set(inserted.rows.map(({ key }) => key));
    return nonces.map(({ key }) => fresh.delete(key));
  }

  async forgetNonces(expiredBefore: number): Promise<void> {
    await this.#transactions.write((client) => client.query('delete from nonces where expires_at < $1', [expiredBefore]));
  }

  async acquireLease(name: string, holder: string, ttlMs: number, now: number): Promise<number | null> {
    const { rows } = await this.#transactions.write((client) =>
      client.query<{ fence: number }>(
        `insert into leases (name, holder, fence, expires_at) values ($1, $2, 1, $3)
         on conflict (name) do update set holder = excluded.holder, fence = leases.fence + 1, expires_at = excluded.expires_at
         where leases.expires_at <= $4 or leases.holder = excluded.holder
         returning fence`,
        [name, holder, now + ttlMs, now],
      ),
    );
    return rows[0]?.fence ?? null;
  }

  async renewLease({ name, fence }: HeldLease, ttlMs: number, now: number): Promise<boolean> {
    const renewed = await this.#transactions.write((client) =>
      client.query('update leases set expires_at = $1 where name = $2 and fence = $3 and expires_at > $4', [
        now + ttlMs,
        name,
        fence,
        now,
      ]),
    );
    return renewed.rowCount === 1;
  }

  async releaseLease({ name, fence }: HeldLease): Promise<void> {
    await this.#transactions.write((client) =>
      client.query('update leases set expires_at = 0 where name = $1 and fence = $2', [name, fence]),
    );
  }

  async addHostAudit({ hostId, chain }: HostChain, rows: readonly HostAuditRow[]): Promise<void> {
    if (rows.length === 0) return;
    await this.#transactions.write((client) =>
      client.query(
        `insert into host_audit (host_id, chain, n, line, arrived_at)
         select $1, $2, * from unnest($3::bigint[], $4::text[], $5::bigint[])
         on conflict (host_id, chain, n) do nothing`,
        [hostId, chain, rows.map(({ n }) => n), rows.map(({ line }) => line), rows.map(({ arrivedAt }) => arrivedAt)],
      ),
    );
  }

  async lastHostAudit(of: HostChain): Promise<HostAuditRow | undefined> {
    const sql = 'select n, line, arrived_at from host_audit where host_id = $1 and chain = $2 order by n desc limit 1';
    return (await this.#hostAudit(sql, [of.hostId, of.chain]))[0];
  }

  listHostAudit(of: HostChain, after: number, limit: number): Promise<HostAuditRow[]> {
    const sql = 'select n, line, arrived_at from host_audit where host_id = $1 and chain = $2 and n > $3 order by n limit $4';
    return this.#hostAudit(sql, [of.hostId, of.chain, after, limit]);
  }

  listHostChains(hostId: string): Promise<string[]> {
    return this.#transactions.read(async (client) => {
      const sql = 'select chain from host_audit where host_id = $1 group by chain order by min(arrived_at), chain';
      return (await client.query<{ chain: string }>(sql, [hostId])).rows.map(({ chain }) => chain);
    });
  }

  #hostAudit(sql: string, values: readonly (string | number)[]): Promise<HostAuditRow[]> {
    return this.#transactions.read(async (client) => {
      const { rows } = await client.query<{ n: number; line: string; arrived_at: number }>(sql, [...values]);
      return rows.map(({ n, line, arrived_at: arrivedAt }) => ({ n, line, arrivedAt }));
    });
  }

  async readQuota(key: string): Promise<QuotaRow | undefined> {
    return (await this.#quotaRows('where key = $1', [key]))[0];
  }

  writeQuota({ key, version, state, expiresAt }: QuotaRow, before: number): Promise<boolean> {
    const sql =
      before === 0
        ? 'insert into quotas (key, version, state, expires_at) values ($1, $2, $3, $4) on conflict (key) do nothing'
        : 'update quotas set version = $2, state = $3, expires_at = $4 where key = $1 and version = $5';
    const values = [key, version, state, expiresAt, ...(before === 0 ? [] : [before])];
    return this.#transactions.write(async (client) => (await client.query(sql, values)).rowCount === 1);
  }

  listQuotas(): Promise<QuotaRow[]> {
    return this.#quotaRows('order by key', []);
  }

  async forgetQuotas(expiredBefore: number): Promise<void> {
    await this.#transactions.write((client) => client.query('delete from quotas where expires_at < $1', [expiredBefore]));
  }

  #quotaRows(rest: string, values: readonly string[]): Promise<QuotaRow[]> {
    return this.#transactions.read(async (client) => {
      const { rows } = await client.query<{ key: string; version: number; state: string; expires_at: number }>(
        `select key, version, state, expires_at from quotas ${rest}`,
        [...values],
      );
      return rows.map(({ key, version, state, expires_at: expiresAt }) => ({ key, version, state, expiresAt }));
    });
  }

  async noteUses(uses: readonly LastUse[]): Promise<void> {
    await this.#transactions.write(async (client) => {
      for (const { of, id, at } of uses)
        await client.query(
          `update ${USED_TABLES[of]} set last_used_at = $1 where id = $2 and (last_used_at is null or last_used_at < $1)`,
          [at, id],
        );
    });
  }

  async listRateLimits(): Promise<RateLimitRow[]> {
    const { rows } = await this.#transactions.read((client) => client.query<Columns>(selectAll('rate_limit')));
    return rows.map(rateLimitRow);
  }

  async saveRateLimits(rows: readonly RateLimitRow[], olderThan: number): Promise<void> {
    await this.#transactions.write(async (client) => {
      for (const row of rows) await client.query(upsert('rate_limit', mark), valuesOf('rate_limit', rateLimitColumns(row)));
      await client.query('delete from rate_limits where at < $1', [olderThan]);
    });
  }

  async close(): Promise<void> {
    await this.#transactions.close();
  }
}
