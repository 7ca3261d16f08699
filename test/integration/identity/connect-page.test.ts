/** Links for a person who is known, on the page's own TLS listener: what is connected is theirs, and an agent more is one click. */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { request as plainRequest } from 'node:http';
import { request } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { freePort } from '../../helpers/free-port.ts';
import { startIssuer, type TestIssuer } from '../../helpers/issuer.ts';
import { type OAuthStage, startOAuthStage } from '../../helpers/oauth-stage.ts';
import { signIn } from '../../helpers/sign-in.ts';

const NAME = 'connect.good.test';
let dir: string;
let port: number;
let stage: OAuthStage;
let issuer: TestIssuer;
let session: string;

beforeAll(async () => {
  dir = mkdtempSync(join(tmpdir(), 'alterd-page-'));
  const [cert, key] = [join(dir, 'page.crt'), join(dir, 'page.key')] as const;
  execFileSync(
    'openssl',
    `req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 1 -subj /CN=${NAME} -addext subjectAltName=DNS:${NAME} -keyout ${key} -out ${cert}`.split(
      ' ',
    ),
    { stdio: 'pipe' },
  );
  port = await freePort();
  stage = await startOAuthStage({
    flags: {
      'connect.listen': `127.0.0.1:${port}`,
      'connect.public_url': `https://${NAME}`,
      'connect.tls_cert_file': cert,
      'connect.tls_key_file': key,
    },
  });
  issuer = await startIssuer(stage.pki);
  for (const name of ['anna', 'ben']) issuer.people.set(name, { email: `${name}@good.test` });
  const { configFile } = stage.daemon.paths;
  writeFileSync(
    configFile,
    `allow_private = ["${issuer.host}:443"]\n${readFileSync(configFile, 'utf8').replace('resolve = {', `resolve = { "${issuer.host}:443" = "127.0.0.1:${issuer.port}",`)}
[[identity.issuer]]\nname = "corp"\nissuer = "${issuer.url}"\nclient_id = "${issuer.clientId}"\nalgorithms = ["ES256"]\n`,
  );
  await stage.daemon.running.reload();
  session = await signIn(stage.daemon, issuer, stage.pki, 'anna');
  await signIn(stage.daemon, issuer, stage.pki, 'ben');
});
afterAll(async () => {
  await stage.stop();
  await issuer.close();
  rmSync(dir, { recursive: true, force: true });
});

interface Answer {
  readonly status: number;
  readonly text: string;
}

/** As a browser that trusts the page's certificate. */
function send(
  method: string,
  path: string,
  headers: Record<string, string> = {},
  body = '',
  maxVersion?: 'TLSv1.1',
): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const asked = request(
      {
        host: '127.0.0.1',
        port,
        servername: NAME,
        ca: readFileSync(join(dir, 'page.crt')),
        method,
        path,
        headers: { host: NAME, ...headers },
        agent: false,
        ...(maxVersion === undefined ? {} : { maxVersion, minVersion: 'TLSv1' as const }),
      },
      (response) => {
        let text = '';
        response.setEncoding('utf8').on('data', (part: string) => (text += part));
        response.on('end', () => resolve({ status: response.statusCode ?? 0, text }));
      },
    );
    asked.on('error', reject);
    asked.end(body);
  });
}

interface Page {
  readonly error?: string;
  readonly message?: string;
  readonly ticket: string;
  readonly authorization_url?: string;
  readonly session: {
    readonly user: string | null;
    readonly providers: readonly {
      readonly known: { readonly account: string; readonly scopes: string[] } | null;
      readonly connected: string | null;
    }[];
  };
}
async function step(action: string, body: object): Promise<Page & { readonly status: number }> {
  const headers = { origin: `https://${NAME}`, 'content-type': 'application/json', 'sec-fetch-site': 'same-origin' };
  const { status, text } = await send('POST', `/sdk/oauth/connect/${action}`, headers, JSON.stringify(body));
  return { status, ...(JSON.parse(text) as Page) };
}
/** A page that was opened by a new link. */
async function opened(more: object): Promise<Page & { readonly status: number }> {
  const made = await stage.daemon.api<{ session_token: string; connect_url: string }>('POST', '/v1/connect/sessions', {
    allowed_providers: ['acme'],
    allow_private: true,
    ...more,
  });
  expect(made.connect_url).toMatch(new RegExp(`^https://${NAME}/sdk/oauth/connect#session=`));
  return step('redeem', { session_token: made.session_token });
}
const choice = (ticket: string, more: object = {}): object => ({
  ticket,
  provider: 'acme',
  scopes: [],
  lifetime_seconds: 3_600,
  ...more,
});
const rows = async (action: string): Promise<Record<string, unknown>[]> =>
  (await stage.daemon.api<{ entries: Record<string, unknown>[] }>('GET', `/v1/audit?action=${action}`)).entries;
