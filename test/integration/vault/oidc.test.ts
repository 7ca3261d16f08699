/** Against a certified OpenID provider over TLS: code with PKCE and id_token, rotation, device codes, client credentials, revocation. */
import { afterAll, beforeAll, expect, it } from 'vitest';
import { startTestDaemon, type TestDaemon } from '../../helpers/daemon.ts';
import { askHost } from '../../helpers/oauth-stage.ts';
import { makePki } from '../../helpers/pki.ts';
import { API_HOST, ISSUER, ISSUER_HOST, type OidcSite, SECRET, startOidcSite } from './oidc-site.ts';

const REDIRECT = 'http://127.0.0.1:1/callback';
const TOML = `slug = "oidc"
name = "OpenID"
kind = "oauth"
evidence = "general"
hosts = ["${API_HOST}"]
[oauth]
issuer = "${ISSUER}"
authorize_url = "${ISSUER}/auth"
token_url = "${ISSUER}/token"
device_url = "${ISSUER}/device/auth"
revoke_url = "${ISSUER}/token/revocation"
pkce = "required"
refresh = "rotating"
default_scopes = ["openid"]
account = { id = "id_token:/sub", name = "id_token:/sub" }
`;

interface Connected {
  readonly grant_id: string;
  readonly account_id: string;
  readonly reconnected: boolean;
}

let site: OidcSite;
let daemon: TestDaemon;
beforeAll(async () => {
  const pki = makePki();
  site = await startOidcSite(pki, 1);
  const resolve = [API_HOST, ISSUER_HOST].map((host) => `"${host}:443" = "127.0.0.1:${site.port}"`).join(', ');
  daemon = await startTestDaemon({ config: `[upstream]\nca_file = "${pki.caFile}"\nresolve = { ${resolve} }\n` });
  await daemon.api('POST', '/v1/providers', { toml: TOML });
  await daemon.api('POST', '/v1/provider-clients', { provider: 'oidc', client_id: 'alterd-test', client_secret: SECRET });
});
afterAll(async () => {
  await daemon.stop();
  await site.close();
});

async function connect(more: Record<string, unknown>): Promise<Connected> {
  const begun = await daemon.api<{ authorize_url: string }>('POST', '/v1/connect/begin', {
    provider: 'oidc',
    redirect_uri: REDIRECT,
    allow_private: true,
    ...more,
  });
  const { searchParams } = new URL(await site.browse(begun.authorize_url));
  const answer = Object.fromEntries(['code', 'state', 'iss'].map((name) => [name, searchParams.get(name)]));
  return daemon.api<Connected>('POST', '/v1/connect/complete', answer);
}

it('a consent with PKCE and id_token connects, its rotating refresh token goes on, and the last revoke tells the provider', async () => {
  const { authorization } = await daemon.agent('ada');
  const connected = await connect({ agent: 'ada' });
  expect(connected).toMatchObject({ account_id: 'ada', reconnected: false });
  // Tokens live for a second: each of these is another one, or the one before with its last breath.
  for (let round = 0; round < 3; round++) {
    const began = Date.now();
    expect((await askHost(daemon, authorization, API_HOST, '/')).status).toBe(200);
    await expect.poll(() => Date.now() - began, { interval: 50, timeout: 5_000 }).toBeGreaterThan(1_000);
  }
  expect(site.callers).toEqual(['ada', 'ada', 'ada']);
  expect(site.events.filter((name) => name === 'refresh_token.consumed').length).toBeGreaterThanOrEqual(2);
  await daemon.api('POST', `/v1/grants/${connected.grant_id}/revoke`);
  await expect.poll(() => site.events).toContain('grant.revoked');
  expect(site.events).not.toContain('server_error');
});

it('an answer with another issuer is refused', async () => {
  const begun = await daemon.api<{ authorize_url: string }>('POST', '/v1/connect/begin', {
    provider: 'oidc',
    redirect_uri: REDIRECT,
    allow_private: true,
    system: true,
  });
  const { searchParams } = new URL(await site.browse(begun.authorize_url));
  const answer = { code: searchParams.get('code'), state: searchParams.get('state'), iss: 'https://evil.test' };
  await expect(daemon.api('POST', '/v1/connect/complete', answer)).rejects.toMatchObject({
    problem: { problem: 'state_mismatch' },
  });
});

it('a device code connects once somebody entered it, and is pending before', async () => {
  const begun = await daemon.api<Record<string, string>>('POST', '/v1/connect/device', {
    provider: 'oidc',
    system: true,
    label: 'device',
    allow_private: true,
  });
  const poll = (): Promise<Record<string, unknown>> => daemon.api('POST', `/v1/connect/device/${begun.flow_id}/poll`);
  expect(await poll()).toMatchObject({ status: 'pending' });
  expect(await site.browse(begun.verification_uri_complete!)).toBe('200');
  await expect.poll(poll, { interval: 500, timeout: 15_000 }).toMatchObject({ status: 'connected', account_id: 'ada' });
});

it('a client connects for itself', async () => {
  const connected = await daemon.api('POST', '/v1/connect/import', {
    provider: 'oidc',
    system: true,
    label: 'machine',
    scopes: [],
    flow: 'client_credentials',
    allow_private: true,
  });
  expect(connected).toMatchObject({ account_id: 'client alterd-test' });
});
