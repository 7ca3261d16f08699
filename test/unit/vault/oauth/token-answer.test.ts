/** What token endpoints really answer: taken where it is a token, refused with the right consequence where it is none. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { readTokenAnswer, TokenFailure } from '../../../../src/vault/oauth/token-answer.ts';

const NOW = 1_800_000_000_000;
const HOUR = 3_600_000;

interface Given {
  readonly status?: number;
  readonly type?: string;
  readonly body: unknown;
  readonly path?: readonly string[];
  readonly otherwise?: number;
}

const read = ({ status = 200, type = 'application/json', body, path = [], otherwise }: Given) =>
  readTokenAnswer(
    { status, contentType: type, body: Buffer.from(typeof body === 'string' ? body : JSON.stringify(body)), retryAfterS: null },
    { now: NOW, tokenPath: path, expiresInDefaultS: otherwise ?? null },
  );

const T = 'SEKRET-marker-token';

describe('a token is found in', () => {
  it.each<[string, Given]>([
    ['the standard answer', { body: { access_token: T, token_type: 'Bearer' } }],
    ['JSON as text/plain', { type: 'text/plain', body: { access_token: T } }],
    ['an answer without token_type', { body: { access_token: T } }],
    ['a token_type that no standard knows', { body: { access_token: T, token_type: 'bot' } }],
    ['a form', { type: 'application/x-www-form-urlencoded', body: `access_token=${T}&scope=repo%2Cgist&token_type=bearer` }],
    ['a form that says nothing of itself', { type: '', body: `access_token=${T}` }],
    ['201 Created', { status: 201, body: { token: T, expires_at: '2031-01-01T00:00:00Z' } }],
    ['a nested answer', { path: ['authed_user'], body: { ok: true, authed_user: { access_token: T } } }],
    ['a plain answer though a path is named', { path: ['authed_user'], body: { ok: true, access_token: T } }],
    ['an answer with a junk id_token', { body: { access_token: T, id_token: 'junk' } }],
    ['an answer that says error: null', { body: { access_token: T, error: null } }],
  ])('%s', (_what, given) => {
    expect(read(given).accessToken.reveal()).toBe(T);
  });
});

describe('its end is', () => {
  it.each<[string, Record<string, unknown>, number | null]>([
    ['seconds', { expires_in: 3600 }, NOW + HOUR],
    ['seconds as text', { expires_in: '3600' }, NOW + HOUR],
    ['unknown for null', { expires_in: null }, null],
    ['unknown when absent', {}, null],
    ['never for zero', { expires_in: 0 }, null],
    ['never for a negative', { expires_in: -1 }, null],
    ['unknown for words', { expires_in: 'soon' }, null],
    ['counted from created_at', { expires_in: 3600, created_at: NOW / 1000 - 600 }, NOW + HOUR - 600_000],
    ['counted from now when created_at lies ahead', { expires_in: 3600, created_at: NOW / 1000 + 600 }, NOW + HOUR],
    ['an ISO instant', { expires_at: new Date(NOW + HOUR).toISOString() }, NOW + HOUR],
    ['epoch seconds', { expires_at: (NOW + HOUR) / 1000 }, NOW + HOUR],
    ['epoch milliseconds', { expires_at: NOW + HOUR }, NOW + HOUR],
    ['the older name', { expires: 3600 }, NOW + HOUR],
  ])('%s', (_what, more, expected) => {
    expect(read({ body: { access_token: T, ...more } }).expiresAt).toBe(expected);
  });

  it('the provider’s usual one, when the answer does not say', () => {
    expect(read({ body: { access_token: T }, otherwise: 60 }).expiresAt).toBe(NOW + 60_000);
    expect(read({ body: { access_token: T, expires_in: 5 }, otherwise: 60 }).expiresAt).toBe(NOW + 5_000);
  });
});

describe('its scopes are', () => {
  it.each<[unknown, readonly string[] | null]>([
    ['b a', ['a', 'b']],
    ['a,b', ['a', 'b']],
    [
      ['b', 'a', 'a'],
      ['a', 'b'],
    ],
    ['', null],
    [undefined, null],
    [7, null],
  ])('%j read', (scope, expected) => {
    expect(read({ body: { access_token: T, scope } }).scopes).toEqual(expected);
  });
});

it.each([[''], [null], [undefined], [7]])('a refresh token of %j is none: the old one stays', (refresh) => {
  expect(read({ body: { access_token: T, refresh_token: refresh } }).refreshToken).toBeNull();
});

describe('an error is', () => {
  it.each<[string, Given, string, string]>([
    ['the standard one', { status: 400, body: { error: 'invalid_grant' } }, 'permanent', 'invalid_grant'],
    ['one with status 200', { body: { error: 'bad_refresh_token', error_description: T } }, 'permanent', 'bad_refresh_token'],
    ['ok: false', { body: { ok: false, error: 'invalid_refresh_token' } }, 'permanent', 'invalid_refresh_token'],
    ['ok: false alone', { body: { ok: false } }, 'setup', 'refused'],
    ['an error beside a token', { body: { error: 'invalid_grant', access_token: T } }, 'permanent', 'invalid_grant'],
    [
      'a form',
      { type: 'application/x-www-form-urlencoded', body: 'error=incorrect_client_credentials' },
      'setup',
      'incorrect_client_credentials',
    ],
    [
      'an object',
      { status: 400, body: { error: { type: 'OAuthException', code: 190, message: T } } },
      'permanent',
      'invalid_grant',
    ],
    ['a wrong client', { status: 401, body: { error: 'invalid_client' } }, 'setup', 'invalid_client'],
    ['a redirect', { status: 307, body: '' }, 'setup', 'redirected'],
    ['a redirect with a token', { status: 302, body: { access_token: T } }, 'setup', 'redirected'],
    ['5xx', { status: 503, body: '<html>' }, 'transient', 'http_503'],
    ['too many', { status: 429, body: {} }, 'transient', 'http_429'],
    ['a page with status 200', { type: 'text/html', body: '<html>a=b</html>' }, 'transient', 'no_access_token'],
    ['an empty token', { body: { access_token: '' } }, 'transient', 'no_access_token'],
    ['a token with a line break', { body: { access_token: 'a\r\nX: y' } }, 'transient', 'unusable_access_token'],
    ['an error that is a sentence', { status: 400, body: { error: `the token ${T} is bad` } }, 'setup', 'refused'],
    ['a list', { body: '[1]' }, 'transient', 'no_access_token'],
    ['nothing', { body: '' }, 'transient', 'no_access_token'],
  ])('%s', (_what, given, kind, code) => {
    let thrown: unknown;
    try {
      read(given);
    } catch (error) {
      thrown = error;
    }
    expect(thrown).toBeInstanceOf(TokenFailure);
    expect(thrown).toMatchObject({ kind, code });
    expect(String((thrown as Error).stack)).not.toContain('SEKRET');
  });
});

it('whatever is answered is a token or a failure, and no failure quotes it', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 100, max: 599 }),
      fc.oneof(fc.json(), fc.string()),
      fc.constantFrom('', 'application/json', 'text/html'),
      (status, body, type) => {
        try {
          expect(read({ status, body, type }).accessToken.length).toBeGreaterThan(0);
        } catch (error) {
          expect(error).toBeInstanceOf(TokenFailure);
          expect((error as TokenFailure).code).toMatch(/^[A-Za-z0-9_.-]{1,64}$/);
        }
      },
    ),
  );
});
