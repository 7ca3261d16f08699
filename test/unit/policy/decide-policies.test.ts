import fc from 'fast-check';
import { describe, expect, it, test } from 'vitest';
import { destinationOf } from '../../../src/domain/destination.ts';
import type { LimitSpec } from '../../../src/domain/policy.ts';
import { decidePolicies } from '../../../src/policy/decide-policies.ts';
import { LimitLedger, limitUse } from '../../../src/policy/limit-ledger.ts';
import type { PolicyFacts } from '../../../src/policy/policy-facts.ts';
import { ASK } from '../../../src/policy/shared-limits.ts';
import { callerOf, grantOf } from './fixtures.ts';
import { factsOf, HOST, policyToml, ruleSet, setOf, verdictOf } from './policy-fixtures.ts';

type Given = Parameters<typeof factsOf>[0];
const json = (text: string): PolicyFacts['body'] => ({ text, mediaType: 'application/json' });
const user = (groups: readonly string[] | null, issuer: string | null = null): PolicyFacts['principal'] => ({
  ...{ kind: 'user', user: 'ann', issuer, groups },
});
const ISSUER = 'https://login.good.test';

/** Condition, what was sent, and the verdict when the condition is denied, and when it is required. */
const TABLE: readonly [condition: string, given: Given, denied: string, required: string][] = [
  ['methods = ["DELETE"]', { method: 'GET' }, 'allow', 'requirement_not_met'],
  ['methods = ["DELETE"]', { method: 'DELETE' }, 'rule_denied', 'allow'],
  ['methods = ["DELETE"]', { method: 'delete' }, 'rule_denied', 'requirement_not_met'],
  ['methods = ["GET"]', { method: 'GET', headers: ['X-HTTP-Method-Override', 'DELETE'] }, 'rule_denied', 'requirement_not_met'],
  ['methods = ["DELETE"]', { method: 'POST', headers: ['X_HTTP_Method', 'delete'] }, 'rule_denied', 'requirement_not_met'],
  ['methods = ["DELETE"]', { method: 'POST', target: '/x?_method=DELETE' }, 'rule_denied', 'requirement_not_met'],
  ['hosts = ["*.good.test"]', {}, 'rule_denied', 'allow'],
  ['hosts = ["*.test"]', {}, 'rule_denied', 'requirement_not_met'],
  ['hosts = ["other.test"]', {}, 'allow', 'requirement_not_met'],
  ['hosts = ["*"]', {}, 'rule_denied', 'allow'],
  ['paths = ["/v1/items"]', {}, 'rule_denied', 'allow'],
  ['paths = ["/v1/*"]', { target: '/V1/items' }, 'rule_denied', 'requirement_not_met'],
  ['paths = ["/v1/**"]', { target: '/v1/../secret' }, 'evaluation_failed', 'evaluation_failed'],
  ['paths = ["/secret"]', { target: '/v1/..%2fsecret' }, 'rule_denied', 'evaluation_failed'],
  ['paths = ["/v2/**"]', { target: '/v1//items' }, 'evaluation_failed', 'evaluation_failed'],
  ['query = [{ name = "env", equals = "prod" }]', { target: '/x?env=test&env=prod' }, 'rule_denied', 'requirement_not_met'],
  ['query = [{ name = "env", equals = "prod" }]', { target: '/x?env=prod' }, 'rule_denied', 'allow'],
  ['query = [{ name = "env", equals = "prod" }]', { target: '/x?ENV=PROD' }, 'rule_denied', 'requirement_not_met'],
  ['query = [{ name = "env", equals = "prod" }]', { target: '/x?e%6ev=pro%64' }, 'rule_denied', 'allow'],
  ['query = [{ name = "env", equals = "prod" }]', { target: '/x?a=1;env=prod' }, 'rule_denied', 'requirement_not_met'],
  ['query = [{ name = "env", equals = "prod" }]', { target: '/x?env=prod;x=1' }, 'rule_denied', 'requirement_not_met'],
  ['query = [{ name = "n", one_of = [1, 2] }]', { target: '/x?n=2' }, 'rule_denied', 'allow'],
  ['query = [{ name = "force", exists = true }]', { target: '/x?FORCE' }, 'rule_denied', 'requirement_not_met'],
  ['query = [{ name = "force", exists = false }]', { target: '/x?FORCE' }, 'rule_denied', 'requirement_not_met'],
  ['query = [{ name = "force", exists = false }]', { target: '/x' }, 'rule_denied', 'allow'],
  [
    'headers = [{ name = "X-Env", glob = "pro*" }]',
    { headers: ['x-env', 'prod', 'X-Env', 'test'] },
    'rule_denied',
    'requirement_not_met',
  ],
  ['headers = [{ name = "X-Env", glob = "pro*" }]', { headers: ['x_env', 'PROD'] }, 'rule_denied', 'requirement_not_met'],
  ['headers = [{ name = "X-Env", glob = "pro*" }]', { headers: ['X-ENV', 'prod'] }, 'rule_denied', 'allow'],
  ['before = 2026-01-01T00:00:00Z', {}, 'allow', 'requirement_not_met'],
  ['after = 2026-01-01T00:00:00Z', {}, 'rule_denied', 'allow'],
  ['source = { cidrs = ["127.0.0.0/8"] }', {}, 'rule_denied', 'allow'],
  [
    'source = { cidrs = ["10.0.0.0/8", "::1"] }',
    { source: { address: '::1:4000', uid: null, executable: null } },
    'rule_denied',
    'allow',
  ],
  [
    'source = { cidrs = ["10.0.0.0/8"] }',
    { source: { address: 'unix', uid: null, executable: null } },
    'allow',
    'requirement_not_met',
  ],
  ['source = { uids = [1000] }', {}, 'evaluation_failed', 'evaluation_failed'],
  ['source = { uids = [1000] }', { source: { address: 'unix', uid: 1000, executable: null } }, 'rule_denied', 'allow'],
  ['source = { uids = [1000], cidrs = ["10.0.0.0/8"] }', {}, 'allow', 'requirement_not_met'],
  [
    'source = { executables = ["/usr/bin/*"] }',
    { source: { address: 'unix', uid: 1, executable: '/usr/bin/curl' } },
    'rule_denied',
    'allow',
  ],
  ['source = { units = ["a.service"] }', {}, 'evaluation_failed', 'evaluation_failed'],
  ['groups = ["staff"]', {}, 'evaluation_failed', 'evaluation_failed'],
  ['groups = ["staff"]', { principal: { kind: 'none' } }, 'allow', 'requirement_not_met'],
  ['groups = ["staff"]', { principal: user(null) }, 'evaluation_failed', 'evaluation_failed'],
  ['groups = ["staff"]', { principal: user(['staff', 'x']) }, 'rule_denied', 'allow'],
  ['users = ["ann"]', { principal: user([]) }, 'rule_denied', 'allow'],
  ['users = ["*"]', { principal: { kind: 'none' } }, 'allow', 'requirement_not_met'],
  ['git = ["write"]', { method: 'POST', target: '/a/b.git/git-receive-pack' }, 'rule_denied', 'allow'],
  ['git = ["write"]', { target: '/a/b.git/info/refs?service=git-receive-pack' }, 'rule_denied', 'allow'],
  ['git = ["read"]', { target: '/a/b.git/info/refs?service=git-upload-pack' }, 'rule_denied', 'allow'],
  ['git = ["read"]', { target: '/a/b.git/info/refs?service=git-receive-pack' }, 'allow', 'requirement_not_met'],
  ['git = ["write"]', { target: '/a/../git-receive-pack' }, 'evaluation_failed', 'evaluation_failed'],
  ['json = [{ pointer = "/a/0/b", equals = true }]', {}, 'pending', 'pending'],
  ['json = [{ pointer = "/a/0/b", equals = true }]', { body: json('{"a":[{"b":true}]}') }, 'rule_denied', 'allow'],
  [
    'json = [{ pointer = "/a/0/b", equals = true }]',
    { body: json('{"A":[{"B":"TRUE"}]}') },
    'rule_denied',
    'requirement_not_met',
  ],
  ['json = [{ pointer = "/a", equals = 1 }]', { body: json('{"a":1,"a":2}') }, 'evaluation_failed', 'evaluation_failed'],
  ['json = [{ pointer = "/a", equals = 1 }]', { body: json('no json') }, 'evaluation_failed', 'evaluation_failed'],
  ['json = [{ pointer = "/a", equals = 1 }]', { body: json('') }, 'allow', 'requirement_not_met'],
  ['graphql = { kinds = ["mutation"] }', { body: json('') }, 'allow', 'allow'],
  [
    'graphql = { kinds = ["mutation"] }',
    { body: json(''), target: '/graphql?id=stored' },
    'evaluation_failed',
    'evaluation_failed',
  ],
  ['json = [{ pointer = "/a", equals = 1 }]', { body: { problem: 'compressed' } }, 'evaluation_failed', 'evaluation_failed'],
  ['json = [{ pointer = "/a~1b/c~0d", exists = true }]', { body: json('{"a/b":{"c~d":null}}') }, 'rule_denied', 'allow'],
  ['graphql = { kinds = ["mutation"] }', { body: json('{"query":"{ viewer { id } }"}') }, 'allow', 'requirement_not_met'],
  [
    'graphql = { kinds = ["mutation"], fields = ["delete*"] }',
    { body: json('{"query":"mutation A { x: deleteRepo { id } }"}') },
    'rule_denied',
    'allow',
  ],
  [
    'graphql = { kinds = ["query"] }',
    { body: json('[{"query":"{ a }"},{"query":"mutation { b }"}]') },
    'rule_denied',
    'requirement_not_met',
  ],
  [
    'jsonrpc = { methods = ["tools/call"], tools = ["delete_*"] }',
    { body: json('{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"delete_all"}}') },
    'rule_denied',
    'allow',
  ],
  ['jsonrpc = { tools = ["search"] }', { body: json('{"jsonrpc":"2.0","id":1,"method":"tools/list"}') }, 'allow', 'allow'],
  [
    'jsonrpc = { tools = ["search"] }',
    { body: json('{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"delete"}}') },
    'allow',
    'requirement_not_met',
  ],
  [`cel = 'request.method == "GET" && request.path.startsWith("/v1/")'`, {}, 'rule_denied', 'allow'],
  [`cel = 'request.method == "POST"'`, {}, 'allow', 'requirement_not_met'],
  [
    `cel = 'request.method == "GET"'`,
    { headers: ['X-HTTP-Method-Override', 'DELETE'] },
    'evaluation_failed',
    'evaluation_failed',
  ],
  [`issuers = ["${ISSUER}"]`, {}, 'evaluation_failed', 'evaluation_failed'],
  [`issuers = ["${ISSUER}"]`, { principal: { kind: 'none' } }, 'allow', 'requirement_not_met'],
  [`issuers = ["${ISSUER}"]`, { principal: user([]) }, 'evaluation_failed', 'evaluation_failed'],
  [`issuers = ["${ISSUER}"]`, { principal: user([], ISSUER) }, 'rule_denied', 'allow'],
  [`issuers = ["${ISSUER}"], groups = ["staff"]`, { principal: user(['staff'], `${ISSUER}/`) }, 'allow', 'requirement_not_met'],
  [`cel = 'user.issuer == "${ISSUER}"'`, { principal: user([], ISSUER) }, 'rule_denied', 'allow'],
  [`cel = 'user.id == "ann"'`, {}, 'evaluation_failed', 'evaluation_failed'],
  [`cel = 'user.id == "ann" && "staff" in groups'`, { principal: user(['staff']) }, 'rule_denied', 'allow'],
  [
    `cel = '"x" in request.query && request.query["x"].exists(v, v.matches("^[ab]+$"))'`,
    { target: '/q?x=abba' },
    'rule_denied',
    'allow',
  ],
  [`cel = 'request.headers["x-y"][0] == "1"'`, {}, 'evaluation_failed', 'evaluation_failed'],
  [`cel = 'time.getHours("Europe/Berlin") == 13'`, {}, 'rule_denied', 'allow'],
  [`cel = 'source.uid == 0'`, {}, 'evaluation_failed', 'evaluation_failed'],
  [`cel = 'request.segments[0] == "v1"'`, { target: '/v1/../x' }, 'evaluation_failed', 'evaluation_failed'],
  [
    `cel = 'request.port == 443 && request.host.endsWith(".test") && agent.name == "name-of-a1" && provider.id == "good"'`,
    {},
    'rule_denied',
    'allow',
  ],
];

