/** The ways to a token without a consent: what each one sends, and that nothing but the provider file says where to. */
import { createPublicKey, generateKeyPairSync, verify } from 'node:crypto';
import { expect, it, onTestFinished } from 'vitest';
import { parseProvider } from '../../../src/config/provider.ts';
import type { HttpsRequest } from '../../../src/domain/https-call.ts';
import { Secret } from '../../../src/domain/secret.ts';
import type { ImportRequest } from '../../../src/vault/oauth/connect-flows.ts';
import { openedVault, refusal } from '../../contract/vault/fixtures.ts';
import { temporaryDirectory } from '../../helpers/temporary.ts';
import { answered } from './oauth-vault.ts';

const directory = temporaryDirectory();
const { privateKey, publicKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
const PEM = privateKey.export({ type: 'pkcs8', format: 'pem' }).toString();
const HOUR = 3_600_000;

const toml = (more: string): string => `slug = "acme"
name = "Acme"
kind = "oauth"
evidence = "general"
hosts = ["api.acme.test"]
[oauth]
token_url = "https://auth.acme.test/token"
installation_url = "https://api.acme.test/app/installations/{installation_id}/access_tokens"
${more}
`;

async function opened(more = '') {
  const sent: HttpsRequest[] = [];
  const spec = parseProvider(toml(more), 'acme.toml');
  const all = await openedVault(directory(), {
    catalogue: { find: (slug) => (slug === 'acme' ? spec : undefined) },
    https: async (request) => {
      sent.push(request);
      return answered(200, { access_token: `SEKRET-marker-access-${sent.length}`, expires_in: 3600 });
    },
  });
  onTestFinished(() => all.vault.close());
  await all.vault.clients.set({ provider: 'acme', clientId: 'app/1', clientSecret: new Secret('SEKRET-marker client') });
  const connect = (flow: ImportRequest['flow'], inputs: Record<string, string>, scopes: string[] = []) =>
    all.vault.connect.connectWith({
      provider: 'acme',
      system: true,
      flow,
      scopes,
      inputs: new Map(Object.entries(inputs).map(([name, value]) => [name, new Secret(value)])),
    });
  const token = async () => (await all.vault.obtain(all.vault.authority.grants[0]!)).fields;
  return { ...all, sent, connect, token };
}

const form = (request: HttpsRequest | undefined): Record<string, string> =>
  Object.fromEntries(new URLSearchParams(request?.body?.toString()));

function claimsOf(assertion: string): Record<string, unknown> {
  const [head, claims, signature] = assertion.split('.') as [string, string, string];
  const key = createPublicKey(publicKey.export({ type: 'spki', format: 'pem' }).toString());
  expect(verify('sha256', Buffer.from(`${head}.${claims}`), key, Buffer.from(signature, 'base64url'))).toBe(true);
  return JSON.parse(Buffer.from(claims, 'base64url').toString()) as Record<string, unknown>;
}

it('client credentials: the client’s own, renewed for ever', async () => {
  const { sent, connect, token, clock } = await opened('scope_separator = ","');
  expect(await connect('client_credentials', {}, ['a', 'b'])).toMatchObject({ accountId: 'client app/1', scopes: ['a', 'b'] });
  expect(form(sent[0])).toEqual({
    grant_type: 'client_credentials',
    scope: 'a,b',
    client_id: 'app/1',
    client_secret: 'SEKRET-marker client',
  });
  clock.now += 2 * HOUR;
  expect((await token()).get('access_token')!.reveal()).toBe('SEKRET-marker-access-2');
});

it('a connection’s own client renews its tokens at its own address, with a parameter of its own, and its secret goes nowhere else', async () => {
  const spec = parseProvider(
    `slug = "acme"
name = "Acme"
kind = "oauth"
evidence = "general"
hosts = ["api.acme.test"]
[[fields]]
name = "address"
label = "Address"
secret = false
[[fields]]
name = "audience"
label = "Audience"
secret = false
optional = true
[oauth]
token_url = "{address}"
client = "connection"
token_params = { audience = "{audience}" }
`,
    'acme.toml',
  );
  const sent: HttpsRequest[] = [];
  const { vault, clock } = await openedVault(directory(), {
    catalogue: { find: (slug) => (slug === 'acme' ? spec : undefined) },
    https: async (request) => {
      sent.push(request);
      return answered(200, { access_token: `SEKRET-marker-access-${sent.length}`, expires_in: 3600 });
    },
  });
  onTestFinished(() => vault.close());
  const connect = (id: string, more: Record<string, string>) =>
    vault.connect.connectWith({
      provider: 'acme',
      system: true,
      label: id,
      flow: 'client_credentials',
      fields: { address: `https://${id}.auth.test/t?x=1`, ...more },
      inputs: new Map([
        ['client_id', new Secret(id)],
        ['client_secret', new Secret(`SEKRET-marker-${id}`)],
      ]),
    });
  await connect('one', { audience: 'urn:one' });
  await connect('two', {});
  clock.now += 2 * HOUR;
  for (const grant of vault.authority.grants.toSorted((a, b) => a.label.localeCompare(b.label))) {
    const { fields } = await vault.obtain(grant);
    expect([...fields.keys()].sort()).toEqual(expect.arrayContaining(['access_token', 'client_id']));
    expect(fields.has('client_secret')).toBe(false);
  }
  const seen = sent.map((request) => [request.url, form(request)] as const);
  const one = [
    'https://one.auth.test/t?x=1',
    { audience: 'urn:one', grant_type: 'client_credentials', client_id: 'one', client_secret: 'SEKRET-marker-one' },
  ];
  const two = [
    'https://two.auth.test/t?x=1',
    { grant_type: 'client_credentials', client_id: 'two', client_secret: 'SEKRET-marker-two' },
  ];
  expect(seen).toEqual([one, two, one, two]);
});

it('a client that authenticates by Basic is encoded as RFC 6749 says, and one by JSON sends JSON', async () => {
  const basic = await opened('client_auth = "basic"');
  await basic.connect('client_credentials', {});
  const pair = Buffer.from(basic.sent[0]!.headers.authorization!.slice('Basic '.length), 'base64').toString();
  expect(pair).toBe('app%2F1:SEKRET-marker+client');
  expect(form(basic.sent[0])).toEqual({ grant_type: 'client_credentials' });
  const json = await opened('client_auth = "json_body"');
  await json.connect('client_credentials', {});
  expect(JSON.parse(json.sent[0]!.body!.toString())).toMatchObject({ client_id: 'app/1', client_secret: 'SEKRET-marker client' });
});

it('a service account signs for itself; the address in its file is not used and its key goes nowhere', async () => {
  const { sent, connect, token } = await opened();
  const account = { client_email: 'bot@acme.test', private_key: PEM, private_key_id: 'k1', token_uri: 'https://10.0.0.1/token' };
  await connect('jwt_bearer', { service_account: JSON.stringify(account) }, ['s']);
  expect(sent.map(({ url }) => url)).toEqual(['https://auth.acme.test/token']);
  const { grant_type, assertion } = form(sent[0]);
  expect(grant_type).toBe('urn:ietf:params:oauth:grant-type:jwt-bearer');
  expect(claimsOf(assertion!)).toMatchObject({ iss: 'bot@acme.test', aud: 'https://auth.acme.test/token', scope: 's' });
  expect([...(await token()).keys()].sort()).toEqual(['access_token', 'client_id']);
});

it('an installation of an app asks at its own address, with a short assertion of the app', async () => {
  const { sent, connect } = await opened();
  await connect('github_app', { private_key: PEM, installation_id: '42' });
  expect(sent[0]).toMatchObject({ method: 'POST', url: 'https://api.acme.test/app/installations/42/access_tokens' });
  const { iss, exp, iat } = claimsOf(sent[0]!.headers.authorization!.slice('Bearer '.length)) as {
    iss: string;
    exp: number;
    iat: number;
  };
  expect([iss, exp - iat]).toEqual(['app/1', 600]);
});

it.each(['../../evil', '..', ''])('an installation of %j chooses no other address', async (id) => {
  const { sent, connect } = await opened();
  await refusal(connect('github_app', { private_key: PEM, installation_id: id }));
  expect(sent.every(({ url }) => new URL(url).pathname.split('/').length === 5)).toBe(true);
});

it('a token is exchanged for another', async () => {
  const { sent, connect } = await opened();
  await connect('token_exchange', { subject_token: 'SEKRET-marker-subject' });
  expect(form(sent[0])).toMatchObject({
    grant_type: 'urn:ietf:params:oauth:grant-type:token-exchange',
    subject_token: 'SEKRET-marker-subject',
    subject_token_type: 'urn:ietf:params:oauth:token-type:access_token',
  });
});

it('where there is no refresh token the access token itself is exchanged for a longer one', async () => {
  const more =
    'refresh = "exchange"\nrefresh_params = { grant_type = "fb_exchange_token", fb_exchange_token = "{access_token}" }\nauthorize_url = "https://acme.test/a"';
  const { sent, vault, token, clock } = await opened(more);
  const { authorizeUrl } = await vault.connect.begin({ provider: 'acme', system: true, redirectUri: 'http://127.0.0.1:1/cb' });
  await vault.connect.complete({ state: new URL(authorizeUrl).searchParams.get('state')!, code: 'c' });
  clock.now += 2 * HOUR;
  expect((await token()).get('access_token')!.reveal()).toBe('SEKRET-marker-access-2');
  expect(form(sent[1])).toMatchObject({ grant_type: 'fb_exchange_token', fb_exchange_token: 'SEKRET-marker-access-1' });
});

it('a removed agent takes the tokens of its accounts along', async () => {
  const { vault } = await opened();
  await vault.agents.create({ name: 'gone' });
  await vault.connect.connectWith({ provider: 'acme', agent: 'gone', flow: 'client_credentials', inputs: new Map() });
  await vault.agents.remove('gone');
  expect(vault.secrets.list()[0]!.oauth).toMatchObject({ state: 'revoked' });
});

it('a provider that has OAuth alone stores no secret, and says what to do', async () => {
  const { vault } = await opened();
  const stored = vault.secrets.create({ providerId: 'acme', fields: new Map([['token', new Secret('SEKRET-marker')]]) });
  expect((await refusal(stored)).text).toContain('alterd connect acme');
});
