import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { AlterError } from '../../../src/domain/errors.ts';
import type { RedirectAnswer } from '../../../src/vault/oauth/connect-flows.ts';
import { servePages } from '../../../src/web/server.ts';
import { NOW, type PageRig, startPages } from './support.ts';

let rig: PageRig;
beforeAll(async () => {
  rig = await startPages();
});
afterAll(() => rig.close());

interface Opened {
  readonly ticket: string;
  readonly session: { readonly providers: readonly { readonly id: string }[] };
}

const open = async (change = {}): Promise<string> =>
  (await rig.ask<Opened>('redeem', { session_token: await rig.token(change) })).body.ticket;

describe('the files', () => {
  test('a page has its headers, and nothing in it comes from elsewhere or runs inline', async () => {
    for (const path of ['/sdk/oauth/connect', '/oauth/callback?code=SEKRET-marker-code&state=x']) {
      const page = await rig.send('GET', path);
      expect(page.status).toBe(200);
      expect(page.text).not.toMatch(/https?:\/\/|<script>|onclick=|style=|SEKRET/);
      expect(page.headers).toMatchObject({
        'content-type': 'text/html; charset=utf-8',
        'referrer-policy': 'no-referrer',
        'cache-control': 'no-store',
        'x-frame-options': 'DENY',
        'x-content-type-options': 'nosniff',
        'cross-origin-opener-policy': 'unsafe-none',
      });
      const policy = page.headers['content-security-policy'] as string;
      expect(policy).toContain("default-src 'none'");
      expect(policy).toContain("frame-ancestors 'none'");
      expect(policy).not.toMatch(/unsafe|\*|https?:|data:/);
      expect(page.headers['set-cookie']).toBeUndefined();
      expect(Object.keys(page.headers).filter((name) => name.startsWith('access-control'))).toEqual([]);
    }
  });

  test('every file that a page names is there, with the headers too', async () => {
    const { text } = await rig.send('GET', '/sdk/oauth/connect');
    const named = new Set([...text.matchAll(/(?:src|href)="([^"]+)"/g)].map(([, path]) => path as string));
    expect(named.size).toBe(3);
    for (const path of [...named, '/page/views.js', '/page/elements.js']) {
      const file = await rig.send('GET', path);
      expect([path, file.status, file.headers['content-security-policy'] !== undefined]).toEqual([path, 200, true]);
    }
  });

  test.each(['/', '/v1/secrets', '/page/../server.ts', '/page/%2e%2e/server.ts', '/sdk/oauth/connect/', '/page/tsconfig.json'])(
    '%s is nothing',
    async (path) => {
      expect((await rig.send('GET', path)).status).toBe(404);
    },
  );
});

describe('a step of the page', () => {
  test('that is redeemed twice tells how it ended, and where to', async () => {
    const token = await rig.token();
    expect((await rig.ask('redeem', { session_token: token })).status).toBe(200);
    const again = await rig.ask('redeem', { session_token: token });
    expect(again).toMatchObject({
      status: 403,
      body: { error: 'session_used', outcome: { target_origin: 'https://app.example.test', message: { error: 'session_used' } } },
    });
    const unknown = await rig.ask<object>('redeem', { session_token: 'alter_connect_guess' });
    expect(unknown).toMatchObject({ status: 403, body: { error: 'session_unknown' } });
    expect(unknown.body).not.toHaveProperty('outcome');
  });

  test('begins with what the person chose, never with less than is needed nor with more than was allowed', async () => {
    const ticket = await open({ providers: ['files', 'mail'] });
    const begin = (body: object) => rig.ask('begin', { ticket, provider: 'files', scopes: [], lifetime_seconds: 3_600, ...body });
    rig.begun.length = 0;
    expect((await begin({ scopes: ['write', 'admin'] })).status).toBe(200);
    expect((await begin({ provider: 'mail', scopes: [], lifetime_seconds: null })).status).toBe(200);
    expect(
      rig.begun.map(({ provider, scopes, restrictions, redirectUri }) => [
        provider,
        scopes,
        restrictions?.expiresAt,
        redirectUri,
      ]),
    ).toEqual([
      ['files', ['read', 'write'], NOW + 3_600_000, `${rig.server.origin}/oauth/callback`],
      ['mail', ['read'], NOW + 86_400_000, `${rig.server.origin}/oauth/callback`],
    ]);
    for (const wrong of [
      { provider: 'other' },
      { lifetime_seconds: 86_401 },
      { lifetime_seconds: -1 },
      { lifetime_seconds: '3600' },
      { scopes: 'read' },
      { scopes: [1] },
      { ticket: 'guess' },
      { ticket: 7 },
    ])
      expect([wrong, (await begin(wrong)).status]).toEqual([
        wrong,
        expect.toSatisfy((status) => status === 403 || status === 422),
      ]);
    expect(rig.begun).toHaveLength(2);
    // One consent at a time; and none that is still open at a provider may end in a grant after the person left.
    expect(rig.cancelled).toEqual(['flow-1']);
    await rig.ask('end', { ticket });
    expect(rig.cancelled).toEqual(['flow-1', 'flow-2']);
  });

  test('comes back only with the state that it began with, once', async () => {
    const account = {
      grantId: 'g-1',
      providerId: 'files',
      label: '',
      accountId: '17',
      accountName: 'ann',
      scopes: ['read'],
      reconnected: false,
    };
    const seen: RedirectAnswer[] = [];
    const other = await startPages((answer) => {
      seen.push(answer);
      return Promise.resolve(account);
    });
    const ticketOf = async () => (await other.ask<Opened>('redeem', { session_token: await other.token() })).body.ticket;
    const [mine, theirs] = [await ticketOf(), await ticketOf()];
    for (const ticket of [mine, theirs])
      await other.ask('begin', { ticket, provider: 'files', scopes: [], lifetime_seconds: 60 });
    const complete = (ticket: string, query: string) => other.ask('complete', { ticket, query });
    expect(await complete(mine, '?code=c&state=state-2')).toMatchObject({ status: 403, body: { error: 'state_mismatch' } });
    expect(await complete(mine, '?code=c')).toMatchObject({ status: 403, body: { error: 'state_mismatch' } });
    expect(seen).toEqual([]);
    expect(await complete(mine, '?code=c&state=state-1')).toMatchObject({
      status: 200,
      body: { session: { providers: [{ connected: 'ann' }] } },
    });
    expect(seen).toEqual([{ state: 'state-1', code: 'c' }]);
    expect(await complete(mine, '?code=c&state=state-1')).toMatchObject({ status: 403, body: { error: 'state_mismatch' } });
    expect(await other.ask('end', { ticket: mine })).toMatchObject({
      body: { outcome: { message: { type: 'alter_connect_success' } } },
    });
    expect(await other.ask('end', { ticket: mine })).toMatchObject({ status: 403, body: { error: 'session_used' } });
    await other.close();
  });

  test('that fails says so without the text of the failure, records it, and may be tried again', async () => {
    const thrown = [new AlterError('credential_unavailable', { grant_id: 'g', reason: 'no' }), new Error('SEKRET-marker-inside')];
    const other = await startPages(() => Promise.reject(thrown.shift()));
    const { ticket } = (await other.ask<Opened>('redeem', { session_token: await other.token() })).body;
    const answers = [];
    for (const state of ['state-1', 'state-2']) {
      await other.ask('begin', { ticket, provider: 'files', scopes: [], lifetime_seconds: 60 });
      answers.push(
        await other.ask('complete', { ticket, query: `?error=x&error_description=SEKRET-marker-words&state=${state}` }),
      );
    }
    expect(answers).toMatchObject([
      { status: 503, body: { error: 'credential_unavailable', session: {} } },
      { status: 500, body: { error: 'server_error', session: {} } },
    ]);
    expect(JSON.stringify(answers)).not.toContain('SEKRET');
    expect(other.events.slice(-2)).toEqual(['connect.failed credential_unavailable', 'connect.failed server_error']);
    await other.close();
  });

  test.each([
    ['no JSON', 'x', 400],
    ['a list', '[]', 400],
    ['too much', JSON.stringify({ session_token: 'x'.repeat(20_000) }), 413],
  ])('is refused with %s', async (_what, body, status) => {
    const headers = { origin: rig.server.origin, 'content-type': 'application/json' };
    expect((await rig.send('POST', '/sdk/oauth/connect/redeem', headers, body)).status).toBe(status);
  });
});

test('a port that is taken is a conflict that names the key', async () => {
  const { port } = new URL(rig.server.origin);
  const taken = servePages({
    listen: { host: '127.0.0.1', port: Number(port) },
    publicUrl: null,
    tls: null,
    actions: () => ({}),
    onFault: () => {},
  });
  await expect(taken).rejects.toMatchObject({ code: 'conflict', hint: expect.stringContaining('connect.listen') });
});
