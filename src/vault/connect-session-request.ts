/**
 * What a Connect session is asked for, checked with every problem told at once. Pure.
 * SECURITY: where the result may go (origin, return URL) is fixed here, when the session is made; nothing that a browser says changes it.
 */
import { isLoopbackName } from '../config/connect-reader.ts';
import { methodProblem, pathProblem } from './grant-scope.ts';
import { requireNone } from './names.ts';

const MAX_PROVIDERS = 20;
const MAX_METADATA = 20;
const METADATA_NAME = /^[A-Za-z0-9_]{1,64}$/;
const MAX_LIFETIME_MS = 5 * 365 * 86_400_000;

export interface ConnectSessionRequest {
  /** Slugs; the person may connect each of them. */
  readonly providers: readonly string[];
  /** By slug: scopes that the person can't take away, beside those that the provider needs anyway. */
  readonly requiredScopes: Readonly<Record<string, readonly string[]>>;
  /** The page that opened the popup: the only one that hears of the result. Null for none. */
  readonly allowedOrigin: string | null;
  /** Where a full-page visit ends. Null for alterd's own page. */
  readonly returnUrl: string | null;
  /** How long the grant may live at most, and what is proposed. Null for no bound. */
  readonly maxLifetimeMs: number | null;
  readonly defaultLifetimeMs: number | null;
  /** Who gets the grant, or has the one that is connected anew; null for every agent of the installation. */
  readonly agent: string | null;
  readonly label: string | null;
  readonly methods: readonly string[] | null;
  readonly paths: readonly string[] | null;
  /** The provider's address may be private: a self-hosted service. */
  readonly allowPrivate: boolean;
  /** By slug: the provider's fields that are no secret, such as a site or a tenant. */
  readonly fields: Readonly<Record<string, Readonly<Record<string, string>>>>;
  /** Connect the account of this grant anew; null for a new grant. */
  readonly grantId: string | null;
  /** The person for whom it was made: the grant is theirs, and delegated to the agent. Null when nobody knows who will come. */
  readonly user: { readonly id: string; readonly name: string } | null;
  /** Free small facts of the application, for the audit row of the session. */
  readonly metadata: Readonly<Record<string, string>>;
}

/** The request in canonical form. @throws AlterError invalid_input */
export function checkConnectSessionRequest(input: ConnectSessionRequest): ConnectSessionRequest {
  const providers = [...new Set(input.providers)];
  requireNone([
    providers.length === 0 ? 'allowed_providers: name at least one provider' : undefined,
    providers.length > MAX_PROVIDERS ? `allowed_providers: has at most ${MAX_PROVIDERS} entries` : undefined,
    ...Object.keys(input.requiredScopes).map((slug) =>
      providers.includes(slug) ? undefined : `required_scopes: ${JSON.stringify(slug)} is not among allowed_providers`,
    ),
    ...Object.keys(input.fields).map((slug) =>
      providers.includes(slug) ? undefined : `fields: ${JSON.stringify(slug)} is not among allowed_providers`,
    ),
    input.grantId !== null && providers.length > 1 ? 'grant_id: names the one provider of its grant' : undefined,
    input.user !== null && (input.agent === null || input.grantId !== null)
      ? 'user: a person delegates to an agent; name the agent, and no grant_id'
      : undefined,
    originProblem(input.allowedOrigin),
    returnProblem(input.returnUrl),
    ...lifetimeProblems(input),
    ...(input.methods ?? []).map((method) => methodProblem('requested_grant.methods', method)),
    ...(input.paths ?? []).map((path) => pathProblem('requested_grant.paths', path)),
    Object.keys(input.metadata).length > MAX_METADATA ? `metadata: has at most ${MAX_METADATA} entries` : undefined,
    Object.entries(input.metadata).some(([name, value]) => !METADATA_NAME.test(name) || value.length > 200)
      ? 'metadata: names have 1 to 64 letters, digits and "_", values at most 200 characters'
      : undefined,
  ]);
  return {
    ...input,
    providers,
    allowedOrigin: input.allowedOrigin === null ? null : new URL(input.allowedOrigin).origin,
    returnUrl: input.returnUrl === null ? null : new URL(input.returnUrl).href,
  };
}

function originProblem(origin: string | null): string | undefined {
  if (origin === null) return undefined;
  const url = webUrl(origin);
  // SECURITY: exactly one origin; "*" or a path would tell pages about grants that they have nothing to do with.
  return url !== null && url.origin === origin.replace(/\/$/, '')
    ? undefined
    : 'allowed_origin: must be one origin such as "https://app.example.test", https unless it is this machine';
}

function returnProblem(returnUrl: string | null): string | undefined {
  if (returnUrl === null || webUrl(returnUrl) !== null) return undefined;
  return 'return_url: must be a URL such as "https://app.example.test/done", https unless it is this machine';
}

/** A URL that a result may travel to. SECURITY: no other scheme, or the page would run what the URL says. */
function webUrl(text: string): URL | null {
  if (!URL.canParse(text)) return null;
  const url = new URL(text);
  const isSafe = url.protocol === 'https:' || (url.protocol === 'http:' && isLoopbackName(url.hostname));
  return isSafe && url.username === '' && url.password === '' ? url : null;
}

function lifetimeProblems({ maxLifetimeMs: max, defaultLifetimeMs: initial }: ConnectSessionRequest): (string | undefined)[] {
  const isWrong = (value: number | null): boolean =>
    value !== null && !(Number.isSafeInteger(value) && value >= 60_000 && value <= MAX_LIFETIME_MS);
  return [
    isWrong(max) ? 'grant_policy.max_ttl_seconds: must be from 60 to 157680000' : undefined,
    isWrong(initial) ? 'grant_policy.default_ttl_seconds: must be from 60 to 157680000' : undefined,
    max !== null && initial !== null && initial > max
      ? 'grant_policy.default_ttl_seconds: must not be more than max_ttl_seconds'
      : undefined,
  ];
}