describe('conditions', () => {
  it.each(TABLE)('%s of %j: denied %s, required %s', async (condition, given, denied, required) => {
    const facts = factsOf(given);
    expect([
      verdictOf(await ruleSet(`effect = "deny"\nwhen = { ${condition} }`), facts),
      verdictOf(await ruleSet(`effect = "require"\nwhen = { ${condition} }`), facts),
    ]).toEqual([denied, required]);
  });

  test('"on" says what a requirement is about; what is not known is about everything', async () => {
    const set = await ruleSet(
      'effect = "require"\non = { methods = ["POST"], source = { uids = [1] } }\nwhen = { paths = ["/a"] }',
    );
    expect(verdictOf(set, factsOf())).toBe('allow');
    expect(verdictOf(set, factsOf({ method: 'POST', target: '/a' }))).toBe('allow');
    expect(verdictOf(set, factsOf({ method: 'POST', target: '/b' }))).toBe('evaluation_failed');
    const other = { address: 'unix', uid: 2, executable: null };
    expect(verdictOf(set, factsOf({ method: 'POST', target: '/b', source: other }))).toBe('allow');
  });
});

describe('layers', () => {
  const deny = '[[rules]]\nname = "r"\neffect = "deny"';
  const head = (layer: string, target: string): string => `name = "p"\nlayer = "${layer}"\ntargets = ["${target}"]\n${deny}`;
  const session = { ...callerOf('a1'), keyKind: 'session' as const, sessionId: 's1' };
  it.each<[layer: string, target: string, given: Given, verdict: string]>([
    ['provider', 'good', {}, 'rule_denied'],
    ['provider', 'other', {}, 'allow'],
    ['agent', 'name-of-a1', {}, 'rule_denied'],
    ['agent', 'a1', {}, 'rule_denied'],
    ['agent', 'a2', {}, 'allow'],
    ['grant', 'g1', {}, 'rule_denied'],
    ['grant', 'work', { grant: grantOf('g2', 'a1', HOST, { label: 'work' }) }, 'rule_denied'],
    ['grant', 'work', {}, 'allow'],
    ['user', 'ann', {}, 'evaluation_failed'],
    ['user', 'ann', { principal: { kind: 'none' } }, 'allow'],
    ['user', 'ann', { principal: user(null) }, 'rule_denied'],
    ['session', '*', {}, 'allow'],
    ['session', '*', { caller: session }, 'rule_denied'],
    ['session', 's2', { caller: session }, 'allow'],
  ])('%s %s of %j: %s', async (layer, target, given, verdict) => {
    expect(verdictOf(await setOf(head(layer, target)), factsOf(given))).toBe(verdict);
  });

  test('all layers have to allow; a monitored one only tells', async () => {
    const monitored = head('agent', '*').replace('name = "p"', 'name = "m"\nmode = "monitor"');
    const set = await setOf(monitored, head('agent', 'a2'));
    expect(decidePolicies(set, factsOf(), null)).toMatchObject({ allow: true, monitored: ['m/r'] });
    const both = await setOf(monitored, head('provider', 'good'));
    expect(decidePolicies(both, factsOf(), null)).toMatchObject({ allow: false, rule: 'policy.p/r', monitored: ['m/r'] });
  });

  test('an approval that nobody can give denies, and says what it would hold', async () => {
    const set = await ruleSet('effect = "require_approval"\nwhen = { methods = ["DELETE"] }');
    expect(decidePolicies(set, factsOf(), null).allow).toBe(true);
    expect(decidePolicies(set, factsOf({ method: 'DELETE' }), null)).toMatchObject({
      allow: false,
      hold: { rule: 'p/r', grantId: 'g1', agentId: 'a1' },
      error: { code: 'policy_violation', details: { policy_error: 'approval_unavailable' } },
    });
  });
});

