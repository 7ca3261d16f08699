/** The whole API of a whole daemon, with the real vault and the real journal, over the real socket. */
import { statSync } from 'node:fs';
import { request } from 'node:http';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type ApiClient, apiPath, openClient } from '../../../src/api/client.ts';
import type { EntryView, GrantView, KeyView, SecretView, SessionView } from '../../../src/api/views.ts';
import { startTestDaemon, type TestDaemon } from '../../helpers/daemon.ts';

const MARKER = 'SEKRET-marker-api-value';
const ROTATED = 'SEKRET-marker-api-rotated';

let daemon: TestDaemon;
let api: ApiClient;
/** Everything that the socket ever answered in this file. */
let answered = '';

beforeAll(async () => {
  daemon = await startTestDaemon();
  api = openClient(daemon.paths.apiSocket);
});
afterAll(() => daemon.stop());

interface RawAnswer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly text: string;
}

function raw(
  method: string,
  path: string,
  options: { headers?: Record<string, string>; body?: string | Buffer } = {},
): Promise<RawAnswer> {
  return new Promise((resolve, reject) => {
    const sent = request(
      { socketPath: daemon.paths.apiSocket, method, path, agent: false, headers: options.headers ?? {} },
      (response) => {
        let text = '';
        response.setEncoding('utf8').on('data', (part: string) => (text += part));
        response.on('end', () => {
          answered += text;
          resolve({ status: response.statusCode ?? 0, headers: response.headers, text });
        });
      },
    );
    sent.once('error', reject);
    sent.end(options.body);
  });
}

const post = (path: string, body: unknown): Promise<RawAnswer> =>
  raw('POST', path, { headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) });

const parsed = async <T>(answer: Promise<RawAnswer>, status = 200): Promise<T> => {
  const { text, status: actual } = await answer;
  expect(actual, text).toBe(status);
  return JSON.parse(text) as T;
};

describe('what is refused', () => {
  test.each<[string, string, string, { headers?: Record<string, string>; body?: string }, number, string]>([
    ['a page of a browser', 'GET', '/v1/status', { headers: { origin: 'http://evil.test' } }, 403, 'forbidden'],
    ['an unknown path', 'GET', '/v1/nothing', {}, 404, 'not_found'],
    ['an unknown method', 'PUT', '/v1/agents', {}, 404, 'not_found'],
    [
      'a body of another type',
      'POST',
      '/v1/agents',
      { headers: { 'content-type': 'text/plain' }, body: '{}' },
      400,
      'malformed_request',
    ],
    [
      'a body that is no JSON',
      'POST',
      '/v1/agents',
      { headers: { 'content-type': 'application/json' }, body: `{"${MARKER}` },
      400,
      'malformed_request',
    ],
    ['no body', 'POST', '/v1/agents', {}, 400, 'malformed_request'],
    ['an unknown agent', 'GET', '/v1/agents/nobody', {}, 404, 'not_found'],
    ['an unknown grant', 'GET', '/v1/grants/none', {}, 404, 'not_found'],
    ['an unknown secret', 'GET', '/v1/secrets/none', {}, 404, 'not_found'],
    ['an unknown provider', 'GET', '/v1/providers/none', {}, 404, 'not_found'],
    ['an unknown audit entry', 'GET', '/v1/audit/req_none', {}, 404, 'not_found'],
    ['an explanation of nothing', 'GET', '/v1/explain/req_none', {}, 404, 'not_found'],
    ['an unknown session', 'DELETE', '/v1/sessions/none', {}, 404, 'not_found'],
    ['an unknown filter', 'GET', '/v1/audit?colour=red', {}, 422, 'invalid_input'],
    ['a filter twice', 'GET', '/v1/audit?agent=a&agent=b', {}, 422, 'invalid_input'],
    ['a limit that is no number', 'GET', '/v1/audit?limit=ten', {}, 422, 'invalid_input'],
    ['a time without an offset', 'GET', '/v1/audit?since=2031-01-01', {}, 422, 'invalid_input'],
    ['an unknown export format', 'GET', '/v1/audit/export?format=xml', {}, 422, 'invalid_input'],
  ])('%s', async (_name, method, path, options, status, code) => {
    const answer = await raw(method, path, options);
    expect(answer.status).toBe(status);
    expect(answer.headers['content-type']).toBe('application/problem+json');
    expect(answer.headers['alter-error']).toBe(code);
    expect(JSON.parse(answer.text)).toMatchObject({ type: `urn:alter:error:${code}`, status, error: code });
  });

  test('every problem of a body is told at once, none with its value', async () => {
    const answer = await post('/v1/secrets', { name: 7, fields: { token: [MARKER] }, hosts: 'x', more: MARKER });
    expect(answer.status).toBe(422);
    const { problems } = JSON.parse(answer.text) as { problems: string[] };
    expect(problems).toHaveLength(5);
    expect(problems.join('\n')).toMatch(/provider is missing[\s\S]*unknown key "more"/);
    expect(answer.text).not.toContain(MARKER);
  });

  test.each([
    ['announced', true],
    ['not announced', false],
  ])('a body over 1 MiB whose length is %s', async (_name, isAnnounced) => {
    const body = JSON.stringify({ name: 'x'.repeat(1024 * 1024) });
    const headers: Record<string, string> = { 'content-type': 'application/json' };
    if (isAnnounced) headers['content-length'] = String(body.length);
    else headers['transfer-encoding'] = 'chunked';
    const answer = await raw('POST', '/v1/agents', { headers, body });
    expect([answer.status, answer.headers['alter-error']]).toEqual([413, 'request_too_large']);
  });

  test('a grant without a principal, and one with two', async () => {
    for (const body of [{ provider: 'github' }, { provider: 'github', agent: 'a', system: true }]) {
      expect((await post('/v1/grants', body)).status).toBe(422);
    }
  });
});

