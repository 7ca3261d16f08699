/** Between policies, counters of limits, permits, and their columns. */
import type { PermitRow, PolicyRow, PolicySetRow, RateLimitRow } from '../rows.ts';
import { type Columns, json, parsed } from './columns.ts';

export const policyColumns = (row: PolicyRow): Columns => ({
  id: row.id,
  name: row.name,
  toml: row.toml,
  version: row.version,
  created_at: row.createdAt,
  updated_at: row.updatedAt,
});

export const policyRow = (c: Columns): PolicyRow => ({
  id: c.id as string,
  name: c.name as string,
  toml: c.toml as string,
  version: c.version as number,
  createdAt: c.created_at as number,
  updatedAt: c.updated_at as number,
});

export const policySetColumns = (row: PolicySetRow): Columns => ({
  id: row.id,
  digest: row.digest,
  sources: json(row.sources),
  created_at: row.createdAt,
});

export const policySetRow = (c: Columns): PolicySetRow => ({
  id: c.id as string,
  digest: c.digest as string,
  sources: parsed(c.sources),
  createdAt: c.created_at as number,
});

export const rateLimitColumns = (row: RateLimitRow): Columns => ({
  key: row.key,
  spec: row.spec,
  state: json(row.state),
  at: row.at,
});

export const rateLimitRow = (c: Columns): RateLimitRow => ({
  key: c.key as string,
  spec: c.spec as string,
  state: parsed(c.state),
  at: c.at as number,
});

export const permitColumns = (row: PermitRow): Columns => ({
  id: row.id,
  agent_id: row.agentId,
  user_id: row.userId,
  grant_id: row.grantId,
  delegation_id: row.delegationId,
  rule: row.rule,
  method: row.method,
  origin: row.origin,
  path: row.path,
  approval_id: row.approvalId,
  created_by: row.createdBy,
  created_at: row.createdAt,
  expires_at: row.expiresAt,
});

export const permitRow = (c: Columns): PermitRow => ({
  id: c.id as string,
  agentId: c.agent_id as string,
  userId: c.user_id as string | null,
  grantId: c.grant_id as string | null,
  delegationId: c.delegation_id as string | null,
  rule: c.rule as string,
  method: c.method as string,
  origin: c.origin as string,
  path: c.path as string | null,
  approvalId: c.approval_id as string,
  createdBy: c.created_by as string,
  createdAt: c.created_at as number,
  expiresAt: c.expires_at as number | null,
});