describe('limits', () => {
  const limit = (more = ''): string => `effect = "limit"\nlimit = { kind = "fixed_window", requests = 2, per = "1m" }\n${more}`;

  test('a request that another rule denies, or that waits for its body, uses nothing up', async () => {
    const set = await setOf(
      policyToml(
        `[[rules]]\n${limit()}\n[[rules]]\neffect = "deny"\nwhen = { methods = ["PUT"] }\n[[rules]]\neffect = "deny"\nwhen = { json = [{ pointer = "/a", equals = 1 }] }`,
      ),
    );
    const ledger = new LimitLedger();
    const body = json('{}');
    for (let i = 0; i < 5; i++) expect(verdictOf(set, factsOf({ method: 'PUT', body }), ledger)).toBe('rule_denied');
    for (let i = 0; i < 5; i++) expect(verdictOf(set, factsOf(), ledger)).toBe('pending');
    expect([1, 2, 3].map(() => verdictOf(set, factsOf({ body }), ledger))).toEqual(['allow', 'allow', 'rate_limit_exceeded']);
  });

  test('a limit that others have to be asked about uses nothing up meanwhile; one that is only watched holds nobody up', async () => {
    const shared = (requests: number, more = '') =>
      `[[rules]]\neffect = "limit"\nlimit = { kind = "fixed_window", requests = ${requests}, per = "1h"${more} }\n`;
    const set = await setOf(
      policyToml(shared(2, ', scope = "host"'), 'name = "own"\nlayer = "installation"'),
      policyToml(shared(9), 'name = "all"\nlayer = "installation"'),
      policyToml(shared(9), 'name = "watched"\nmode = "monitor"\nlayer = "installation"'),
    );
    const taken: string[] = [];
    const inHand = { waitMs: ASK };
    const ledger = new LimitLedger([], {
      covers: ({ spec }) => spec.scope === 'fleet',
      waitMs: ({ rule }) => (rule.startsWith('watched') ? ASK : inHand.waitMs),
      take: ({ rule }) => void taken.push(rule),
      ask: async () => {},
    });
    for (let i = 0; i < 5; i++) {
      const decision = decidePolicies(set, factsOf(), ledger);
      expect(decision).toMatchObject({ allow: true, counted: [], countedAt: 0, awaits: [{ agentId: 'a1', grantId: 'g1' }] });
    }
    expect(taken).toEqual([]);
    inHand.waitMs = 0;
    for (let i = 0; i < 2; i++) expect(decidePolicies(set, factsOf(), ledger)).toMatchObject({ allow: true, awaits: [] });
    expect(taken).toHaveLength(4);
    // The host's own limit is reached: the others are not even asked about.
    inHand.waitMs = ASK;
    expect(decidePolicies(set, factsOf(), ledger)).toMatchObject({ allow: false, error: { details: { limit_scope: 'host' } } });
    expect(taken).toHaveLength(4);
    // A crash is made good for what is counted here alone.
    ledger.replay(limitUse('all/r0', 'a1', 'g1', set.rules[1]?.rule.limit as LimitSpec), 1);
    expect(ledger.takeChanges().map(({ key }) => key.split('/')[0])).toEqual(['own']);
  });

  test('of two limits the full one refuses and the other keeps its room; Retry-After says when', async () => {
    const set = await setOf(policyToml(`[[rules]]\n${limit()}\n[[rules]]\n${limit().replace('requests = 2', 'requests = 3')}`));
    const ledger = new LimitLedger();
    const now = Date.UTC(2026, 0, 1, 0, 0, 15);
    for (let i = 0; i < 2; i++) decidePolicies(set, factsOf({ now }), ledger);
    for (let i = 0; i < 5; i++)
      expect(decidePolicies(set, factsOf({ now }), ledger)).toMatchObject({ allow: false, error: { retryAfterSeconds: 45 } });
    expect(decidePolicies(set, factsOf({ now: now + 45_000 }), ledger).allow).toBe(true);
  });

  test('counts are apart for each agent, grant and rule', async () => {
    const set = await ruleSet(limit());
    const ledger = new LimitLedger();
    const other = grantOf('g2', 'a1', HOST);
    for (const given of [{}, { grant: other }, { caller: callerOf('a2') }])
      expect([1, 2, 3].map(() => verdictOf(set, factsOf(given), ledger))).toEqual(['allow', 'allow', 'rate_limit_exceeded']);
  });
});

