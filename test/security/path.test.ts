/** S-51 … S-57, S-90: paths and queries that mean one thing to a rule and another to an origin. Bytes are forwarded as they are, or refused. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { BEARER, EVIL, expectRefusal, GOOD, SECRET, startWall, valuesOf, type Wall, type WallAgent } from './support/wall.ts';
import { readAnswer } from './support/wire.ts';

let wall: Wall;
/** Any path. */
let free: WallAgent;
/** `/public/**` only. */
let ruled: WallAgent;

beforeAll(async () => {
  wall = await startWall();
  free = await wall.agent();
  ruled = await wall.agent({ paths: ['/public/**'] });
});
afterAll(() => wall.stop());

const arrivals = (): number => wall.good.arrivals.length;
const last = () => wall.good.arrivals.at(-1)!;

it('guard: the credential reaches an allowed path', async () => {
  expect((await ruled.ask('/public/a')).status).toBe(200);
  expect([last().url, valuesOf(last().rawHeaders, 'authorization')]).toEqual(['/public/a', [BEARER]]);
});

const AMBIGUOUS = [
  '/public/../secret',
  '/public/./x',
  '/public/%2e%2e/secret',
  '/public/%2E%2e/secret',
  '/public/.%2e/secret',
  '/public//x',
  '//public/x',
  '/public/..;/secret',
  '/public/..;a=b/secret',
  '/public/;/x',
  '/public/%2fsecret',
  '/public%2Fsecret',
  '/public/..%2fsecret',
  '/public/..%5csecret',
  '/public/%5c..%5csecret',
  '/public/%252e%252e/secret',
  '/public/%252e%252e%252fsecret',
  '/public/..%c0%afsecret',
];

it.each(AMBIGUOUS)('S-51 %s under a path rule is 400, and without one arrives byte for byte', async (path) => {
  const before = arrivals();
  expectRefusal(await ruled.ask(path), 400, 'malformed_request');
  await wall.row({ agent: ruled.name, error: 'malformed_request', path, status: 400 });
  expect(arrivals()).toBe(before);
  expect((await free.ask(path)).status).toBe(200);
  expect(last().url).toBe(path);
});

it.each([
  '/..',
  '/../x',
  '/a/../../x',
  '/%2e%2e',
  '/%00',
  '/a%0a',
  '/a%0D',
  '/a%7f',
  '/\xe9',
  '/a#frag',
  '/a\\b',
  '/a%',
  '/a%zz',
  'a',
  '',
])('S-51 %j is 400 for everybody', async (path) => {
  const before = arrivals();
  const answer = await free.ask(path);
  expectRefusal(answer, 400, 'malformed_request');
  await wall.row({ agent: free.name, error: 'malformed_request', status: 400 });
  expect(arrivals()).toBe(before);
});

it('S-51 a path over 4 KiB is 414, one of 4 KiB travels; an escaped escape is kept', async () => {
  expectRefusal(await free.ask(`/${'a'.repeat(4096)}`), 414, 'request_too_large');
  await wall.row({ agent: free.name, error: 'request_too_large', status: 414 });
  expect((await free.ask(`/${'a'.repeat(4095)}`)).status).toBe(200);
  expect((await ruled.ask('/public/a%252Fb')).status).toBe(200);
  expect(last().url).toBe('/public/a%252Fb');
});

it.each([
  ['/v1', '/v1evil'],
  ['/v1/**', '/v1evil'],
  ['/v1/**', '/V1/x'],
  ['/v1/*', '/v1/a/b'],
  ['/v1/*', '/v1/'],
  ['/v1', '/v1/'],
  ['/v1/users', '/v1/users/1'],
])('S-52 the rule %s does not match %s', async (rule, path) => {
  const agent = await wall.agent({ paths: [rule] });
  const before = arrivals();
  expectRefusal(await agent.ask(path), 403, 'policy_violation', 'path_not_allowed');
  await wall.row({ agent: agent.name, path, error: 'policy_violation', policy_error: 'path_not_allowed' });
  expect(arrivals()).toBe(before);
});

it('S-53 a path that looks like a URL is a path', async () => {
  const contacts = wall.evil.contacts();
  for (const path of [`/fetch/http://${EVIL}/`, `/http://${EVIL}:80/x?y=http://${EVIL}`]) {
    expect((await free.ask(path)).status).toBe(200);
    expect(last().url).toBe(path);
  }
  await wall.row({ agent: free.name, host: GOOD, path: `/fetch/http://${EVIL}/`, outcome: 'success' });
  expect(wall.evil.contacts()).toBe(contacts);
});

