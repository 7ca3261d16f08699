/**
 * Signing in: the authorization code flow with PKCE for a browser on this machine (RFC 8252), and the device flow (RFC 8628) where there
 * is none. The daemon speaks to the issuer, since the client's secret and the way out are its; the command line only shows and waits.
 * `openid-client` does the protocol; the ID token then passes the same verifier as every token.
 */
import { randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import type { Configuration, DeviceAuthorizationResponse } from 'openid-client';
import type { IssuerConfig } from '../config/issuer-reader.ts';
import { AlterError } from '../domain/errors.ts';
import type { HttpsCall } from '../domain/https-call.ts';
import type { User } from '../domain/user.ts';
import { fetchOver } from './fetch.ts';
import type { TokenVerifier } from './token-verifier.ts';
import type { UserDirectory } from './user-tokens.ts';

type OpenIdClient = typeof import('openid-client');

export interface LoginOptions {
  readonly call: HttpsCall;
  readonly verifier: TokenVerifier;
  readonly users: UserDirectory;
  readonly issuers: () => readonly IssuerConfig[];
}

export interface BrowserLogin {
  readonly loginId: string;
  readonly issuer: string;
  readonly authorizationUrl: string;
}

export interface DeviceLogin {
  readonly loginId: string;
  readonly issuer: string;
  readonly userCode: string;
  readonly verificationUri: string;
  readonly verificationUriComplete: string | null;
}

export interface SignedIn {
  readonly user: User;
  readonly issuerName: string;
}

interface Pending {
  readonly issuer: IssuerConfig;
  readonly config: Configuration;
  readonly expiresAt: number;
  readonly browser: {
    readonly redirectUri: string;
    readonly verifier: string;
    readonly state: string;
    readonly nonce: string;
  } | null;
  /** Settles when the person has agreed elsewhere. */
  readonly device: Promise<string | undefined> | null;
  readonly abort: AbortController;
}

const PENDING_MS = 10 * 60_000;
const MAX_PENDING = 100;

export class Logins {
  readonly #options: LoginOptions;
  readonly #pending = new Map<string, Pending>();

  constructor(options: LoginOptions) {
    this.#options = options;
  }

  /** @throws AlterError not_found, conflict, invalid_input, vault_unavailable */
  async startBrowser(issuerName: string | undefined, redirectUri: string): Promise<BrowserLogin> {
    const issuer = this.#issuer(issuerName);
    requireLoopback(redirectUri);
    const { client, config } = await this.#configuration(issuer);
    const verifier = client.randomPKCECodeVerifier();
    const state = client.randomState();
    const nonce = client.randomNonce();
    const url = client.buildAuthorizationUrl(config, {
      redirect_uri: redirectUri,
      scope: issuer.scopes.join(' '),
      code_challenge: await client.calculatePKCECodeChallenge(verifier),
      code_challenge_method: 'S256',
      state,
      nonce,
    });
    const loginId = this.#remember({ issuer, config, browser: { redirectUri, verifier, state, nonce }, device: null });
    return { loginId, issuer: issuer.name, authorizationUrl: url.href };
  }

  /** @throws AlterError not_found, conflict, vault_unavailable */
  async startDevice(issuerName: string | undefined): Promise<DeviceLogin> {
    const issuer = this.#issuer(issuerName);
    const { client, config } = await this.#configuration(issuer);
    let answer: DeviceAuthorizationResponse;
    try {
      answer = await client.initiateDeviceAuthorization(config, { scope: issuer.scopes.join(' ') });
    } catch (cause) {
      throw failed(issuer, 'it does not let devices sign in', cause);
    }
    const abort = new AbortController();
    const device = client
      .pollDeviceAuthorizationGrant(config, answer, undefined, { signal: abort.signal })
      .then((tokens) => tokens.id_token);
    device.catch(() => {});
    const loginId = this.#remember({ issuer, config, browser: null, device }, abort);
    return {
      loginId,
      issuer: issuer.name,
      userCode: answer.user_code,
      verificationUri: answer.verification_uri,
      verificationUriComplete: answer.verification_uri_complete ?? null,
    };
  }

  /** @param callbackUrl where the browser came back to. @throws AlterError not_found, re_auth_required, audit_unavailable, vault_unavailable */
  async finishBrowser(loginId: string, callbackUrl: string): Promise<SignedIn> {
    const pending = this.#find(loginId);
    const { browser, issuer } = pending;
    // SECURITY: once only, whatever comes of it: a code that failed must not be tried with other checks.
    this.#forget(loginId);
    if (browser === null || !URL.canParse(callbackUrl)) throw new AlterError('not_found', { what: 'login', name: loginId });
    const { client, config } = { client: await import('openid-client'), config: pending.config };
    // SECURITY: only the query is the browser's to say; the address it came back to is the one that was asked for.
    const url = new URL(browser.redirectUri);
    url.search = new URL(callbackUrl).search;
    let idToken: string | undefined;
    try {
      const tokens = await client.authorizationCodeGrant(config, url, {
        pkceCodeVerifier: browser.verifier,
        expectedState: browser.state,
        expectedNonce: browser.nonce,
        idTokenExpected: true,
      });
      idToken = tokens.id_token;
    } catch (cause) {
      throw refused(issuer, cause);
    }
    return this.#admit(issuer, idToken);
  }

  /** Null while the person has not answered. @throws AlterError not_found, re_auth_required, audit_unavailable, vault_unavailable */
  async awaitDevice(loginId: string, waitMs: number): Promise<SignedIn | null> {
    const { device, issuer } = this.#find(loginId);
    if (device === null) throw new AlterError('not_found', { what: 'login', name: loginId });
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<null>((resolve) => {
      timer = setTimeout(() => resolve(null), waitMs);
    });
    let idToken: string | undefined | null;
    try {
      idToken = await Promise.race([device, late]);
    } catch (cause) {
      this.#forget(loginId);
      throw refused(issuer, cause);
    } finally {
      clearTimeout(timer);
    }
    if (idToken === null) return null;
    this.#forget(loginId);
    return this.#admit(issuer, idToken);
  }

  /** Ends what waits. */
  close(): void {
    for (const id of [...this.#pending.keys()]) this.#forget(id);
  }

  async #admit(issuer: IssuerConfig, idToken: string | undefined): Promise<SignedIn> {
    if (idToken === undefined)
      throw new AlterError('re_auth_required', { reason: `"${issuer.name}" answered without an ID token` });
    const claims = await this.#options.verifier.verify(idToken, [issuer], [issuer.clientId]);
    const user = await this.#options.users.admit(claims);
    if (user.status !== 'active') throw new AlterError('re_auth_required', { reason: 'the user is deactivated here' });
    return { user, issuerName: issuer.name };
  }

  #remember(made: Omit<Pending, 'expiresAt' | 'abort'>, abort = new AbortController()): string {
    const now = Date.now();
    for (const [id, { expiresAt }] of this.#pending) if (expiresAt <= now) this.#forget(id);
    const [oldest] = this.#pending.keys();
    if (this.#pending.size >= MAX_PENDING && oldest !== undefined) this.#forget(oldest);
    const id = randomUUID();
    this.#pending.set(id, { ...made, abort, expiresAt: now + PENDING_MS });
    return id;
  }

  #forget(id: string): void {
    this.#pending.get(id)?.abort.abort();
    this.#pending.delete(id);
  }

  #find(id: string): Pending {
    const pending = this.#pending.get(id);
    if (pending !== undefined && pending.expiresAt > Date.now()) return pending;
    throw new AlterError('not_found', { what: 'login', name: id }, { hint: 'Begin again: `alterd login`.' });
  }

  #issuer(name: string | undefined): IssuerConfig {
    const issuers = this.#options.issuers();
    const [first, another] = issuers;
    const names = issuers.map((each) => each.name).join(', ');
    if (first === undefined)
      throw new AlterError('conflict', {
        reason: 'No issuer of users is configured',
        hint: 'Add [[identity.issuer]] to the configuration.',
      });
    if (name === undefined && another !== undefined)
      throw new AlterError('conflict', {
        reason: `There are several issuers (${names})`,
        hint: 'Say which: `alterd login --issuer NAME`.',
      });
    const found = name === undefined ? first : issuers.find((each) => each.name === name);
    if (found !== undefined) return found;
    throw new AlterError('not_found', { what: 'issuer', name: name ?? '' }, { hint: `There are: ${names}.` });
  }

  async #configuration(issuer: IssuerConfig): Promise<{ client: OpenIdClient; config: Configuration }> {
    const client = await import('openid-client');
    const secret = issuer.clientSecretFile === null ? undefined : readSecret(issuer.clientSecretFile, issuer.name);
    try {
      const config = await client.discovery(
        new URL(issuer.issuer),
        issuer.clientId,
        undefined,
        secret === undefined ? client.None() : client.ClientSecretPost(secret),
        { [client.customFetch]: fetchOver(this.#options.call) as NonNullable<Configuration[typeof client.customFetch]> },
      );
      return { client, config };
    } catch (cause) {
      throw failed(issuer, 'it could not be reached', cause);
    }
  }
}

function readSecret(file: string, name: string): string {
  try {
    return readFileSync(file, 'utf8').trim();
  } catch (cause) {
    const code = (cause as NodeJS.ErrnoException).code ?? 'unknown error';
    throw new AlterError(
      'vault_unavailable',
      { reason: `the client secret of issuer "${name}" can't be read (${code})` },
      { cause },
    );
  }
}

/** SECURITY: the code comes back to this machine or nowhere. */
function requireLoopback(redirectUri: string): void {
  const url = URL.canParse(redirectUri) ? new URL(redirectUri) : null;
  const isLoopback = url?.protocol === 'http:' && (url.hostname === '127.0.0.1' || url.hostname === '[::1]');
  if (!isLoopback)
    throw new AlterError('invalid_input', { problems: ['redirect_uri must be http://127.0.0.1:PORT/… on this machine'] });
}

/** What kept a call from its goal, in our own words; '' when it got there. */
function obstacleOf(cause: unknown): string {
  for (let each = cause, depth = 0; each instanceof Error && depth < 5; each = each.cause, depth++)
    if (each instanceof AlterError) return ` (${each.message.replace(/\.$/, '')})`;
  return '';
}

const failed = (issuer: IssuerConfig, reason: string, cause: unknown): AlterError =>
  new AlterError(
    'vault_unavailable',
    { reason: `nobody can sign in with "${issuer.name}": ${reason}${obstacleOf(cause)}` },
    { cause, hint: 'An operator compares [[identity.issuer]] in the configuration with the identity provider.' },
  );

/** SECURITY: the provider's own words may quote what was sent; only its error code, of a known shape, is told. */
function refused(issuer: IssuerConfig, cause: unknown): AlterError {
  const { error } = cause as { error?: unknown };
  const code = typeof error === 'string' && /^[a-z_]{1,64}$/.test(error) ? ` (${error})` : '';
  return new AlterError('re_auth_required', { reason: `"${issuer.name}" did not confirm the sign-in${code}` }, { cause });
}
