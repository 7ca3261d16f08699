/**
 * Rules that can never matter: conditions that contradict each other, and rules that another one covers in full. All rules apply
 * and their order means nothing, so a covered rule is not weaker, but somebody may rely on what it seems to say (S-92). Pure; finds
 * what can be shown from the rules alone.
 */
import type { Conditions, LimitSpec, Policy, PolicyRule, ValueTest } from '../domain/policy.ts';
import { matches } from './path.ts';

export interface ShadowedRule {
  readonly policy: Policy;
  /** Of the rule in its policy. */
  readonly index: number;
  readonly message: string;
}

interface Placed {
  readonly policy: Policy;
  readonly rule: PolicyRule;
  readonly index: number;
}

/** One finding for each rule that can never matter. */
export function shadowedRules(policies: readonly Policy[]): ShadowedRule[] {
  const all: Placed[] = policies.flatMap((policy) => policy.rules.map((rule, index) => ({ policy, rule, index })));
  return all.flatMap((placed, position) => {
    const { policy, index, rule } = placed;
    const contradiction = contradictionIn(rule);
    if (contradiction !== null) return [{ policy, index, message: contradiction }];
    const cover = all.find((other, at) => other !== placed && covers(other, placed) && !(covers(placed, other) && at > position));
    if (cover === undefined) return [];
    const name = `${cover.policy.name}/${cover.rule.name}`;
    const why = cover.rule.effect === 'deny' && rule.effect !== 'deny' ? 'is never reached: ' : 'adds nothing: ';
    return [{ policy, index, message: `the rule ${JSON.stringify(rule.name)} ${why}${name} covers it` }];
  });
}

/** The rule is about no request at all. */
function contradictionIn({ name, effect, on, when }: PolicyRule): string | null {
  const quoted = JSON.stringify(name);
  for (const part of [on, when]) {
    if (part !== null && part.before !== null && part.after !== null && part.after >= part.before)
      return `the rule ${quoted} never applies: "after" is not before "before"`;
    const kinds = part?.git ?? null;
    if (part !== null && kinds !== null && part.graphql !== null) return `the rule ${quoted} never applies: git is no GraphQL`;
  }
  if (on === null) return null;
  for (const key of ['hosts', 'methods', 'users', 'issuers'] as const) {
    const [a, b] = [on[key], when[key]];
    if (a === null || b === null || a.some((each) => each.includes('*')) || b.some((each) => each.includes('*'))) continue;
    if (a.some((each) => b.includes(each))) continue;
    return effect === 'require'
      ? `the rule ${quoted} can never be met: "on" and "when" have no ${key} in common`
      : `the rule ${quoted} never applies: "on" and "when" have no ${key} in common`;
  }
  return null;
}

/** True when whatever `b` denies, `a` denies anyway. */
function covers(a: Placed, b: Placed): boolean {
  if (a.policy.mode === 'monitor' || !targetsCover(a.policy, b.policy)) return false;
  const [x, y] = [a.rule, b.rule];
  if (x.effect === 'deny' && y.effect !== 'require') return conditionsCover(x.on, y.on) && conditionsCover(x.when, y.when);
  if (x.effect !== y.effect) return false;
  if (x.effect === 'require') return conditionsCover(x.on, y.on) && conditionsCover(y.when, x.when);
  // Two limits count apart, so they are compared only where they count the same requests.
  if (x.effect === 'limit')
    return isSame(x.on, y.on) && isSame(x.when, y.when) && isTighter(x.limit as LimitSpec, y.limit as LimitSpec);
  return conditionsCover(x.on, y.on) && conditionsCover(x.when, y.when);
}

function targetsCover(a: Policy, b: Policy): boolean {
  if (a.layer === 'installation') return true;
  return a.layer === b.layer && (a.targets.includes('*') || b.targets.every((target) => a.targets.includes(target)));
}

const isTighter = (a: LimitSpec, b: LimitSpec): boolean =>
  a.kind === b.kind &&
  a.perMs >= b.perMs &&
  a.requests <= b.requests &&
  a.burst <= b.burst &&
  // All hosts together are at least as many as one.
  (a.scope === 'fleet' || b.scope === 'host');

const isSame = (a: unknown, b: unknown): boolean => JSON.stringify(a) === JSON.stringify(b);

/** True when every request that meets `narrow` meets `wide`. */
function conditionsCover(wide: Conditions | null, narrow: Conditions | null): boolean {
  if (wide === null) return true;
  return (Object.keys(wide) as (keyof Conditions)[]).every((key) => {
    const [w, n] = [wide[key], narrow?.[key] ?? null];
    if (w === null) return true;
    if (n === null) return false;
    if (key === 'hosts') return (n as string[]).every((host) => (w as string[]).some((pattern) => hostCovers(pattern, host)));
    if (key === 'paths') return (n as string[]).every((glob) => (w as string[]).some((pattern) => globCovers(pattern, glob)));
    if (key === 'methods' || key === 'users' || key === 'issuers' || key === 'groups' || key === 'git')
      return (n as string[]).every((each) => (w as string[]).includes(each));
    if (key === 'before') return (n as number) <= (w as number);
    if (key === 'after') return (n as number) >= (w as number);
    if (key === 'query' || key === 'headers' || key === 'json')
      return (w as ValueTest[]).every((test) => (n as ValueTest[]).some((other) => isSame(test, other)));
    return isSame(w, n);
  });
}

const hostCovers = (pattern: string, host: string): boolean =>
  pattern === '*' ||
  pattern === host ||
  (pattern.startsWith('*.') && host.length > pattern.length - 1 && host.endsWith(pattern.slice(1)));

/** A glob's own text is a path that it matches, with the stars as segments: what matches that text as segments covers it. */
function globCovers(pattern: string, glob: string): boolean {
  if (pattern === glob || pattern === '/**') return true;
  const wide = pattern.slice(1).split('/');
  const narrow = glob.slice(1).split('/');
  if (narrow.includes('**')) {
    // A rest is covered only by a rest at the same place or before.
    if (wide.at(-1) !== '**') return false;
    const head = wide.slice(0, -1);
    return narrow.length > head.length && head.every((part, i) => narrow[i] !== '**' && (part === narrow[i] || part === '*'));
  }
  return matches(wide, narrow);
}
