/** Between grants and their columns. */
import type { Principal } from '../../domain/grant.ts';
import type { GrantRow } from '../rows.ts';
import { type Columns, json, parsed } from './columns.ts';

export const grantColumns = (row: GrantRow): Columns => ({
  id: row.id,
  label: row.label,
  principal_type: row.principal.type,
  agent_id: row.principal.type === 'agent' ? row.principal.agentId : null,
  user_id: row.principal.type === 'user' ? row.principal.userId : null,
  group_issuer: row.principal.type === 'group' ? row.principal.issuer : null,
  group_name: row.principal.type === 'group' ? row.principal.group : null,
  grant_kind: row.grantKind,
  provider_id: row.providerId,
  credential_id: row.credentialId,
  destinations: json(row.destinations),
  methods: json(row.methods),
  paths: json(row.paths),
  excluded_paths: json(row.excludedPaths),
  operations: json(row.operations),
  approval: json(row.approval),
  override_mode: row.overrideMode,
  placeholder: row.placeholder,
  injections: json(row.injections),
  allow_private: row.allowPrivate ? 1 : 0,
  allow_plaintext: row.allowPlaintext ? 1 : 0,
  pass_response_cookies: row.passResponseCookies ? 1 : 0,
  status: row.status,
  expires_at: row.expiresAt,
  created_at: row.createdAt,
  revoked_at: row.revokedAt,
  git_access: row.git,
  no_cache: row.noCache ? 1 : 0,
  offline_grace_ms: row.offlineGraceMs,
  audit_bodies: row.auditBodies,
  audit_body_bytes: row.auditBodyBytes,
});

/** SECURITY: an owner of a kind that is not known must never become the system, which is everybody. */
function principalOf(c: Columns): Principal {
  switch (c.principal_type) {
    case 'agent':
      return { type: 'agent', agentId: c.agent_id as string };
    case 'user':
      return { type: 'user', userId: c.user_id as string };
    case 'group':
      return { type: 'group', issuer: c.group_issuer as string, group: c.group_name as string };
    case 'system':
      return { type: 'system' };
    default:
      throw new TypeError(`a grant is owned by a ${String(c.principal_type)}`);
  }
}

export const grantRow = (c: Columns): GrantRow => ({
  id: c.id as string,
  label: c.label as string,
  principal: principalOf(c),
  grantKind: c.grant_kind as GrantRow['grantKind'],
  providerId: c.provider_id as string,
  credentialId: c.credential_id as string,
  destinations: parsed(c.destinations),
  methods: parsed(c.methods),
  paths: parsed(c.paths),
  excludedPaths: parsed(c.excluded_paths),
  operations: parsed(c.operations),
  approval: parsed(c.approval),
  overrideMode: c.override_mode as GrantRow['overrideMode'],
  placeholder: c.placeholder as string | null,
  injections: parsed(c.injections),
  allowPrivate: c.allow_private === 1,
  allowPlaintext: c.allow_plaintext === 1,
  passResponseCookies: c.pass_response_cookies === 1,
  status: c.status as GrantRow['status'],
  expiresAt: c.expires_at as number | null,
  createdAt: c.created_at as number,
  revokedAt: c.revoked_at as number | null,
  git: c.git_access as GrantRow['git'],
  noCache: c.no_cache === 1,
  offlineGraceMs: c.offline_grace_ms as number,
  auditBodies: c.audit_bodies as GrantRow['auditBodies'],
  auditBodyBytes: c.audit_body_bytes as number,
});
