/**
 * The verdict on one request under one grant: default deny, and every rule only restricts. Pure: plain values and `now`.
 * Where the origin could take the request for another (method overrides, git discovery, odd paths), every reading has to be
 * allowed. Must never change the request, and never name another agent's grants.
 */
import type { CallerIdentity } from '../domain/agent.ts';
import type { Destination } from '../domain/destination.ts';
import { AlterError } from '../domain/errors.ts';
import type { Grant } from '../domain/grant.ts';
import { compileDeniedPaths, type PathDenial } from './deny-path.ts';
import { gitPushPath, overrideMethods } from './effective-requests.ts';
import { judgeGit } from './git-rule.ts';
import { type CompiledOperationRule, compileOperationRules, operationRuleProblems } from './operations.ts';
import { compilePathGlobs, type PathMatcher, type RequestTarget, validatePathGlob } from './path.ts';
import { type SessionRules, sessionRulesOf } from './session-rules.ts';

export interface RequestFacts {
  readonly method: string;
  /** Flat name/value list, as the client sent it. */
  readonly headers: readonly string[];
  readonly target: RequestTarget;
  readonly caller: CallerIdentity;
  readonly destination: Destination;
  readonly now: number;
}

export type Decision =
  | {
      readonly allow: true;
      readonly rule: string;
      /** The rule that wants a person to approve the request; null for none. */
      readonly approval: string | null;
    }
  /** `rule` names what denied, in the vocabulary of the grant and the session: `grant.methods`. */
  | { readonly allow: false; readonly rule: string; readonly error: AlterError };

export interface CompiledGrantRules {
  readonly grant: Grant;
  /** null: any method. */
  readonly methods: ReadonlySet<string> | null;
  /** null: any path. */
  readonly allowsPath: PathMatcher | null;
  /** null: none is excluded. */
  readonly excludesPath: PathDenial | null;
  /** Rules about what is in the body, for a verdict of their own when it is there. */
  readonly operations: readonly CompiledOperationRule[];
  /** A rule can't be evaluated: the grant allows nothing. */
  readonly broken: boolean;
  /** Prepared, so that an allowed request allocates nothing. */
  readonly allowed: Decision;
  /** The same where a person has to approve; null when the grant never asks. */
  readonly asked: Decision | null;
  /** Methods that ask; null: all of them, where `asked` is set. */
  readonly approval: ReadonlySet<string> | null;
}

/** Compiles the rules of a grant; keep the result as long as the grant value lives. */
export function compileGrantRules(grant: Grant): CompiledGrantRules {
  const broken =
    [...(grant.paths ?? []), ...grant.excludedPaths].some((glob) => validatePathGlob(glob) !== null) ||
    grant.operations.some((rule) => operationRuleProblems(rule).length > 0);
  const restrictions = (['git', 'methods', 'paths'] as const).filter((rule) => grant[rule] !== null);
  const ruleName = restrictions.length === 0 ? 'grant' : `grant.${restrictions.join('+')}`;
  return {
    grant,
    methods: grant.methods === null ? null : new Set(grant.methods),
    broken,
    operations: compileOperationRules(grant.operations),
    allowsPath: grant.paths === null || broken ? null : compilePathGlobs(grant.paths),
    excludesPath: grant.excludedPaths.length === 0 || broken ? null : compileDeniedPaths(grant.excludedPaths),
    allowed: { allow: true, rule: ruleName, approval: null },
    asked: grant.approval === null ? null : { allow: true, rule: ruleName, approval: 'grant.approval' },
    approval: grant.approval === null || grant.approval.includes('*') ? null : new Set(grant.approval),
  };
}

// SECURITY: TRACE and TRACK echo the injected credential back to the client (S-43); a CONNECT in here would open a blind pipe.
const NEVER_FORWARDED: ReadonlySet<string> = new Set(['TRACE', 'TRACK', 'CONNECT']);