interface Grants {
  readonly grants: readonly { readonly id: string; readonly principal: string; readonly user: string; readonly status: string }[];
}
const grants = async (): Promise<Grants['grants']> => (await stage.daemon.api<Grants>('GET', '/v1/grants')).grants;
const asAnna = async (more: object = {}) => ({ headers: { 'alter-user-token': await issuer.token('anna') }, ...more });

describe('the listener of the page, with its own certificate', () => {
  it('serves it over TLS under its name, to nobody who does not verify that name, and nothing over plain http', async () => {
    const page = await send('GET', '/sdk/oauth/connect');
    expect(page.status).toBe(200);
    expect(page.text).toContain('<!doctype html>');
    expect((await send('GET', '/sdk/oauth/connect', { host: `127.0.0.1:${port}` })).status).not.toBe(200);
    await expect(send('GET', '/sdk/oauth/connect', {}, '', 'TLSv1.1')).rejects.toThrow();
    const plain = new Promise((resolve, reject) => {
      plainRequest({ host: '127.0.0.1', port, path: '/sdk/oauth/connect', headers: { host: NAME } }, resolve)
        .on('error', reject)
        .end();
    });
    await expect(plain).rejects.toThrow();
  });

  it('a step from a page of another origin is refused', async () => {
    const headers = { origin: 'https://evil.test', 'content-type': 'application/json', 'sec-fetch-site': 'cross-site' };
    expect((await send('POST', '/sdk/oauth/connect/redeem', headers, '{}')).status).toBe(403);
  });
});

describe('a link for a person', () => {
  it('what is connected is theirs and delegated to the agent, in one change', async () => {
    const bot = await stage.agent('first');
    const { ticket, session: shown } = await opened({ agent: 'first', user: 'anna@good.test' });
    expect(shown).toMatchObject({ user: 'anna@good.test', providers: [{ known: null, connected: null }] });
    const { authorization_url: url } = await step('begin', choice(ticket, { scopes: ['read'] }));
    const query = new URLSearchParams(stage.consent(url as string)).toString();
    const done = await step('complete', { ticket, query: `?${query}` });
    expect(done.session.providers[0]?.connected).toBe('ada');
    expect(await grants()).toMatchObject([{ principal: 'user', user: 'anna@good.test' }]);
    expect((await bot.ask('/data', await asAnna())).status).toBe(200);
    const [row, ...others] = await rows('oauth.connected');
    expect(others).toEqual([]);
    expect(row).toMatchObject({ agent: 'first', user: 'anna@good.test', delegation_id: expect.any(String) });
    // The delegation is no change of its own that could fail after the grant was made.
    expect(await rows('delegation.created')).toEqual([]);
    expect(await rows('connect.session_created')).toMatchObject([{ user: 'anna@good.test' }]);
  });

  it('another agent is one click: nothing is asked of the provider, and the new grant is only as wide as its link', async () => {
    const bot = await stage.agent('second');
    const asked = stage.origin.arrivals.length;
    const { ticket, session: shown } = await opened({
      agent: 'second',
      user: 'anna@good.test',
      requested_grant: { methods: ['GET'] },
    });
    expect(shown.providers[0]?.known).toEqual({ account: 'ada', scopes: ['read'] });
    const clicks = await Promise.all([1, 2].map(() => step('begin', choice(ticket, { use_known: true }))));
    // Two clicks are one grant.
    expect(clicks.map(({ status }) => status).sort()).toEqual([200, 403]);
    expect(clicks.find(({ status }) => status === 200)?.session.providers[0]).toMatchObject({ known: null, connected: 'ada' });
    expect(stage.origin.arrivals.length).toBe(asked);
    const all = await grants();
    expect(all).toHaveLength(2);
    const [row] = await rows('grant.created');
    expect(row).toMatchObject({
      agent: 'second',
      user: 'anna@good.test',
      delegation_id: expect.any(String),
      details: { by: 'user', account: 'ada' },
    });
    expect((await bot.ask('/data', await asAnna())).status).toBe(200);
    expect((await bot.ask('/data', await asAnna({ method: 'POST', body: '{}' }))).status).toBe(403);
    const ofBen = { headers: { 'alter-user-token': await issuer.token('ben') } };
    expect((await bot.ask('/data', ofBen)).status).toBe(403);
    expect(await step('end', { ticket })).toMatchObject({ status: 200, outcome: { message: { type: 'alter_connect_success' } } });
  });

  it.each([
    ['somebody else', { user: 'ben@good.test', agent: 'second' }, 409],
    ['nobody in particular', { agent: 'second' }, 422],
    [
      'scopes that the account was not given',
      { user: 'anna@good.test', agent: 'second', required_scopes: { acme: ['write'] } },
      409,
    ],
  ])('a link for %s knows no account, whatever the page asks', async (_what, link, status) => {
    const before = (await grants()).length;
    const { ticket, session: shown } = await opened(link);
    expect(shown.providers[0]?.known).toBeNull();
    expect(await step('begin', choice(ticket, { use_known: true }))).toMatchObject({
      status,
      session: { providers: [{ connected: null }] },
    });
    // The ordinary way is open all the same.
    expect((await step('begin', choice(ticket))).authorization_url).toContain('/authorize?');
    expect((await grants()).length).toBe(before);
  });

  it.each([
    ['a person and every agent', { user: 'anna@good.test', system: true }, /a person delegates to an agent/],
    ['a person who is not known', { user: 'carl', agent: 'second' }, /not_found/],
  ])('%s makes no link', async (_what, more, problem) => {
    await expect(opened(more)).rejects.toThrow(problem);
  });
});

