/** What the Connect page may know of its session: names and words, member by member; no token, no ticket, no id of anything that is not its own. Pure. */
import type { ConnectSession } from '../vault/connect-sessions.ts';

export interface ScopeView {
  readonly id: string;
  readonly words: string;
  readonly required: boolean;
  readonly selected: boolean;
}

export interface KnownView {
  readonly account: string;
  /** In words. */
  readonly scopes: readonly string[];
}

export interface ProviderView {
  readonly id: string;
  readonly name: string;
  readonly scopes: readonly ScopeView[];
  /** The account that was connected in this session; null while none was. */
  readonly connected: string | null;
  /** An account that the person has connected before, and what it may; null where they have to ask the provider. */
  readonly known: KnownView | null;
}

export interface LifetimeView {
  /** null for no end. */
  readonly seconds: number | null;
  readonly text: string;
  readonly selected: boolean;
}

export interface SessionView {
  readonly expires_at: string;
  readonly agent: string | null;
  /** For whom the session was made; null when that is not known. */
  readonly user: string | null;
  /** Origin of the application that asks; null when an operator does. */
  readonly app: string | null;
  readonly label: string | null;
  /** The grant exists already; its account gives consent anew and nothing else about it changes. */
  readonly is_reconnect: boolean;
  readonly restrictions: readonly string[];
  /** Empty where there is nothing to choose. */
  readonly lifetimes: readonly LifetimeView[];
  readonly providers: readonly ProviderView[];
}

/** A provider as the page shows it. */
export interface ShownProvider {
  readonly id: string;
  readonly name: string;
  readonly scopes: readonly ScopeView[];
  readonly known?: KnownView | null;
}

export function viewOf(session: ConnectSession, providers: readonly ShownProvider[]): SessionView {
  const { request } = session;
  return {
    expires_at: new Date(session.expiresAt).toISOString(),
    agent: request.agent,
    user: request.user?.name ?? null,
    app: request.allowedOrigin ?? (request.returnUrl === null ? null : new URL(request.returnUrl).origin),
    label: request.label,
    is_reconnect: request.grantId !== null,
    restrictions: [
      ...(request.methods === null ? [] : [`the methods ${request.methods.join(', ')}`]),
      ...(request.paths === null ? [] : [`the paths ${request.paths.join(', ')}`]),
    ],
    lifetimes: request.grantId === null ? lifetimesOf(request.maxLifetimeMs, request.defaultLifetimeMs) : [],
    providers: providers.map(({ id, name, scopes, known = null }) => {
      const account = session.connected.find((each) => each.provider === id);
      return {
        id,
        name,
        scopes,
        known: account === undefined ? known : null,
        connected: account === undefined ? null : (account.accountName ?? account.accountId ?? 'an account'),
      };
    }),
  };
}

const HOUR = 3_600;
const DAY = 24 * HOUR;
const CHOICES = [HOUR, 8 * HOUR, DAY, 7 * DAY, 30 * DAY, 90 * DAY, 365 * DAY];

/** What the person may choose from: usual lengths within the bound, the bound itself, and no end where there is no bound. */
export function lifetimesOf(maxMs: number | null, initialMs: number | null): LifetimeView[] {
  const max = maxMs === null ? null : Math.floor(maxMs / 1_000);
  const initial = initialMs === null ? max : Math.floor(initialMs / 1_000);
  const offered = new Set([...CHOICES.filter((each) => max === null || each <= max)]);
  for (const each of [max, initial]) if (each !== null) offered.add(each);
  const lengths: (number | null)[] = [...offered].sort((a, b) => a - b);
  if (max === null) lengths.push(null);
  return lengths.map((seconds) => ({ seconds, text: lifetimeText(seconds), selected: seconds === initial }));
}

function lifetimeText(seconds: number | null): string {
  if (seconds === null) return 'Until it is revoked';
  for (const [unit, name] of [
    [365 * DAY, 'year'],
    [DAY, 'day'],
    [HOUR, 'hour'],
    [60, 'minute'],
  ] as const) {
    if (seconds % unit === 0) return `${seconds / unit} ${name}${seconds === unit ? '' : 's'}`;
  }
  return `${seconds} seconds`;
}