/** Decides one request. Never throws for anything that a client can send. */
export function decide(rules: CompiledGrantRules, facts: RequestFacts): Decision {
  const { grant } = rules;
  const { method, target, now } = facts;
  if (method !== 'GET' && method !== 'POST' && NEVER_FORWARDED.has(method.toUpperCase()))
    return { allow: false, rule: 'method', error: new AlterError('method_refused', { method }) };
  if (target.path === '*' && method !== 'OPTIONS') return malformed('target', 'the target * is only for OPTIONS');
  if (grant.status !== 'active')
    return { allow: false, rule: 'grant.status', error: new AlterError('grant_revoked', { grant_id: grant.id }) };
  if (grant.expiresAt !== null && grant.expiresAt <= now)
    return { allow: false, rule: 'grant.expires_at', error: new AlterError('grant_expired', { grant_id: grant.id }) };
  if (rules.broken)
    return denied(grant, 'grant.paths', 'evaluation_failed', 'A path rule of the grant is not valid.', widenHint(grant));
  const session = sessionRulesOf(facts.caller.narrowing);
  return (
    decideCaller(rules, session, facts) ??
    decideGit(grant, facts) ??
    decidePush(rules, session, facts) ??
    decideMethods(rules, session, facts) ??
    decidePath(rules, session, target) ??
    (rules.asked === null || !needsApproval(rules, facts) ? rules.allowed : rules.asked)
  );
}

/** Whatever the request may be taken for counts: an override, or the push that a discovery announces. */
function needsApproval({ approval }: CompiledGrantRules, { method, headers, target }: RequestFacts): boolean {
  if (approval === null || approval.has(method) || approval.has(method.toUpperCase())) return true;
  if (overrideMethods(headers, target.query).some((override) => approval.has(override))) return true;
  return approval.has('POST') && gitPushPath(target) !== null;
}

function decideCaller(
  { grant }: CompiledGrantRules,
  session: SessionRules,
  { caller, destination, now }: RequestFacts,
): Decision | null {
  if (caller.expiresAt !== null && caller.expiresAt <= now)
    return denied(
      grant,
      'caller.expires_at',
      'caller_ended',
      'The key or session of this caller has ended.',
      'Use a key that has not expired.',
    );
  const { grantIds } = caller.narrowing;
  if (grantIds !== null && !grantIds.includes(grant.id))
    return denied(
      grant,
      'session.grants',
      'session_grant_denied',
      'The session of this key does not include the grant.',
      SESSION_HINT,
    );
  if (session.deniesHost(destination.host)) {
    const reason = `The session of this key may not call ${JSON.stringify(destination.host)}.`;
    return denied(grant, 'session.denied_hosts', 'session_host_denied', reason, SESSION_HINT);
  }
  return null;
}

/** A grant for git covers the requests of git and nothing else of the host. */
function decideGit(grant: Grant, { method, headers, target }: RequestFacts): Decision | null {
  if (grant.git === null) return null;
  if (target.doubt !== null) return malformed('grant.git', target.doubt);
  const verdict = judgeGit(grant.git, method, headers, target);
  if (verdict === 'allowed') return null;
  if (verdict === 'push') {
    const reason = 'The request prepares or carries a git push, and the grant is for reading: clone and fetch.';
    const hint = `An operator allows pushing with a grant in its place: \`alterd grant revoke ${grant.id}\`, then \`alterd grant create ${grant.providerId} --agent NAME --git write\`.`;
    return denied(grant, 'grant.git', 'git_push_not_allowed', reason, hint);
  }
  const reason = `The grant is for git alone (${grant.git === 'read' ? 'clone and fetch' : 'clone, fetch and push'}) and for nothing else of this host.`;
  return denied(grant, 'grant.git', 'not_git', reason, widenHint(grant));
}

