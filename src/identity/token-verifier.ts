/**
 * Verifies the tokens of users: issuer, signature, audience, times. `jose` does the cryptography and is loaded with the first token.
 * Keys come from the issuer's own discovery document; an unknown key id asks for them once more, and then not again for a while.
 * Must never say more of a token than what was wrong with it.
 */
import type { RemoteJWKSet } from 'jose';
import type { IssuerConfig } from '../config/issuer-reader.ts';
import { AlterError } from '../domain/errors.ts';
import type { HttpsCall } from '../domain/https-call.ts';
import type { UserClaims } from '../domain/user.ts';
import { claimsOf } from './claims.ts';
import { fetchOver } from './fetch.ts';

type Jose = typeof import('jose');

const CLOCK_TOLERANCE_S = 30;
const KEYS_MAX_AGE_MS = 10 * 60_000;
/** Between two look-ups of keys that a made-up key id could cause. */
const COOLDOWN_MS = 30_000;
/** An issuer that could not be asked is not asked again before this. */
const FAILURE_REST_MS = 5_000;

export interface VerifierOptions {
  readonly call: HttpsCall;
  readonly now?: (() => number) | undefined;
  /** For tests of rotation. */
  readonly cooldownMs?: number | undefined;
}

interface KeySource {
  readonly keys: Promise<RemoteJWKSet>;
  failedAt: number | null;
}

export class TokenVerifier {
  readonly #options: VerifierOptions;
  readonly #now: () => number;
  #jose: Promise<Jose> | undefined;
  #sources = new Map<string, KeySource>();

  constructor(options: VerifierOptions) {
    this.#options = options;
    this.#now = options.now ?? Date.now;
  }

  /**
   * What the token says, when it may be believed.
   * @param audience who it must be meant for; the issuer's configured audience unless said otherwise
   * @throws AlterError re_auth_required, vault_unavailable when the issuer can't be asked
   */
  async verify(token: string, issuers: readonly IssuerConfig[], audience?: readonly string[]): Promise<UserClaims> {
    this.#jose ??= import('jose');
    const jose = await this.#jose;
    const issuer = issuerOf(jose, token, issuers);
    const keys = await this.#keysOf(jose, issuer);
    let payload: Record<string, unknown>;
    try {
      ({ payload } = await jose.jwtVerify(token, keys, {
        issuer: issuer.issuer,
        audience: [...(audience ?? issuer.audience)],
        // SECURITY: the operator's list, never the token's own word; `none` and shared secrets can't be in it.
        algorithms: [...issuer.algorithms],
        requiredClaims: ['exp'],
        clockTolerance: CLOCK_TOLERANCE_S,
        currentDate: new Date(this.#now()),
      }));
    } catch (cause) {
      throw refusalOf(jose, cause, issuer);
    }
    return claimsOf(payload, issuer, this.#now());
  }

  /** Forgets issuers and keys: the configuration has changed. */
  clear(): void {
    this.#sources = new Map();
  }

  async #keysOf(jose: Jose, issuer: IssuerConfig): Promise<RemoteJWKSet> {
    const { issuer: url } = issuer;
    let source = this.#sources.get(url);
    if (source === undefined || (source.failedAt !== null && source.failedAt + FAILURE_REST_MS <= this.#now())) {
      const made: KeySource = { keys: this.#discover(jose, issuer), failedAt: null };
      made.keys.catch(() => {
        made.failedAt = this.#now();
      });
      this.#sources.set(url, made);
      source = made;
    }
    return source.keys;
  }

  /** OpenID Connect Discovery 1.0, 4: the document must be that of the very issuer. */
  async #discover(jose: Jose, issuer: IssuerConfig): Promise<RemoteJWKSet> {
    const url = `${issuer.issuer.replace(/\/$/, '')}/.well-known/openid-configuration`;
    let document: { issuer?: unknown; jwks_uri?: unknown };
    try {
      const answer = await this.#options.call({
        url,
        method: 'GET',
        headers: { accept: 'application/json' },
        allowPrivate: false,
      });
      if (answer.status !== 200) throw new Error(`status ${answer.status}`);
      document = JSON.parse(Buffer.from(answer.body).toString('utf8')) as typeof document;
    } catch (cause) {
      throw unreachable(issuer, cause);
    }
    const { jwks_uri: keys } = document;
    // SECURITY: a document of somebody else would bring somebody else's keys.
    if (document.issuer !== issuer.issuer || typeof keys !== 'string' || !URL.canParse(keys))
      throw unreachable(issuer, new Error('its discovery document is of another issuer, or names no keys'));
    return jose.createRemoteJWKSet(new URL(keys), {
      [jose.customFetch]: fetchOver(this.#options.call),
      cacheMaxAge: KEYS_MAX_AGE_MS,
      cooldownDuration: this.#options.cooldownMs ?? COOLDOWN_MS,
    });
  }
}

/** By the `iss` that the token claims, which the signature has to prove afterwards. */
function issuerOf(jose: Jose, token: string, issuers: readonly IssuerConfig[]): IssuerConfig {
  let claimed: unknown;
  try {
    claimed = jose.decodeJwt(token).iss;
  } catch {
    throw new AlterError('re_auth_required', { reason: 'the token is no signed JWT' });
  }
  const issuer = issuers.find((each) => each.issuer === claimed);
  if (issuer === undefined)
    throw new AlterError('re_auth_required', { reason: 'the token is of an issuer that is not known here' });
  return issuer;
}

function unreachable(issuer: IssuerConfig, cause: unknown): AlterError {
  return new AlterError(
    'vault_unavailable',
    { reason: `the issuer "${issuer.name}" could not be asked for its keys, so no token of its users can be checked` },
    { cause, hint: 'An operator checks that the daemon reaches the issuer; allow_private is needed for private addresses.' },
  );
}

function refusalOf(jose: Jose, cause: unknown, issuer: IssuerConfig): AlterError {
  const { errors } = jose;
  const refuse = (reason: string): AlterError => new AlterError('re_auth_required', { reason }, { cause });
  if (cause instanceof errors.JWTExpired) return refuse('the token has expired');
  if (cause instanceof errors.JWTClaimValidationFailed) {
    if (cause.claim === 'aud') return refuse('the token is meant for somebody else (audience)');
    if (cause.claim === 'nbf') return refuse('the token is not valid yet');
    return refuse(`the claim "${/^[\w.-]{1,32}$/.test(cause.claim) ? cause.claim : '?'}" of the token is missing or wrong`);
  }
  if (cause instanceof errors.JWKSNoMatchingKey || cause instanceof errors.JWKSMultipleMatchingKeys)
    return refuse('the token is signed by a key that its issuer does not show');
  if (cause instanceof errors.JOSEAlgNotAllowed || cause instanceof errors.JOSENotSupported)
    return refuse('the token is signed by an algorithm that is not allowed here');
  if (cause instanceof errors.JWSSignatureVerificationFailed) return refuse('the signature of the token is wrong');
  // Whatever else is of the token is `JWT…` or `JWS…`; the rest is of the way to the issuer.
  if (cause instanceof errors.JWTInvalid || cause instanceof errors.JWSInvalid) return refuse('the token is no signed JWT');
  return unreachable(issuer, cause);
}
