import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { OperationRule } from '../../../src/domain/operation-rule.ts';
import { graphqlOperations } from '../../../src/policy/graphql-operations.ts';
import { jsonRpcCalls } from '../../../src/policy/json-rpc-calls.ts';
import {
  compileOperationRules,
  decideOperations,
  operationRuleProblems,
  operationRulesAt,
} from '../../../src/policy/operations.ts';
import { parseTarget } from '../../../src/policy/path.ts';
import { JsonProblem, parseStrictJson } from '../../../src/policy/strict-json.ts';
import { grantOf } from './fixtures.ts';

const json = (text: string) => ({ text, mediaType: 'application/json' });
const asked = (query: string): { text: string; mediaType: string } => json(JSON.stringify({ query }));

describe('strict JSON', () => {
  it.each([
    '',
    '{',
    '{"a":1,}',
    "{'a':1}",
    '[1 2]',
    '01',
    '1.',
    'nul',
    '"a\u0001"',
    '"\\x41"',
    '{"a":1}{"a":1}',
    '\ufeff{}',
    '{"a":1,"a":2}',
    '{"a":1,"A":2}',
    '{"a":{"b":1,"\\u0062":2}}',
    '['.repeat(100) + ']'.repeat(100),
  ])('refuses %j', (text) => {
    expect(() => parseStrictJson(text)).toThrow(JsonProblem);
  });

  it('reads what JSON.parse reads, where no member is there twice', () => {
    fc.assert(
      fc.property(fc.jsonValue({ maxDepth: 5 }), fc.boolean(), (value, pretty) => {
        const text = JSON.stringify(value, null, pretty ? 1 : 0);
        try {
          expect(JSON.stringify(parseStrictJson(text))).toBe(JSON.stringify(JSON.parse(text)));
        } catch (thrown) {
          expect(thrown).toBeInstanceOf(JsonProblem);
          expect((thrown as Error).message).toMatch(/twice/);
        }
      }),
    );
  });
});

describe('operations of GraphQL', () => {
  it.each<[string, ReturnType<typeof json> | null, string | null]>([
    ['nothing at all', null, null],
    ['an empty body', json(''), null],
    ['what is no JSON', json('query { a }'), null],
    ['another media type', { text: '{"query":"{a}"}', mediaType: 'text/plain' }, null],
    ['a form', { text: 'query=%7Ba%7D', mediaType: 'application/x-www-form-urlencoded' }, null],
    ['two documents', json('{"query":"{a}","query":"mutation {b}"}'), null],
    ['two spellings', json('{"query":"{a}","Query":"mutation {b}"}'), null],
    ['another spelling', json('{"Query":"{a}"}'), null],
    ['a document under another name', json('{"query":"{a}","mutation":"mutation {b}"}'), null],
    ['no document', json('{"variables":{}}'), null],
    ['a stored operation', json('{"id":"abc"}'), null],
    ['a stored operation beside a document', json('{"query":"{a}","documentId":"abc"}'), null],
    ['a stored operation in the URL', json('{"query":"{a}"}'), 'extensions=%7B%7D'],
    ['a hash without its document', json('{"extensions":{"persistedQuery":{"sha256Hash":"x"}}}'), null],
    ['a number for a document', json('{"query":1}'), null],
    ['an empty batch', json('[]'), null],
    ['a batch that is too long', json(JSON.stringify(Array.from({ length: 51 }, () => ({ query: '{a}' })))), null],
    ['a syntax error', asked('{ a '), null],
    ['a schema', asked('{ a } type T { b: Int }'), null],
    ['a fragment that is not there', asked('{ ...f }'), null],
    ['too many tokens', asked(`{ ${'a '.repeat(20_000)} }`), null],
  ])('can not be read from %s', (_what, body, query) => {
    expect(graphqlOperations(body, query)).toHaveProperty('problem');
  });

  it.each<[string, readonly string[]]>([
    ['{ viewer { login } }', ['query:viewer']],
    ['query ReadOnly { a b: c }', ['query:a', 'query:c']],
    ['mutation M($i: ID!) { deleteRepository(id: $i) { id } }', ['mutation:deleteRepository']],
    ['subscription { s }', ['subscription:s']],
    ['query A { a } mutation B { b }', ['query:a', 'mutation:b']],
    [
      '{ ...f } fragment f on Query { a ... on Query { b } ...g } fragment g on Query { c ...f }',
      ['query:a', 'query:b', 'query:c'],
    ],
    ['mutation { ...f } fragment f on Mutation { drop }', ['mutation:drop']],
    ['# mutation { x }\n{ __typename a(s: "mutation { y }") }', ['query:__typename', 'query:a']],
  ])('of %j are %j', (document, operations) => {
    expect(graphqlOperations(asked(document), null)).toEqual({ operations });
  });

  it('are those of the URL and of every request of a batch as well', () => {
    const batch = json('[{"query":"{a}"},{"query":"mutation {b}"}]');
    expect(graphqlOperations(batch, 'x=1&query=mutation%7Bc%7D')).toEqual({
      operations: ['mutation:c', 'query:a', 'mutation:b'],
    });
    expect(graphqlOperations(null, 'query={a}')).toEqual({ operations: ['query:a'] });
    expect(graphqlOperations({ text: '{a}', mediaType: 'application/graphql' }, null)).toEqual({ operations: ['query:a'] });
  });
});