describe('agents and keys', () => {
  test('an agent is made with a key that is told once, and found by its name', async () => {
    const made = await parsed<{ agent: { id: string }; key: string; key_info: KeyView }>(
      post('/v1/agents', { name: 'keyed' }),
      201,
    );
    expect(made.key).toMatch(/^alter_key_agent_/);
    const shown = await raw('GET', '/v1/agents/keyed');
    expect(JSON.parse(shown.text)).toMatchObject({
      agent: { id: made.agent.id, status: 'active' },
      keys: [{ id: made.key_info.id }],
      grants: [],
      sessions: 0,
    });
    expect(shown.text).not.toContain(made.key);
    expect((await post('/v1/agents', { name: 'keyed' })).status).toBe(409);
    expect((await post('/v1/agents', { name: 'Not A Slug' })).status).toBe(422);
  });

  test('keys are added, rotated with an overlap and revoked, the last one only by force', async () => {
    await parsed(post('/v1/agents', { name: 'turning' }), 201);
    const bound = await parsed<{ key_info: KeyView }>(
      post('/v1/agents/turning/keys', { expires_at: '2099-01-01T00:00:00Z', bound_uid: 1000 }),
      201,
    );
    expect(bound.key_info).toMatchObject({ expires_at: '2099-01-01T00:00:00.000Z', bound_uid: 1000, status: 'active' });
    const rotated = await parsed<{ key_info: KeyView }>(post('/v1/agents/turning/keys/rotate', { overlap_ms: 60_000 }), 201);
    const { keys } = await parsed<{ keys: KeyView[] }>(raw('GET', '/v1/agents/turning/keys'));
    expect(keys.filter((key) => key.status === 'active').map((key) => key.id)).toEqual([rotated.key_info.id]);
    expect(keys.filter((key) => key.status === 'deprecated')).toHaveLength(2);
    const path = `/v1/keys/${rotated.key_info.id}/revoke`;
    expect((await raw('POST', path)).status).toBe(409);
    expect(await parsed<object>(post(path, { force: true }))).toMatchObject({ key_info: { status: 'revoked' } });
  });

  test('an agent is paused, resumed and removed', async () => {
    await parsed(post('/v1/agents', { name: 'passing' }), 201);
    expect(await parsed<object>(post('/v1/agents/passing/status', { status: 'paused' }))).toMatchObject({
      agent: { status: 'paused' },
    });
    expect((await post('/v1/sessions', { agent: 'passing' })).status).toBe(409);
    expect(await parsed<object>(post('/v1/agents/passing/status', { status: 'active' }))).toMatchObject({
      agent: { status: 'active' },
    });
    expect((await post('/v1/agents/passing/status', { status: 'asleep' })).status).toBe(422);
    expect((await raw('DELETE', '/v1/agents/passing')).status).toBe(204);
    expect((await raw('GET', '/v1/agents/passing')).status).toBe(404);
  });
});