/** Rules of every effect over the facts below. */
const condition = fc.constantFrom(
  'methods = ["GET"]',
  'methods = ["DELETE", "PUT"]',
  'hosts = ["*.good.test"]',
  'hosts = ["x.test"]',
  'paths = ["/v1/**"]',
  'paths = ["/v2"]',
  'query = [{ name = "a", exists = true }]',
  'users = ["ann"]',
  'json = [{ pointer = "/a", equals = 1 }]',
  'time = [{ zone = "UTC", from = "22:00", to = "06:00" }]',
  'git = ["write"]',
);
const rule = fc
  .tuple(fc.constantFrom('deny', 'require', 'limit', 'require_approval'), condition, fc.option(condition))
  .map(([effect, when, on]) =>
    [
      `[[rules]]\neffect = "${effect}"\nwhen = { ${when} }`,
      ...(on === null ? [] : [`on = { ${on} }`]),
      ...(effect === 'limit' ? ['limit = { kind = "token_bucket", requests = 1, per = "1h" }'] : []),
    ].join('\n'),
  );
const facts = fc
  .record({
    method: fc.constantFrom('GET', 'DELETE', 'POST', 'patch'),
    target: fc.constantFrom('/v1/x', '/v2', '/v1/../v2', '/?a', '/r/git-receive-pack', '/x?A=1;a'),
    principal: fc.constantFrom<PolicyFacts['principal']>(null, { kind: 'none' }, { kind: 'user', user: 'ann', groups: null }),
    body: fc.constantFrom<PolicyFacts['body']>({ problem: 'gone' }, json('{"a":1}'), json('{}'), json('x')),
    headers: fc.constantFrom<string[]>([], ['X-HTTP-Method-Override', 'PUT']),
    now: fc.constantFrom(0, 3_600_000 * 12, 3_600_000 * 23),
  })
  .map(factsOf);

