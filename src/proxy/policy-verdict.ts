/**
 * Step 3 of the line for the policies: the facts of one exchange, and the verdict as the line needs it. Asked with the head
 * first, and again with the body when a rule is about that. Counts a request against its limits once.
 */
import type { AuditOpening } from '../domain/audit.ts';
import type { Authority } from '../domain/authority.ts';
import type { Grant } from '../domain/grant.ts';
import type { ProvenUser } from '../domain/user-port.ts';
import type { PolicyDecision } from '../policy/decide-policies.ts';
import type { BodyFacts } from '../policy/policy-body.ts';
import type { PrincipalFacts } from '../policy/policy-facts.ts';
import { actingUserId } from './call-user.ts';
import type { DataPlane } from './data-plane.ts';
import type { Facts } from './facts.ts';
import type { AgentRequest } from './message.ts';
import type { Route } from './route.ts';

export interface PolicyAdmission extends Omit<Extract<PolicyDecision, { allow: true }>, 'allow'> {
  /** The rule that wants a person to approve the request; null for none. */
  readonly asks: string | null;
}

export const NO_POLICY_ADMISSION: PolicyAdmission = {
  pending: false,
  monitored: [],
  counted: [],
  countedAt: 0,
  awaits: [],
  asks: null,
};

/** An upgrade carries its operations in frames, which nobody reads. */
const FRAMES: BodyFacts = { problem: 'the messages of a WebSocket are not read' };

export interface PolicyQuestion {
  readonly facts: Facts;
  readonly grant: Grant;
  readonly user: ProvenUser | null;
  readonly body: BodyFacts | null;
  /** A person said yes: rules that ask for it are met. */
  readonly approved: boolean;
  /** The answer admits the request: it is counted. */
  readonly counts: boolean;
  readonly now: number;
}

/** What goes into the row. */
export interface NotedPolicy {
  rule: string | null;
  policy: PolicyAdmission;
}

/**
 * SECURITY: that nobody was proved says nothing for certain: an agent that leaves the token out would otherwise slip past every rule
 * about its user. What is asked about a user then denies (S-91).
 */
function principalFacts({ users }: Authority, userId: string | null): PrincipalFacts | null {
  const user = userId === null ? undefined : users.get(userId);
  return user === undefined ? null : { kind: 'user', user: user.id, issuer: user.issuer, groups: user.groups };
}

/** @throws AlterError policy_violation, rate_limited */
export function admitByPolicy(
  plane: DataPlane,
  route: Route,
  request: AgentRequest,
  { facts, grant, user, body, approved, counts, now }: PolicyQuestion,
  noted: NotedPolicy,
): PolicyAdmission {
  const { policies } = plane;
  if (policies.isEmpty) return NO_POLICY_ADMISSION;
  const decision = policies.decide(
    {
      method: facts.method,
      headers: request.headers,
      target: facts.target,
      caller: route.caller.identity,
      destination: route.destination,
      grant,
      source: route.caller.peer,
      principal: principalFacts(plane.vault.authority, actingUserId(user, grant)),
      body: body ?? (request.upgrade === null ? null : FRAMES),
      now,
    },
    { counts, approved },
  );
  if (decision.allow) {
    const { pending, monitored, counted, countedAt, awaits } = decision;
    // What was counted stays in the row, however often the request is looked at again.
    const kept = noted.policy.counted.length === 0 ? { counted, countedAt } : noted.policy;
    noted.policy = { pending, monitored, counted: kept.counted, countedAt: kept.countedAt, awaits, asks: null };
    return noted.policy;
  }
  noted.policy = {
    ...noted.policy,
    pending: false,
    awaits: [],
    monitored: decision.monitored,
    asks: decision.hold === null ? null : decision.rule,
  };
  if (decision.hold !== null) return noted.policy;
  noted.rule = decision.rule;
  throw decision.error;
}

/** Small facts for the row: limits that were counted (a crash is made good from them), and what monitored rules say. */
export function policyDetails({ monitored, counted, countedAt }: PolicyAdmission): AuditOpening['details'] {
  if (monitored.length === 0 && counted.length === 0) return null;
  return {
    ...(counted.length === 0 ? {} : { limits: counted.join(' '), counted_at: countedAt }),
    ...(monitored.length === 0 ? {} : { would_deny: monitored.join(' ').slice(0, 500) }),
  };
}
