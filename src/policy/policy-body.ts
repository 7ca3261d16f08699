/**
 * Conditions on what is in a body: places in JSON, operations of GraphQL, calls of JSON-RPC. A body that can't be read makes them
 * unknown, which denies (S-90). Must only be asked with a body that was read whole.
 */
import type { Conditions, ValueTest } from '../domain/policy.ts';
import { graphqlOperations } from './graphql-operations.ts';
import { jsonRpcCalls } from './json-rpc-calls.ts';
import type { PolicyFacts } from './policy-facts.ts';
import type { BodyText } from './request-body.ts';
import { isJsonObject, type Json, JsonProblem, parseStrictJson } from './strict-json.ts';
import { type Condition, PENDING, type Reading, type Truth, truthOf, UNKNOWN } from './truth.ts';
import { compileValueTest, matchesText } from './value-test.ts';

/** The body as text, or why it can't be read. */
export type BodyFacts = BodyText;

const onBody =
  (read: (body: { readonly text: string; readonly mediaType: string }, facts: PolicyFacts) => Truth) =>
  (facts: PolicyFacts): Truth => {
    if (facts.body === null) return PENDING;
    return 'problem' in facts.body ? UNKNOWN : read(facts.body, facts);
  };

/** Parsed once for all rules of a request. */
const documents = new WeakMap<object, Json | JsonProblem>();

function documentOf(body: { readonly text: string }): Json | JsonProblem {
  let document = documents.get(body);
  if (document === undefined) {
    try {
      document = parseStrictJson(body.text);
    } catch (thrown) {
      if (!(thrown instanceof JsonProblem)) throw thrown;
      document = thrown;
    }
    documents.set(body, document);
  }
  return document;
}

/** The value behind a JSON pointer (RFC 6901), in a list; empty when there is none. Folded: names without letter case. */
export function valuesAt(document: Json, pointer: string, folded: boolean): readonly Json[] {
  let value: Json = document;
  for (const part of pointer === '' ? [] : pointer.slice(1).split('/')) {
    const name = part.replaceAll('~1', '/').replaceAll('~0', '~');
    if (Array.isArray(value)) {
      const item: Json | undefined = /^(0|[1-9]\d{0,8})$/.test(name) ? (value as readonly Json[])[Number(name)] : undefined;
      if (item === undefined) return [];
      value = item;
    } else if (isJsonObject(value)) {
      // No two members differ in letter case alone: parseStrictJson refuses such documents.
      const own = folded ? Object.keys(value).find((each) => each.toLowerCase() === name.toLowerCase()) : name;
      if (own === undefined || !Object.hasOwn(value, own)) return [];
      value = value[own] as Json;
    } else return [];
  }
  return [value];
}

export function jsonCondition(tests: readonly ValueTest[], reading: Reading): Condition {
  const compiled = tests.map((test) => ({ pointer: test.name, meets: compileValueTest(test, reading) }));
  const test = onBody((body) => {
    // No body has no values, for every reader.
    if (body.text === '') return truthOf(compiled.every(({ meets }) => meets(() => [])));
    const document = documentOf(body);
    if (document instanceof JsonProblem) return UNKNOWN;
    return truthOf(compiled.every(({ pointer, meets }) => meets((folded) => valuesAt(document, pointer, folded))));
  });
  return { key: 'json', dependsOn: 'request', test };
}

type Operations = ReturnType<typeof graphqlOperations>;
/** Neither body nor query: nothing that could be run. */
const NOTHING: Operations = { operations: [] };

function judge(read: Operations, reading: Reading, meets: (operation: string) => boolean): Truth {
  if ('problem' in read) return UNKNOWN;
  return truthOf(reading === 'broad' ? read.operations.some(meets) : read.operations.every(meets));
}

export function graphqlCondition({ kinds, fields }: NonNullable<Conditions['graphql']>, reading: Reading): Condition {
  const meets = (operation: string): boolean => {
    const colon = operation.indexOf(':');
    const kind = operation.slice(0, colon);
    const field = operation.slice(colon + 1);
    // `__typename` only says the name of the root, and clients add it everywhere.
    if (reading === 'strict' && field === '__typename') return true;
    return (kinds === null || kinds.includes(kind)) && (fields === null || fields.some((glob) => matchesText(glob, field)));
  };
  const test = onBody((body, { target }) =>
    judge(body.text === '' && target.query === null ? NOTHING : graphqlOperations(body, target.query), reading, meets),
  );
  return { key: 'graphql', dependsOn: 'request', test };
}

export function jsonRpcCondition({ methods, tools }: NonNullable<Conditions['jsonrpc']>, reading: Reading): Condition {
  const meets = (call: string): boolean => {
    const colon = call.indexOf(':');
    const method = colon === -1 ? call : call.slice(0, colon);
    if (methods !== null && !methods.some((glob) => matchesText(glob, method))) return false;
    if (tools === null) return true;
    // What is required of tools says nothing of other methods; what is denied of tools concerns only them.
    if (method !== 'tools/call' || colon === -1) return reading === 'strict';
    const tool = call.slice(colon + 1);
    return tools.some((glob) => matchesText(glob, tool));
  };
  const test = onBody((body, { target }) => judge(jsonRpcCalls(body, target.query), reading, meets));
  return { key: 'jsonrpc', dependsOn: 'request', test };
}
