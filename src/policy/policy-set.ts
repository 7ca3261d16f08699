/**
 * All policies in force, compiled: rules are found by agent, grant and host, then by method, so that a request meets only those
 * that could say something about it. Immutable; a change is a new set.
 */
import type { Grant } from '../domain/grant.ts';
import type { Policy, PolicyRule } from '../domain/policy.ts';
import { compileConditions, type ExpressionCompiler, userCondition } from './conditions.ts';
import { plainFirstSegment } from './deny-path.ts';
import { overrideMethods } from './effective-requests.ts';
import { limitUse } from './limit-ledger.ts';
import type { PolicyFacts } from './policy-facts.ts';
import type { LimitUse } from './shared-limits.ts';
import { type Condition, NO, truthOf, YES } from './truth.ts';

export interface CompiledRule {
  readonly policy: Policy;
  readonly rule: PolicyRule;
  /** `POLICY/RULE`: in rows, refusals and explanations. */
  readonly name: string;
  /** Which requests it is about, the layer's own selection included. Broad. */
  readonly on: readonly Condition[];
  readonly when: readonly Condition[];
}

/** A rule for one agent, grant and host, with what is settled by these left out. */
export interface ActiveRule {
  readonly compiled: CompiledRule;
  readonly effect: PolicyRule['effect'];
  readonly isMonitor: boolean;
  readonly on: readonly Condition[];
  readonly when: readonly Condition[];
  /** For `limit`. */
  readonly use: LimitUse | null;
}

/** Agents choose destinations, methods and paths: memos are emptied rather than let grow. */
const MEMO_LIMIT = 1024;
const SHAPE_LIMIT = 256;
const NONE: readonly ActiveRule[] = [];

interface RulesOfHost {
  readonly all: readonly ActiveRule[];
  /** By method, then by the first segment of the path. */
  readonly byShape: Map<string, Map<string, readonly ActiveRule[]>>;
  shapes: number;
}

export class PolicySet {
  readonly policies: readonly Policy[];
  readonly rules: readonly CompiledRule[];
  /** A rule looks at uid, unit or program of the caller. */
  readonly asksForPeer: boolean;
  readonly #memo = new WeakMap<Grant, Map<string, Map<string, RulesOfHost>>>();

  /** @throws ExpressionProblem for an expression that can't be compiled, RangeError for an unknown zone */
  constructor(policies: readonly Policy[], expressions: ExpressionCompiler | null) {
    this.policies = policies;
    this.rules = policies.flatMap((policy) => policy.rules.map((rule) => compileRule(policy, rule, expressions)));
    this.asksForPeer = this.rules.some(({ rule }) => asksForPeer(rule.on) || asksForPeer(rule.when));
  }

  /** The rules that may say something about the request. */
  rulesFor(facts: PolicyFacts): readonly ActiveRule[] {
    if (this.rules.length === 0) return NONE;
    const found = this.#rulesOfHost(facts);
    if (found.all.length === 0) return NONE;
    const first = plainFirstSegment(facts.target.path);
    if (first === null || overrideMethods(facts.headers, facts.target.query).length > 0) return found.all;
    let byFirst = found.byShape.get(facts.method);
    let rules = byFirst?.get(first);
    if (rules === undefined) {
      if (++found.shapes > SHAPE_LIMIT) {
        found.byShape.clear();
        found.shapes = 1;
        byFirst = undefined;
      }
      rules = found.all.flatMap((rule) => settle(rule, 'method', facts)).filter((rule) => mayMatch(rule, first));
      if (byFirst === undefined) found.byShape.set(facts.method, (byFirst = new Map()));
      byFirst.set(first, rules);
    }
    return rules;
  }

  #rulesOfHost(facts: PolicyFacts): RulesOfHost {
    const { caller, grant, destination } = facts;
    let byAgent = this.#memo.get(grant);
    if (byAgent === undefined) this.#memo.set(grant, (byAgent = new Map()));
    let byOrigin = byAgent.get(caller.agentId);
    if (byOrigin === undefined) byAgent.set(caller.agentId, (byOrigin = new Map()));
    let found = byOrigin.get(destination.origin);
    if (found === undefined) {
      found = { all: this.rules.flatMap((rule) => activeRule(rule, facts)), byShape: new Map(), shapes: 0 };
      if (byOrigin.size >= MEMO_LIMIT) byOrigin.clear();
      byOrigin.set(destination.origin, found);
    }
    return found;
  }
}

