/**
 * What a token endpoint answered, made plain. Providers leave out `token_type`, write numbers as text, nest, use forms, and say errors
 * with status 200; this file takes what they send, and nothing that is not a token. Pure.
 * SECURITY: no failure quotes the answer; only a code of harmless shape is kept, because descriptions echo what was sent.
 */
import { Secret } from '../../domain/secret.ts';
import { validateFieldValue } from '../../injection/compile.ts';

export interface TokenAnswer {
  readonly accessToken: Secret;
  /** Null: none came; one that was there before stays good. */
  readonly refreshToken: Secret | null;
  /** Epoch milliseconds; null when the token does not end, as far as anybody says. */
  readonly expiresAt: number | null;
  /** Null when the answer does not say. */
  readonly scopes: readonly string[] | null;
  readonly idToken: Secret | null;
  /** The whole answer, for the account's name; it holds the tokens and must not leave the vault. */
  readonly document: unknown;
}

/**
 * permanent: what was sent will never be taken again (a person has to consent anew).
 * setup: the client or the provider file is wrong; the credential is not.
 * transient: it may go better later.
 */
export type TokenFailureKind = 'permanent' | 'setup' | 'transient';

export class TokenFailure extends Error {
  readonly kind: TokenFailureKind;
  /** The provider's error code where it has the usual shape, or our own word. */
  readonly code: string;
  readonly retryAfterS: number | null;

  constructor(kind: TokenFailureKind, code: string, retryAfterS: number | null = null) {
    super(`the token endpoint answered ${code}`);
    this.name = 'TokenFailure';
    this.kind = kind;
    this.code = code;
    this.retryAfterS = retryAfterS;
  }
}

export interface TokenReading {
  readonly now: number;
  readonly tokenPath: readonly string[];
  readonly expiresInDefaultS: number | null;
}

const PERMANENT = new Set(
  'invalid_grant bad_refresh_token invalid_refresh_token token_revoked token_expired account_inactive access_denied expired_token bad_verification_code incorrect_client_credentials_for_token consent_required interaction_required login_required OAuthException'.split(
    ' ',
  ),
);
const TRANSIENT = new Set(
  'temporarily_unavailable server_error slow_down authorization_pending ratelimited rate_limited internal_error service_unavailable'.split(
    ' ',
  ),
);
const CODE = /^[A-Za-z0-9_.-]{1,64}$/;
/** A lifetime beyond this is a mistake or means "for ever". */
const LONGEST_S = 10 * 365 * 86_400;

/** @throws TokenFailure */
export function readTokenAnswer(
  answer: { readonly status: number; readonly contentType: string; readonly body: Buffer; readonly retryAfterS: number | null },
  reading: TokenReading,
): TokenAnswer {
  const { status, retryAfterS } = answer;
  // SECURITY: a redirect would carry code, secret and refresh token to wherever it points (S-28).
  if (status >= 300 && status < 400) throw new TokenFailure('setup', 'redirected');
  const document = parseDocument(answer.body.toString('utf8'), answer.contentType);
  const failure = failureOf(document, status, retryAfterS);
  if (failure !== null) throw failure;
  const inner = reading.tokenPath.reduce<unknown>((value, key) => member(value, key), document);
  const source = isRecord(inner) ? inner : document;
  const accessToken = firstText(source, ['access_token', 'token', 'accessToken', 'authToken']);
  if (accessToken === null) throw new TokenFailure('transient', 'no_access_token', retryAfterS);
  if (validateFieldValue(accessToken) !== null) throw new TokenFailure('transient', 'unusable_access_token');
  const refreshToken = firstText(source, ['refresh_token', 'refreshToken']);
  const idToken = firstText(source, ['id_token']) ?? firstText(document, ['id_token']);
  return {
    accessToken: new Secret(accessToken),
    refreshToken: refreshToken === null ? null : new Secret(refreshToken),
    expiresAt: expiryOf(source, reading),
    scopes: scopesOf(member(source, 'scope') ?? member(source, 'scopes')),
    idToken: idToken === null ? null : new Secret(idToken),
    document,
  };
}

