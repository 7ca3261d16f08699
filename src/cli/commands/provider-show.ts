/** A provider in words: what a person wants to know before trusting a file with a credential. */
import type { OAuthView, ProviderView } from '../../api/provider-view.ts';
import type { Cli } from '../cli.ts';

type Line = readonly [string, string | number | null];

/** Whose file it is. */
export function sourceOf(provider: ProviderView): string {
  if (!provider.user_defined) return 'alterd';
  return provider.overrides_builtin ? "you (in place of alterd's)" : 'you';
}

const WAYS: Readonly<Record<ProviderView['ways'], string>> = {
  static: 'a token or key that is stored as it is',
  oauth: 'an account that is connected (OAuth)',
  both: 'a token or key that is stored as it is, or an account that is connected (OAuth)',
};

const CLIENT_AUTH: Readonly<Record<OAuthView['client_auth'], string>> = {
  body: 'id and secret in the form that asks for tokens',
  basic: 'id and secret as Basic',
  json_body: 'id and secret in a JSON body',
  none: 'id alone: a public client',
};

const PKCE: Readonly<Record<OAuthView['pkce'], string>> = {
  required: 'required by the provider',
  supported: 'used',
  unsupported: 'not known to the provider',
};

const REFRESH: Readonly<Record<OAuthView['refresh'], string>> = {
  rotating: 'renewed; each refresh token works once',
  reused: 'renewed; the refresh token stays the same',
  none: 'not renewed: the tokens do not end, or the account is connected again',
  exchange: 'renewed by exchanging the access token; there is no refresh token',
};

function oauthLines(oauth: OAuthView | null): Line[] {
  if (oauth === null) return [];
  return [
    ['connects at', oauth.authorize_url ?? 'no consent page is known'],
    ['tokens from', oauth.token_url],
    ...(oauth.refresh_url === null ? [] : [['renewed at', oauth.refresh_url] as Line]),
    ...(oauth.revoke_url === null ? [] : [['revoked at', oauth.revoke_url] as Line]),
    ...(oauth.device_url === null ? [] : [['device flow', oauth.device_url] as Line]),
    ['its client', CLIENT_AUTH[oauth.client_auth] + (oauth.own_client ? '; each connection brings its own' : '')],
    ['PKCE', PKCE[oauth.pkce]],
    ['access tokens', oauth.own_client ? 'renewed by asking for another' : REFRESH[oauth.refresh]],
    ['connected, it injects', oauth.injects.join(', ')],
    ...oauth.scopes.map((scope): Line => ['scope', `${scope.name}  ${scope.label}${markOf(scope, oauth.default_scopes)}`]),
  ];
}

function markOf({ name, required }: OAuthView['scopes'][number], defaults: readonly string[]): string {
  if (required) return ' (always asked for)';
  return defaults.includes(name) ? ' (asked for unless you say otherwise)' : '';
}

const EVIDENCE: Readonly<Record<string, string>> = {
  general: 'general knowledge: nobody tried it against the service; `alterd provider test` does',
  documented: "the provider's documentation",
  tested: 'a run against the live service',
};

/** Prints one provider. */
export function showProvider(cli: Cli, provider: ProviderView): void {
  cli.output.record(provider, [
    ['provider', provider.slug],
    ['name', provider.name],
    ['hosts', provider.hosts.length === 0 ? '(you name them with --host)' : provider.hosts.join(', ')],
    ...provider.fields.map((field): [string, string] => [
      'field',
      `${field.name}  ${field.label}${field.secret ? '' : ' (no secret)'}`,
    ]),
    ['kind', WAYS[provider.ways]],
    ['injects', provider.injects.join(', ')],
    ...oauthLines(provider.oauth),
    ['only on', provider.only_paths?.join(', ')],
    ['never on', provider.excluded_paths.join(', ')],
    ['git on', provider.git_hosts.join(', ')],
    ...provider.shares_host_with.map((each): [string, string] => ['shares a host', `with ${each.provider}: ${each.reason}`]),
    ['placeholder', provider.placeholder],
    ['agents get', provider.agent_env.map((each) => each.name).join(', ')],
    ['test', provider.probe === null ? null : `GET https://${provider.probe.host}${provider.probe.path}`],
    ['documentation', provider.docs_url],
    ['evidence', EVIDENCE[provider.evidence] ?? provider.evidence],
    ['file of', sourceOf(provider)],
  ]);
}
