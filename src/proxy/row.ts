/**
 * Audit rows of the data plane: the opening of an exchange, a tunnel or a refusal, from what is known when it is written.
 * Header values, query values and anything injected never come near this file.
 */
import type { AuditKind, AuditOpening } from '../domain/audit.ts';
import type { Delegation } from '../domain/delegation.ts';
import type { Destination } from '../domain/destination.ts';
import type { AlterError } from '../domain/errors.ts';
import type { Grant } from '../domain/grant.ts';
import { type User, userLabel } from '../domain/user.ts';
import type { Caller } from './caller.ts';
import type { Facts } from './facts.ts';
import type { Peer } from './peer.ts';
import { type PolicyAdmission, policyDetails } from './policy-verdict.ts';

/** For whom, and by what; left out where no user can be known. */
export interface RowUser {
  readonly user?: User | null;
  readonly delegation?: Delegation | null;
}

export interface RowParts extends RowUser {
  readonly kind: AuditKind;
  readonly action: string;
  readonly at: number;
  readonly caller: Caller | null;
  readonly peer: Peer;
  readonly destination: Destination | null;
  readonly method: string | null;
  readonly facts: Facts | null;
  readonly grant: Grant | null;
  readonly protocol: string | null;
  readonly rule: string | null;
  readonly error: AlterError | null;
  readonly policyVersion: number | null;
  readonly replaced: boolean;
  /** What a rule on bodies read. */
  readonly operations?: string | null;
  readonly policy?: PolicyAdmission;
  readonly approval?: { readonly id: string; readonly by: string | null } | null;
}

/** Which rule an error is of, where it is of one. */
export const policyErrorOf = (error: AlterError | null): string | null =>
  error === null ? null : ((error.details as { policy_error?: string }).policy_error ?? null);

const NO_KEYS: readonly string[] = [];

export function openingOf(p: RowParts): AuditOpening {
  const identity = p.caller?.identity ?? null;
  const selectors = p.facts?.selectors ?? null;
  return {
    kind: p.kind,
    at: p.at,
    action: p.action,
    agent_id: identity?.agentId ?? null,
    agent: identity?.agentName ?? null,
    parent_agent: identity?.parentAgent ?? null,
    user_id: p.user?.id ?? identity?.userId ?? null,
    user: p.user === undefined || p.user === null ? null : userLabel(p.user),
    group: p.grant?.principal.type === 'group' ? p.grant.principal.group : null,
    delegation_id: p.delegation?.id ?? null,
    key_id: identity?.keyId ?? null,
    key_prefix: identity?.keyPrefix ?? null,
    session_id: identity?.sessionId ?? null,
    caller: p.caller === null || p.caller.label.text === '' ? null : p.caller.label.text,
    uid: p.peer.uid,
    pid: p.peer.pid,
    executable: p.peer.executable,
    peer: p.peer.address,
    grant_id: p.grant?.id ?? null,
    grant_label: p.grant === null || p.grant.label === '' ? null : p.grant.label,
    provider_id: p.grant?.providerId ?? null,
    credential: p.grant?.credentialName ?? null,
    principal_type: p.grant?.principal.type ?? null,
    scheme: p.destination?.scheme ?? null,
    host: p.destination?.host ?? null,
    port: p.destination?.port ?? null,
    method: p.method,
    path: p.facts?.target.path ?? null,
    query_keys: p.facts === null || p.facts.target.query === null ? NO_KEYS : queryKeys(p.facts.target.query),
    protocol: p.protocol,
    decision: p.error === null ? 'allow' : 'deny',
    rule: p.rule ?? (p.error === null ? null : ((p.error.details as { rule?: string }).rule ?? null)),
    error: p.error?.code ?? null,
    policy_error: policyErrorOf(p.error),
    policy_version: p.policyVersion,
    trace_id: p.facts?.traceId ?? null,
    parent_span_id: p.facts?.parentSpanId ?? null,
    reason: selectors?.reason ?? null,
    run_id: selectors?.runId ?? null,
    thread_id: selectors?.threadId ?? null,
    tool: selectors?.tool ?? null,
    replaced: p.replaced,
    details: detailsOf(p),
  };
}

function detailsOf({ operations, approval, policy }: RowParts): AuditOpening['details'] {
  const said = policy === undefined ? null : policyDetails(policy);
  if ((operations == null || operations === '') && approval == null) return said;
  return {
    ...(operations == null || operations === '' ? {} : { operations }),
    ...(approval == null ? {} : { approval: approval.id }),
    ...(approval?.by == null ? {} : { approved_by: approval.by }),
    ...said,
  };
}

/** Parameter names of a raw query, in order, at most 64; a part without `=` may itself be a secret and is not named. */
function queryKeys(query: string): string[] {
  const keys: string[] = [];
  for (const part of query.split('&')) {
    const eq = part.indexOf('=');
    if (eq > 0 && keys.length < 64) keys.push(part.slice(0, Math.min(eq, 128)));
  }
  return keys;
}