describe('secrets, grants and sessions', () => {
  beforeAll(async () => {
    await parsed(post('/v1/agents', { name: 'worker' }), 201);
    await parsed(
      post('/v1/secrets', {
        provider: 'acme',
        fields: { token: MARKER },
        kind: 'bearer',
        inject: [{ in: 'header', name: 'Authorization', template: 'Bearer {token}' }],
        hosts: ['api.acme.test'],
      }),
      201,
    );
  });

  test('a secret is shown without its value, and rotated in place', async () => {
    const { secret } = await parsed<{ secret: SecretView }>(raw('GET', '/v1/secrets/acme'));
    expect(secret).toMatchObject({ name: 'acme', provider: 'acme', fields: ['token'], version: 1 });
    expect(await parsed<object>(post('/v1/secrets/acme/rotate', { fields: { token: ROTATED } }))).toMatchObject({
      secret: { version: 2 },
    });
  });

  test('a grant is made, shown with its agent and found by its label; the secret under it is kept', async () => {
    const { grant } = await parsed<{ grant: GrantView }>(
      post('/v1/grants', {
        credential: 'acme',
        agent: 'worker',
        label: 'reader',
        methods: ['get'],
        paths: ['/a/**'],
        expires_at: '2099-01-01T00:00:00Z',
      }),
      201,
    );
    expect(grant).toMatchObject({
      agent: 'worker',
      hosts: ['api.acme.test'],
      methods: ['GET'],
      paths: ['/a/**'],
      status: 'active',
      override: 'always',
    });
    expect(await parsed<object>(raw('GET', '/v1/grants/reader'))).toMatchObject({ grant: { id: grant.id } });
    expect((await raw('DELETE', '/v1/secrets/acme')).status).toBe(409);
    expect((await post('/v1/grants', { provider: 'github', agent: 'worker' })).status).toBeGreaterThanOrEqual(404);
  });

  test('a session narrows by the label of a grant, gets a proxy URL, and ends', async () => {
    const made = await parsed<{ session_id: string; key: string; proxy_url: string; agent_env: object }>(
      post('/v1/sessions', {
        agent: 'worker',
        grant_ids: ['reader'],
        denied_methods: ['delete'],
        ttl_ms: 60_000,
        label: 'night run/7',
      }),
      201,
    );
    expect(made.proxy_url).toBe(`http://night-run-7:${made.key}@127.0.0.1:${daemon.port}`);
    const { sessions } = await parsed<{ sessions: SessionView[] }>(raw('GET', '/v1/sessions'));
    expect(sessions).toMatchObject([
      { session_id: made.session_id, agent: 'worker', denied_methods: ['DELETE'], label: 'night run/7' },
    ]);
    expect((await post('/v1/sessions', { agent: 'worker', grant_ids: ['no-such-grant'] })).status).toBe(404);
    expect((await raw('DELETE', `/v1/sessions/${made.session_id}`)).status).toBe(204);
    expect(await parsed<object>(raw('GET', '/v1/sessions'))).toEqual({ sessions: [] });
  });

  test('a revoked grant is shown as such, and a removed one is gone', async () => {
    expect(await parsed<object>(raw('POST', '/v1/grants/reader/revoke'))).toMatchObject({ grant: { status: 'revoked' } });
    const { grants } = await parsed<{ grants: GrantView[] }>(raw('GET', '/v1/grants'));
    const { id } = grants.find((grant) => grant.label === 'reader') as GrantView;
    expect((await raw('DELETE', `/v1/grants/${id}`)).status).toBe(204);
    expect((await raw('GET', `/v1/grants/${id}`)).status).toBe(404);
    expect((await raw('DELETE', '/v1/secrets/acme?cascade=true')).status).toBe(204);
  });
});