describe('calls of JSON-RPC', () => {
  it.each<[string, string, string | null]>([
    ['no JSON', 'tools/list', null],
    ['a number', '1', null],
    ['an object of something else', '{"a":1}', null],
    ['two methods', '{"method":"a","method":"b"}', null],
    ['two spellings', '{"method":"a","Method":"b"}', null],
    ['a tool without a name', '{"method":"tools/call","params":{}}', null],
    ['a tool with two names', '{"method":"tools/call","params":{"name":"a","Name":"b"}}', null],
    ['a tool by position', '{"method":"tools/call","params":["a"]}', null],
    ['an empty batch', '[]', null],
    ['a call in the URL', '{"method":"a"}', 'Method=b'],
  ])('can not be read from %s', (_what, text, query) => {
    expect(jsonRpcCalls({ text }, query)).toHaveProperty('problem');
  });

  it.each<[string, readonly string[]]>([
    ['{"jsonrpc":"2.0","id":1,"method":"eth_call","params":[]}', ['eth_call']],
    ['{"jsonrpc":"2.0","method":"notifications/initialized"}', ['notifications/initialized']],
    ['{"id":1,"method":"tools/call","params":{"name":"search","arguments":{"name":"x"}}}', ['tools/call:search']],
    ['{"id":1,"method":"resources/read","params":{"uri":"file:///etc/passwd"}}', ['resources/read:file:///etc/passwd']],
    ['[{"id":1,"method":"a"},{"id":2,"method":"b"},{"id":3,"result":{}}]', ['a', 'b']],
    ['{"jsonrpc":"2.0","id":7,"result":{"method":"x"}}', []],
    ['', []],
  ])('of %j are %j', (text, operations) => {
    expect(jsonRpcCalls({ text }, null)).toEqual({ operations });
  });
});

const rule = (kind: OperationRule['kind'], allow: readonly string[], at: readonly string[] | null = null): OperationRule => ({
  kind,
  at,
  allow,
});

function verdict(
  rules: readonly OperationRule[],
  body: string | Buffer | null,
  type = 'application/json',
  coding: string | null = null,
) {
  const target = parseTarget('/graphql');
  const bytes = body === null ? null : Buffer.from(body as string);
  const { error } = decideOperations(grantOf('g', 'a', 'api.good.test'), compileOperationRules(rules), {
    target,
    head: { contentType: type, contentEncoding: coding },
    held: { bytes, limitBytes: 1_000 },
  });
  return (error?.details as { policy_error?: string } | undefined)?.policy_error ?? 'allowed';
}