const isRecord = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

const member = (value: unknown, key: string): unknown => (isRecord(value) && Object.hasOwn(value, key) ? value[key] : undefined);

/** JSON whatever the type says, else a form; an empty record for anything else. */
export function parseDocument(text: string, contentType: string): Readonly<Record<string, unknown>> {
  try {
    const value: unknown = JSON.parse(text);
    return isRecord(value) ? value : {};
  } catch {
    if (contentType.includes('json') || contentType.includes('html') || !/^[^\s<>{}]*=[^\s<>{}]*$/.test(text.trim())) return {};
    return Object.fromEntries(new URLSearchParams(text.trim()));
  }
}

/** An error, whatever the status says. */
function failureOf(document: unknown, status: number, retryAfterS: number | null): TokenFailure | null {
  const error =
    member(document, 'error') ?? member(document, 'error_code') ?? (member(document, 'ok') === false ? 'refused' : undefined);
  const isError = error !== undefined && error !== null && error !== '' && error !== false;
  if (!isError && status >= 200 && status < 300) return null;
  const code = isError ? codeOf(error) : `http_${status}`;
  if (PERMANENT.has(code)) return new TokenFailure('permanent', code === 'OAuthException' ? 'invalid_grant' : code);
  if (TRANSIENT.has(code) || status >= 500 || status === 429 || status === 408)
    return new TokenFailure('transient', code, retryAfterS);
  return new TokenFailure('setup', code);
}

function codeOf(error: unknown): string {
  const raw = isRecord(error) ? (member(error, 'type') ?? member(error, 'code') ?? member(error, 'status')) : error;
  const text = typeof raw === 'string' || typeof raw === 'number' ? String(raw) : '';
  return CODE.test(text) ? text : 'refused';
}

function firstText(source: unknown, names: readonly string[]): string | null {
  for (const name of names) {
    const value = member(source, name);
    if (typeof value === 'string' && value !== '') return value;
  }
  return null;
}

/** Seconds as a number or as text; null for none. Zero and less are what some providers say for "it does not end". */
function secondsOf(value: unknown): number | null {
  const seconds =
    typeof value === 'number' ? value : typeof value === 'string' && /^\d+(?:\.\d+)?$/.test(value) ? Number(value) : NaN;
  return Number.isFinite(seconds) && seconds > 0 && seconds < LONGEST_S ? Math.floor(seconds) : null;
}

/** An instant as epoch seconds, epoch milliseconds or ISO 8601. */
function instantOf(value: unknown): number | null {
  if (typeof value === 'string' && !/^\d+$/.test(value)) {
    const parsed = Date.parse(value);
    return Number.isNaN(parsed) ? null : parsed;
  }
  const raw = Number(value);
  if (value === null || value === undefined || !Number.isFinite(raw) || raw <= 0) return null;
  return raw > 100_000_000_000 ? Math.floor(raw) : Math.floor(raw * 1000);
}

function expiryOf(source: unknown, { now, expiresInDefaultS }: TokenReading): number | null {
  const seconds = secondsOf(member(source, 'expires_in') ?? member(source, 'expires') ?? member(source, 'expiresIn'));
  if (seconds !== null) {
    // A clock that is ahead must not lengthen a token's life, nor one that is far behind end it.
    const createdAt = instantOf(member(source, 'created_at'));
    const from = createdAt !== null && createdAt <= now && now - createdAt < seconds * 1000 ? createdAt : now;
    return from + seconds * 1000;
  }
  const at = instantOf(member(source, 'expires_at') ?? member(source, 'expiresAt'));
  if (at !== null && at < now + LONGEST_S * 1000) return at;
  return expiresInDefaultS === null ? null : now + expiresInDefaultS * 1000;
}

function scopesOf(value: unknown): readonly string[] | null {
  const list = Array.isArray(value) ? value : typeof value === 'string' ? value.split(/[\s,]+/) : null;
  if (list === null) return null;
  const names = list.filter((each): each is string => typeof each === 'string' && /^[!-~]{1,200}$/.test(each));
  return names.length === 0 ? null : [...new Set(names)].sort();
}
