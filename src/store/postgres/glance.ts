/** A look at the database of a vault's replicas: changes nothing, makes no table, and brings no schema up to date. */
import type { StoreGlance } from '../glance.ts';
import { MIGRATIONS } from '../migrations.ts';
import { connectionOf } from './connection.ts';
import { asStoreError } from './failures.ts';

/** The oldest schema has no table at all. */
const UNDEFINED_TABLE = '42P01';

/** @throws AlterError vault_unavailable */
export async function glanceAtServer(url: string): Promise<StoreGlance> {
  const { pool, place } = connectionOf(url);
  try {
    // The connection itself is no part of the latency that requests see.
    await pool.query('select 1');
    const before = Date.now();
    const started = performance.now();
    const { rows: clock } = await pool.query<{ now: string }>('select extract(epoch from clock_timestamp()) * 1000 as now');
    const latencyMs = performance.now() - started;
    const schema = await pool
      .query<{ version: number }>('select count(*) as version from alterd_migrations')
      .catch((cause: unknown) => ifNoTable(cause, { rows: [{ version: 0 }] }));
    const meta = await pool
      .query<{ name: string; value: string }>('select name, value from meta')
      .catch((cause: unknown) => ifNoTable(cause, { rows: [] }));
    const replicas = await pool.query<{ place: string; connections: number }>(
      `select coalesce(host(client_addr), 'local socket') as place, count(*) as connections from pg_stat_activity
       where datname = current_database() and application_name = 'alterd' and pid <> pg_backend_pid() group by 1 order by 1`,
    );
    return {
      ...{ kind: 'postgresql', place, latencyMs, knownVersion: MIGRATIONS.length },
      schemaVersion: schema.rows[0]?.version ?? 0,
      meta: new Map(meta.rows.map(({ name, value }) => [name, value])),
      clockAheadMs: Math.round(before + latencyMs / 2 - Number(clock[0]?.now)),
      replicas: replicas.rows.map((row) => ({ from: row.place, connections: row.connections })),
    };
  } catch (cause) {
    throw asStoreError(cause, place);
  } finally {
    await pool.end();
  }
}

function ifNoTable<T>(cause: unknown, otherwise: T): T {
  if ((cause as { code?: string }).code === UNDEFINED_TABLE) return otherwise;
  throw cause;
}
