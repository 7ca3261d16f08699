/**
 * Client credentials of any service: each connection names the address of its tokens and brings its own client. The authorization server is
 * oidc-provider; where a connection may lead is for the address policy.
 */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { createServer as createTlsServer, type Server } from 'node:tls';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { startTestDaemon, type TestDaemon } from '../../helpers/daemon.ts';
import { askHost } from '../../helpers/oauth-stage.ts';
import { makePki, type TestPki } from '../../helpers/pki.ts';

/** What is used of the library, which has no types of its own. */
interface Provider {
  callback(): (request: IncomingMessage, response: ServerResponse) => void;
  readonly ClientCredentials: {
    find(token: string): Promise<{ readonly clientId: string; readonly scope?: string } | undefined>;
  };
}

const AUTH = 'login.good.test';
const OTHER = 'login.other.test';
const API = 'api.good.test';
const secretOf = (id: string): string => `SEKRET-marker-secret-of-${id}`;
let pki: TestPki;
let daemon: TestDaemon;
let provider: Provider;
let server: Server;
const http = createServer();
const asked: string[] = [];
/** That the API got, in order. */
const tokens: string[] = [];

beforeAll(async () => {
  pki = makePki();
  const { default: OidcProvider } = (await import('oidc-provider' as string)) as {
    default: new (url: string, config: object) => Provider;
  };
  provider = new OidcProvider(`https://${AUTH}`, {
    clients: ['first', 'second'].map((id) => ({
      client_id: id,
      client_secret: secretOf(id),
      grant_types: ['client_credentials'],
      response_types: [],
      redirect_uris: [],
      token_endpoint_auth_method: 'client_secret_basic',
    })),
    scopes: ['read', 'write'],
    cookies: { keys: ['a cookie key of the tests'] },
    features: { clientCredentials: { enabled: true }, devInteractions: { enabled: false } },
  });
  http.on('request', (request: IncomingMessage, response: ServerResponse) => {
    const { host } = request.headers;
    asked.push(`${host}${request.url}`);
    if (host === API) {
      tokens.push(/^Bearer (\S+)$/.exec(request.headers.authorization ?? '')?.[1] ?? '');
      response.end('{}');
    } else provider.callback()(request, response);
  });
  server = createTlsServer({ SNICallback: (name, done) => done(null, pki.contextFor(name)) }, (socket) => {
    socket.on('error', () => {});
    http.emit('connection', socket);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  const routes = [AUTH, OTHER, API].map((host) => `"${host}:443" = "127.0.0.1:${port}"`);
  daemon = await startTestDaemon({
    config: `[upstream]\nca_file = "${pki.caFile}"\nresolve = { ${routes.join(', ')} }\n`,
  });
});
afterAll(async () => {
  await daemon.stop();
  http.closeAllConnections();
  await new Promise<void>((resolve) => server.close(() => resolve()));
});

const connect = (
  id: string,
  more: Record<string, unknown> = {},
): Promise<{ grant_id: string; account_id: string; scopes: string[] }> =>
  daemon.api('POST', '/v1/connect/import', {
    provider: 'oauth-cc',
    flow: 'client_credentials',
    fields: { api_host: API, token_url: `https://${AUTH}/token` },
    inputs: { client_id: id, client_secret: secretOf(id) },
    allow_private: true,
    ...more,
  });
interface Stored {
  readonly secrets: readonly object[];
}
const stored = (): Promise<Stored> => daemon.api<Stored>('GET', '/v1/secrets');

it('each connection has its own client and its own address, and its token goes to its API alone', async () => {
  for (const [id, host, scopes] of [
    ['first', AUTH, ['read']],
    ['second', OTHER, ['read', 'write']],
  ] as const) {
    const { authorization } = await daemon.agent(id);
    const fields = { api_host: API, token_url: `https://${host}/token` };
    expect(await connect(id, { agent: id, fields, scopes })).toMatchObject({ account_id: `client ${id}`, scopes });
    expect(asked.at(-1)).toBe(`${host}/token`);
    expect((await askHost(daemon, authorization, API, '/data')).status).toBe(200);
    const token = await provider.ClientCredentials.find(tokens.at(-1) ?? '');
    expect(token).toMatchObject({ clientId: id, scope: scopes.join(' ') });
  }
  const grants = await daemon.api<{ grants: { hosts: string[]; excluded_paths: string[] }[] }>('GET', '/v1/grants');
  expect(grants.grants).toHaveLength(2);
  expect(grants.grants).toMatchObject([{ hosts: [API] }, { hosts: [API] }]);
  const everything = JSON.stringify([grants, await stored()]) + daemon.logged.join('\n');
  expect(everything).not.toContain('SEKRET');
});

it('connected again it keeps its address and its grant, and nobody has to say them once more', async () => {
  const { grants } = await daemon.api<{ grants: { id: string; agent: string }[] }>('GET', '/v1/grants');
  const grant = grants.find(({ agent }) => agent === 'second');
  const again = await connect('second', { grant_id: grant?.id, fields: undefined });
  expect(again).toMatchObject({ grant_id: grant?.id, reconnected: true, scopes: ['read', 'write'] });
  expect(asked.at(-1)).toBe(`${OTHER}/token`);
  await expect(connect('first', { grant_id: grant?.id, fields: undefined })).rejects.toThrow(/account_mismatch|belongs to/);
});

it('a token endpoint on the host of the API never gets the credential', async () => {
  const { authorization } = await daemon.agent('same');
  const { grant_id: id } = await connect('first', {
    agent: 'same',
    fields: { api_host: AUTH, token_url: `https://${AUTH}/token` },
  });
  const { grant } = await daemon.api<{ grant: { excluded_paths: string[] } }>('GET', `/v1/grants/${id}`);
  expect(grant.excluded_paths).toContain('/token');
  const before = asked.length;
  expect(
    (await askHost(daemon, authorization, AUTH, '/token', { method: 'POST', body: 'grant_type=client_credentials' })).body,
  ).toContain('path_excluded');
  expect(asked.length).toBe(before);
});

it.each([
  ['plain http', 'http://login.good.test/token'],
  ['a user', 'https://me@login.good.test/token'],
  ['a fragment', 'https://login.good.test/token#x'],
  ['a pattern', 'https://*.good.test/token'],
  ['no host', 'https:///token'],
  ['another field', '{api_host}'],
])('an address with %s is refused before anybody is asked', async (_what, url) => {
  const before = asked.length;
  const secrets = await stored();
  await expect(connect('first', { system: true, fields: { api_host: API, token_url: url } })).rejects.toThrow(
    /token_url: must be an https URL/,
  );
  expect(asked.length).toBe(before);
  expect(await stored()).toEqual(secrets);
});

it('an address that may not be dialled is not, and nothing is stored', async () => {
  const before = asked.length;
  const secrets = await stored();
  for (const url of [`https://${AUTH}/token`, 'https://127.0.0.1/token', 'https://169.254.169.254/token'])
    await expect(
      connect('first', { system: true, allow_private: false, fields: { api_host: API, token_url: url } }),
    ).rejects.toThrow(/may not be dialled/);
  // Not even by leave: it is where clouds keep credentials.
  await expect(
    connect('first', { system: true, fields: { api_host: API, token_url: 'https://169.254.169.254/token' } }),
  ).rejects.toThrow(/may not be dialled/);
  expect(asked.length).toBe(before);
  expect(await stored()).toEqual(secrets);
});

it('a wrong secret, no client, and a client for all of them are told for what they are', async () => {
  const secrets = await stored();
  await expect(
    connect('first', { system: true, inputs: { client_id: 'first', client_secret: 'SEKRET-marker-wrong' } }),
  ).rejects.toThrow(/invalid_client/);
  await expect(connect('first', { system: true, inputs: {} })).rejects.toThrow(/brings its own client/);
  await expect(connect('first', { system: true, fields: { api_host: API } })).rejects.toThrow(/fields.token_url: is missing/);
  await expect(
    daemon.api('POST', '/v1/provider-clients', { provider: 'oauth-cc', client_id: 'x', client_secret: 'SEKRET-marker-x' }),
  ).rejects.toThrow(/brings its own client/);
  expect(await stored()).toEqual(secrets);
});
