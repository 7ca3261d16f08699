/**
 * One policy, read from TOML. Never throws for bad input: every problem is told at once, with line and column, and a policy with
 * a problem is no policy.
 */
import {
  LIMIT_KINDS,
  LIMIT_SCOPES,
  type LimitSpec,
  NO_CONDITIONS,
  POLICY_LAYERS,
  type Policy,
  type PolicyRule,
  RULE_EFFECTS,
} from '../domain/policy.ts';
import { ExpressionProblem } from '../policy/cel.ts';
import type { ExpressionCompiler } from '../policy/conditions.ts';
import { readConditions } from './condition-reader.ts';
import type { PolicyProblem } from './policy-problem.ts';
import { TableReader } from './table-reader.ts';
import { parseToml } from './toml-document.ts';
import { locateToml, type TomlPosition, type TomlPositions } from './toml-position.ts';

export interface ParsedPolicy {
  /** null when something is wrong. */
  readonly policy: Policy | null;
  readonly problems: readonly PolicyProblem[];
  positionOf(path: string): TomlPosition;
}

export const POLICY_NAME = /^[a-z0-9][a-z0-9_-]{0,62}$/;
const MAX_TEXT_BYTES = 64 * 1024;
const MAX_RULES = 200;
const MAX_REQUESTS = 1_000_000;
/** A sliding window keeps one instant for each request. */
const MAX_SLIDING = 10_000;
const DURATIONS: Readonly<Record<string, number>> = { s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 };

/** True when the text has an expression, so that their compiler has to be there. */
export const hasExpressions = (toml: string): boolean => /\bcel\b/.test(toml);

/** @param expressions null only when hasExpressions says no */
export function parsePolicy(toml: string, place: string, expressions: ExpressionCompiler | null): ParsedPolicy {
  const problems: PolicyProblem[] = [];
  const add = (at: TomlPosition, path: string, message: string): void => {
    problems.push({ severity: 'error', place, line: at.line, column: at.column, path, message });
  };
  if (toml.length > MAX_TEXT_BYTES) {
    add({ line: 1, column: 1 }, '', `is longer than ${MAX_TEXT_BYTES} bytes`);
    return { policy: null, problems, positionOf: () => ({ line: 1, column: 1 }) };
  }
  const document = parseToml(toml);
  if ('problem' in document) {
    add({ line: document.line ?? 1, column: document.column ?? 1 }, '', document.problem);
    return { policy: null, problems, positionOf: () => ({ line: document.line ?? 1, column: 1 }) };
  }
  const positions = locateToml(toml);
  const reader = new TableReader(document.table, '', (path, message) => add(positions.positionOf(path), path, message));
  const policy = readPolicy(reader);
  reader.close();
  checkExpressions(policy, expressions, positions, add);
  problems.sort((a, b) => a.line - b.line || a.column - b.column);
  return { policy: problems.length === 0 ? policy : null, problems, positionOf: positions.positionOf };
}

const slug = (value: string): string | null =>
  POLICY_NAME.test(value) ? null : 'must be lower-case letters, digits, - and _, 63 at most';

function readPolicy(t: TableReader): Policy {
  const name = t.text('name', slug);
  const description = t.optionalText('description', (value) => (value.length <= 2000 ? null : 'is too long')) ?? '';
  const layer = t.choice('layer', POLICY_LAYERS);
  const targets = t.texts('targets', 'a name, an id, or *', (value) => (value !== '' && value.length <= 128 ? value : null));
  if (layer === 'installation' && targets.length > 0)
    t.problem('targets', 'the layer installation has none: it is about everything');
  const isLayer = POLICY_LAYERS.includes(layer);
  if (isLayer && layer !== 'installation' && targets.length === 0 && !t.has('targets'))
    t.problem('targets', `is missing: the layer ${layer} needs one; "*" for each of them`);
  if (isLayer && layer !== 'installation' && t.isEmptyList('targets')) t.problem('targets', 'must not be empty');
  const mode = t.has('mode') ? t.choice('mode', ['enforce', 'monitor']) : 'enforce';
  const rules = t.tables('rules', readRule);
  if (rules.length === 0 && t.problems === 0) t.problem('rules', 'there is none, so the policy says nothing');
  if (rules.length > MAX_RULES) t.problem('rules', `there are more than ${MAX_RULES}`);
  const seen = new Set<string>();
  rules.forEach((rule, index) => {
    if (seen.has(rule.name)) t.problem(`rules.${index}.name`, `${JSON.stringify(rule.name)} is there twice`);
    seen.add(rule.name);
  });
  return { name, description, layer, targets, mode, rules };
}

function readRule(t: TableReader): PolicyRule {
  const name = t.text('name', slug);
  const effect = t.choice('effect', RULE_EFFECTS);
  const on = t.table('on', readConditions) ?? null;
  const when = t.table('when', readConditions) ?? NO_CONDITIONS;
  // SECURITY: a requirement of nothing is met by everything.
  if (effect === 'require' && Object.values(when).every((value) => value === null))
    t.problem('when', 'must say what is required');
  const limit = t.table('limit', readLimit) ?? null;
  if (effect === 'limit' && limit === null) t.problem('limit', 'is missing');
  if (effect !== 'limit' && limit !== null) t.problem('limit', 'only a rule with effect = "limit" has one');
  return { name, effect, on, when, limit };
}

function readLimit(t: TableReader): LimitSpec {
  const kind = t.choice('kind', LIMIT_KINDS);
  const requests = readCount(t, 'requests', kind === 'sliding_window' ? MAX_SLIDING : MAX_REQUESTS);
  const text = t.text('per', (value) =>
    /^[1-9]\d{0,5}[smhd]$/.test(value) ? null : 'must be a duration such as 10s, 1m, 1h or 1d',
  );
  const perMs = Number(text.slice(0, -1)) * (DURATIONS[text.slice(-1)] ?? 1);
  if (t.has('burst') && kind !== 'token_bucket') t.problem('burst', 'only a token_bucket has one');
  const burst = t.has('burst') ? readCount(t, 'burst', MAX_REQUESTS) : requests;
  const scope = t.has('scope') ? t.choice('scope', LIMIT_SCOPES) : 'fleet';
  return { kind, requests, perMs, burst, scope };
}

function readCount(t: TableReader, key: string, max: number): number {
  const raw = t.raw(key);
  const isCount = typeof raw === 'number' && Number.isInteger(raw) && raw >= 1 && raw <= max;
  if (!isCount) t.problem(key, raw === undefined ? 'is missing' : `must be a whole number from 1 to ${max}`);
  return isCount ? raw : 1;
}

function checkExpressions(
  policy: Policy,
  expressions: ExpressionCompiler | null,
  positions: TomlPositions,
  add: (at: TomlPosition, path: string, message: string) => void,
): void {
  policy.rules.forEach((rule, index) => {
    for (const part of ['on', 'when'] as const) {
      const source = rule[part]?.cel ?? null;
      if (source === null) continue;
      const path = `rules.${index}.${part}.cel`;
      try {
        if (expressions === null) throw new ExpressionProblem('expressions are not available', 0);
        expressions.compile(source);
      } catch (thrown) {
        const offset = thrown instanceof ExpressionProblem ? thrown.offset : 0;
        add(positions.positionIn(path, offset), path, thrown instanceof Error ? thrown.message : String(thrown));
      }
    }
  });
}
