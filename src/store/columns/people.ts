/** Between users, delegations, and their columns. */
import type { DelegationRow, UserRow } from '../rows.ts';
import { type Columns, json, parsed } from './columns.ts';

export const userColumns = (row: UserRow): Columns => ({
  id: row.id,
  issuer: row.issuer,
  subject: row.subject,
  email: row.email,
  name: row.name,
  groups: json(row.groups),
  claims_at: row.claimsAt,
  status: row.status,
  created_at: row.createdAt,
  last_used_at: row.lastUsedAt,
});

export const userRow = (c: Columns): UserRow => ({
  id: c.id as string,
  issuer: c.issuer as string,
  subject: c.subject as string,
  email: c.email as string | null,
  name: c.name as string | null,
  groups: parsed(c.groups),
  claimsAt: c.claims_at as number,
  status: c.status as UserRow['status'],
  createdAt: c.created_at as number,
  lastUsedAt: c.last_used_at as number | null,
});

export const delegationColumns = (row: DelegationRow): Columns => ({
  id: row.id,
  user_id: row.userId,
  agent_id: row.agentId,
  grant_id: row.grantId,
  status: row.status,
  created_at: row.createdAt,
  expires_at: row.expiresAt,
  revoked_at: row.revokedAt,
  revoked_by: row.revokedBy,
});

export const delegationRow = (c: Columns): DelegationRow => ({
  id: c.id as string,
  userId: c.user_id as string | null,
  agentId: c.agent_id as string,
  grantId: c.grant_id as string,
  status: c.status as DelegationRow['status'],
  createdAt: c.created_at as number,
  expiresAt: c.expires_at as number | null,
  revokedAt: c.revoked_at as number | null,
  revokedBy: c.revoked_by as DelegationRow['revokedBy'],
});
