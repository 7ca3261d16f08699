/** Between agents with their keys and their columns. */
import { isDeepStrictEqual } from 'node:util';
import { type Narrowing, NO_NARROWING } from '../../domain/agent.ts';
import type { AgentRow, KeyRow } from '../rows.ts';
import { type Columns, json, parsed } from './columns.ts';

export const agentColumns = (row: AgentRow): Columns => ({
  id: row.id,
  name: row.name,
  status: row.status,
  created_at: row.createdAt,
  type: row.type,
  providers: json(row.providers),
  parent_id: row.parentId,
  metadata: json(row.metadata),
});

export const agentRow = (c: Columns): AgentRow => ({
  id: c.id as string,
  name: c.name as string,
  status: c.status as AgentRow['status'],
  createdAt: c.created_at as number,
  type: c.type as AgentRow['type'],
  providers: parsed(c.providers),
  parentId: c.parent_id as string | null,
  metadata: parsed(c.metadata),
});

export const keyColumns = (row: KeyRow): Columns => ({
  id: row.id,
  agent_id: row.agentId,
  hash: row.hash,
  prefix: row.prefix,
  status: row.status,
  created_at: row.createdAt,
  expires_at: row.expiresAt,
  last_used_at: row.lastUsedAt,
  bound_uid: row.boundUid,
  parent_key_id: row.parentKeyId,
  narrowing: isDeepStrictEqual(row.narrowing, NO_NARROWING) ? null : json(row.narrowing),
  bound_unit: row.binding.unit,
  bound_executable: row.binding.executable,
  bound_cidr: row.binding.cidr,
});

export const keyRow = (c: Columns): KeyRow => ({
  id: c.id as string,
  agentId: c.agent_id as string,
  hash: c.hash as string,
  prefix: c.prefix as string,
  status: c.status as KeyRow['status'],
  createdAt: c.created_at as number,
  expiresAt: c.expires_at as number | null,
  lastUsedAt: c.last_used_at as number | null,
  boundUid: c.bound_uid as number | null,
  parentKeyId: c.parent_key_id as string | null,
  narrowing: parsed<Narrowing | null>(c.narrowing) ?? NO_NARROWING,
  binding: {
    unit: c.bound_unit as string | null,
    executable: c.bound_executable as string | null,
    cidr: c.bound_cidr as string | null,
  },
});