/** False when a path that begins so is none that the rule could be about. A requirement stays, unless it is not about the path. */
function mayMatch({ effect, on, when }: ActiveRule, first: string): boolean {
  const excludes = ({ firstSegments }: Condition): boolean => firstSegments?.has(first) === false;
  return !on.some(excludes) && (effect === 'require' || !when.some(excludes));
}

export const NO_POLICIES = new PolicySet([], null);

const asksForPeer = (conditions: PolicyRule['on']): boolean =>
  conditions !== null &&
  ((conditions.source !== null &&
    (conditions.source.uids !== null || conditions.source.units !== null || conditions.source.executables !== null)) ||
    /\bsource\b/.test(conditions.cel ?? ''));

function compileRule(policy: Policy, rule: PolicyRule, expressions: ExpressionCompiler | null): CompiledRule {
  const strict = rule.effect === 'require';
  return {
    policy,
    rule,
    name: `${policy.name}/${rule.name}`,
    on: [...layerConditions(policy), ...(rule.on === null ? [] : compileConditions(rule.on, 'broad', expressions))],
    when: compileConditions(rule.when, strict ? 'strict' : 'broad', expressions),
  };
}

/** What the layer selects by the caller's own facts; the others are settled by activeRule. */
function layerConditions({ layer, targets }: Policy): readonly Condition[] {
  if (layer === 'user') return [userCondition(targets)];
  if (layer !== 'session') return [];
  return [
    {
      key: 'session',
      dependsOn: 'request',
      test: ({ caller }) => truthOf(caller.sessionId !== null && (targets.includes('*') || targets.includes(caller.sessionId))),
    },
  ];
}

/** What the layers select by. */
export interface AboutFacts {
  readonly caller: Pick<PolicyFacts['caller'], 'agentId' | 'agentName'>;
  readonly grant: Pick<Grant, 'id' | 'label' | 'providerId'>;
}

/** True when the policy may be about this agent and grant. */
export function isAbout({ layer, targets }: Policy, { caller, grant }: AboutFacts): boolean {
  const names = (...own: string[]): boolean => targets.includes('*') || own.some((name) => name !== '' && targets.includes(name));
  switch (layer) {
    case 'provider':
      return names(grant.providerId);
    case 'agent':
      return names(caller.agentName, caller.agentId);
    case 'grant':
      return names(grant.id, grant.label);
    default:
      return true;
  }
}

function activeRule(compiled: CompiledRule, facts: PolicyFacts): ActiveRule[] {
  if (!isAbout(compiled.policy, facts)) return [];
  const { rule, policy } = compiled;
  const { limit } = rule;
  const active: ActiveRule = {
    compiled,
    effect: rule.effect,
    isMonitor: policy.mode === 'monitor',
    on: compiled.on,
    when: compiled.when,
    // SECURITY: keyed by what the vault and the compiled rule say, never by text of the request (S-98).
    use: limit === null ? null : limitUse(compiled.name, facts.caller.agentId, facts.grant.id, limit),
  };
  return settle(active, 'host', facts);
}

/** Leaves out the conditions that are the same for every such request, and the rule when they rule it out. */
function settle(active: ActiveRule, level: 'host' | 'method', facts: PolicyFacts): ActiveRule[] {
  const on = open(active.on, level, facts);
  const when = open(active.when, level, facts);
  if (on === null) return [];
  if (active.effect === 'require') {
    // What is not met stays, to deny; a requirement that is met in full says nothing more.
    if (when === null) return [{ ...active, on }];
    return when.length === 0 ? [] : [{ ...active, on, when }];
  }
  return when === null ? [] : [{ ...active, on, when }];
}

/** The conditions that are still open; null when one of them is settled as NO. */
function open(conditions: readonly Condition[], level: 'host' | 'method', facts: PolicyFacts): readonly Condition[] | null {
  const left: Condition[] = [];
  for (const condition of conditions) {
    const truth = condition.dependsOn === level ? condition.test(facts) : null;
    if (truth === NO) return null;
    if (truth !== YES) left.push(condition);
  }
  return left;
}
