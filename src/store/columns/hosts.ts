/** Between the rows of hosts and the columns. */
import type { HostRow } from '../rows.ts';
import { type Columns, json, parsed } from './columns.ts';

export const hostColumns = (row: HostRow): Columns => ({
  id: row.id,
  name: row.name,
  status: row.status,
  invite_hash: row.inviteHash,
  invite_expires_at: row.inviteExpiresAt,
  signing_key: row.signingKey,
  sealing_key: row.sealingKey,
  capabilities: json(row.capabilities),
  version: row.version,
  agent_ids: json(row.agentIds),
  system_grants: row.systemGrants ? 1 : 0,
  created_at: row.createdAt,
  enrolled_at: row.enrolledAt,
  last_used_at: row.lastUsedAt,
});

export const hostRow = (c: Columns): HostRow => ({
  id: c.id as string,
  name: c.name as string,
  status: c.status as HostRow['status'],
  inviteHash: c.invite_hash as string | null,
  inviteExpiresAt: c.invite_expires_at as number | null,
  signingKey: c.signing_key as string | null,
  sealingKey: c.sealing_key as string | null,
  capabilities: parsed(c.capabilities),
  version: c.version as string | null,
  agentIds: parsed(c.agent_ids),
  systemGrants: c.system_grants === 1,
  createdAt: c.created_at as number,
  enrolledAt: c.enrolled_at as number | null,
  lastUsedAt: c.last_used_at as number | null,
});
