/**
 * The `[oauth]` table of a provider file: how a grant is connected once and its access tokens are renewed afterwards.
 *
 *   [oauth]
 *   authorize_url = "https://…"        # where a person consents; leave it out when there is no such page
 *   token_url = "https://…"            # refresh_url, revoke_url, device_url: only where the provider has them
 *   installation_url = "https://…/{installation_id}/…"   # installation tokens of an app (GitHub)
 *   issuer = "https://…"               # OpenID Connect: nonce, id_token and `iss` are checked
 *                                      # token_url = "{field}": each connection names its own address, whole
 *   client_auth = "body"               # body | basic | none | json_body
 *   client = "provider"                # or "connection": each connection brings a client of its own, and no person consents
 *   pkce = "supported"                 # required | supported | unsupported
 *   scope_separator = " "  scope_parameter = "scope"  default_scopes = ["read"]
 *   refresh = "reused"                 # rotating | reused | none | exchange
 *   expires_in_default_s = 3600        # tokens end after this though the answer does not say so
 *   authorize_params = { access_type = "offline" }  token_params = { audience = "{field}" }   # left out while the field is empty
 *   refresh_params = {}                # for refresh = "exchange" with grant_type, and "{access_token}" where that goes
 *   client_id_parameter = "client_id"
 *   token_path = "authed_user"         # where the tokens are in a nested answer
 *   header = "Authorization"  template = "Bearer {access_token}"   # or [[oauth.inject]], in the form of [[inject]]
 *   account = { url = "https://…", id = "/id", name = "/login" }   # also method, headers, body; "id_token:/sub", "token:/team/id"
 *   [[oauth.scopes]]                   # name, label (in words), required
 *
 * SECURITY: these addresses get client secrets and refresh tokens. They come from a file of the catalogue or the operator, never from
 * an answer; they are https with exact hosts.
 */
import type { Injection } from '../domain/credential.ts';
import { compileTemplate } from '../injection/template.ts';
import { canonicalHost, referencesOf } from './provider-hosts.ts';
import type { TableReader } from './table-reader.ts';

/** How the client proves itself to the token endpoint. */
export type OAuthClientAuth = 'body' | 'basic' | 'none' | 'json_body';
export type OAuthPkce = 'required' | 'supported' | 'unsupported';
/** `exchange`: the access token itself is exchanged for a longer one; there is no refresh token. */
export type OAuthRefresh = 'rotating' | 'reused' | 'none' | 'exchange';

export interface OAuthScope {
  readonly name: string;
  /** What it lets the holder do, in words. */
  readonly label: string;
  readonly required: boolean;
}

/** Who consented. Pointers are RFC 6901 into the probe's answer, or after `id_token:` or `token:` into that. */
export interface OAuthAccountProbe {
  /** Null when both pointers look at the token answer. */
  readonly url: string | null;
  readonly method: 'GET' | 'POST';
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string | null;
  readonly id: string;
  readonly name: string;
}

/** URLs are templates: `{field}` stands for a field with secret = false. */
export interface ProviderOAuth {
  readonly authorizeUrl: string | null;
  readonly tokenUrl: string;
  readonly refreshUrl: string | null;
  readonly revokeUrl: string | null;
  readonly deviceUrl: string | null;
  readonly installationUrl: string | null;
  readonly issuer: string | null;
  readonly clientAuth: OAuthClientAuth;
  /** Each connection has a client of its own; else the operator's one for the provider is used. */
  readonly ownClient?: true;
  readonly pkce: OAuthPkce;
  readonly scopeSeparator: string;
  readonly scopeParameter: string;
  readonly defaultScopes: readonly string[];
  /** Empty: any scope may be asked for. */
  readonly scopes: readonly OAuthScope[];
  readonly refresh: OAuthRefresh;
  readonly expiresInDefaultS: number | null;
  readonly authorizeParams: Readonly<Record<string, string>>;
  readonly tokenParams: Readonly<Record<string, string>>;
  readonly refreshParams: Readonly<Record<string, string>>;
  readonly clientIdParameter: string;
  /** Keys on the way to the tokens of a nested answer; empty for a plain one. */
  readonly tokenPath: readonly string[];
  /** Where the access token goes; the fields are `access_token`, `client_id` and the provider's fields with secret = false. */
  readonly inject: readonly Injection[];
  readonly account: OAuthAccountProbe | null;
}

/** What a template may name beside the provider's own fields. */
export const OAUTH_FIELDS = ['access_token', 'client_id'] as const;

