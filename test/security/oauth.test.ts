/** S-28, S-101 … S-103: token endpoints are attacked, stall and lie; agents come in crowds. Real TLS endpoints, a whole daemon. */
import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest';
import { AUTH, type OAuthStage, providerToml, startOAuthStage } from '../helpers/oauth-stage.ts';

let stage: OAuthStage;
type Bot = Awaited<ReturnType<OAuthStage['agent']>>;
let count = 0;

beforeAll(async () => {
  stage = await startOAuthStage();
});
beforeEach(() => {
  stage.behaviour.intercept = null;
  stage.behaviour.isEnded = false;
  stage.behaviour.account = `account-${++count}`;
});
afterAll(() => stage.stop());

/** An agent with an account of its own, whose access token has ended already when `ended` is set. */
async function connected(ended: boolean): Promise<{ bot: Bot; grantId: string }> {
  const name = `bot-${count}`;
  const bot = await stage.agent(name);
  stage.behaviour.isEnded = ended;
  const { grant_id } = await stage.connect({ agent: name });
  stage.behaviour.isEnded = false;
  stage.calls.length = 0;
  return { bot, grantId: grant_id };
}

const refreshes = (): number => stage.calls.filter((type) => type === 'refresh_token').length;
const errorOf = (asked: { body: string }): unknown => (JSON.parse(asked.body) as { error?: unknown }).error;

it('S-101 fifty requests on a token that has ended make one token call, and all succeed', async () => {
  const { bot } = await connected(true);
  const answers = await Promise.all(Array.from({ length: 50 }, () => bot.ask('/data')));
  expect(answers.map(({ status }) => status)).toEqual(Array(50).fill(200));
  expect(refreshes()).toBe(1);
});

it('S-101 a refresh token that is good once is never used twice, over many refreshes', async () => {
  const { bot } = await connected(true);
  stage.behaviour.isEnded = true;
  for (let round = 0; round < 3; round++) expect((await bot.ask('/data')).status).toBe(200);
  expect(refreshes()).toBe(3);
});

it('S-101 a refresh token that is refused ends in one call and says what to do', async () => {
  const { bot, grantId } = await connected(true);
  stage.behaviour.intercept = (_parameters, respond) => {
    respond(400, JSON.stringify({ error: 'invalid_grant', error_description: 'SEKRET-marker-described' }));
    return true;
  };
  const answers = await Promise.all(Array.from({ length: 5 }, () => bot.ask('/data')));
  answers.push(await bot.ask('/data'));
  expect(answers.map(errorOf)).toEqual(Array(6).fill('re_auth_required'));
  expect(answers[0]).toMatchObject({ status: 403 });
  expect(answers[0]!.body).toContain(`alterd connect acme --grant ${grantId}`);
  expect(answers[0]!.body).not.toContain('SEKRET');
  expect(refreshes()).toBe(1);
  stage.behaviour.intercept = null;
  await stage.connect({ grant_id: grantId });
  expect((await bot.ask('/data')).status).toBe(200);
});

it.each([
  ['503', 503, '{}'],
  ['a page', 200, '<html>down for maintenance</html>'],
  ['an error with status 200', 200, '{"error":"temporarily_unavailable"}'],
])('S-101 %s from the token endpoint is no storm', async (_what, status, body) => {
  const { bot } = await connected(true);
  stage.behaviour.intercept = (_parameters, respond) => {
    respond(status, body);
    return true;
  };
  for (let n = 0; n < 5; n++) expect(await bot.ask('/data').then(errorOf)).toBe('credential_unavailable');
  expect(refreshes()).toBe(1);
});

it('S-28 a token endpoint that redirects is not followed, and nothing leaves for where it points', async () => {
  const { bot } = await connected(true);
  const before = stage.origin.arrivals.length;
  stage.behaviour.intercept = (_parameters, respond) => {
    respond(307, '', { location: `https://${AUTH}/elsewhere` });
    return true;
  };
  const asked = await bot.ask('/data');
  expect([asked.status, errorOf(asked)]).toEqual([503, 'credential_unavailable']);
  expect(asked.body).toContain('redirected');
  expect(stage.origin.arrivals.slice(before).map(({ url }) => url)).toEqual(['/token']);
});