describe('the verdict', () => {
  const mutation = '{"query":"mutation { createIssue { id } }"}';
  it.each<[string, readonly string[], string, string]>([
    ['a mutation under queries alone', ['query'], mutation, 'operation_not_allowed'],
    ['another mutation', ['mutation:closeIssue'], mutation, 'operation_not_allowed'],
    ['a field that only begins like it', ['mutation:create'], mutation, 'operation_not_allowed'],
    ['the mutation', ['query', 'mutation:createIssue'], mutation, 'allowed'],
    ['any mutation', ['mutation'], mutation, 'allowed'],
    ['mutations by their beginning', ['mutation:create*'], mutation, 'allowed'],
    ['one of two that is not allowed', ['query'], '{"query":"{a} mutation M {b}","operationName":"M"}', 'operation_not_allowed'],
    ['a type name beside what is allowed', ['query:a'], '{"query":"{__typename a}"}', 'allowed'],
    ['the type name of another root', ['query:a'], '{"query":"mutation {__typename}"}', 'operation_not_allowed'],
    ['no JSON', ['query'], 'query', 'operation_unreadable'],
  ])('on %s', (_what, allow, body, expected) => {
    expect(verdict([rule('graphql', allow)], body)).toBe(expected);
  });

  it('refuses what it can not read: too long, compressed, another character set, bytes that are no UTF-8', () => {
    const rules = [rule('graphql', ['query'])];
    const body = '{"query":"{a}"}';
    expect(verdict(rules, body)).toBe('allowed');
    expect(verdict(rules, null)).toBe('operation_unreadable');
    expect(verdict(rules, body, 'application/json', 'gzip')).toBe('operation_unreadable');
    expect(verdict(rules, body, 'application/json', 'identity, gzip')).toBe('operation_unreadable');
    expect(verdict(rules, body, 'application/json; charset=utf-16')).toBe('operation_unreadable');
    expect(verdict(rules, body, 'application/json, text/plain')).toBe('operation_unreadable');
    expect(verdict(rules, Buffer.from([0xff, 0xfe]) as unknown as string)).toBe('operation_unreadable');
  });

  it('lets one of two rules on a path allow the whole request', () => {
    const both = [rule('graphql', ['query']), rule('json_rpc', ['tools/list'])];
    expect(verdict(both, '{"method":"tools/list"}')).toBe('allowed');
    expect(verdict(both, '{"query":"{a}"}')).toBe('allowed');
    expect(verdict(both, '{"method":"tools/call","params":{"name":"x"}}')).not.toBe('allowed');
  });
});

it('a rule is about its paths, in every reading of them', () => {
  const rules = compileOperationRules([rule('graphql', ['query'], ['/graphql'])]);
  const ruled = (path: string): boolean => operationRulesAt(rules, parseTarget(path)).length > 0;
  for (const path of ['/graphql', '/GraphQL', '/graphql/', '/%67raphql', '//graphql', '/a/../graphql', '/graphql;x'])
    expect(ruled(path)).toBe(true);
  for (const path of ['/', '/v3/user', '/graphqlx']) expect(ruled(path)).toBe(false);
});

it.each<[OperationRule, RegExp]>([
  [rule('graphql', []), /empty list/],
  [rule('graphql', ['queries']), /is not query, mutation or subscription/],
  [rule('graphql', ['mutation:a b']), /is not/],
  [rule('graphql', ['mut*ation']), /is not/],
  [rule('json_rpc', ['a*b*']), /is not METHOD/],
  [rule('json_rpc', ['a b']), /is not METHOD/],
  [rule('json_rpc', ['a'], ['x']), /rpc_at/],
])('a rule that is wrong is told: %j', (wrong, problem) => {
  expect(operationRuleProblems(wrong).join()).toMatch(problem);
});