it('S-54 an injected query parameter is there once; other bytes are untouched', async () => {
  await wall.daemon.api('POST', '/v1/secrets', {
    name: 'asquery',
    provider: 'my-query',
    fields: { token: SECRET },
    inject: [{ in: 'query', name: 'key', template: '{token}' }],
  });
  const agent = await wall.agent({ credential: 'asquery' });
  const cases = [
    ['/?key&key=a&KEY=b', /^\/\?key=/],
    ['/?a=+%20;b&key=x&%6Bey=y&c', /^\/\?a=\+%20;b&/],
    ['/?ke%79=1&k+ey=2', /k\+ey=2/],
    ['/x', /^\/x\?key=/],
    ['/?a=key=b', /a=key=b/],
  ] as const;
  for (const [target, shape] of cases) {
    expect((await agent.ask(target)).status).toBe(200);
    const { url } = last();
    expect(url).toMatch(shape);
    const pairs = url
      .slice(url.indexOf('?') + 1)
      .split(/[&;]/)
      .filter((pair) => decodeURIComponent(pair.split('=')[0] as string).toLowerCase() === 'key');
    expect(pairs, url).toEqual([`key=${SECRET}`]);
  }
  const { query_keys: keys } = await wall.row({ agent: agent.name, path: '/', outcome: 'success' });
  expect(JSON.stringify(keys)).not.toContain('SEKRET');
  await wall.expectNoLeak();
});

it('S-55 there is no injection into paths, and a value never leaves its place', async () => {
  const stored = wall.daemon.api('POST', '/v1/secrets', {
    name: 'aspath',
    provider: 'my-path',
    fields: { token: 'a/../../b' },
    inject: [{ in: 'path', name: 'x', template: '/{token}' }],
  });
  await expect(stored).rejects.toMatchObject({ problem: { error: 'invalid_input' } });
  const odd = `${SECRET}&admin=1#/../;?x y`;
  await wall.daemon.api('POST', '/v1/secrets', {
    name: 'oddquery',
    provider: 'my-query',
    fields: { token: odd },
    inject: [{ in: 'query', name: 'key', template: '{token}' }],
  });
  const agent = await wall.agent({ credential: 'oddquery' });
  expect((await agent.ask('/a?b=1')).status).toBe(200);
  expect(last().url).toBe(`/a?b=1&key=${encodeURIComponent(odd)}`);
});

it.each([
  '/r.git/info/refs?service=git-receive-pack',
  '/r.git/info/refs?a=b&service=git-receive-pack',
  '/r.git/info/refs?service=git%2Dreceive%2Dpack',
  '/r.git/info/refs?SERVICE=git-receive-pack',
  '/r.git/info%2Frefs?service=git-receive-pack',
])('S-56 discovery of a push (%s) needs what a push needs', async (target) => {
  const reader = await wall.agent({ methods: ['GET'], ...(target.includes('%2F') ? { paths: ['/**'] } : {}) });
  const before = arrivals();
  const answer = await reader.ask(target);
  expect(answer.status).toBe(target.includes('%2F') ? 400 : 403);
  await wall.row({ agent: reader.name, decision: 'deny', outcome: 'refused' });
  expect(arrivals()).toBe(before);
  expect((await reader.ask('/r.git/info/refs?service=git-upload-pack')).status).toBe(200);
});

/** A POST whose body the rule reads. */
const call = (agent: WallAgent, body: string, headers: readonly string[] = [], target = '/graphql') =>
  agent.ask(target, { method: 'POST', headers: ['Content-Type: application/json', ...headers], body });

