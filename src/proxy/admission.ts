/**
 * Steps 1 to 3 of the line: what a request is, which grant it uses, and whether it may. Asked once when it comes, and again after
 * every wait. Must never dial, wait, or look at a credential.
 */
import type { Delegation } from '../domain/delegation.ts';
import { AlterError } from '../domain/errors.ts';
import type { Grant } from '../domain/grant.ts';
import type { ProvenUser } from '../domain/user-port.ts';
import { findPlaceholder, placesOf } from '../injection/placeholder.ts';
import { decide } from '../policy/decide.ts';
import { type CompiledOperationRule, operationRulesAt, upgradeUnderRule } from '../policy/operations.ts';
import type { BodyFacts } from '../policy/policy-body.ts';
import { resolveGrant } from '../policy/resolve.ts';
import { requireUser } from './call-user.ts';
import type { DataPlane } from './data-plane.ts';
import { type Facts, readFacts } from './facts.ts';
import type { AgentRequest } from './message.ts';
import { admitByPolicy, NO_POLICY_ADMISSION, type PolicyAdmission } from './policy-verdict.ts';
import { INTERNAL_HOST, type Route } from './route.ts';

export interface Admission {
  readonly facts: Facts;
  /** null: a host that no grant covers, forwarded as it is. */
  readonly grant: Grant | null;
  readonly rule: string;
  /** For whom the agent calls, as a session or a token proved; null: nobody said. */
  readonly user: ProvenUser | null;
  /** By what a grant of a person is used. */
  readonly delegation: Delegation | null;
  /** Rules on what is in the body; empty for nearly every request. */
  readonly operations: readonly CompiledOperationRule[];
  /** The rule that wants a person to approve the request; null for none. */
  readonly approval: string | null;
  readonly policy: PolicyAdmission;
}

/** What a request turned out to be so far, for the row of a refusal. */
export interface Progress {
  facts: Facts | null;
  grant: Grant | null;
  rule: string | null;
  /** What the client sent where a credential goes: for the alarm alone, never for a row. */
  placeholder: string | null;
  user: ProvenUser | null;
  operations: string | null;
  approval: { readonly id: string; readonly by: string | null } | null;
  /** A person said yes. */
  approved: boolean;
  /** Once it was held. */
  body: BodyFacts | null;
  policy: PolicyAdmission;
  /** It was counted against its limits. */
  counted: boolean;
}

const NO_OPERATIONS: readonly CompiledOperationRule[] = [];

export const noProgress = (user: ProvenUser | null = null): Progress => ({
  facts: null,
  grant: null,
  rule: null,
  placeholder: null,
  user,
  operations: null,
  approval: null,
  approved: false,
  body: null,
  policy: NO_POLICY_ADMISSION,
  counted: false,
});

