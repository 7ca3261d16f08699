/**
 * Step 3 of the line for the policies: the facts of one exchange, and the verdict as the line needs it. Asked with the head
 * first, and again with the body when a rule is about that. Counts a request against its limits once.
 */
import type { AuditOpening } from '../domain/audit.ts';
import type { Grant } from '../domain/grant.ts';
import type { PolicyDecision } from '../policy/decide-policies.ts';
import type { BodyFacts } from '../policy/policy-body.ts';
import type { DataPlane } from './data-plane.ts';
import type { Facts } from './facts.ts';
import type { AgentRequest } from './message.ts';
import type { Route } from './route.ts';

export type PolicyAdmission = Extract<PolicyDecision, { allow: true }>;

export const NO_POLICY_ADMISSION: PolicyAdmission = { allow: true, pending: false, monitored: [], counted: [], countedAt: 0 };

/** An upgrade carries its operations in frames, which nobody reads. */
const FRAMES: BodyFacts = { problem: 'the messages of a WebSocket are not read' };

export interface PolicyQuestion {
  readonly facts: Facts;
  readonly grant: Grant;
  readonly body: BodyFacts | null;
  /** The answer admits the request: it is counted. */
  readonly counts: boolean;
  readonly now: number;
}

/** What goes into the row. */
export interface NotedPolicy {
  rule: string | null;
  policy: PolicyAdmission;
}

/** @throws AlterError policy_violation, rate_limited */
export function admitByPolicy(
  plane: DataPlane,
  route: Route,
  request: AgentRequest,
  { facts, grant, body, counts, now }: PolicyQuestion,
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
      principal: null,
      body: body ?? (request.upgrade === null ? null : FRAMES),
      now,
    },
    counts,
  );
  if (decision.allow) {
    noted.policy = decision;
    return decision;
  }
  noted.rule = decision.rule;
  noted.policy = { ...NO_POLICY_ADMISSION, monitored: decision.monitored };
  // Here a request with `hold` would wait for a person; as long as there is nobody to ask, it is refused.
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
