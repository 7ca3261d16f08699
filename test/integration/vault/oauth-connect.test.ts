/** Accounts are connected once: consent, the sealed tokens, reconnecting, siblings, and the end of the last grant. */
import { afterAll, beforeAll, expect, it } from 'vitest';
import { API, CLIENT_SECRET, type OAuthStage, providerToml, startOAuthStage } from '../../helpers/oauth-stage.ts';

let stage: OAuthStage;
beforeAll(async () => {
  stage = await startOAuthStage();
});
afterAll(() => stage.stop());

const problemOf = async (work: Promise<unknown>): Promise<Record<string, unknown>> =>
  work.then(
    () => ({}),
    (error: { problem: Record<string, unknown> }) => error.problem,
  );

it('a consent gives a grant, and the agent calls without ever seeing a token', async () => {
  const bot = await stage.agent('reader');
  const connected = await stage.connect({ agent: 'reader' });
  expect(connected).toMatchObject({ account_id: 'id-ada', account_name: 'ada', scopes: ['read'], reconnected: false });
  const asked = await bot.ask('/data');
  expect([asked.status, JSON.parse(asked.body)]).toEqual([200, { account: 'ada', method: 'GET', body: '' }]);
  const echoed = await bot.ask('/echo');
  expect(echoed.status).toBe(200);
  expect(echoed.body).not.toContain('SEKRET');
});

it('the authorize URL has state, S256 and nothing secret', async () => {
  const { authorize_url } = await stage.daemon.api<{ authorize_url: string }>('POST', '/v1/connect/begin', {
    provider: 'acme',
    redirect_uri: 'http://127.0.0.1:1/cb',
    system: true,
    label: 'never-completed',
  });
  const { searchParams } = new URL(authorize_url);
  expect(searchParams.get('code_challenge_method')).toBe('S256');
  expect(searchParams.get('state')).toMatch(/^[\w-]{43}$/);
  expect(searchParams.get('redirect_uri')).toBe('http://127.0.0.1:1/cb');
  expect(authorize_url).not.toContain('SEKRET');
});

it('the same account with the same scopes keeps its grant, another one is another credential', async () => {
  await stage.agent('writer');
  const first = await stage.connect({ agent: 'writer', label: 'mine' });
  const again = await stage.connect({ agent: 'writer', label: 'mine' });
  expect(again).toMatchObject({ grant_id: first.grant_id, reconnected: true });
  stage.behaviour.account = 'grace';
  const other = await stage.connect({ agent: 'writer', label: 'other' });
  expect(other).toMatchObject({ account_id: 'id-grace', reconnected: false });
  const wider = await stage.connect({ agent: 'writer', label: 'wider', scopes: ['read', 'write'] });
  expect(wider).toMatchObject({ account_id: 'id-grace', scopes: ['read', 'write'], reconnected: false });
  stage.behaviour.account = 'ada';
  const { secrets } = await stage.daemon.api<{ secrets: { oauth: { account_id: string; scopes: string[] } }[] }>(
    'GET',
    '/v1/secrets',
  );
  expect(secrets.map(({ oauth }) => `${oauth.account_id} ${oauth.scopes.join('+')}`)).toEqual([
    'id-ada read',
    'id-grace read',
    'id-grace read+write',
  ]);
});

it('an account that is connected again with a lifetime keeps its grant, whose end moves as the consent says', async () => {
  await stage.agent('tenant');
  const shown = async (id: string) =>
    (await stage.daemon.api<{ grant: Record<string, unknown> }>('GET', `/v1/grants/${id}`)).grant;
  const inDays = (days: number): string => new Date(Date.now() + days * 86_400_000).toISOString();
  const [soon, later] = [inDays(1), inDays(30)];
  const first = await stage.connect({ agent: 'tenant', label: 'leased', expires_at: soon, methods: ['GET', 'POST'] });
  const again = await stage.connect({ agent: 'tenant', label: 'leased', expires_at: later });
  expect(again).toMatchObject({ grant_id: first.grant_id, reconnected: true });
  expect(await shown(first.grant_id)).toMatchObject({ expires_at: later, methods: ['GET', 'POST'], label: 'leased' });
  await stage.connect({ agent: 'tenant', label: 'leased', methods: ['get'] });
  expect(await shown(first.grant_id)).toMatchObject({ expires_at: later, methods: ['GET'] });
  expect(await problemOf(stage.connect({ agent: 'tenant', label: 'leased', methods: ['GET', 'DELETE'] }))).toMatchObject({
    error: 'conflict',
  });
  expect(await shown(first.grant_id)).toMatchObject({ methods: ['GET'] });
});

it('without a label there is no second grant for the same account, whose calls could mean either', async () => {
  const bot = await stage.agent('plain');
  const first = await stage.connect({ agent: 'plain', expires_at: new Date(Date.now() + 3_600_000).toISOString() });
  const again = await stage.connect({ agent: 'plain', expires_at: new Date(Date.now() + 7_200_000).toISOString() });
  expect(again).toMatchObject({ grant_id: first.grant_id, reconnected: true });
  expect((await bot.ask('/data')).status).toBe(200);
});