/** What the reader of the whole file lends to this one. */
export interface OAuthReaderParts {
  /** Names of fields with secret = false. */
  readonly publicFields: readonly string[];
  /** Canonical host template, or null when it is none. */
  readonly readHost: (text: string) => string | null;
  readonly readInjection: (reader: TableReader, fieldNames: readonly string[]) => Injection;
}

/** SECURITY: what the flow itself sets; a file that set these could send codes elsewhere or switch the checks off. */
const RESERVED = new Set(
  'client_id client_secret redirect_uri response_type state code code_verifier code_challenge code_challenge_method grant_type refresh_token nonce device_code assertion subject_token'.split(
    ' ',
  ),
);
const PRINTABLE = /^[ -~]*$/;
const SCOPE = /^[!-~]{1,200}$/;
const PARAMETER = /^[A-Za-z0-9_.~-]{1,100}$/;
const HEADER_NAME = /^[!#$%&'*+.^_`|~0-9A-Za-z-]{1,100}$/;
const POINTER = /^(?:(?:id_token|token):)?(?:\/[^/]+)+$/;

/** Reads `[oauth]`; problems go to the reader. */
export function readOAuth(reader: TableReader, parts: OAuthReaderParts): ProviderOAuth {
  const url = (key: string, extra: readonly string[] = []): string | null =>
    reader.optionalText(key, (text) => urlProblem(text, parts, extra)) ?? null;
  const oauth: ProviderOAuth = {
    authorizeUrl: url('authorize_url'),
    tokenUrl: reader.text('token_url', (text) =>
      parts.publicFields.includes(wholeField(text) ?? '') ? null : urlProblem(text, parts, []),
    ),
    refreshUrl: url('refresh_url'),
    revokeUrl: url('revoke_url'),
    deviceUrl: url('device_url'),
    installationUrl: url('installation_url', ['installation_id']),
    issuer: url('issuer'),
    clientAuth: reader.optionalChoice('client_auth', ['body', 'basic', 'none', 'json_body']) ?? 'body',
    ...(reader.optionalChoice('client', ['provider', 'connection']) === 'connection' ? { ownClient: true as const } : {}),
    pkce: reader.optionalChoice('pkce', ['required', 'supported', 'unsupported']) ?? 'supported',
    scopeSeparator:
      reader.optionalText('scope_separator', (text) => (/^[ ,+]$/.test(text) ? null : 'must be " ", "," or "+"')) ?? ' ',
    scopeParameter: reader.optionalText('scope_parameter', parameterProblem) ?? 'scope',
    defaultScopes: reader.texts('default_scopes', 'a scope', (text) => (SCOPE.test(text) ? text : null)),
    scopes: readScopes(reader),
    refresh: reader.optionalChoice('refresh', ['rotating', 'reused', 'none', 'exchange']) ?? 'reused',
    expiresInDefaultS: reader.optionalWhole('expires_in_default_s', 60, 31_536_000) ?? null,
    authorizeParams: readParameters(reader, 'authorize_params'),
    tokenParams: readParameters(reader, 'token_params', [], parts.publicFields),
    refreshParams: readParameters(reader, 'refresh_params', ['grant_type']),
    clientIdParameter: reader.optionalText('client_id_parameter', parameterProblem) ?? 'client_id',
    tokenPath: (reader.optionalText('token_path', pathProblem) ?? '').split('.').filter((part) => part !== ''),
    inject: readPlaces(reader, parts),
    account: reader.table('account', (each) => readAccount(each, parts)) ?? null,
  };
  // SECURITY: the operator's client must never go to an address that a connection chose.
  if (wholeField(oauth.tokenUrl) !== null && oauth.ownClient === undefined)
    reader.problem('client', 'must be "connection" where a field is the whole of token_url');
  if (oauth.ownClient !== undefined && (oauth.authorizeUrl !== null || oauth.deviceUrl !== null))
    reader.problem('client', '"connection" is for machines: there is no authorize_url and no device_url');
  const known = oauth.scopes.map((scope) => scope.name);
  const unknown = oauth.defaultScopes.filter((scope) => known.length > 0 && !known.includes(scope));
  if (unknown.length > 0) reader.problem('default_scopes', `${unknown.join(', ')} must be among [[oauth.scopes]]`);
  return oauth;
}

const parameterProblem = (text: string): string | null => (PARAMETER.test(text) ? null : 'is no name for a parameter');
const pathProblem = (text: string): string | null =>
  /^[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)*$/.test(text) ? null : 'must be keys with dots between';

/** What is wrong with an endpoint: https, an exact host, nothing that is a secret; null when nothing is. */
function urlProblem(text: string, parts: OAuthReaderParts, extra: readonly string[]): string | null {
  const match = /^https:\/\/([^/?#\\\s]+)((?:\/[!-~]*)?)$/.exec(text);
  if (match === null || text.includes('#')) return 'must be an https URL without user info and fragment';
  const host = parts.readHost(match[1]!);
  if (host === null || host.startsWith('*.') || /^\{[^}]*\}$/.test(host)) return 'must have an exact host';
  const allowed = [...parts.publicFields, ...extra];
  const strange = referencesOf(match[2]!).find((name) => !allowed.includes(name));
  if (strange !== undefined) return `may only hold {fields} that are no secret, not {${strange}}`;
  return canonicalHost(host.replaceAll(/\{[^}]*\}/g, 'x1')) === null ? 'must have an exact host' : null;
}

function readScopes(reader: TableReader): OAuthScope[] {
  const seen = new Set<string>();
  return reader.tables('scopes', (each) => {
    const name = each.text('name', (text) => {
      if (!SCOPE.test(text)) return 'is no scope';
      return seen.has(text) ? 'is there twice' : null;
    });
    seen.add(name);
    return { name, label: each.text('label', printableProblem), required: each.toggle('required', false) };
  });
}

const printableProblem = (text: string): string | null => (PRINTABLE.test(text) ? null : 'must be printable ASCII');

/** The field that a template consists of; null when it is more, or none. */
export const wholeField = (text: string): string | null => /^\{([a-z][a-z0-9_]*)\}$/.exec(text)?.[1] ?? null;

function readParameters(
  reader: TableReader,
  key: string,
  allowed: readonly string[] = [],
  fields: readonly string[] = [],
): Readonly<Record<string, string>> {
  return reader.textTable(key, (name, value) => {
    if (!PARAMETER.test(name)) return 'is no name for a parameter';
    if (RESERVED.has(name) && !allowed.includes(name)) return 'is set by alterd itself';
    const field = key === 'token_params' ? wholeField(value) : null;
    if (field !== null && !fields.includes(field)) return `may only be a {field} that is no secret, not {${field}}`;
    return PRINTABLE.test(value) ? null : 'must be printable ASCII';
  });
}

/** `[[oauth.inject]]`, or the one header of `header` and `template`. */
function readPlaces(reader: TableReader, parts: OAuthReaderParts): readonly Injection[] {
  const names = [...OAUTH_FIELDS, ...parts.publicFields];
  const name = reader.optionalText('header', (text) => (HEADER_NAME.test(text) ? null : 'is no name for a header'));
  const template = reader.optionalText('template', (text) => {
    const { problems } = compileTemplate(text, names);
    if (problems.length > 0) return problems.join('; ');
    if (!text.includes('{access_token}')) return 'must hold {access_token}';
    return printableProblem(text);
  });
  const places = reader.tables('inject', (each) => parts.readInjection(each, names));
  if (places.length > 0) {
    if (name !== undefined || template !== undefined) reader.problem('inject', 'stands in place of header and template');
    return places;
  }
  return [{ in: 'header', name: name ?? 'Authorization', template: template ?? 'Bearer {access_token}' }];
}

function readAccount(reader: TableReader, parts: OAuthReaderParts): OAuthAccountProbe {
  const pointer = (text: string): string | null =>
    POINTER.test(text) ? null : 'must be a JSON pointer such as /id, id_token:/sub or token:/team/id';
  const account: OAuthAccountProbe = {
    url: reader.optionalText('url', (text) => urlProblem(text, parts, [])) ?? null,
    method: reader.optionalChoice('method', ['GET', 'POST']) ?? 'GET',
    headers: reader.textTable('headers', (name, value) =>
      HEADER_NAME.test(name) &&
      !/^(?:authorization|host|cookie|content-length|transfer-encoding)$/i.test(name) &&
      PRINTABLE.test(value)
        ? null
        : 'is no header that may be set here',
    ),
    body: reader.optionalText('body') ?? null,
    id: reader.optionalText('id', pointer) ?? '/id',
    name: reader.optionalText('name', pointer) ?? '/login',
  };
  if (account.url === null && [account.id, account.name].some((each) => each.startsWith('/')))
    reader.problem('url', 'is missing: id or name is looked up in its answer');
  return account;
}
