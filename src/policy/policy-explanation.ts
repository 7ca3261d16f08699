/**
 * Why a rule decided as it did, in words, and the smallest change that would make it decide otherwise. For operators: it says what
 * is in the rule. Pure.
 */
import type { Conditions, LimitSpec, TimeWindow, ValueTest } from '../domain/policy.ts';
import type { PolicyFacts } from './policy-facts.ts';
import type { CompiledRule } from './policy-set.ts';
import { isRecorded } from './policy-simulation.ts';
import { type Condition, NO, PENDING, type Truth, UNKNOWN, YES } from './truth.ts';

export interface RuleExplanation {
  /** What the rule says. */
  readonly says: string;
  /** What went into the decision, one condition a line. */
  readonly inputs: readonly string[];
  /** Each alone is enough. */
  readonly changes: readonly string[];
}

const WORDS: Readonly<Record<Truth, string>> = {
  [YES]: 'met',
  [NO]: 'not met',
  [UNKNOWN]: 'not known, which denies',
  [PENDING]: 'not recorded',
};

/** @param facts as far as they were recorded */
export function explainRule(compiled: CompiledRule, facts: PolicyFacts): RuleExplanation {
  const { rule, policy } = compiled;
  const lines = (['on', 'when'] as const).flatMap((part) =>
    compiled[part].map((condition) => ({
      part,
      condition,
      truth: isRecorded(condition, rule[part]?.cel) ? condition.test(facts) : PENDING,
      text: conditionText(rule[part], condition, compiled),
    })),
  );
  const inputs = lines.map(({ part, text, truth }) => `${part === 'on' ? 'about' : 'condition'} ${text}: ${WORDS[truth]}`);
  return {
    says: `${effectText(rule.effect, rule.limit)} (${policy.layer} policy ${policy.name}, mode ${policy.mode})`,
    inputs,
    changes: changesOf(compiled, lines),
  };
}

type Line = { readonly part: 'on' | 'when'; readonly condition: Condition; readonly truth: Truth; readonly text: string };

function changesOf({ rule, policy }: CompiledRule, lines: readonly Line[]): string[] {
  const when = lines.filter(({ part }) => part === 'when');
  const about = lines.filter(({ part }) => part === 'on').map(({ text }) => `a request that is not ${text}`);
  const edit = `Change or remove the rule ${rule.name} of the policy ${policy.name}: \`alterd policy show ${policy.name}\`.`;
  if (rule.effect === 'require') {
    const unmet = when.filter(({ truth }) => truth !== YES);
    return [...(unmet.length === 0 ? [] : [`a request with ${unmet.map(({ text }) => text).join(' and ')}`]), ...about, edit];
  }
  if (rule.effect === 'limit') return ['the same request later, when the limit has room again', ...about, edit];
  return [...when.map(({ text }) => `a request that is not ${text}`), ...about, edit];
}

const SCOPES = { fleet: 'counted for all hosts of the vault together', host: 'counted for each host by itself' } as const;

function effectText(effect: string, limit: LimitSpec | null): string {
  switch (effect) {
    case 'deny':
      return 'It denies what meets its conditions';
    case 'require':
      return 'It lets through only what meets its conditions';
    case 'limit':
      return limit === null
        ? 'It limits'
        : `It lets through ${limit.requests} requests in ${limit.perMs / 1000} s (${limit.kind.replace('_', ' ')}, ${SCOPES[limit.scope]})`;
    default:
      return 'It wants an approval';
  }
}

function conditionText(written: Conditions | null, { key }: Condition, { policy }: CompiledRule): string {
  const value = written?.[key as keyof Conditions] ?? null;
  if (value === null) return `${key} of ${policy.targets.join(', ')}`;
  switch (key) {
    case 'time':
      return `time ${(value as TimeWindow[]).map(windowText).join(' or ')}`;
    case 'before':
    case 'after':
      return `${key} ${new Date(value as number).toISOString()}`;
    case 'query':
    case 'headers':
    case 'json':
      return `${key} ${(value as ValueTest[]).map(testText).join(' and ')}`;
    default:
      return `${key} ${Array.isArray(value) ? value.join(', ') : typeof value === 'string' ? value : JSON.stringify(value)}`;
  }
}

const DAYS = ['sun', 'mon', 'tue', 'wed', 'thu', 'fri', 'sat'];
const clock = (minute: number): string =>
  `${String(Math.floor(minute / 60)).padStart(2, '0')}:${String(minute % 60).padStart(2, '0')}`;
const windowText = ({ zone, weekdays, fromMinute, toMinute }: TimeWindow): string =>
  `${weekdays === null ? '' : `${weekdays.map((day) => DAYS[day]).join(',')} `}${clock(fromMinute)}-${clock(toMinute)} ${zone}`;

function testText({ name, exists, oneOf, glob }: ValueTest): string {
  if (exists !== null) return `${name} ${exists ? 'is there' : 'is absent'}`;
  return glob === null ? `${name} is ${(oneOf ?? []).join(' or ')}` : `${name} fits ${glob}`;
}
