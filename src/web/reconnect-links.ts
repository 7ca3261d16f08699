/**
 * The link that a refusal carries when an account has to be connected again: whoever is asked can open it, and nobody has to find a command.
 * SECURITY: it reaches the agent, so it is good for nothing but a consent of the very account that the grant had; where the provider names no
 * account, there is none. It opens no port: only where the pages are being served already.
 */
import type { CredentialInfo } from '../domain/credential.ts';
import { AlterError } from '../domain/errors.ts';
import type { Grant } from '../domain/grant.ts';
import type { Secret } from '../domain/secret.ts';
import type { ConnectPages } from './pages.ts';

/** A link is made anew for a grant at most this often, however often its agent asks. */
const EVERY_MS = 60_000;
const MOST_LINKS = 200;

export interface ReconnectLinksOptions {
  readonly pages: Pick<ConnectPages, 'origin' | 'create' | 'isWaiting'>;
  /** @throws AlterError not_found */
  readonly find: (grantId: string) => { readonly grant: Grant; readonly credential: CredentialInfo };
  readonly now?: (() => number) | undefined;
}

interface Link {
  readonly token: Secret;
  readonly url: string;
  readonly madeAt: number;
  readonly expiresAt: number;
}

export class ReconnectLinks {
  readonly #options: ReconnectLinksOptions;
  readonly #now: () => number;
  readonly #links = new Map<string, Link>();
  readonly #underWay = new Map<string, Promise<string | null>>();

  constructor(options: ReconnectLinksOptions) {
    this.#options = options;
    this.#now = options.now ?? Date.now;
  }

  /** Where the account of this grant is connected again; null where there is no such page. Never throws. */
  urlFor(grantId: string): Promise<string | null> {
    const { pages } = this.#options;
    if (pages.origin === null) return Promise.resolve(null);
    const now = this.#now();
    const kept = this.#links.get(grantId);
    if (kept !== undefined && kept.expiresAt - EVERY_MS > now && pages.isWaiting(kept.token.reveal()))
      return Promise.resolve(kept.url);
    if (kept !== undefined && kept.madeAt + EVERY_MS > now) return Promise.resolve(null);
    const making =
      this.#underWay.get(grantId) ??
      this.#make(grantId)
        .catch(() => null)
        .finally(() => this.#underWay.delete(grantId));
    this.#underWay.set(grantId, making);
    return making;
  }

  /** @throws AlterError as ConnectPages.create() */
  async #make(grantId: string): Promise<string | null> {
    const { pages, find } = this.#options;
    const { grant, credential } = find(grantId);
    const { oauth } = credential;
    if (oauth === undefined || oauth.accountId === null || oauth.state !== 're_auth_required') return null;
    const made = await pages.create({
      providers: [grant.providerId],
      requiredScopes: {},
      allowedOrigin: null,
      returnUrl: null,
      maxLifetimeMs: null,
      defaultLifetimeMs: null,
      agent: grant.principal.type === 'agent' ? grant.principal.agentId : null,
      label: grant.label || null,
      methods: null,
      paths: null,
      fields: {},
      allowPrivate: oauth.allowPrivate,
      grantId,
      user: null,
      metadata: { reason: 're_auth_required' },
    });
    const url = `${made.origin}/sdk/oauth/connect#session=${encodeURIComponent(made.token.reveal())}`;
    if (this.#links.size >= MOST_LINKS) this.#links.delete(this.#links.keys().next().value as string);
    this.#links.set(grantId, { token: made.token, url, madeAt: this.#now(), expiresAt: made.expiresAt });
    return url;
  }
}

/** The refusal with the link in it, where there is one. */
export async function withReconnectLink(error: AlterError, links: Pick<ReconnectLinks, 'urlFor'>): Promise<AlterError> {
  const { grant_id: grantId } = error.details as { grant_id?: string };
  if (error.code !== 're_auth_required' || grantId === undefined) return error;
  const url = await links.urlFor(grantId);
  return url === null
    ? error
    : new AlterError('re_auth_required', { ...(error.details as { reason: string }), connect_url: url });
}
