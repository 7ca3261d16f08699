/**
 * The wire shapes of the API: snake_case, times in ISO 8601 UTC. The client and the CLI use the same types.
 * SECURITY: a view lists its members one by one. Never spread a domain object here: a member added later would go out.
 */
import type { Agent, AgentKey } from '../domain/agent.ts';
import type { AuditEntry } from '../domain/audit.ts';
import type { CredentialInfo, Injection } from '../domain/credential.ts';
import type { Grant, GrantDestination } from '../domain/grant.ts';
import type { OperationRule } from '../domain/operation-rule.ts';

export interface AgentView {
  readonly id: string;
  readonly name: string;
  readonly status: Agent['status'];
  readonly created_at: string;
}

export interface KeyView {
  readonly id: string;
  readonly prefix: string;
  readonly status: AgentKey['status'];
  readonly created_at: string;
  readonly expires_at: string | null;
  readonly last_used_at: string | null;
  readonly bound_uid: number | null;
}

export interface SessionView {
  readonly session_id: string;
  readonly agent: string;
  readonly label: string | null;
  readonly key_prefix: string;
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
  readonly version: number;
  readonly created_at: string;
  readonly rotated_at: string | null;
  readonly last_used_at: string | null;
}

export interface GrantView {
  readonly id: string;
  readonly label: string;
  readonly principal: 'agent' | 'system';
  /** Name; null for a system grant. */
  readonly agent: string | null;
  readonly kind: Grant['grantKind'];
  readonly provider: string;
  readonly credential: string;
  /** `host`, or `scheme://host:port` where that is not https on 443. */
  readonly hosts: readonly string[];
  /** null: any. */
  readonly methods: readonly string[] | null;
  readonly paths: readonly string[] | null;
  readonly excluded_paths: readonly string[];
  /** Empty: any. */
  readonly operations: readonly OperationRule[];
  readonly override: Grant['overrideMode'];
  readonly placeholder: string | null;
  readonly injects: readonly string[];
  readonly allow_private: boolean;
  readonly allow_plaintext: boolean;
  readonly pass_response_cookies: boolean;
  readonly status: 'active' | 'revoked' | 'expired';
  readonly expires_at: string | null;
  readonly created_at: string;
  readonly revoked_at: string | null;
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
});

export const keyView = (key: AgentKey): KeyView => ({
  id: key.id,
  prefix: key.prefix,
  status: key.status,
  created_at: iso(key.createdAt),
  expires_at: isoOrNull(key.expiresAt),
  last_used_at: isoOrNull(key.lastUsedAt),
  bound_uid: key.boundUid,
});

export const secretView = (info: CredentialInfo): SecretView => ({
  id: info.id,
  name: info.name,
  provider: info.providerId,
  kind: info.kind,
  fields: info.fieldNames,
  version: info.version,
  created_at: iso(info.createdAt),
  rotated_at: isoOrNull(info.rotatedAt),
  last_used_at: isoOrNull(info.lastUsedAt),
});

export function grantView(grant: Grant, agentName: (id: string) => string | null, now: number): GrantView {
  const isExpired = grant.expiresAt !== null && grant.expiresAt <= now;
  return {
    id: grant.id,
    label: grant.label,
    principal: grant.principal.type,
    agent: grant.principal.type === 'agent' ? agentName(grant.principal.agentId) : null,
    kind: grant.grantKind,
    provider: grant.providerId,
    credential: grant.credentialName,
    hosts: grant.destinations.map(destinationText),
    methods: grant.methods,
    paths: grant.paths,
    excluded_paths: grant.excludedPaths,
    operations: grant.operations.map(({ kind, at, allow }) => ({ kind, at, allow })),
    override: grant.overrideMode,
    placeholder: grant.placeholder,
    injects: grant.injections.map(injectionText),
    allow_private: grant.allowPrivate,
    allow_plaintext: grant.allowPlaintext,
    pass_response_cookies: grant.passResponseCookies,
    status: grant.status === 'active' && isExpired ? 'expired' : grant.status,
    expires_at: isoOrNull(grant.expiresAt),
    created_at: iso(grant.createdAt),
    revoked_at: isoOrNull(grant.revokedAt),
  };
}

function destinationText({ pattern, port, scheme }: GrantDestination): string {
  const host = pattern.includes(':') ? `[${pattern}]` : pattern;
  if (scheme === 'http') return `http://${host}${port === 80 ? '' : `:${port}`}`;
  return port === 443 ? host : `${host}:${port}`;
}

/** Where the credential goes, without its template: `header Authorization`. */
export function injectionText(injection: Injection): string {
  return injection.in === 'basic' ? 'header Authorization (Basic)' : `${injection.in} ${injection.name}`;
}

export function entryView(entry: AuditEntry): EntryView {
  return { ...entry, at: iso(entry.at), closed_at: isoOrNull(entry.closed_at) };
}
