/**
 * The wire shapes of the API: snake_case, times in ISO 8601 UTC. The client and the CLI use the same types.
 * SECURITY: a view lists its members one by one. Never spread a domain object here: a member added later would go out.
 */
import type { Agent, AgentKey } from '../domain/agent.ts';
import type { AuditEntry } from '../domain/audit.ts';
import type { CredentialInfo, OAuthInfo } from '../domain/credential.ts';
import type { Grant, GrantDestination } from '../domain/grant.ts';
import type { OperationRule } from '../domain/operation-rule.ts';
import { injectionText, signingPinsOf } from '../injection/injection-parts.ts';
import type { Checkpoint } from '../journal/checkpoint.ts';

export interface AgentView {
  readonly id: string;
  readonly name: string;
  readonly status: Agent['status'];
  readonly created_at: string;
  readonly type: Agent['type'];
  /** null: no limit. */
  readonly providers: readonly string[] | null;
  /** Id of the agent that this one works under. */
  readonly parent_id: string | null;
  readonly metadata: Readonly<Record<string, string>>;
}

export interface KeyView {
  readonly id: string;
  readonly prefix: string;
  readonly status: AgentKey['status'];
  readonly created_at: string;
  readonly expires_at: string | null;
  readonly last_used_at: string | null;
  readonly bound_uid: number | null;
  readonly bound_unit: string | null;
  readonly bound_executable: string | null;
  readonly bound_cidr: string | null;
  /** Id of the key that it was derived from. */
  readonly parent_key_id: string | null;
}

export interface SessionView {
  readonly session_id: string;
  readonly agent: string;
  readonly label: string | null;
  readonly key_prefix: string;
  /** Id of the user whom it was made for. */
  readonly user_id: string | null;
  readonly grant_ids: readonly string[] | null;
  readonly denied_methods: readonly string[];
  readonly denied_paths: readonly string[];
  readonly denied_hosts: readonly string[];
  readonly created_at: string;
  readonly expires_at: string;
}

export interface SecretView {
  readonly id: string;
  readonly name: string;
  readonly provider: string;
  readonly kind: string;
  /** Names only. */
  readonly fields: readonly string[];
  /** References of the fields that are fetched; null when all are stored. */
  readonly sources: Readonly<Record<string, string>> | null;
  readonly version: number;
  readonly created_at: string;
  readonly rotated_at: string | null;
  readonly last_used_at: string | null;
  /** Null for a secret that is stored as it is. */
  readonly oauth: OAuthView | null;
}

/** A connected account, without its tokens. */
export interface OAuthView {
  readonly flow: OAuthInfo['flow'];
  readonly account_id: string | null;
  readonly account_name: string | null;
  readonly scopes: readonly string[];
  /** End of the access token that is there now; a new one is fetched by itself. */
  readonly token_expires_at: string | null;
  readonly state: OAuthInfo['state'];
  readonly reason: string | null;
}

export interface GrantView {
  readonly id: string;
  readonly label: string;
  readonly principal: Grant['principal']['type'];
  /** Name; null for a grant of no agent. */
  readonly agent: string | null;
  /** E-mail or subject, of a user's grant. */
  readonly user: string | null;
  readonly user_id: string | null;
  /** Of a group's grant. */
  readonly group: string | null;
  readonly group_issuer: string | null;
  readonly kind: Grant['grantKind'];
  readonly provider: string;
  readonly credential: string;
  /** `host`, or `scheme://host:port` where that is not https on 443. */
  readonly hosts: readonly string[];
  /** null: any. */
  readonly methods: readonly string[] | null;
  readonly paths: readonly string[] | null;
  /** For git alone: clone and fetch, or push as well; null for no such restriction. */
  readonly git: Grant['git'];
  readonly excluded_paths: readonly string[];
  /** Empty: any. */
  readonly operations: readonly OperationRule[];
  /** Methods that a person has to approve, `*` for all; null: none. */
  readonly approval: readonly string[] | null;
  readonly override: Grant['overrideMode'];
  readonly placeholder: string | null;
  readonly injects: readonly string[];
  /** The only AWS region and service that it signs for, where it names them itself. */
  readonly aws_region: string | null;
  readonly aws_service: string | null;
  readonly allow_private: boolean;
  readonly allow_plaintext: boolean;
  readonly pass_response_cookies: boolean;
  /** Hosts of a central vault keep nothing of it. */
  readonly no_cache: boolean;
  /** How long they may use it after their lease ended, while the vault can't be reached. */
  readonly offline_grace_ms: number;
  /** Which bodies the journal keeps, and how much of each. */
  readonly audit_bodies: Grant['auditBodies'];
  readonly audit_body_bytes: number;
  readonly status: 'active' | 'revoked' | 'expired';
  readonly expires_at: string | null;
  readonly created_at: string;
  readonly revoked_at: string | null;
  readonly oauth: OAuthView | null;
}

