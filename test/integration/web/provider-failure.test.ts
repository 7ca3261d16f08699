/** What the page says when the provider does not play along, over the real flows and a real authorization server. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { CLIENT_ID } from '../../browser/support/authorization-server.ts';
import { type Stage, startStage } from '../../browser/support/stage.ts';

let stage: Stage;
beforeAll(async () => {
  stage = await startStage();
  await stage.daemon.agent('bot');
});
afterAll(() => stage.close());

interface Answer {
  readonly ticket: string;
  readonly authorization_url: string;
  readonly error: string;
  readonly message: string;
  readonly session: { readonly providers: readonly { readonly connected: string | null }[] };
}

/** One consent with this answer in place of the provider's. */
async function consentWith(answer: Readonly<Record<string, string>>): Promise<Answer> {
  const made = await stage.session({ agent: 'bot' });
  const ask = async (step: string, body: object): Promise<Answer> => {
    const response = await fetch(`${made.base_url}/sdk/oauth/connect/${step}`, {
      method: 'POST',
      headers: { origin: made.base_url, 'content-type': 'application/json' },
      body: JSON.stringify(body),
    });
    return (await response.json()) as Answer;
  };
  const { ticket } = await ask('redeem', { session_token: made.session_token });
  const begun = await ask('begin', { ticket, provider: 'files', scopes: [], lifetime_seconds: 3_600 });
  const state = new URL(begun.authorization_url).searchParams.get('state') ?? '';
  return ask('complete', { ticket, query: `?${new URLSearchParams({ state, ...answer })}` });
}

test('each failure has its name and its sentence, nothing is stored, and another try is possible', async () => {
  const denied = await consentWith({ error: 'access_denied', error_description: 'SEKRET-marker-of-the-provider' });
  const foreign = await consentWith({ code: 'a-code', iss: 'https://accounts.evil.test' });
  const junk = await consentWith({ code: 'SEKRET-marker-code' });
  await stage.daemon.api('POST', '/v1/provider-clients', { provider: 'files', client_id: CLIENT_ID, client_secret: 'wrong' });
  const stranger = await consentWith({ code: 'SEKRET-marker-code' });
  await stage.authorization.close();
  const down = await consentWith({ code: 'SEKRET-marker-code' });
  const answers = [denied, foreign, junk, stranger, down];
  expect(answers.map(({ error }) => error)).toEqual([
    'access_denied',
    'state_mismatch',
    'provider_refused',
    'provider_refused',
    'provider_unavailable',
  ]);
  for (const { message, session } of answers) {
    expect(message).toMatch(/Nothing was stored\.$/);
    expect(session.providers.map(({ connected }) => connected)).toEqual([null]);
  }
  expect(await stage.daemon.api('GET', '/v1/grants')).toEqual({ grants: [] });
  const { entries } = await stage.daemon.api<{ entries: { action: string; details: { reason?: string } }[] }>(
    'GET',
    '/v1/audit?limit=100',
  );
  const failures = entries.filter(({ action }) => action === 'connect.failed');
  expect(failures.map(({ details }) => details.reason)).toEqual([
    expect.stringContaining('upstream_unreachable'),
    expect.stringContaining('invalid_client'),
    expect.stringContaining('invalid_grant'),
    expect.stringContaining('another issuer'),
    expect.stringContaining('refused'),
  ]);
  expect(JSON.stringify([answers, entries, stage.daemon.logged])).not.toContain('SEKRET');
});