/** The method itself and every one that the request asks to be taken for. */
function decideMethods(
  rules: CompiledGrantRules,
  session: SessionRules,
  { method, headers, target }: RequestFacts,
): Decision | null {
  if (rules.methods === null && session.deniedMethods === null) return null;
  const own = decideMethod(rules, session, method);
  if (own !== null) return own;
  for (const override of overrideMethods(headers, target.query)) {
    const other = decideMethod(rules, session, override);
    if (other !== null) return other;
  }
  return null;
}

function decideMethod({ grant, methods }: CompiledGrantRules, session: SessionRules, method: string): Decision | null {
  const shown = JSON.stringify(method);
  if (session.deniedMethods?.has(method) || session.deniedMethods?.has(method.toUpperCase()))
    return denied(
      grant,
      'session.denied_methods',
      'session_method_denied',
      `The session of this key may not use ${shown}.`,
      SESSION_HINT,
    );
  if (methods === null || methods.has(method)) return null;
  const list = [...methods].join(', ') || 'no method';
  return denied(grant, 'grant.methods', 'method_not_allowed', `The grant allows ${list}, not ${shown}.`, widenHint(grant));
}

function decidePath(rules: CompiledGrantRules, session: SessionRules, target: RequestTarget): Decision | null {
  // SECURITY: a path that the origin may read differently could leave what a path rule allows (S-51).
  if (target.doubt !== null && (rules.allowsPath !== null || session.deniesPath !== null))
    return malformed(rules.allowsPath === null ? 'session.denied_paths' : 'grant.paths', target.doubt);
  if (rules.allowsPath === null && rules.excludesPath === null && session.deniesPath === null) return null;
  return decideReading(rules, session, target.path, target.segments);
}

function decideReading(
  rules: CompiledGrantRules,
  session: SessionRules,
  path: string,
  segments: readonly string[],
): Decision | null {
  const { grant, allowsPath, excludesPath } = rules;
  if (session.deniesPath?.(path))
    return denied(
      grant,
      'session.denied_paths',
      'session_path_denied',
      'The session of this key may not call this path.',
      SESSION_HINT,
    );
  if (allowsPath !== null && !allowsPath(segments))
    return denied(grant, 'grant.paths', 'path_not_allowed', 'The grant does not allow this path.', widenHint(grant));
  if (!excludesPath?.(path)) return null;
  const reason = `The provider ${grant.providerId} takes no credential on this path: it hands out credentials itself.`;
  return denied(
    grant,
    'grant.excluded_paths',
    'path_excluded',
    reason,
    `See the excluded paths: \`alterd grant show ${grant.id}\`.`,
  );
}

/** A push is a POST to git-receive-pack, whether it is sent or announced; both have to be allowed as such. */
function decidePush(rules: CompiledGrantRules, session: SessionRules, { target }: RequestFacts): Decision | null {
  const { grant } = rules;
  if (rules.methods === null && rules.allowsPath === null && session.deniedMethods === null && session.deniesPath === null)
    return null;
  const path = gitPushPath(target);
  if (path === null) return null;
  const verdict = decideMethod(rules, session, 'POST') ?? decideReading(rules, session, path, path.slice(1).split('/'));
  if (verdict === null) return null;
  const reason = 'The request prepares or carries a git push, which the grant or the session does not allow.';
  return denied(grant, verdict.rule, 'git_push_not_allowed', reason, widenHint(grant));
}

const SESSION_HINT =
  'Start the command again with fewer restrictions: `alterd run` without the --deny or --grant that is in the way.';

const widenHint = (grant: Grant): string =>
  `See what the grant allows: \`alterd grant show ${grant.id}\`. An operator allows more with a new \`alterd grant create ${grant.providerId}\`.`;

const malformed = (rule: string, reason: string): Decision => ({
  allow: false,
  rule,
  error: new AlterError('malformed_request', { reason }),
});

function denied(grant: Grant, rule: string, policyError: string, reason: string, hint: string): Decision {
  const details = { policy_error: policyError, rule, grant_id: grant.id, reason };
  return { allow: false, rule, error: new AlterError('policy_violation', details, { hint }) };
}
