/**
 * Credentials: the stored material that grants point to, and the recipe that says how a provider wants it on a request.
 */
import type { Secret } from './secret.ts';

export type CredentialKind =
  | 'bearer'
  | 'header'
  | 'basic'
  | 'query'
  | 'cookie'
  | 'sigv4'
  | 'hmac'
  | 'jwt'
  | 'client_certificate'
  | 'custom';

/** How the first token was obtained, and with it where the next one comes from. */
export type OAuthFlow =
  | 'authorization_code'
  | 'device_code'
  | 'client_credentials'
  /** A refresh token that was minted elsewhere. */
  | 'refresh_token'
  | 'jwt_bearer'
  | 'token_exchange'
  | 'github_app';

/** What may be said of a connected account; no token is ever part of this. */
export interface OAuthInfo {
  readonly flow: OAuthFlow;
  /** As the provider names it; null when it does not say. */
  readonly accountId: string | null;
  readonly accountName: string | null;
  /** Sorted. */
  readonly scopes: readonly string[];
  /** End of the access token; null when the provider does not say. */
  readonly expiresAt: number | null;
  /** `revoked`: its last grant ended and its tokens are destroyed. */
  readonly state: 'ok' | 're_auth_required' | 'revoked';
  /** Why it is not ok; null when it is. */
  readonly reason: string | null;
  /** A single-use refresh token is on its way since then: after a crash nobody knows whether it was used up. */
  readonly refreshBegunAt: number | null;
  /** Its endpoints may have private addresses. */
  readonly allowPrivate: boolean;
}

/**
 * One place of a request that alterd fills. Templates are literal text with `{field}` where a field of the credential goes,
 * for example `Bearer {token}`. `hosts`, when given, narrows an injection to some of the grant's hosts (exact or `*.`).
 */
export type PlacedInjection = (
  | { readonly in: 'header'; readonly name: string; readonly template: string }
  /** `Authorization: Basic base64(username:password)`. */
  | { readonly in: 'basic'; readonly username: string; readonly password: string }
  | { readonly in: 'query'; readonly name: string; readonly template: string }
  | { readonly in: 'cookie'; readonly name: string; readonly template: string }
) & {
  readonly hosts?: readonly string[];
  /** For the requests of git's smart protocol alone, or for all the others; absent: for all. */
  readonly requests?: 'git' | 'other';
};

/**
 * AWS Signature Version 4 over the whole request, in place of the client's own. All but the first two may be empty: `token` is
 * the session token; `region` and `service` pin the scope, which else comes from the client's own signature or from the host.
 */
export interface SigV4Injection {
  readonly in: 'sigv4';
  readonly key_id: string;
  readonly key: string;
  readonly token?: string;
  readonly region?: string;
  readonly service?: string;
  /** ARN of a role whose temporary keys sign instead of these. */
  readonly role?: string;
  readonly hosts?: readonly string[];
}

export type HmacAlgorithm = 'sha1' | 'sha256' | 'sha384' | 'sha512';
export type HmacEncoding = 'hex' | 'base64' | 'base64url';

/**
 * A signature made of a template over the request. `message` knows {method} {path} {query} {target} {host} {timestamp} {nonce} {body}
 * {body_sha256} beside the fields; `headers` and `query` know {signature} {timestamp} {nonce} and the fields. Parameters of `query` stand
 * behind the client's own in this order; those that do not hold {signature} are part of {query} and {target}.
 */
export interface HmacInjection {
  readonly in: 'hmac';
  readonly algorithm: HmacAlgorithm;
  /** Template of the key; `key_encoding` says how its text becomes bytes. */
  readonly key: string;
  readonly key_encoding?: 'text' | 'hex' | 'base64';
  readonly message: string;
  readonly encoding: HmacEncoding;
  readonly timestamp?: 'seconds' | 'milliseconds' | 'iso';
  readonly headers: readonly { readonly name: string; readonly template: string }[];
  readonly query?: readonly { readonly name: string; readonly template: string }[];
  /** `asked`: only where the client signed too; other requests get what of the headers needs no signature. */
  readonly when?: 'always' | 'asked';
  readonly hosts?: readonly string[];
}

export type JwtAlgorithm = 'ES256' | 'ES384' | 'EdDSA' | 'RS256' | 'PS256';

/**
 * A token for each request, signed with the credential's private key. Claims and members of its header are templates that know {method}
 * {path} {host} {nonce} beside the fields; `iat`, `nbf` and `exp` are alterd's.
 */
export interface JwtInjection {
  readonly in: 'jwt';
  readonly algorithm: JwtAlgorithm;
  /** Template of the private key, PEM. */
  readonly key: string;
  readonly lifetime_s: number;
  readonly header?: Readonly<Record<string, string>>;
  readonly claims?: Readonly<Record<string, string>>;
  /** Of the HTTP header that it goes into; `template` knows {jwt}. */
  readonly name: string;
  readonly template: string;
  readonly hosts?: readonly string[];
}

/** A TLS client certificate, shown to the origin in the handshake: PEM templates. */
export interface ClientCertificateInjection {
  readonly in: 'client_certificate';
  readonly certificate: string;
  readonly key: string;
  readonly hosts?: readonly string[];
}

/** How a credential gets onto a request: into places, as a signature over it, or beneath it. */
export type Injection = PlacedInjection | SigV4Injection | HmacInjection | JwtInjection | ClientCertificateInjection;

/** Injections that compute something for each request. */
export type SigningInjection = SigV4Injection | HmacInjection | JwtInjection;

/** What may be said of a credential; its material is never part of this. */
export interface CredentialInfo {
  readonly id: string;
  /** Stable slug, unique. */
  readonly name: string;
  readonly providerId: string;
  readonly kind: CredentialKind;
  /** Names of the fields that it holds, in the provider's order. */
  readonly fieldNames: readonly string[];
  /** Raised by each rotation; caches are keyed by it. */
  readonly version: number;
  readonly createdAt: number;
  readonly rotatedAt: number | null;
  readonly lastUsedAt: number | null;
  /** Absent for a secret that is stored as it is. */
  readonly oauth?: OAuthInfo;
  /** Where fields that are not stored come from; absent when all are stored. */
  readonly sources?: FieldSources;
}

/** References to the values of fields that are fetched when they are needed. */
export interface FieldSources {
  /** Field to reference: `file:…`, `env:…`, `command:[…]`, `vault:…`. No secret itself. */
  readonly fields: Readonly<Record<string, string>>;
  /** What was fetched is fetched again after this. */
  readonly lifetimeMs: number;
}

/** Opened material, in memory only. */
export interface CredentialMaterial {
  readonly credentialId: string;
  readonly version: number;
  /** Raised whenever a value was fetched that is not the one of before; absent for what is stored. */
  readonly revision?: number;
  readonly fields: ReadonlyMap<string, Secret>;
  /** Names of the fields that are no secret (a user name, an account id) and may stand in an answer. Absent: none. */
  readonly publicFields?: ReadonlySet<string>;
}