/** Steps 1 to 3. @throws AlterError of any refusal */
export function admit(plane: DataPlane, route: Route, request: AgentRequest, progress: Progress, now: number): Admission {
  const { identity } = route.caller;
  // SECURITY: asked again on every request: a revoked key must not live on in an open tunnel (S-99).
  if (!plane.vault.isCallerValid(identity))
    throw new AlterError('policy_violation', {
      policy_error: 'caller_ended',
      rule: 'caller',
      reason: 'The key or session of this tunnel has ended.',
    });
  const { user } = progress;
  requireUser(plane.vault.authority, user, now);
  const facts = readFacts(request, route);
  progress.facts = facts;
  if (route.sni !== null && route.sni !== route.destination.host) {
    throw new AlterError('misdirected_request', { host: route.sni, destination: route.destination.authority });
  }
  if (route.destination.host === INTERNAL_HOST) return ungranted(facts, user, 'internal', null);
  const view = plane.authority;
  if (!view.compiled.covers(route.destination.host, route.destination.port)) {
    if (plane.egress === 'refuse')
      throw new AlterError('destination_refused', { host: route.destination.authority, policy_error: 'egress_refused' });
    return ungranted(facts, user, `egress.${plane.egress}`, plane.egress === 'ask' ? 'egress.ask' : null);
  }
  const userId = user?.userId ?? null;
  const candidates = view.compiled.candidates(identity.agentId, route.destination, userId);
  const places = placesOf(candidates, view.compiled.placeholderIndex.known);
  const placeholder = findPlaceholder(request.headers, facts.target.raw, places);
  progress.placeholder = placeholder;
  const grant = resolveGrant(view.compiled, identity, route.destination, facts.selectors, placeholder, now, userId);
  progress.grant = grant;
  const rules = view.rulesOf(grant);
  const decision = decide(rules, {
    method: facts.method,
    headers: request.headers,
    target: facts.target,
    caller: identity,
    destination: route.destination,
    now,
  });
  progress.rule = decision.rule;
  if (!decision.allow) throw decision.error;
  const operations = operationRulesAt(rules.operations, facts.target);
  if (operations.length > 0 && request.upgrade !== null) throw upgradeUnderRule(grant);
  // Counted once, when nothing more has to be asked: with operations to rule on or a person to ask, that is later.
  const counts =
    !progress.counted && (operations.length === 0 || progress.body !== null) && (decision.approval === null || progress.approved);
  const { body, approved } = progress;
  const policy = admitByPolicy(plane, route, request, { facts, grant, user, body, approved, counts, now }, progress);
  progress.counted ||= counts && !policy.pending && policy.asks === null && policy.awaits.length === 0;
  const delegation = view.compiled.grantsOf(identity.agentId, userId).delegationOf(grant);
  return { facts, grant, rule: decision.rule, user, delegation, operations, approval: decision.approval ?? policy.asks, policy };
}

const ungranted = (facts: Facts, user: ProvenUser | null, rule: string, approval: string | null): Admission => ({
  facts,
  grant: null,
  rule,
  user,
  delegation: null,
  operations: NO_OPERATIONS,
  approval,
  policy: NO_POLICY_ADMISSION,
});

/** The same after a wait: with the body, or with a person's word. @throws AlterError of any refusal */
export function admitAgain(
  plane: DataPlane,
  route: Route,
  request: AgentRequest,
  before: Admission,
  progress: Progress,
): Admission {
  const noted = { ...progress };
  let again: Admission;
  try {
    again = admit(plane, route, request, noted, Date.now());
  } catch (thrown) {
    progress.rule = noted.rule;
    throw thrown;
  } finally {
    progress.counted = noted.counted;
    progress.policy = noted.policy;
  }
  // SECURITY: another grant, or another consent to it, may allow the request by now, but what was decided or put on it is of the one that ended.
  const isSame =
    again.grant?.id === before.grant?.id &&
    again.user?.userId === before.user?.userId &&
    again.delegation?.id === before.delegation?.id;
  if (!isSame) throw endOf('ended', route.destination.host);
  return again;
}

/**
 * For who decides again and can't go back to reading a body or asking a person.
 * SECURITY: a rule that came meanwhile may want a body that was not read, or a person who was not asked (S-90, S-95).
 * @throws AlterError policy_violation
 */
export function refuseNewDemands({ policy, operations, approval }: Admission, { body, approved }: Progress): void {
  const wantsBody = policy.pending || (operations.length > 0 && body === null);
  if (!wantsBody && (approval === null || approved)) return;
  const reason = 'The rules changed while this request was on its way; send it again.';
  throw new AlterError('policy_violation', { policy_error: 'evaluation_failed', rule: 'policy.changed', reason });
}

/** Why something under way is cut. */
export function endOf(why: 'ended' | 'stopping', host: string): AlterError {
  if (why === 'stopping') return new AlterError('upstream_unreachable', { host, reason: 'the daemon is stopping' });
  const reason = 'The key, the session, the user, the delegation or the grant of this request ended while it was under way.';
  return new AlterError('policy_violation', { policy_error: 'ended_under_way', rule: 'live', reason });
}
