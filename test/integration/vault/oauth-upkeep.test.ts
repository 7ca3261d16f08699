/** Between requests: accounts in use are renewed ahead of time, idle ones are left alone, and the last grant's end is the tokens' end. */
import { expect, it, onTestFinished } from 'vitest';
import type { HttpsRequest } from '../../../src/domain/https-call.ts';
import { Secret } from '../../../src/domain/secret.ts';
import { temporaryDirectory } from '../../helpers/temporary.ts';
import { answered, answerTo, openAccountVault } from './oauth-vault.ts';

const directory = temporaryDirectory();
const HOUR = 3_600_000;

async function opened() {
  const calls: string[] = [];
  const site = { answer: async ({ body }: HttpsRequest) => answerTo(body) };
  const { vault, journal, clock } = await openAccountVault(
    directory(),
    (request) => {
      calls.push(`${new URL(request.url).pathname} ${request.body?.toString() ?? ''}`);
      return site.answer(request);
    },
    5,
  );
  onTestFinished(() => vault.close());
  await vault.clients.set({ provider: 'acme', clientId: 'client', clientSecret: new Secret('SEKRET-marker-client') });
  /** With refresh token number N; the access token is number N+1. */
  const connect = async (number: number, expiresAt?: number) => {
    const { grantId } = await vault.connect.connectWith({
      provider: 'acme',
      system: true,
      label: `account-${number}`,
      flow: 'refresh_token',
      inputs: new Map([['refresh_token', new Secret(`SEKRET-marker-refresh-${number}`)]]),
      restrictions: { expiresAt },
    });
    calls.length = 0;
    return vault.grants.find(grantId);
  };
  const use = async (grant: Awaited<ReturnType<typeof connect>>): Promise<string> =>
    (await vault.obtain(grant)).fields.get('access_token')!.reveal();
  const stateOf = (grant: Awaited<ReturnType<typeof connect>>) =>
    vault.secrets.list().find(({ id }) => id === grant.credentialId)?.oauth?.state;
  return { vault, journal, clock, site, calls, connect, use, stateOf };
}

it('what is in use is renewed before its end without a request, what is idle is not', async () => {
  const { clock, calls, connect, use } = await opened();
  await connect(10);
  clock.now += 1_000;
  const used = await connect(20);
  expect(await use(used)).toBe('SEKRET-marker-access-21');
  clock.now += HOUR - 120_000;
  // The idle one ends first, and would have been asked for first.
  await expect.poll(() => calls.length).toBe(1);
  expect(calls[0]).toContain('refresh-21');
  await expect.poll(() => use(used)).toBe('SEKRET-marker-access-22');
  expect(calls).toHaveLength(1);
});

it('after a day without use the last renewal was the last', async () => {
  const { clock, calls, connect, use } = await opened();
  const idle = await connect(10);
  await use(idle);
  clock.now += HOUR;
  await expect.poll(() => calls.length).toBe(1);
  clock.now += 24 * HOUR;
  const used = await connect(20);
  await use(used);
  clock.now += HOUR;
  await expect.poll(() => calls.length).toBe(1);
  expect(calls[0]).toContain('refresh-21');
});

it('a crowd that is due at once is renewed a few at a time, each once', async () => {
  const { clock, calls, connect, use, site } = await opened();
  for (let n = 1; n <= 6; n++) await use(await connect(n * 10));
  calls.length = 0;
  const waiting: (() => void)[] = [];
  site.answer = async ({ body }) => {
    await new Promise<void>((resolve) => waiting.push(resolve));
    return answerTo(body);
  };
  clock.now += HOUR;
  await expect.poll(() => waiting.length).toBe(4);
  waiting.pop()!();
  await expect.poll(() => calls.length).toBe(5);
  expect(waiting).toHaveLength(4);
  waiting.splice(0).forEach((release) => void release());
  await expect.poll(() => waiting.length).toBe(1);
  waiting[0]!();
  expect(new Set(calls).size).toBe(6);
});

it('a token without a refresh token serves to its end', async () => {
  const { vault, clock, calls, connect, use, site, stateOf } = await opened();
  const { answer } = site;
  site.answer = async () => answered(200, { access_token: 'SEKRET-marker-access-only', expires_in: 3600 });
  const begun = await vault.connect.begin({
    provider: 'acme',
    system: true,
    redirectUri: 'http://127.0.0.1:1/cb',
    label: 'only',
  });
  const state = new URL(begun.authorizeUrl).searchParams.get('state')!;
  const only = vault.grants.find((await vault.connect.complete({ state, code: 'code' })).grantId);
  site.answer = answer;
  await use(only);
  clock.now += 1_000;
  await use(await connect(20));
  clock.now += HOUR - 120_000;
  await expect.poll(() => calls.length).toBe(1);
  expect([stateOf(only), await use(only)]).toEqual(['ok', 'SEKRET-marker-access-only']);
});

it('the expiry of the last grant destroys the tokens and tells the provider; a grant that lives keeps them', async () => {
  const { vault, journal, clock, calls, connect, stateOf, site } = await opened();
  site.answer = async (request) => (request.url.endsWith('/revoke') ? answered(200, {}) : answerTo(request.body));
  const shared = await connect(10, clock.now + HOUR);
  await vault.grants.create({ credential: shared.credentialName, system: true, label: 'lives on' });
  const last = await connect(20, clock.now + HOUR);
  clock.now += HOUR;
  await expect.poll(() => stateOf(last)).toBe('revoked');
  await expect.poll(() => calls.length).toBe(1);
  expect(calls[0]).toMatch(/^\/revoke .*refresh-21/);
  expect(stateOf(shared)).toBe('ok');
  await expect.poll(() => journal.actions.slice(-2)).toEqual(['grant.expired', 'oauth.revoked']);
  expect(journal.events.at(-2)?.opening).toMatchObject({ grant_id: last.id, grant_label: 'account-20' });
  expect(JSON.stringify(journal.events)).not.toContain('SEKRET');
});