test('a rule more never allows more, in whatever order, and the same facts always get the same verdict', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(rule, { maxLength: 4 }),
      rule,
      fc.array(facts, { minLength: 1, maxLength: 8 }),
      async (rules, extra, asked) => {
        const before = rules.length === 0 ? null : await setOf(policyToml(rules.join('\n')));
        const after = await setOf(policyToml([extra, ...rules].join('\n')));
        const turned = await setOf(policyToml([...rules].reverse().concat(extra).join('\n')));
        const [a, b, c] = [new LimitLedger(), new LimitLedger(), new LimitLedger()];
        for (const each of asked) {
          const was = before === null || decidePolicies(before, each, a).allow;
          const is = decidePolicies(after, each, b).allow;
          expect(decidePolicies(turned, each, c).allow).toBe(is);
          if (is) expect(was).toBe(true);
          // What was refused before counted nothing, so the counts may differ from here on.
          if (was !== is) return;
        }
      },
    ),
    { numRuns: 60 },
  );
});

test('what the memo leaves out is what the rules say: hosts and methods in any order of requests', async () => {
  const set = await setOf(policyToml('[[rules]]\neffect = "deny"\nwhen = { hosts = ["a.test"], methods = ["PUT"] }'));
  const at = (host: string, method: string) => factsOf({ method, destination: destinationOf('https', host, 443, 0) });
  const asked = [at('b.test', 'PUT'), at('a.test', 'GET'), at('a.test', 'PUT'), at('b.test', 'GET'), at('a.test', 'PUT')];
  expect(asked.map((each) => verdictOf(set, each))).toEqual(['allow', 'allow', 'rule_denied', 'allow', 'rule_denied']);
});
