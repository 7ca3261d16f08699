/**
 * A provider as the API and the CLI show it: what its file says, and whose file it is.
 * SECURITY: a view lists its members one by one. Never spread a spec here: a member added later would go out.
 */
import type { ProviderSpec } from '../config/provider.ts';
import type { OAuthClientAuth, OAuthPkce, OAuthRefresh, ProviderOAuth } from '../config/provider-oauth.ts';
import { injectionText } from '../injection/injection-parts.ts';

export interface ProviderView {
  readonly slug: string;
  readonly name: string;
  readonly kind: string;
  /** How a credential gets into the vault: stored as it is, connected, or either. */
  readonly ways: 'static' | 'oauth' | 'both';
  readonly hosts: readonly string[];
  readonly fields: readonly {
    readonly name: string;
    readonly label: string;
    readonly secret: boolean;
    readonly optional?: boolean;
    readonly pattern: string | null;
  }[];
  readonly injects: readonly string[];
  readonly oauth: OAuthView | null;
  readonly excluded_paths: readonly string[];
  /** What a grant is for when it names no paths; null: every path. */
  readonly only_paths: readonly string[] | null;
  readonly git_hosts: readonly string[];
  /** A harmless GET that only a good credential gets a 2xx for. */
  readonly probe: { readonly host: string; readonly path: string } | null;
  readonly shares_host_with: readonly { readonly provider: string; readonly reason: string }[];
  readonly placeholder: string | null;
  readonly agent_env: readonly { readonly name: string; readonly value: string }[];
  readonly aliases: readonly string[];
  readonly docs_url: string | null;
  readonly evidence: string;
  readonly user_defined: boolean;
  /** The operator's file stands in the place of a built-in one. */
  readonly overrides_builtin: boolean;
}

/** How grants are connected and renewed. */
export interface OAuthView {
  readonly authorize_url: string | null;
  readonly token_url: string;
  readonly refresh_url: string | null;
  readonly revoke_url: string | null;
  readonly device_url: string | null;
  readonly client_auth: OAuthClientAuth;
  /** Each connection brings a client of its own. */
  readonly own_client: boolean;
  readonly pkce: OAuthPkce;
  readonly refresh: OAuthRefresh;
  readonly expires_in_default_s: number | null;
  readonly default_scopes: readonly string[];
  readonly scopes: readonly { readonly name: string; readonly label: string; readonly required: boolean }[];
  readonly injects: readonly string[];
}

/** How a credential of this provider gets into the vault. */
export const waysOf = (spec: ProviderSpec): ProviderView['ways'] => {
  if (spec.oauth === undefined) return 'static';
  return spec.inject.length === 0 ? 'oauth' : 'both';
};

const oauthView = (oauth: ProviderOAuth): OAuthView => ({
  authorize_url: oauth.authorizeUrl,
  token_url: oauth.tokenUrl,
  refresh_url: oauth.refreshUrl,
  revoke_url: oauth.revokeUrl,
  device_url: oauth.deviceUrl,
  client_auth: oauth.clientAuth,
  own_client: oauth.ownClient === true,
  pkce: oauth.pkce,
  refresh: oauth.refresh,
  expires_in_default_s: oauth.expiresInDefaultS,
  default_scopes: oauth.defaultScopes,
  scopes: oauth.scopes.map(({ name, label, required }) => ({ name, label, required })),
  injects: oauth.inject.map(injectionText),
});

/** One provider, as the API shows it. */
export function providerView(spec: ProviderSpec, userDefined: boolean, overridesBuiltin: boolean): ProviderView {
  return {
    slug: spec.slug,
    name: spec.name,
    kind: spec.kind,
    ways: waysOf(spec),
    hosts: spec.hosts,
    fields: spec.fields.map(({ name, label, secret, optional, pattern }) => ({
      name,
      label,
      secret,
      optional: optional === true,
      pattern: pattern ?? null,
    })),
    injects: spec.inject.map(injectionText),
    oauth: spec.oauth === undefined ? null : oauthView(spec.oauth),
    excluded_paths: spec.excludedPaths,
    only_paths: spec.onlyPaths ?? null,
    git_hosts: spec.gitHosts ?? [],
    probe: spec.probe === undefined ? null : { host: spec.probe.host, path: spec.probe.path },
    shares_host_with: (spec.sharesHostWith ?? []).map(({ provider, reason }) => ({ provider, reason })),
    placeholder: spec.placeholder,
    agent_env: spec.agentEnv,
    aliases: spec.aliases ?? [],
    docs_url: spec.docsUrl ?? null,
    evidence: spec.evidence,
    user_defined: userDefined,
    overrides_builtin: overridesBuiltin,
  };
}
