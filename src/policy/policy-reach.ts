/**
 * What two sets of policies let agents reach, compared: for each agent, grant, host, method and path that either set tells apart,
 * what is newly allowed or denied. Wildcards are expanded to what exists, so that a wide pattern shows as what it opens (S-93).
 * Pure. Conditions that a place alone does not settle (times, headers, bodies) are compared as what they still ask for.
 */
import type { CallerIdentity } from '../domain/agent.ts';
import { NO_BINDING, NO_NARROWING } from '../domain/agent.ts';
import { type Delegation, isDelegationLive } from '../domain/delegation.ts';
import { destinationOf } from '../domain/destination.ts';
import type { Grant } from '../domain/grant.ts';
import type { Conditions } from '../domain/policy.ts';
import { isOfPeople } from './agent-grants.ts';
import { matchesHosts } from './conditions.ts';
import { compileGrantRules, decide } from './decide.ts';
import { parseTarget } from './path.ts';
import type { PolicyFacts } from './policy-facts.ts';
import type { ActiveRule, PolicySet } from './policy-set.ts';
import { NO, type Truth, YES } from './truth.ts';

export type ReachChange = 'newly_allowed' | 'newly_denied' | 'less_restricted' | 'more_restricted';

export interface ReachRow {
  readonly change: ReachChange;
  /** The change lets somebody do more than before. */
  readonly widens: boolean;
  readonly agent: string;
  readonly grant: string;
  readonly host: string;
  readonly methods: readonly string[];
  /** Path that stands for all of its kind, as a glob. */
  readonly path: string;
  /** Rules that changed the answer, by name. */
  readonly rules: readonly string[];
}

export interface ReachScope {
  readonly agents: readonly { readonly id: string; readonly name: string }[];
  readonly grants: readonly Grant[];
  readonly delegations: readonly Delegation[];
  readonly now: number;
}

const METHODS = ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE'];
/** Conditions that agent, grant, host, method and path settle. */
const SETTLED: ReadonlySet<string> = new Set(['hosts', 'methods', 'paths', 'git', 'session']);
const MAX_PROBES = 200_000;

export interface ReachReport {
  readonly rows: readonly ReachRow[];
  /** More combinations exist than were looked at. */
  readonly isCut: boolean;
}

/** What changes for these agents and grants when `after` comes in place of `before`. */
export function compareReach(before: PolicySet, after: PolicySet, scope: ReachScope): ReachReport {
  const found = new Map<string, ReachRow>();
  let probes = 0;
  const methods = [...new Set([...METHODS, ...named([before, after], 'methods')])];
  for (const grant of scope.grants) {
    const rules = compileGrantRules(grant);
    for (const agent of scope.agents) {
      if (!mayUse(agent.id, grant, scope)) continue;
      for (const facts of probesOf(agent, grant, [before, after], methods, scope.now)) {
        if (++probes > MAX_PROBES) return { rows: [...found.values()], isCut: true };
        if (!decide(rules, facts).allow) continue;
        const row = compareOne(signatureOf(before, facts), signatureOf(after, facts), facts);
        if (row !== null) merge(found, row, facts.method);
      }
    }
  }
  return { rows: [...found.values()], isCut: false };
}

/** Whether the agent may use the grant for anybody at all. */
function mayUse(agentId: string, grant: Grant, { delegations, now }: ReachScope): boolean {
  if (grant.principal.type === 'agent') return grant.principal.agentId === agentId;
  if (!isOfPeople(grant)) return true;
  return delegations.some((each) => each.agentId === agentId && each.grantId === grant.id && isDelegationLive(each, now));
}

function merge(found: Map<string, ReachRow>, row: ReachRow, method: string): void {
  const { methods: _methods, ...rest } = row;
  const key = JSON.stringify(rest);
  const known = found.get(key);
  found.set(key, known === undefined ? row : { ...known, methods: [...known.methods, method] });
}

/** Every value of one condition in both sets. */
function named(sets: readonly PolicySet[], key: 'hosts' | 'methods' | 'paths'): string[] {
  const of = (conditions: Conditions | null): readonly string[] => conditions?.[key] ?? [];
  return sets.flatMap((set) => set.rules.flatMap(({ rule }) => [...of(rule.on), ...of(rule.when)]));
}

