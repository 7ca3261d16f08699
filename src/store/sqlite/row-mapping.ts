/** Between the rows of the Store port and the columns of SQLite: booleans as 0 and 1, lists as JSON text. */
import { isDeepStrictEqual } from 'node:util';
import { type Narrowing, NO_NARROWING } from '../../domain/agent.ts';
import type { FieldSources } from '../../domain/credential.ts';
import type { Principal } from '../../domain/grant.ts';
import type {
  AgentRow,
  CredentialRow,
  DataKeyRow,
  GrantRow,
  KeyRow,
  PermitRow,
  PolicyRow,
  PolicySetRow,
  ProviderClientRow,
  RateLimitRow,
  SealedRow,
} from '../rows.ts';

/** A row as better-sqlite3 reads and binds it. */
export type Columns = Record<string, string | number | null | Uint8Array>;

export const json = (value: unknown): string | null => (value === null ? null : JSON.stringify(value));
/** The text was written by json() above, and the vault's MAC over all rows vouches that nobody else wrote it. */
export const parsed = <T>(text: unknown): T => (text === null ? null : JSON.parse(text as string)) as T;

export const TABLES = {
  agent: { name: 'agents', columns: ['id', 'name', 'status', 'created_at', 'type', 'providers', 'parent_id', 'metadata'] },
  key: {
    name: 'agent_keys',
    columns: [
      'id',
      'agent_id',
      'hash',
      'prefix',
      'status',
      'created_at',
      'expires_at',
      'last_used_at',
      'bound_uid',
      'parent_key_id',
      'narrowing',
      'bound_unit',
      'bound_executable',
      'bound_cidr',
    ],
  },
  credential: {
    name: 'credentials',
    columns: [
      'id',
      'name',
      'provider_id',
      'kind',
      'field_names',
      'version',
      'created_at',
      'rotated_at',
      'last_used_at',
      'injections',
      'destinations',
      'public_fields',
      'oauth',
      'sources',
    ],
  },
  data_key: { name: 'data_keys', columns: ['id', 'wrapped', 'created_at'] },
  sealed: { name: 'sealed_material', columns: ['credential_id', 'version', 'data_key_id', 'sealed'] },
  grant: {
    name: 'grants',
    columns: [
      'id',
      'label',
      'principal_type',
      'agent_id',
      'user_id',
      'group_issuer',
      'group_name',
      'grant_kind',
      'provider_id',
      'credential_id',
      'destinations',
      'methods',
      'paths',
      'excluded_paths',
      'operations',
      'approval',
      'override_mode',
      'placeholder',
      'injections',
      'allow_private',
      'allow_plaintext',
      'pass_response_cookies',
      'status',
      'expires_at',
      'created_at',
      'revoked_at',
      'git_access',
      'no_cache',
      'offline_grace_ms',
    ],
  },
  policy: { name: 'policies', columns: ['id', 'name', 'toml', 'version', 'created_at', 'updated_at'] },
  policy_set: { name: 'policy_sets', columns: ['id', 'digest', 'sources', 'created_at'] },
  rate_limit: { name: 'rate_limits', columns: ['key', 'spec', 'state', 'at'] },
  provider_client: {
    name: 'provider_clients',
    columns: ['id', 'provider_id', 'client_id', 'version', 'data_key_id', 'sealed', 'created_at'],
  },
  user: {
    name: 'users',
    columns: ['id', 'issuer', 'subject', 'email', 'name', 'groups', 'claims_at', 'status', 'created_at', 'last_used_at'],
  },
  delegation: {
    name: 'delegations',
    columns: ['id', 'user_id', 'agent_id', 'grant_id', 'status', 'created_at', 'expires_at', 'revoked_at', 'revoked_by'],
  },
  permit: {
    name: 'permits',
    columns: [
      'id',
      'agent_id',
      'user_id',
      'grant_id',
      'delegation_id',
      'rule',
      'method',
      'origin',
      'path',
      'approval_id',
      'created_by',
      'created_at',
      'expires_at',
    ],
  },
  host: {
    name: 'hosts',
    columns: [
      'id',
      'name',
      'status',
      'invite_hash',
      'invite_expires_at',
      'signing_key',
      'sealing_key',
      'capabilities',
      'version',
      'agent_ids',
      'system_grants',
      'created_at',
      'enrolled_at',
      'last_used_at',
    ],
  },
  meta: { name: 'meta', columns: ['name', 'value'] },
} as const;

export type TableKey = keyof typeof TABLES;

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

export const credentialColumns = (row: CredentialRow): Columns => ({
  id: row.id,
  name: row.name,
  provider_id: row.providerId,
  kind: row.kind,
  field_names: json(row.fieldNames),
  version: row.version,
  created_at: row.createdAt,
  rotated_at: row.rotatedAt,
  last_used_at: row.lastUsedAt,
  injections: json(row.injections),
  destinations: json(row.destinations),
  public_fields: json(row.publicFields),
  oauth: json(row.oauth ?? null),
  sources: json(row.sources ?? null),
});

export const credentialRow = (c: Columns): CredentialRow => ({
  id: c.id as string,
  name: c.name as string,
  providerId: c.provider_id as string,
  kind: c.kind as CredentialRow['kind'],
  fieldNames: parsed(c.field_names),
  version: c.version as number,
  createdAt: c.created_at as number,
  rotatedAt: c.rotated_at as number | null,
  lastUsedAt: c.last_used_at as number | null,
  injections: parsed(c.injections),
  destinations: parsed(c.destinations),
  publicFields: parsed(c.public_fields),
  ...(c.oauth === null ? {} : { oauth: parsed(c.oauth) }),
  // Absent rather than null, so that the MAC of a row without sources is what it was before there were any.
  ...(c.sources === null ? {} : { sources: parsed<FieldSources>(c.sources) }),
});

export const providerClientColumns = (row: ProviderClientRow): Columns => ({
  id: row.id,
  provider_id: row.providerId,
  client_id: row.clientId,
  version: row.version,
  data_key_id: row.dataKeyId,
  sealed: row.sealed,
  created_at: row.createdAt,
});

export const providerClientRow = (c: Columns): ProviderClientRow => ({
  id: c.id as string,
  providerId: c.provider_id as string,
  clientId: c.client_id as string,
  version: c.version as number,
  dataKeyId: c.data_key_id as string,
  sealed: c.sealed as Uint8Array,
  createdAt: c.created_at as number,
});

export const dataKeyColumns = (row: DataKeyRow): Columns => ({ id: row.id, wrapped: row.wrapped, created_at: row.createdAt });

export const dataKeyRow = (c: Columns): DataKeyRow => ({
  id: c.id as string,
  wrapped: c.wrapped as Uint8Array,
  createdAt: c.created_at as number,
});

export const sealedColumns = (row: SealedRow): Columns => ({
  credential_id: row.credentialId,
  version: row.version,
  data_key_id: row.dataKeyId,
  sealed: row.sealed,
});

export const sealedRow = (c: Columns): SealedRow => ({
  credentialId: c.credential_id as string,
  version: c.version as number,
  dataKeyId: c.data_key_id as string,
  sealed: c.sealed as Uint8Array,
});

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
});