/** An audit entry with its times as text. */
export type EntryView = Omit<AuditEntry, 'at' | 'closed_at'> & { readonly at: string; readonly closed_at: string | null };

const iso = (at: number): string => new Date(at).toISOString();
const isoOrNull = (at: number | null): string | null => (at === null ? null : iso(at));

export const agentView = (agent: Agent): AgentView => ({
  id: agent.id,
  name: agent.name,
  status: agent.status,
  created_at: iso(agent.createdAt),
  type: agent.type,
  providers: agent.providers,
  parent_id: agent.parentId,
  metadata: agent.metadata,
});

export const keyView = (key: AgentKey): KeyView => ({
  id: key.id,
  prefix: key.prefix,
  status: key.status,
  created_at: iso(key.createdAt),
  expires_at: isoOrNull(key.expiresAt),
  last_used_at: isoOrNull(key.lastUsedAt),
  bound_uid: key.boundUid,
  bound_unit: key.binding.unit,
  bound_executable: key.binding.executable,
  bound_cidr: key.binding.cidr,
  parent_key_id: key.parentKeyId,
});

export const secretView = (info: CredentialInfo): SecretView => ({
  id: info.id,
  name: info.name,
  provider: info.providerId,
  kind: info.kind,
  fields: info.fieldNames,
  sources: info.sources?.fields ?? null,
  version: info.version,
  created_at: iso(info.createdAt),
  rotated_at: isoOrNull(info.rotatedAt),
  last_used_at: isoOrNull(info.lastUsedAt),
  oauth: info.oauth === undefined ? null : oauthView(info.oauth),
});

const oauthView = (oauth: OAuthInfo): OAuthView => ({
  flow: oauth.flow,
  account_id: oauth.accountId,
  account_name: oauth.accountName,
  scopes: oauth.scopes,
  token_expires_at: isoOrNull(oauth.expiresAt),
  state: oauth.state,
  reason: oauth.reason,
});

export interface GrantViewParts {
  /** Of the grant's credential, where it is a connected account. */
  readonly oauth?: OAuthInfo | undefined;
  /** Names of users; nobody is named without it. */
  readonly userName?: (id: string) => string | null;
}

export function grantView(
  grant: Grant,
  agentName: (id: string) => string | null,
  now: number,
  { oauth, userName = () => null }: GrantViewParts = {},
): GrantView {
  const { principal } = grant;
  const pins = signingPinsOf(grant.injections);
  const isExpired = grant.expiresAt !== null && grant.expiresAt <= now;
  return {
    id: grant.id,
    label: grant.label,
    principal: principal.type,
    agent: principal.type === 'agent' ? agentName(principal.agentId) : null,
    user: principal.type === 'user' ? (userName(principal.userId) ?? null) : null,
    user_id: principal.type === 'user' ? principal.userId : null,
    group: principal.type === 'group' ? principal.group : null,
    group_issuer: principal.type === 'group' ? principal.issuer : null,
    kind: grant.grantKind,
    provider: grant.providerId,
    credential: grant.credentialName,
    hosts: grant.destinations.map(destinationText),
    methods: grant.methods,
    paths: grant.paths,
    git: grant.git,
    excluded_paths: grant.excludedPaths,
    operations: grant.operations.map(({ kind, at, allow }) => ({ kind, at, allow })),
    approval: grant.approval,
    override: grant.overrideMode,
    placeholder: grant.placeholder,
    injects: grant.injections.map(injectionText),
    aws_region: pins.region,
    aws_service: pins.service,
    allow_private: grant.allowPrivate,
    allow_plaintext: grant.allowPlaintext,
    pass_response_cookies: grant.passResponseCookies,
    no_cache: grant.noCache,
    offline_grace_ms: grant.offlineGraceMs,
    audit_bodies: grant.auditBodies,
    audit_body_bytes: grant.auditBodyBytes,
    status: grant.status === 'active' && isExpired ? 'expired' : grant.status,
    expires_at: isoOrNull(grant.expiresAt),
    created_at: iso(grant.createdAt),
    revoked_at: isoOrNull(grant.revokedAt),
    oauth: oauth === undefined ? null : oauthView(oauth),
  };
}

export function destinationText({ pattern, port, scheme }: GrantDestination): string {
  const host = pattern.includes(':') ? `[${pattern}]` : pattern;
  if (scheme === 'http') return `http://${host}${port === 80 ? '' : `:${port}`}`;
  return port === 443 ? host : `${host}:${port}`;
}

/** A checkpoint, as its line in an export. */
export type CheckpointView = Checkpoint & { readonly kind: 'checkpoint' };

export const checkpointView = ({ installation, n, hash, at, rows, key, signature }: Checkpoint): CheckpointView => ({
  kind: 'checkpoint',
  installation,
  n,
  hash,
  at,
  rows,
  key,
  signature,
});

export function entryView(entry: AuditEntry): EntryView {
  return { ...entry, at: iso(entry.at), closed_at: isoOrNull(entry.closed_at) };
}
