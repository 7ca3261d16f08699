import { describe, expect, test } from 'vitest';
import { lintCatalogue } from '../../../src/config/catalogue-lint.ts';
import { type ProviderSpec, parseProvider } from '../../../src/config/provider.ts';
import { AlterError } from '../../../src/domain/errors.ts';

const HEAD = 'slug = "acme"\nname = "Acme"\nkind = "oauth"\nevidence = "general"\nhosts = ["api.acme.test"]\n';
const URLS = 'authorize_url = "https://acme.test/authorize"\ntoken_url = "https://acme.test/token"\n';

function problemsOf(toml: string): readonly string[] {
  try {
    parseProvider(toml, 'acme.toml');
    return [];
  } catch (thrown) {
    expect(thrown).toBeInstanceOf(AlterError);
    return ((thrown as AlterError).details as { problems: readonly string[] }).problems;
  }
}

describe('a provider with [oauth]', () => {
  test('needs little, and has the usual values for the rest', () => {
    const spec = parseProvider(`${HEAD}[oauth]\n${URLS}`, 'acme.toml');
    expect(spec).toMatchObject({ kind: 'oauth', fields: [], inject: [] });
    expect(spec.oauth).toEqual({
      authorizeUrl: 'https://acme.test/authorize',
      tokenUrl: 'https://acme.test/token',
      refreshUrl: null,
      revokeUrl: null,
      deviceUrl: null,
      installationUrl: null,
      issuer: null,
      clientAuth: 'body',
      pkce: 'supported',
      scopeSeparator: ' ',
      scopeParameter: 'scope',
      defaultScopes: [],
      scopes: [],
      refresh: 'reused',
      expiresInDefaultS: null,
      authorizeParams: {},
      tokenParams: {},
      refreshParams: {},
      clientIdParameter: 'client_id',
      tokenPath: [],
      inject: [{ in: 'header', name: 'Authorization', template: 'Bearer {access_token}' }],
      account: null,
    });
    expect(lintCatalogue([spec])).toEqual([]);
  });

  test('says everything', () => {
    const spec = parseProvider(
      `${HEAD.replace('"api.acme.test"', '"{site}.acme.test"')}
[[fields]]
name = "site"
label = "Site"
secret = false
[oauth]
authorize_url = "https://{site}.acme.test/authorize?prompt=consent"
token_url = "https://{site}.acme.test/t/{site}/token"
client_auth = "json_body"
pkce = "required"
scope_separator = ","
default_scopes = ["a:read"]
refresh = "rotating"
expires_in_default_s = 3600
token_path = "authed_user.inner"
authorize_params = { audience = "api.acme.test" }
account = { url = "https://api.acme.test/me", id = "/data/id", name = "id_token:/email", headers = { Acme-Version = "1" } }
[[oauth.scopes]]
name = "a:read"
label = "Read everything"
required = true
[[oauth.inject]]
in = "header"
name = "Authorization"
template = "Bearer {access_token}"
[[oauth.inject]]
in = "header"
name = "X-Client"
template = "{client_id}"
`,
      'acme.toml',
    );
    expect(spec.oauth).toMatchObject({
      clientAuth: 'json_body',
      pkce: 'required',
      refresh: 'rotating',
      expiresInDefaultS: 3600,
      tokenPath: ['authed_user', 'inner'],
      authorizeParams: { audience: 'api.acme.test' },
      scopes: [{ name: 'a:read', label: 'Read everything', required: true }],
      account: { url: 'https://api.acme.test/me', method: 'GET', id: '/data/id', name: 'id_token:/email' },
    });
    expect((spec.oauth as NonNullable<ProviderSpec['oauth']>).inject).toHaveLength(2);
  });

  test.each([
    ['without the table', HEAD, 'oauth is missing'],
    [
      'over plain http',
      `${HEAD}[oauth]\ntoken_url = "http://acme.test/token"\n`,
      'acme.toml:7: oauth.token_url must be an https URL',
    ],
    ['with user info', `${HEAD}[oauth]\ntoken_url = "https://a@acme.test/token"\n`, 'oauth.token_url must have an exact host'],
    ['at a wildcard', `${HEAD}[oauth]\ntoken_url = "https://*.acme.test/token"\n`, 'oauth.token_url must have an exact host'],
    [
      'at a host of a field',
      `${HEAD}[oauth]\ntoken_url = "https://{token}.acme.test/"\n`,
      'oauth.token_url must have an exact host',
    ],
    [
      'with a parameter of its own',
      `${HEAD}[oauth]\n${URLS}authorize_params = { redirect_uri = "https://evil.test" }\n`,
      'oauth.authorize_params.redirect_uri is set by alterd itself',
    ],
    [
      'with an address out of a field, for the client of everybody',
      `${HEAD}[[fields]]\nname = "where"\nlabel = "W"\nsecret = false\n[oauth]\ntoken_url = "{where}"\n`,
      'oauth.client must be "connection" where a field is the whole of token_url',
    ],
    [
      'with an address out of a secret',
      `${HEAD}[[fields]]\nname = "where"\nlabel = "W"\n[oauth]\nclient = "connection"\ntoken_url = "{where}"\n`,
      'oauth.token_url must be an https URL',
    ],
    [
      'with a page for people, and a client of each connection',
      `${HEAD}[oauth]\n${URLS}client = "connection"\n`,
      'oauth.client "connection" is for machines',
    ],
    [
      'with a parameter out of nowhere',
      `${HEAD}[oauth]\n${URLS}token_params = { audience = "{nowhere}" }\n`,
      'oauth.token_params.audience may only be a {field} that is no secret',
    ],
    ['with an unknown key', `${HEAD}[oauth]\n${URLS}token_uri = "x"\n`, 'oauth.token_uri is not a known key'],
    [
      'with a template without the token',
      `${HEAD}[oauth]\n${URLS}template = "Bearer x"\n`,
      'oauth.template must hold {access_token}',
    ],
    [
      'with a strange default',
      `${HEAD}[oauth]\n${URLS}default_scopes = ["b"]\n[[oauth.scopes]]\nname = "a"\nlabel = "A"\n`,
      'oauth.default_scopes b must be among',
    ],
    ['with a probe that has no address', `${HEAD}[oauth]\n${URLS}account = { id = "/id" }\n`, 'oauth.account.url is missing'],
    [
      'with a scope that is there twice',
      `${HEAD}[oauth]\n${URLS}[[oauth.scopes]]\nname = "a"\nlabel = "A"\n[[oauth.scopes]]\nname = "a"\nlabel = "A"\n`,
      'acme.toml:13: oauth.scopes.1.name is there twice',
    ],
  ])('%s it is refused', (_what, toml, problem) => {
    expect(problemsOf(toml).join('\n')).toContain(problem);
  });

  test('all problems are told at once', () => {
    const toml = `${HEAD}[oauth]\ntoken_url = "ftp://x"\npkce = "maybe"\nrefresh = "often"\nexpires_in_default_s = 1\n`;
    expect(problemsOf(toml)).toHaveLength(4);
  });
});
