/**
 * The verdict of the policies on a request that its grant allows. Every rule only restricts, their order means nothing, and
 * what is unknown denies (S-91). One synchronous step that also counts against the limits, or counts nothing at all (S-98).
 */
import { AlterError } from '../domain/errors.ts';
import type { LimitLedger } from './limit-ledger.ts';
import type { PolicyFacts } from './policy-facts.ts';
import type { ActiveRule, PolicySet } from './policy-set.ts';
import { ASK, type LimitUse } from './shared-limits.ts';
import { NO, PENDING, type Truth, testAll, YES } from './truth.ts';

/** What a person would have to approve before the request may go on. */
export interface ApprovalHold {
  /** `POLICY/RULE`. */
  readonly rule: string;
  readonly grantId: string;
  readonly agentId: string;
}

export type PolicyDecision =
  | {
      readonly allow: true;
      /** A rule needs the body: decide again with it. Nothing was counted then. */
      readonly pending: boolean;
      /** Rules of monitored policies that would have denied it. */
      readonly monitored: readonly string[];
      /** Limits that it was counted against, by rule. */
      readonly counted: readonly string[];
      /** When; 0 when it was not. */
      readonly countedAt: number;
      /** Limits that others have to be asked about: ask, and decide again. Nothing was counted then. */
      readonly awaits: readonly LimitUse[];
    }
  | {
      readonly allow: false;
      readonly rule: string;
      readonly error: AlterError;
      /** Set when nothing but an approval stands in the way. */
      readonly hold: ApprovalHold | null;
      readonly monitored: readonly string[];
    };

export type RuleOutcome = 'pass' | 'deny' | 'unmet' | 'unknown' | 'limit' | 'approval' | 'pending';

const NOTHING: readonly string[] = [];
const NO_USES: readonly LimitUse[] = [];
const ALLOWED: PolicyDecision = {
  allow: true,
  pending: false,
  monitored: NOTHING,
  counted: NOTHING,
  countedAt: 0,
  awaits: NO_USES,
};
const ALLOWED_PENDING: PolicyDecision = { ...ALLOWED, pending: true };

/** What one rule says. Pure; a limit says only that the request is one that it counts. */
export function outcomeOf(rule: ActiveRule, facts: PolicyFacts): RuleOutcome {
  const on = testAll(rule.on, facts);
  if (on === NO) return 'pass';
  const when = testAll(rule.when, facts);
  if (rule.effect === 'require')
    return when === YES ? 'pass' : pendingOr(on, when, when === NO && on === YES ? 'unmet' : 'unknown');
  if (when === NO) return 'pass';
  if (on !== YES || when !== YES) return pendingOr(on, when, 'unknown');
  return rule.effect === 'deny' ? 'deny' : rule.effect === 'limit' ? 'limit' : 'approval';
}

const pendingOr = (on: Truth, when: Truth, otherwise: RuleOutcome): RuleOutcome =>
  on === PENDING || when === PENDING ? 'pending' : otherwise;

interface Findings {
  denied: { rule: ActiveRule; outcome: RuleOutcome } | null;
  held: ActiveRule | null;
  pending: boolean;
  monitored: string[] | null;
  limits: ActiveRule[] | null;
}

/**
 * Decides one request. Never throws for anything that a client can send.
 * @param ledger null: nothing is counted and no limit denies, for a request that was counted already
 * @param approved a person said yes to this very request
 */
export function decidePolicies(set: PolicySet, facts: PolicyFacts, ledger: LimitLedger | null, approved = false): PolicyDecision {
  const rules = set.rulesFor(facts);
  if (rules.length === 0) return ALLOWED;
  const found: Findings = { denied: null, held: null, pending: false, monitored: null, limits: null };
  for (const rule of rules) note(found, rule, outcomeSafely(rule, facts), approved);
  if (found.denied === null && !found.pending && found.held === null && found.limits === null && found.monitored === null)
    return ALLOWED;
  const { denied, held } = found;
  if (denied !== null) return deniedBy(denied.rule, denied.outcome, facts, found.monitored ?? NOTHING);
  if (found.pending) return found.monitored === null ? ALLOWED_PENDING : { ...ALLOWED_PENDING, monitored: found.monitored };
  if (held !== null) return deniedBy(held, 'approval', facts, found.monitored ?? NOTHING);
  return count(found, facts, ledger);
}