describe('audit', () => {
  test('each change is an entry with times as text, and can be filtered, shown and explained', async () => {
    const { entries } = await parsed<{ entries: EntryView[] }>(
      raw('GET', '/v1/audit?agent=worker&action=session.created&limit=1'),
    );
    expect(entries).toMatchObject([{ kind: 'event', agent: 'worker', outcome: 'success' }]);
    const [entry] = entries as [EntryView];
    expect(entry.at).toMatch(/^\d{4}-\d\d-\d\dT.*Z$/);
    expect(await parsed<object>(raw('GET', `/v1/audit/${entry.request_id}`))).toEqual({ entry });
    expect(await parsed<object>(raw('GET', `/v1/explain/${entry.request_id}`))).toMatchObject({
      verdict: 'recorded',
      why: expect.arrayContaining([expect.stringContaining('session.created'), expect.stringMatching(/^expires_at = \d{4}-/)]),
    });
  });

  test('the chain is verified, and exported whole in both formats', async () => {
    const verdict = await parsed<{ ok: boolean; rows: number }>(raw('POST', '/v1/audit/verify'));
    expect(verdict.ok).toBe(true);
    const all = (await raw('GET', '/v1/audit/export')).text.trimEnd().split('\n');
    const lines = all.filter((line) => !line.startsWith('{"kind":"checkpoint"'));
    expect(lines).toHaveLength(verdict.rows);
    // Signed for this export, behind its rows.
    expect(JSON.parse(all.at(-1) ?? '')).toMatchObject({ kind: 'checkpoint', n: verdict.rows, rows: verdict.rows });
    expect(JSON.parse(lines[0] ?? '')).toMatchObject({ n: expect.any(Number), request_id: expect.any(String) });
    const csv = await raw('GET', '/v1/audit/export?format=csv&kind=event');
    expect(csv.headers['content-type']).toContain('text/csv');
    expect(csv.text.split('\r\n').filter(Boolean)).toHaveLength(verdict.rows + 1);
  });

  test('the live tail shows what matches from its first line on, and ends with its reader', async () => {
    const tail = (await api.lines<EntryView>(apiPath('audit', 'tail'), { agent: 'tailed' }))[Symbol.asyncIterator]();
    await parsed(post('/v1/agents', { name: 'unwatched' }), 201);
    await parsed(post('/v1/agents', { name: 'tailed' }), 201);
    expect(await tail.next()).toMatchObject({ done: false, value: { action: 'agent.created', agent: 'tailed' } });
    await tail.return?.(undefined);
  });
});

describe('the daemon', () => {
  test('status counts what is there', async () => {
    const status = await parsed<Record<string, unknown>>(raw('GET', '/v1/status'));
    expect(status).toMatchObject({
      pid: process.pid,
      proxy: { tcp: `127.0.0.1:${daemon.port}`, unix: daemon.paths.proxySocket },
      audit: { healthy: true, error: null },
      secrets: 0,
    });
  });

  test('the CA is shown by its certificate alone, and rotated to another one', async () => {
    const before = await raw('GET', '/v1/ca');
    expect(before.text).toContain('BEGIN CERTIFICATE');
    expect(before.text).not.toContain('PRIVATE KEY');
    const after = await parsed<{ fingerprint_sha256: string }>(raw('POST', '/v1/ca/rotate'));
    expect(after.fingerprint_sha256).not.toBe((JSON.parse(before.text) as typeof after).fingerprint_sha256);
  });

  test('the configuration is shown with its sources, and read anew', async () => {
    const { values } = await parsed<{ values: Record<string, { value: unknown; source: string }> }>(raw('GET', '/v1/config'));
    expect(values['listen.tcp']).toMatchObject({ value: '127.0.0.1:0', source: 'flag' });
    expect(await parsed<object>(raw('POST', '/v1/reload'))).toEqual({ changed: [], restart_required: [] });
  });

  test('providers are listed; one of the operator is checked, stored once, and replaced only when that is said', async () => {
    const { providers } = await parsed<{ providers: { slug: string }[] }>(raw('GET', '/v1/providers'));
    expect(providers.map((provider) => provider.slug)).toContain('github');
    const toml = [
      'slug = "own-api"',
      'name = "Own API"',
      'kind = "static"',
      'evidence = "tested"',
      'hosts = ["api.own.test"]',
      '[[inject]]',
      'in = "header"',
      'name = "Authorization"',
      'template = "Bearer {token}"',
    ].join('\n');
    expect((await post('/v1/providers/validate', { toml: 'slug = "x"' })).status).toBe(422);
    expect(await parsed<object>(post('/v1/providers/validate', { toml }))).toMatchObject({ provider: { slug: 'own-api' } });
    expect((await raw('GET', '/v1/providers/own-api')).status).toBe(404);
    expect(await parsed<object>(post('/v1/providers', { toml }), 201)).toMatchObject({ provider: { user_defined: true } });
    expect((await post('/v1/providers', { toml })).status).toBe(409);
    expect((await post('/v1/providers', { toml, replace: true })).status).toBe(201);
  });
});

test('no answer of this file held a stored secret, though they were stored and rotated', () => {
  expect(answered).toContain('"version":2');
  expect(answered).not.toContain('SEKRET');
  expect(daemon.logged.join('\n')).not.toContain('SEKRET');
});

test('the socket is open to its owner alone', () => {
  expect(statSync(daemon.paths.apiSocket).mode & 0o777).toBe(0o600);
});
