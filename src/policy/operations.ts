/**
 * The second verdict on a request, where its grant rules operations: made when the body is there, before anything leaves. Every
 * operation that the request may run has to be allowed; what can't be read is refused. Pure.
 */
import { AlterError } from '../domain/errors.ts';
import type { Grant } from '../domain/grant.ts';
import type { OperationRule } from '../domain/operation-rule.ts';
import { compileDeniedPaths, type PathDenial } from './deny-path.ts';
import { graphqlOperations } from './graphql-operations.ts';
import { jsonRpcCalls } from './json-rpc-calls.ts';
import { type RequestTarget, validatePathGlob } from './path.ts';
import { type BodyHead, bodyText, type HeldBytes } from './request-body.ts';

export interface CompiledOperationRule {
  readonly kind: OperationRule['kind'];
  /** null: every path. */
  readonly rules: PathDenial | null;
  readonly exact: ReadonlySet<string>;
  /** Beginnings, from patterns that end in `*`. */
  readonly beginnings: readonly string[];
}

export function compileOperationRules(rules: readonly OperationRule[]): readonly CompiledOperationRule[] {
  return rules.map(({ kind, at, allow }) => ({
    kind,
    // A path that any origin could read as one of these is ruled, as it would be forbidden: doubt never loosens.
    rules: at === null || at.some((glob) => validatePathGlob(glob) !== null) ? null : compileDeniedPaths(at),
    exact: new Set(allow.filter((pattern) => !pattern.endsWith('*'))),
    beginnings: allow.filter((pattern) => pattern.endsWith('*')).map((pattern) => pattern.slice(0, -1)),
  }));
}

/** Rules that this path falls under; empty for most requests. */
export const operationRulesAt = (
  rules: readonly CompiledOperationRule[],
  target: RequestTarget,
): readonly CompiledOperationRule[] => (rules.length === 0 ? rules : rules.filter((rule) => rule.rules?.(target.path) ?? true));

/** `query` allows every root field of a query, `tools/call` every tool. */
function isAllowed(rule: CompiledOperationRule, operation: string): boolean {
  const colon = operation.indexOf(':');
  return (
    rule.exact.has(operation) ||
    (colon !== -1 && rule.exact.has(operation.slice(0, colon))) ||
    rule.beginnings.some((beginning) => operation.startsWith(beginning)) ||
    (rule.kind === 'graphql' && isTypename(rule, operation))
  );
}

/** `__typename` only says the name of the root, and clients add it everywhere: it goes with any operation of its kind. */
function isTypename(rule: CompiledOperationRule, operation: string): boolean {
  if (!operation.endsWith(':__typename')) return false;
  const kind = operation.slice(0, operation.indexOf(':') + 1);
  return [...rule.exact, ...rule.beginnings].some((pattern) => pattern.startsWith(kind));
}

export interface OperationFacts {
  readonly target: RequestTarget;
  readonly head: BodyHead;
  readonly held: HeldBytes;
}

export interface OperationVerdict {
  /** What the request would run, for the row; at most 200 characters. */
  readonly operations: string;
  readonly error: AlterError | null;
}

/** Where several rules meet on a path, one of them has to allow the whole request. */
export function decideOperations(grant: Grant, rules: readonly CompiledOperationRule[], facts: OperationFacts): OperationVerdict {
  const body = bodyText(facts.head, facts.held);
  if ('problem' in body) return unreadable(grant, body.problem);
  const verdicts = rules.map((rule) => decideOne(grant, rule, body, facts.target));
  return verdicts.find((verdict) => verdict.error === null) ?? (verdicts[0] as OperationVerdict);
}

function decideOne(
  grant: Grant,
  rule: CompiledOperationRule,
  body: { readonly text: string; readonly mediaType: string },
  target: RequestTarget,
): OperationVerdict {
  const read = rule.kind === 'graphql' ? graphqlOperations(body, target.query) : jsonRpcCalls(body, target.query);
  if ('problem' in read) return unreadable(grant, read.problem);
  const operations = read.operations.join(' ').slice(0, 200);
  const wrong = read.operations.find((operation) => !isAllowed(rule, operation));
  if (wrong === undefined) return { operations, error: null };
  const reason = `The grant does not allow the operation ${JSON.stringify(wrong.slice(0, 100))}.`;
  return { operations, error: violation(grant, 'operation_not_allowed', reason) };
}

const unreadable = (grant: Grant, problem: string): OperationVerdict => ({
  operations: '',
  error: violation(
    grant,
    'operation_unreadable',
    `The grant allows certain operations only, and this request can't be read for its operations: ${problem}.`,
  ),
});

/** An upgrade carries its operations in frames, which nobody reads. */
export const upgradeUnderRule = (grant: Grant): AlterError =>
  violation(
    grant,
    'operation_unreadable',
    'The grant allows certain operations only, and the messages of a WebSocket are not read.',
  );

const violation = (grant: Grant, policyError: string, reason: string): AlterError =>
  new AlterError(
    'policy_violation',
    { policy_error: policyError, rule: 'grant.operations', grant_id: grant.id, reason },
    { hint: `See what the grant allows: \`alterd grant show ${grant.id}\`.` },
  );

const GRAPHQL = /^(?:query|mutation|subscription)(?::[_A-Za-z][_0-9A-Za-z]*\*?|:\*)?$/;
const RPC = /^[!-~]{1,200}$/;

/** What is wrong with a rule, for people; empty when nothing is. */
export function operationRuleProblems(rule: OperationRule): string[] {
  const name = rule.kind === 'graphql' ? 'graphql' : 'rpc';
  const shape = rule.kind === 'graphql' ? GRAPHQL : RPC;
  const expected =
    rule.kind === 'graphql' ? 'query, mutation or subscription, as mutation or mutation:FIELD' : 'METHOD or METHOD:TOOL';
  return [
    ...(rule.allow.length === 0 ? [`${name}: an empty list would allow nothing; leave it out to allow all`] : []),
    ...rule.allow
      .filter((pattern) => !shape.test(pattern) || pattern.slice(0, -1).includes('*'))
      .map((pattern) => `${name}: ${JSON.stringify(pattern)} is not ${expected} (with * only at the end)`),
    ...(rule.at ?? []).flatMap((glob) => {
      const problem = validatePathGlob(glob);
      return problem === null ? [] : [`${name}_at: ${JSON.stringify(glob)} ${problem}`];
    }),
  ];
}
