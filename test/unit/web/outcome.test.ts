import { describe, expect, test } from 'vitest';
import type { ConnectedAccount, ConnectSession } from '../../../src/vault/connect-sessions.ts';
import { outcomeOf } from '../../../src/web/outcome.ts';
import { lifetimesOf, viewOf } from '../../../src/web/view.ts';

const account = (provider: string, name: string | null): ConnectedAccount => ({
  grantId: `grant-of-${provider}`,
  provider,
  providerName: provider.toUpperCase(),
  accountId: null,
  accountName: name,
  scopes: ['read', 'write'],
  isReconnected: false,
  at: Date.UTC(2031, 0, 2),
});

const session = (connected: readonly ConnectedAccount[], returnUrl: string | null = null): ConnectSession => ({
  id: 's-1',
  request: {
    providers: ['files', 'mail'],
    requiredScopes: {},
    allowedOrigin: 'https://app.example.test',
    returnUrl,
    maxLifetimeMs: null,
    defaultLifetimeMs: null,
    agent: 'bot',
    label: null,
    methods: ['GET'],
    paths: null,
    fields: {},
    allowPrivate: false,
    grantId: null,
    user: null,
    metadata: { secret_of_the_app: 'SEKRET-marker-metadata' },
  },
  createdAt: 0,
  expiresAt: 600_000,
  phase: 'open',
  pending: { provider: 'mail', flowId: 'SEKRET-marker-flow', stateHash: 'SEKRET-marker-state' },
  connected,
  approving: new Set(),
});

describe('what the application is told', () => {
  test('holds what the widget needs, for each account', () => {
    const { message, target_origin } = outcomeOf(session([account('files', 'ann@people.test'), account('mail', null)]), null);
    expect(target_origin).toBe('https://app.example.test');
    expect(message).toEqual({
      type: 'alter_connect_success',
      grants: [
        {
          grant_id: 'grant-of-files',
          provider: 'files',
          provider_name: 'FILES',
          account_identifier: 'ann@people.test',
          timestamp: '2031-01-02T00:00:00.000Z',
          operation: 'creation',
          scopes: ['read', 'write'],
          status: 'active',
          metadata: { account_display_name: 'ann@people.test', account_email: 'ann@people.test' },
        },
        expect.objectContaining({ grant_id: 'grant-of-mail', account_identifier: 'grant-of-mail' }),
      ],
    });
  });

  test('keeps the query and the fragment of the return URL, and sets its own parameters once', () => {
    const url = 'https://app.example.test/a?keep=1&grant_id=forged#here';
    const returned = new URL(outcomeOf(session([account('files', 'ann@people.test')], url), null).return_url as string);
    expect([...returned.searchParams]).toEqual([
      ['keep', '1'],
      ['grant_id', 'grant-of-files'],
      ['alter_connect_success', 'true'],
      ['provider', 'files'],
      ['account_identifier', 'ann@people.test'],
      ['provider_name', 'FILES'],
      ['timestamp', '2031-01-02T00:00:00.000Z'],
      ['operation', 'creation'],
      ['scopes', 'read,write'],
      ['status', 'active'],
    ]);
    expect(returned.hash).toBe('#here');
  });

  test('is an error when nothing was connected', () => {
    const { message, return_url } = outcomeOf(session([], 'https://app.example.test/'), null);
    expect(message).toMatchObject({ type: 'alter_connect_error', error: 'access_denied' });
    const returned = new URL(return_url as string).searchParams;
    expect([returned.get('alter_connect_error'), returned.get('error_code')]).toEqual(['true', 'access_denied']);
    const expired = outcomeOf(session([]), { code: 'session_expired', description: 'Too late.' });
    expect(expired.message).toMatchObject({ error: 'session_expired', error_description: 'Too late.' });
  });
});

describe('what the page is told', () => {
  test('is made of words: no state, no id, nothing that the application said in confidence', () => {
    const view = viewOf(session([account('files', 'ann@people.test')], 'https://app.example.test/'), [
      { id: 'files', name: 'Files', scopes: [] },
      { id: 'mail', name: 'Mail', scopes: [] },
    ]);
    expect(view).toMatchObject({ agent: 'bot', app: 'https://app.example.test', restrictions: ['the methods GET'] });
    expect(view.providers.map(({ connected }) => connected)).toEqual(['ann@people.test', null]);
    expect(JSON.stringify(view)).not.toMatch(/SEKRET|s-1|grant-of/);
  });

  test.each([
    ['no bound: usual lengths, and no end, which is proposed', null, null, null, 8],
    ['a proposal without a bound', null, 86_400_000, 86_400, 8],
    ['a bound is the longest, and proposed', 7_200_000, null, 7_200, 2],
    ['a bound and a proposal that are no usual length', 5_400_000, 600_000, 600, 3],
  ])('%s', (_what, max, initial, selected, count) => {
    const choices = lifetimesOf(max, initial);
    expect(choices).toHaveLength(count);
    expect(choices.filter((each) => each.selected).map((each) => each.seconds)).toEqual([selected]);
    if (max !== null) for (const { seconds } of choices) expect((seconds ?? Infinity) * 1_000).toBeLessThanOrEqual(max);
  });
});