describe('under a grant that allows GraphQL queries alone', () => {
  const QUERY = '{"query":"query Safe { viewer { login } }"}';
  const REFUSED: readonly [what: string, body: string, headers?: readonly string[], target?: string][] = [
    ['a mutation', '{"query":"mutation { deleteRepository(id: 1) { id } }"}'],
    ['a mutation named like a query', '{"query":"mutation query { drop }","operationName":"query"}'],
    ['a mutation behind a query', '{"query":"query Safe { a } mutation M { b }","operationName":"M"}'],
    ['a mutation in a batch', '[{"query":"{a}"},{"query":"mutation {b}"}]'],
    ['a second document', '{"query":"{a}","query":"mutation {b}"}'],
    ['a document in another spelling', '{"query":"{a}","QUERY":"mutation {b}"}'],
    ['a mutation in the URL', QUERY, [], '/graphql?query=mutation%7Bb%7D'],
    ['a stored operation', '{"documentId":"b"}'],
    ['a body that says it is compressed', QUERY, ['Content-Encoding: gzip']],
    ['another character set', QUERY, ['Content-Type: application/json; charset=utf-7']],
    ['another path with the same origin', '{"query":"mutation {b}"}', [], '/v2/./graphql'],
  ];

  it.each(REFUSED)('S-57 %s is denied, and nothing leaves', async (_what, body, headers = [], target = '/graphql') => {
    const agent = await wall.agent({ operations: [{ kind: 'graphql', allow: ['query'] }] });
    const before = arrivals();
    expectRefusal(await call(agent, body, headers, target), 403, 'policy_violation');
    const row = await wall.row({ agent: agent.name, outcome: 'refused', rule: 'grant.operations' });
    expect(row.policy_error).toMatch(/^operation_/);
    expect(arrivals()).toBe(before);
  });

  it('S-57 a query passes byte for byte, and the row says what it ran', async () => {
    const agent = await wall.agent({ operations: [{ kind: 'graphql', allow: ['query'] }] });
    expect((await call(agent, QUERY)).status).toBe(200);
    expect([last().body.toString(), valuesOf(last().rawHeaders, 'authorization')]).toEqual([QUERY, [BEARER]]);
    const { details } = await wall.row({ agent: agent.name, outcome: 'success', rule: 'grant.operations' });
    expect(details).toEqual({ operations: 'query:viewer' });
  });

  it('S-57 calls of JSON-RPC and tools of MCP are told apart, and no WebSocket goes around', async () => {
    const agent = await wall.agent({
      operations: [{ kind: 'json_rpc', at: ['/mcp'], allow: ['tools/list', 'tools/call:search'] }],
    });
    const tool = (name: string): string => JSON.stringify({ jsonrpc: '2.0', id: 1, method: 'tools/call', params: { name } });
    expect((await call(agent, tool('search'), [], '/mcp')).status).toBe(200);
    expectRefusal(await call(agent, tool('delete'), [], '/mcp'), 403, 'policy_violation');
    expectRefusal(await call(agent, tool('delete'), [], '/%6dcp'), 403, 'policy_violation');
    expect((await call(agent, tool('delete'), [], '/elsewhere')).status).toBe(200);
    const handshake = [
      'Connection: Upgrade',
      'Upgrade: websocket',
      'Sec-WebSocket-Version: 13',
      'Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==',
    ];
    expectRefusal(await agent.ask('/mcp', { headers: handshake }), 403, 'policy_violation');
  });
});

describe('a body that is longer than what a rule reads', () => {
  it('S-90 padding, chunks and compression get nothing past the rule; the next request on the socket is read as one', async () => {
    const agent = await wall.agent({ operations: [{ kind: 'graphql', allow: ['query'] }] });
    const before = arrivals();
    const padded = `${' '.repeat(17 * 1024)}{"query":"mutation {b}"}`;
    expectRefusal(await call(agent, padded), 403, 'policy_violation');
    const tooLong = `{"query":"{a}"${' '.repeat(1024 * 1024)}}`;
    expectRefusal(await call(agent, tooLong), 403, 'policy_violation');
    await wall.row({ agent: agent.name, policy_error: 'operation_unreadable' });
    const wire = await agent.open();
    const chunk = (text: string): string => `${text.length.toString(16)}\r\n${text}\r\n`;
    const parts = [...'{"query":"mutation {b}"}'].map(chunk).join('');
    const head = `POST /graphql HTTP/1.1\r\nHost: ${GOOD}\r\nContent-Type: application/json\r\n`;
    wire.write(`${head}Transfer-Encoding: chunked\r\n\r\n${parts}0\r\n\r\n`);
    expectRefusal(await readAnswer(wire), 403, 'policy_violation');
    expect(arrivals()).toBe(before);
    const body = '{"query":"{a}"}';
    wire.write(`${head}Expect: 100-continue\r\nContent-Length: ${body.length}\r\n\r\n`);
    expect((await readAnswer(wire)).status).toBe(100);
    wire.write(body);
    expect((await readAnswer(wire)).status).toBe(200);
    expect([last().body.toString(), valuesOf(last().rawHeaders, 'expect')]).toEqual([body, []]);
    wire.socket.destroy();
  });

  it('S-90 an agent that leaves within its body leaves a row and nothing else', async () => {
    const agent = await wall.agent({ operations: [{ kind: 'graphql', allow: ['query'] }] });
    const before = arrivals();
    const wire = await agent.open();
    wire.write(
      `POST /graphql HTTP/1.1\r\nHost: ${GOOD}\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{"query":`,
    );
    wire.socket.end();
    wire.socket.destroy();
    await wall.row({ agent: agent.name, outcome: 'client_abort', host: GOOD });
    expect(arrivals()).toBe(before);
  });
});