it('S-102 a token endpoint at a private address is refused before anything is sent', async () => {
  const begun = await stage.daemon.api<{ authorize_url: string }>('POST', '/v1/connect/begin', {
    provider: 'acme',
    redirect_uri: 'http://127.0.0.1:1/cb',
    system: true,
    label: 'private',
  });
  const before = stage.origin.sockets();
  const completed = stage.daemon.api('POST', '/v1/connect/complete', stage.consent(begun.authorize_url));
  await expect(completed).rejects.toMatchObject({ problem: { error: 'connect_failed', problem: 'provider_unreachable' } });
  expect(stage.origin.sockets()).toBe(before);
});

it.each([
  ['http://auth.acme.test/token', 'https'],
  ['https://*.acme.test/token', 'exact host'],
  ['https://user@auth.acme.test/token', 'exact host'],
])('S-102 a provider file can not name %s', async (url, words) => {
  const toml = providerToml().replace(`https://${AUTH}/token`, url);
  await expect(stage.daemon.api('POST', '/v1/providers/validate', { toml })).rejects.toThrow(words);
});

it('S-103 a 401 is tried once more with a new token, which the agent does not notice', async () => {
  const { bot } = await connected(false);
  expect((await bot.ask('/data')).status).toBe(200);
  stage.spoil();
  const asked = await bot.ask('/data');
  expect([asked.status, asked.headers['alter-error']]).toEqual([200, undefined]);
  expect(refreshes()).toBe(1);
});

it('S-103 a crowd that is refused makes one refresh', async () => {
  const { bot } = await connected(false);
  stage.spoil();
  const answers = await Promise.all(Array.from({ length: 10 }, () => bot.ask('/data')));
  expect(answers.map(({ status }) => status)).toEqual(Array(10).fill(200));
  expect(refreshes()).toBe(1);
});

it('S-103 an API that always answers 401 gets one refresh, then its answer goes on', async () => {
  const { bot } = await connected(false);
  const before = stage.origin.arrivals.length;
  const { answer } = stage.origin;
  stage.origin.answer = (request, response, body) => {
    if (request.url !== '/data') return answer(request, response, body);
    response.writeHead(401, { 'content-type': 'application/json' });
    response.end('{"message":"never"}');
  };
  try {
    for (let n = 0; n < 4; n++) {
      const asked = await bot.ask('/data');
      expect([asked.status, asked.headers['alter-error'], asked.body]).toEqual([
        401,
        'provider_unauthorized',
        '{"message":"never"}',
      ]);
    }
  } finally {
    stage.origin.answer = answer;
  }
  expect(refreshes()).toBe(1);
  expect(stage.origin.arrivals.slice(before).filter(({ url }) => url === '/data')).toHaveLength(5);
});

it.each([
  ['PUT', 'small', 200],
  ['DELETE', undefined, 200],
  ['POST', 'small', 401],
  ['POST', undefined, 401],
  ['PATCH', 'small', 401],
  ['PUT', 'x'.repeat(70_000), 401],
])('S-103 %s is sent again only when that is safe and its body is still here', async (method, body, status) => {
  const { bot } = await connected(false);
  stage.spoil();
  const asked = await bot.ask('/data', { method, ...(body === undefined ? {} : { body }) });
  expect(asked.status).toBe(status);
  if (status === 401) expect(asked.headers['alter-error']).toBe('provider_unauthorized');
  else expect(JSON.parse(asked.body)).toMatchObject({ method, body: body ?? '' });
  expect(refreshes()).toBe(status === 401 ? 0 : 1);
});

it('a 403 for lack of scope is annotated, not tried again', async () => {
  const { bot } = await connected(false);
  const asked = await bot.ask('/forbidden');
  expect([asked.status, asked.headers['alter-error']]).toEqual([403, 'scope_reauth_required']);
  expect(refreshes()).toBe(0);
});

it('neither log nor journal nor API holds a token after all this', async () => {
  const { entries } = await stage.daemon.api<{ entries: unknown[] }>('GET', '/v1/audit?limit=1000');
  const shown = JSON.stringify([entries, await stage.daemon.api('GET', '/v1/secrets'), stage.daemon.logged]);
  expect(shown).toContain('oauth.refreshed');
  expect(shown).not.toContain('SEKRET');
});