/** SECURITY: a rule that can't be evaluated denies; it must not end the evaluation of the others either. */
function outcomeSafely(rule: ActiveRule, facts: PolicyFacts): RuleOutcome {
  try {
    return outcomeOf(rule, facts);
  } catch {
    return 'unknown';
  }
}

function note(found: Findings, rule: ActiveRule, outcome: RuleOutcome, approved: boolean): void {
  if (outcome === 'pass' || (approved && outcome === 'approval')) return;
  if (outcome === 'limit') (found.limits ??= []).push(rule);
  else if (outcome === 'pending') found.pending = true;
  else if (rule.isMonitor) (found.monitored ??= []).push(rule.compiled.name);
  else if (outcome === 'approval') found.held ??= rule;
  else found.denied ??= { rule, outcome };
}

/** Looks at every limit before it takes from any: a request that is refused uses nothing up. */
function count(found: Findings, facts: PolicyFacts, ledger: LimitLedger | null): PolicyDecision {
  const monitored = found.monitored ?? [];
  const limits = ledger === null ? [] : (found.limits ?? []);
  const open: ActiveRule[] = [];
  const awaits: LimitUse[] = [];
  for (const rule of limits) {
    const waitMs = (ledger as LimitLedger).waitMs(rule.use as LimitUse, facts.now);
    // What is only watched holds nobody up: it is taken on credit.
    if (waitMs === 0 || (waitMs === ASK && rule.isMonitor)) open.push(rule);
    else if (waitMs === ASK) awaits.push(rule.use as LimitUse);
    else if (rule.isMonitor) monitored.push(rule.compiled.name);
    else return limited(rule, waitMs, monitored);
  }
  if (awaits.length > 0) return { allow: true, pending: false, monitored, counted: NOTHING, countedAt: 0, awaits };
  ledger?.take(
    open.map((rule) => rule.use as LimitUse),
    facts.now,
  );
  const counted = open.map((rule) => rule.compiled.name);
  return { allow: true, pending: false, monitored, counted, countedAt: counted.length === 0 ? 0 : facts.now, awaits };
}

function limited(rule: ActiveRule, waitMs: number, monitored: readonly string[]): PolicyDecision {
  const name = ruleText(rule);
  const { scope = 'fleet' } = rule.use?.spec ?? {};
  const error = new AlterError(
    'rate_limited',
    { policy_error: 'rate_limit_exceeded', rule: name, limit_scope: scope, retry_after: Math.ceil(waitMs / 1000) },
    { hint: `Wait as long as Retry-After says, then try again. An operator sees the limit with \`${showCommand(rule)}\`.` },
  );
  return { allow: false, rule: name, error, hold: null, monitored };
}

const ruleText = (rule: ActiveRule): string => `policy.${rule.compiled.name}`;
const showCommand = (rule: ActiveRule): string => `alterd policy show ${rule.compiled.policy.name}`;

const REASONS: Readonly<Record<string, readonly [policyError: string, says: string]>> = {
  deny: ['rule_denied', 'denies this request'],
  unmet: ['requirement_not_met', 'requires something that this request does not meet'],
  unknown: ['evaluation_failed', 'could not be decided, because something that it needs is not known'],
  approval: ['approval_unavailable', 'requires an approval, and there is nobody to ask'],
};

/** SECURITY: the agent learns the name of the rule, never what is in it. */
function deniedBy(rule: ActiveRule, outcome: RuleOutcome, facts: PolicyFacts, monitored: readonly string[]): PolicyDecision {
  const [policyError, says] = REASONS[outcome] as readonly [string, string];
  const { policy, rule: written } = rule.compiled;
  const reason = `The rule ${JSON.stringify(written.name)} of the policy ${JSON.stringify(policy.name)} ${says}.`;
  const details = { policy_error: policyError, rule: ruleText(rule), grant_id: facts.grant.id, reason };
  const hint = `An operator sees the rule with \`${showCommand(rule)}\`, and with \`alterd explain REQUEST_ID\` why it applied.`;
  const hold =
    outcome === 'approval' ? { rule: rule.compiled.name, grantId: facts.grant.id, agentId: facts.caller.agentId } : null;
  return { allow: false, rule: ruleText(rule), error: new AlterError('policy_violation', details, { hint }), hold, monitored };
}