describe('an account that has to be connected again', () => {
  it('is refused with a link, which is good for that account alone and heals the grant', async () => {
    const bot = await stage.agent('fourth');
    stage.behaviour.account = 'zoe';
    const connected = await stage.connect({ agent: 'fourth', label: 'lost', scopes: ['write'] });
    stage.behaviour.intercept = (parameters, respond) => {
      if (parameters.get('grant_type') !== 'refresh_token') return false;
      respond(400, '{"error":"invalid_grant"}');
      return true;
    };
    stage.spoil();
    const refused = async (): Promise<{ error: string; connect_url?: string; hint: string }> =>
      JSON.parse((await bot.ask('/data')).body);
    await expect.poll(async () => (await refused()).error, { timeout: 5_000, interval: 20 }).toBe('re_auth_required');
    const { connect_url: url, hint } = await refused();
    expect(url).toMatch(new RegExp(`^https://${NAME}/sdk/oauth/connect#session=`));
    expect(hint).toContain(url);
    // One link for all refusals while nobody has opened it.
    expect((await refused()).connect_url).toBe(url);
    expect(stage.daemon.logged.join('\n') + JSON.stringify(await rows('api.call'))).not.toContain('session=');
    const page = await step('redeem', { session_token: decodeURIComponent((url as string).split('=')[1] as string) });
    expect(page).toMatchObject({ status: 200, session: { is_reconnect: true } });
    // It was opened: no new one for a minute, so that an agent can't make them by the thousand.
    expect((await refused()).connect_url).toBeUndefined();
    const consent = async (account: string): Promise<Page & { readonly status: number }> => {
      stage.behaviour.account = account;
      const begun = await step('begin', choice(page.ticket, { scopes: ['read'] }));
      // What the account has; the page's word widens nothing.
      expect(new URL(begun.authorization_url as string).searchParams.get('scope')).toBe('write');
      const query = new URLSearchParams(stage.consent(begun.authorization_url as string)).toString();
      return step('complete', { ticket: page.ticket, query: `?${query}` });
    };
    expect(await consent('mallory')).toMatchObject({ status: 403, error: 'account_mismatch' });
    expect((await refused()).error).toBe('re_auth_required');
    expect((await consent('zoe')).session.providers[0]?.connected).toBe('zoe');
    expect((await bot.ask('/data')).status).toBe(200);
    expect((await grants()).find(({ id }) => id === connected.grant_id)?.status).toBe('active');
    stage.behaviour.intercept = null;
  });
});

it('an agent that is revoked while the person consents gets nothing, and nothing is stored', async () => {
  await stage.agent('third');
  const { secrets } = await stage.daemon.api<{ secrets: object[] }>('GET', '/v1/secrets');
  const before = await grants();
  stage.behaviour.account = 'eve';
  const begun = await stage.daemon.api<{ authorize_url: string }>('POST', '/v1/connect/begin', {
    provider: 'acme',
    redirect_uri: 'http://127.0.0.1:1/callback',
    allow_private: true,
    user_session: session,
    agent: 'third',
  });
  await stage.daemon.api('POST', '/v1/agents/third/status', { status: 'revoked' });
  const done = stage.daemon.api('POST', '/v1/connect/complete', stage.consent(begun.authorize_url));
  await expect(done).rejects.toThrow(/conflict.*is revoked/s);
  expect(await grants()).toEqual(before);
  expect((await stage.daemon.api<{ secrets: object[] }>('GET', '/v1/secrets')).secrets).toEqual(secrets);
});