it('a scope that the provider file does not list is asked for all the same', async () => {
  const toml = `${providerToml()}[[oauth.scopes]]\nname = "read"\nlabel = "Read"\nrequired = true\n`.replaceAll(
    'acme"',
    'listing"',
  );
  await stage.daemon.api('POST', '/v1/providers', {
    toml: toml.replace('hosts = [', 'hosts = ["listing.acme.test", ').replace(`, "${API}"`, ''),
  });
  await stage.daemon.api('POST', '/v1/provider-clients', {
    provider: 'listing',
    client_id: 'client-1',
    client_secret: CLIENT_SECRET,
  });
  const begun = await stage.daemon.api<{ authorize_url: string }>('POST', '/v1/connect/begin', {
    provider: 'listing',
    redirect_uri: 'http://127.0.0.1:1/cb',
    system: true,
    scopes: ['rare:write'],
  });
  expect(new URL(begun.authorize_url).searchParams.get('scope')).toBe('read rare:write');
});

it('connecting a grant again takes only its own account', async () => {
  const { grant_id } = await stage.connect({ system: true, label: 'again' });
  stage.behaviour.account = 'mallory';
  const problem = await problemOf(stage.connect({ grant_id }));
  stage.behaviour.account = 'ada';
  expect(problem).toMatchObject({ error: 'connect_failed', problem: 'account_mismatch' });
  expect(await stage.connect({ grant_id })).toMatchObject({ grant_id, reconnected: true });
});

it.each([
  ['a state that nobody began', { state: 'x'.repeat(43), code: 'c' }, 'state_mismatch'],
  ['a consent that was refused', { error: 'access_denied' }, 'consent_denied'],
  ['an answer without a code', {}, 'provider_refused'],
  ['a code that is not the provider’s', { code: 'made-up' }, 'provider_refused'],
])('%s connects nothing', async (_what, answer, problem) => {
  const begun = await stage.daemon.api<{ authorize_url: string }>('POST', '/v1/connect/begin', {
    provider: 'acme',
    redirect_uri: 'http://127.0.0.1:1/cb',
    system: true,
    label: 'refused',
    allow_private: true,
  });
  const state = new URL(begun.authorize_url).searchParams.get('state');
  const told = await problemOf(stage.daemon.api('POST', '/v1/connect/complete', { state, ...answer }));
  expect(told).toMatchObject({ error: 'connect_failed', problem });
  expect(JSON.stringify(told)).not.toContain('SEKRET');
});

it('a state is good once, even when it failed', async () => {
  const begun = await stage.daemon.api<{ authorize_url: string }>('POST', '/v1/connect/begin', {
    provider: 'acme',
    redirect_uri: 'http://127.0.0.1:1/cb',
    system: true,
    allow_private: true,
  });
  const { state, code } = stage.consent(begun.authorize_url);
  await problemOf(stage.daemon.api('POST', '/v1/connect/complete', { state, error: 'access_denied' }));
  const told = await problemOf(stage.daemon.api('POST', '/v1/connect/complete', { state, code }));
  expect(told).toMatchObject({ problem: 'state_mismatch' });
});

it.each([
  ['an agent that is not there', { agent: 'nobody' }, 'not_found'],
  ['nobody at all', {}, 'invalid_input'],
  ['a method that is none', { system: true, methods: ['GE T'] }, 'invalid_input'],
  ['a redirect to somebody else’s plain HTTP', { system: true, redirect_uri: 'http://evil.test/cb' }, 'invalid_input'],
])('%s is told before anybody consents', async (_what, more, code) => {
  const begin = stage.daemon.api('POST', '/v1/connect/begin', {
    provider: 'acme',
    redirect_uri: 'http://127.0.0.1:1/cb',
    ...more,
  });
  expect(await problemOf(begin)).toMatchObject({ error: code });
});

it('the end of the last grant destroys the tokens and tells the provider; a sibling keeps them', async () => {
  stage.behaviour.account = 'linus';
  const bot = await stage.agent('ended');
  const first = await stage.connect({ agent: 'ended', label: 'one' });
  const { grants } = await stage.daemon.api<{ grants: { id: string; credential: string }[] }>('GET', '/v1/grants');
  const { credential } = grants.find(({ id }) => id === first.grant_id)!;
  const { grant: sibling } = await stage.daemon.api<{ grant: { id: string; kind: string } }>('POST', '/v1/grants', {
    credential,
    agent: 'ended',
    label: 'two',
    methods: ['GET'],
    allow_private: true,
  });
  stage.behaviour.account = 'ada';
  expect(sibling.kind).toBe('oauth');
  await stage.daemon.api('POST', `/v1/grants/${first.grant_id}/revoke`);
  expect((await bot.ask('/data')).status).toBe(200);
  expect(stage.revoked).toEqual([]);
  await stage.daemon.api('POST', `/v1/grants/${sibling.id}/revoke`);
  // What is left is another account's grant.
  expect((await bot.ask('/data')).body).not.toContain('linus');
  await expect.poll(() => stage.revoked.length).toBe(1);
  expect(stage.revoked[0]).toContain('SEKRET-marker-refresh');
  const { secret } = await stage.daemon.api<{ secret: { oauth: { state: string } } }>('GET', `/v1/secrets/${credential}`);
  expect(secret.oauth.state).toBe('revoked');
});

it('nothing that is shown or logged holds a token or the client secret', async () => {
  const shown = await Promise.all(
    ['/v1/grants', '/v1/secrets', '/v1/provider-clients', '/v1/audit?limit=1000'].map((path) => stage.daemon.api('GET', path)),
  );
  const text = JSON.stringify(shown) + stage.daemon.logged.join('\n');
  expect(text).toContain('client-1');
  expect(text).toContain(API);
  expect(text).not.toContain('SEKRET');
  expect(text).not.toContain(CLIENT_SECRET);
});