function* probesOf(
  agent: ReachScope['agents'][number],
  grant: Grant,
  sets: readonly PolicySet[],
  methods: readonly string[],
  now: number,
): Generator<PolicyFacts> {
  const caller: CallerIdentity = {
    agentId: agent.id,
    agentName: agent.name,
    keyId: '',
    keyPrefix: '',
    keyKind: 'agent',
    sessionId: null,
    narrowing: NO_NARROWING,
    expiresAt: null,
    boundUid: null,
    binding: NO_BINDING,
    userId: null,
    parentAgent: null,
  };
  const paths = pathsOf([...named(sets, 'paths'), ...(grant.paths ?? [])]);
  const source = { address: '127.0.0.1:0', uid: null, executable: null };
  for (const place of grant.destinations) {
    for (const host of hostsOf(place.pattern, named(sets, 'hosts'))) {
      const destination = destinationOf(place.scheme, host, place.port, 0);
      for (const path of paths) {
        const target = parseTarget(path);
        for (const method of grant.methods ?? methods)
          yield { method, headers: [], target, caller, destination, grant, source, principal: null, body: null, now };
      }
    }
  }
}

/** A wildcard of a grant stands for each host that a rule tells apart, and for one that none names. */
function hostsOf(pattern: string, ruled: readonly string[]): string[] {
  if (!pattern.startsWith('*.')) return [pattern];
  const under = ruled.map((host) => (host.startsWith('*.') ? `any${host.slice(1)}` : host));
  return [...new Set([`any${pattern.slice(1)}`, ...under.filter((host) => matchesHosts([pattern], host, 'strict'))])];
}

/** One path for each glob, and one that no glob names. */
function pathsOf(globs: readonly string[]): string[] {
  const paths = globs.flatMap((glob) => {
    const rest = glob.replaceAll('**', 'any/more').replaceAll('*', 'any');
    return glob.endsWith('/**') ? [rest, glob.slice(0, -3) || '/'] : [rest];
  });
  return [...new Set([...paths, '/any'])];
}

interface Signature {
  readonly denied: readonly string[];
  /** What rules still ask for, to the rule's name. Not by name: a rule that was only renamed changes nothing. */
  readonly asks: ReadonlyMap<string, string>;
}

function signatureOf(set: PolicySet, facts: PolicyFacts): Signature {
  const denied: string[] = [];
  const asks = new Map<string, string>();
  for (const rule of set.rulesFor(facts)) {
    // A monitored rule keeps nobody from anything.
    if (rule.isMonitor) continue;
    const on = settled(rule, 'on', facts);
    const when = settled(rule, 'when', facts);
    if (on.truth === NO) continue;
    const open = JSON.stringify([rule.effect, on.left, when.left, rule.use?.spec ?? null]);
    if (rule.effect === 'require') {
      if (when.truth === YES && when.left.length === 0) continue;
      if (when.truth === NO && on.left.length === 0) denied.push(rule.compiled.name);
      else asks.set(open, rule.compiled.name);
    } else if (when.truth !== NO) {
      if (rule.effect === 'deny' && on.left.length + when.left.length === 0) denied.push(rule.compiled.name);
      else asks.set(open, rule.compiled.name);
    }
  }
  return { denied, asks };
}

/** What the place settles, and the conditions that are left, as they are written. */
function settled(rule: ActiveRule, part: 'on' | 'when', facts: PolicyFacts): { truth: Truth; left: readonly unknown[] } {
  const written = rule.compiled.rule[part];
  let truth: Truth = YES;
  const left: unknown[] = [];
  for (const { key, test } of rule[part]) {
    if (!SETTLED.has(key))
      left.push([
        key,
        key === 'users' && written?.users == null ? rule.compiled.policy.targets : written?.[key as keyof Conditions],
      ]);
    else if (test(facts) !== YES) truth = NO;
  }
  return { truth, left };
}

function compareOne(a: Signature, b: Signature, { caller, grant, destination, target, method }: PolicyFacts): ReachRow | null {
  const row = (change: ReachChange, rules: readonly string[]): ReachRow => ({
    change,
    widens: change === 'newly_allowed' || change === 'less_restricted',
    agent: caller.agentName,
    grant: grant.label === '' ? grant.id : grant.label,
    host: destination.host.replace(/^any\./, '*.'),
    methods: [method],
    path: target.path.replace(/any\/more$/, '**').replace(/\bany\b/g, '*'),
    rules: [...new Set(rules)],
  });
  if (a.denied.length > 0 && b.denied.length > 0) return null;
  if (a.denied.length > 0) return row('newly_allowed', a.denied);
  if (b.denied.length > 0) return row('newly_denied', b.denied);
  const gone = [...a.asks].filter(([ask]) => !b.asks.has(ask)).map(([, name]) => name);
  if (gone.length > 0) return row('less_restricted', gone);
  const added = [...b.asks].filter(([ask]) => !a.asks.has(ask)).map(([, name]) => name);
  return added.length > 0 ? row('more_restricted', added) : null;
}
