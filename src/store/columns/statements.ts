/** The statements that every database understands, made from the tables, and what fills them. A table is listed nowhere else. */

import { byCreation } from '../../domain/row-lists.ts';
import type { RowKind, StoreChange, StoreSnapshot } from '../rows.ts';
import { agentColumns, agentRow, keyColumns, keyRow } from './agents.ts';
import type { Columns } from './columns.ts';
import {
  credentialColumns,
  credentialRow,
  dataKeyColumns,
  dataKeyRow,
  providerClientColumns,
  providerClientRow,
  sealedColumns,
} from './credentials.ts';
import { grantColumns, grantRow } from './grants.ts';
import { hostColumns, hostRow } from './hosts.ts';
import { delegationColumns, delegationRow, userColumns, userRow } from './people.ts';
import { permitColumns, permitRow, policyColumns, policyRow, policySetColumns, policySetRow } from './policies.ts';
import { TABLES, type TableKey } from './tables.ts';

export const REMOVALS = [
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

/** How a database marks the n-th value of a statement, from 1. */
export type Mark = (n: number) => string;

export const selectAll = (key: TableKey): string => `select ${TABLES[key].columns.join(', ')} from ${TABLES[key].name}`;

export const removal = (what: RowKind | 'sealed', mark: Mark): string =>
  `delete from ${TABLES[what].name} where ${TABLES[what].columns[0]} = ${mark(1)}`;

/** Inserts or replaces by key; its values are those of valuesOf(). */
export function upsert(key: TableKey, mark: Mark): string {
  const { name, columns } = TABLES[key];
  const [id, ...others] = columns as readonly string[];
  // A moment of use is only ever moved by noteUses().
  const updates = others
    .filter((column) => column !== 'last_used_at')
    .map((column) => `${column} = excluded.${column}`)
    .join(', ');
  return `insert into ${name} (${columns.join(', ')}) values (${columns.map((_column, i) => mark(i + 1)).join(', ')})
    on conflict (${id}) do update set ${updates}`;
}

/** Values in the order of the table's columns. */
export const valuesOf = (key: TableKey, row: Columns): (string | number | null | Uint8Array)[] =>
  TABLES[key].columns.map((column) => row[column] ?? null);

/** The tables of a snapshot, read at one instant. */
export const SNAPSHOT_TABLES = [
  'meta',
  'agent',
  'key',
  'credential',
  'grant',
  'user',
  'delegation',
  'data_key',
  'policy',
  'policy_set',
  'provider_client',
  'permit',
  'host',
] as const satisfies readonly TableKey[];

/** Reads a table of the snapshot, each row made by `make`. */
type ReadTable = <R>(key: (typeof SNAPSHOT_TABLES)[number], make: (columns: Columns) => R) => R[];

export function snapshotOf(read: ReadTable): StoreSnapshot {
  const meta = new Map(read('meta', (c) => [c.name as string, c.value as string]));
  const epoch = Number(meta.get('epoch'));
  meta.delete('epoch');
  return {
    epoch,
    agents: read('agent', agentRow).sort(byCreation),
    keys: read('key', keyRow).sort(byCreation),
    credentials: read('credential', credentialRow).sort(byCreation),
    grants: read('grant', grantRow).sort(byCreation),
    users: read('user', userRow).sort(byCreation),
    delegations: read('delegation', delegationRow).sort(byCreation),
    dataKeys: read('data_key', dataKeyRow).sort(byCreation),
    policies: read('policy', policyRow).sort(byCreation),
    policySets: read('policy_set', policySetRow).sort(byCreation),
    providerClients: read('provider_client', providerClientRow).sort(byCreation),
    permits: read('permit', permitRow).sort(byCreation),
    hosts: read('host', hostRow).sort(byCreation),
    meta,
  };
}

/** What a put writes. */
export function columnsOf(change: Extract<StoreChange, { put: string }>): Columns {
  switch (change.put) {
    case 'agent':
      return agentColumns(change.row);
    case 'key':
      return keyColumns(change.row);
    case 'credential':
      return credentialColumns(change.row);
    case 'sealed':
      return sealedColumns(change.row);
    case 'grant':
      return grantColumns(change.row);
    case 'user':
      return userColumns(change.row);
    case 'delegation':
      return delegationColumns(change.row);
    case 'data_key':
      return dataKeyColumns(change.row);
    case 'policy':
      return policyColumns(change.row);
    case 'policy_set':
      return policySetColumns(change.row);
    case 'provider_client':
      return providerClientColumns(change.row);
    case 'permit':
      return permitColumns(change.row);
    case 'host':
      return hostColumns(change.row);
    case 'meta':
      if (change.name === 'epoch') throw new TypeError('the epoch is raised by apply() alone');
      return { name: change.name, value: change.value };
  }
}
