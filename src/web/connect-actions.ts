/**
 * What the Connect page's script may ask: redeem, view, begin, complete, end. Each answers for the session of its ticket alone.
 * SECURITY: a ticket is the only right; it comes in the body, so no page that lacks it can make a browser use it. What was connected is told
 * only where the session says.
 */
import { AlterError, toAlterError } from '../domain/errors.ts';
import type { ConnectSessionRequest } from '../vault/connect-session-request.ts';
import type { ConnectedAccount, ConnectSession, ConnectSessions } from '../vault/connect-sessions.ts';
import type { ConnectedGrant, ConnectFlows, ConnectRequest } from '../vault/oauth/connect-flows.ts';
import type { ProviderSource } from '../vault/provider-source.ts';
import { type ConnectFailure, failureOf } from './failure.ts';
import { outcomeOf } from './outcome.ts';
import { CALLBACK_PATH, CONNECT_PATH } from './paths.ts';
import type { Action, ActionAnswer } from './server.ts';
import { shownProvider } from './shown-provider.ts';
import { type KnownView, type SessionView, type ShownProvider, viewOf } from './view.ts';

export interface ConnectActionsOptions {
  readonly sessions: ConnectSessions;
  readonly flows: ConnectFlows;
  readonly providers: ProviderSource;
  /** The origin of the pages: the provider sends the person back there. */
  readonly origin: string;
  readonly onFault: (error: unknown) => void;
  readonly now?: (() => number) | undefined;
}

type Input = Readonly<Record<string, unknown>>;

/** By path. */
export function connectActions(options: ConnectActionsOptions): Readonly<Record<string, Action>> {
  const steps = new Steps(options);
  const guarded =
    (step: (input: Input) => Promise<Input>): Action =>
    async (input) => {
      try {
        return { status: 200, body: await step(input) };
      } catch (thrown) {
        return steps.refuse(thrown, input);
      }
    };
  return {
    [`${CONNECT_PATH}/redeem`]: guarded((input) => steps.redeem(input)),
    [`${CONNECT_PATH}/view`]: guarded((input) => steps.view(input)),
    [`${CONNECT_PATH}/begin`]: guarded((input) => steps.begin(input)),
    [`${CONNECT_PATH}/complete`]: guarded((input) => steps.complete(input)),
    [`${CONNECT_PATH}/end`]: guarded((input) => steps.end(input)),
  };
}

class Steps {
  readonly #options: ConnectActionsOptions;
  readonly #now: () => number;

  constructor(options: ConnectActionsOptions) {
    this.#options = options;
    this.#now = options.now ?? Date.now;
  }

  async redeem(input: Input): Promise<Input> {
    const { ticket, session } = await this.#options.sessions.redeem(text(input, 'session_token'));
    return { ticket: ticket.reveal(), session: this.#viewOf(session) };
  }

  async view(input: Input): Promise<Input> {
    return { session: this.#viewOf(this.#options.sessions.find(text(input, 'ticket'))) };
  }

  /** Leaves for the provider. What the person chose only narrows what the session allows. */
  async begin(input: Input): Promise<Input> {
    const { sessions, flows, origin } = this.#options;
    const ticket = text(input, 'ticket');
    const { request, pending } = sessions.find(ticket);
    const provider = text(input, 'provider');
    // SECURITY: only what the operator allowed; a page's word for another provider is nothing.
    if (!request.providers.includes(provider)) throw invalid('provider: is not one of this session');
    const asked = new Set(list(input, 'scopes'));
    if (input.use_known === true) return this.#approve(ticket, request, provider, input.lifetime_seconds);
    const { scopes } = this.#shown(request, provider);
    const begun = await flows.begin({
      provider,
      // SECURITY: a link for a grant asks for what its account has; a page, or who drives it, widens nothing that others share.
      scopes:
        request.grantId === null ? scopes.filter(({ id, required }) => required || asked.has(id)).map(({ id }) => id) : undefined,
      redirectUri: `${origin}${CALLBACK_PATH}`,
      fields: request.fields[provider],
      allowPrivate: request.allowPrivate,
      ...(request.grantId === null ? this.#newGrant(request, input.lifetime_seconds) : { grantId: request.grantId }),
    });
    if (pending !== null) flows.cancel(pending.flowId);
    const state = new URL(begun.authorizeUrl).searchParams.get('state') ?? '';
    try {
      sessions.noteConsent(ticket, { provider, flowId: begun.flowId, state });
    } catch (thrown) {
      flows.cancel(begun.flowId);
      throw thrown;
    }
    return { authorization_url: begun.authorizeUrl };
  }

  /** The account that is connected already gets one grant more, without a way to the provider. */
  async #approve(ticket: string, request: ConnectSessionRequest, provider: string, lifetimeSeconds: unknown): Promise<Input> {
    const { sessions, flows } = this.#options;
    const wanted = { ...this.#known(request, provider), ...this.#newGrant(request, lifetimeSeconds) };
    if (request.user === null) throw invalid('use_known: the session was made for nobody in particular, so nobody is known here');
    const { session, fail } = sessions.noteApproval(ticket, provider);
    try {
      return {
        session: this.#viewOf(
          sessions.noteConnected(ticket, this.#accountOf(session, provider, await flows.approveKnown(wanted))),
        ),
      };
    } catch (thrown) {
      fail();
      await this.#noteFailure(session, provider, thrown);
      throw thrown;
    }
  }

  /** The person is back from the provider. */
  async complete(input: Input): Promise<Input> {
    const { sessions, flows } = this.#options;
    const ticket = text(input, 'ticket');
    const query = new URLSearchParams(text(input, 'query'));
    const { session, provider } = sessions.takeConsent(ticket, query.get('state') ?? '');
    try {
      const grant = await flows.complete({
        state: query.get('state') ?? '',
        code: query.get('code') ?? undefined,
        error: query.get('error') ?? undefined,
        errorDescription: query.get('error_description') ?? undefined,
        iss: query.get('iss') ?? undefined,
      });
      return { session: this.#viewOf(sessions.noteConnected(ticket, this.#accountOf(session, provider, grant))) };
    } catch (thrown) {
      await this.#noteFailure(session, provider, thrown);
      throw thrown;
    }
  }

  #accountOf({ request }: ConnectSession, provider: string, grant: ConnectedGrant): ConnectedAccount {
    return {
      grantId: grant.grantId,
      provider,
      providerName: this.#shown(request, provider).name,
      accountId: grant.accountId,
      accountName: grant.accountName,
      scopes: grant.scopes,
      isReconnected: grant.reconnected,
      at: this.#now(),
    };
  }

  /** An AlterError's own text holds no secret; of anything else only the name is told. */
  async #noteFailure(session: ConnectSession, provider: string, thrown: unknown): Promise<void> {
    const { error } = failureOf(thrown);
    const reason = thrown instanceof AlterError ? thrown.message : error;
    await this.#options.sessions.noteFailure(session, provider, { error, reason });
  }

  async end(input: Input): Promise<Input> {
    const { sessions, flows } = this.#options;
    const ticket = text(input, 'ticket');
    const { pending } = sessions.find(ticket);
    const ended = await sessions.end(ticket);
    // SECURITY: a consent that is still open at the provider must not end in a grant after the person left.
    if (pending !== null) flows.cancel(pending.flowId);
    return { outcome: outcomeOf(ended, null) };
  }

  /** The failure in words; with the session when the page may try again, with the outcome when it may only tell. */
  refuse(thrown: unknown, input: Input): ActionAnswer {
    if (toAlterError(thrown).code === 'internal_error') this.#options.onFault(thrown);
    const failure: ConnectFailure = failureOf(thrown);
    const body: Record<string, unknown> = { error: failure.error, message: failure.message };
    if (failure.hint !== undefined) body.hint = failure.hint;
    const session = this.#sessionOf(input);
    if (session !== undefined) body.session = this.#viewOf(session);
    const ended = typeof input.session_token === 'string' ? this.#options.sessions.peek(input.session_token) : undefined;
    if (ended !== undefined)
      body.outcome = outcomeOf({ ...ended, connected: [] }, { code: failure.error, description: failure.message });
    return { status: failure.status, body };
  }

  #sessionOf(input: Input): ConnectSession | undefined {
    try {
      return typeof input.ticket === 'string' ? this.#options.sessions.find(input.ticket) : undefined;
    } catch {
      return undefined;
    }
  }

  #shown(request: ConnectSessionRequest, slug: string): ShownProvider {
    return shownProvider(this.#options.providers, slug, request.requiredScopes[slug] ?? []);
  }

  #viewOf(session: ConnectSession): SessionView {
    return viewOf(
      session,
      session.request.providers.map((slug) => {
        const shown = this.#shown(session.request, slug);
        return { ...shown, known: this.#knownView(session.request, shown) };
      }),
    );
  }

  /** What the session needs of an account that is there already. */
  #known(request: ConnectSessionRequest, provider: string): ConnectRequest {
    const { scopes } = this.#shown(request, provider);
    return {
      provider,
      user: request.user?.id,
      scopes: scopes.filter((scope) => scope.required).map((scope) => scope.id),
      fields: request.fields[provider],
      allowPrivate: request.allowPrivate,
    };
  }

  /** SECURITY: accounts are shown to the person for whom the session was made, and to nobody who merely has a link. */
  #knownView(request: ConnectSessionRequest, { id, name, scopes }: ShownProvider): KnownView | null {
    if (request.user === null || request.grantId !== null) return null;
    const known = this.#options.flows.knownAccount(this.#known(request, id));
    if (known === null) return null;
    const words = known.scopes.map((scope) => scopes.find((each) => each.id === scope)?.words ?? scope);
    return { account: known.name ?? `an account of ${name}`, scopes: words };
  }

  #newGrant(request: ConnectSessionRequest, lifetimeSeconds: unknown): Partial<ConnectRequest> {
    return {
      ...(request.agent === null ? { system: true } : { agent: request.agent }),
      user: request.user?.id,
      label: request.label ?? undefined,
      restrictions: {
        methods: request.methods ?? undefined,
        paths: request.paths ?? undefined,
        expiresAt: this.#expiryOf(request, lifetimeSeconds),
      },
    };
  }

  /** SECURITY: never longer than the operator's bound, whatever the page says. */
  #expiryOf(
    { maxLifetimeMs: max, defaultLifetimeMs: initial }: ConnectSessionRequest,
    seconds: unknown,
  ): number | null | undefined {
    if (seconds === null || seconds === undefined) {
      const length = seconds === undefined ? (initial ?? max) : max;
      if (length !== null) return this.#now() + length;
      // "Until it is revoked" was chosen, or nothing was: then a grant that is there keeps its end.
      return seconds === null ? null : undefined;
    }
    if (typeof seconds !== 'number' || !Number.isSafeInteger(seconds) || seconds < 60)
      throw invalid('lifetime_seconds: must be 60 or more');
    const asked = seconds * 1_000;
    if (max !== null && asked > max) throw invalid('lifetime_seconds: is over the bound of this session');
    return this.#now() + asked;
  }
}

const invalid = (problem: string): AlterError => new AlterError('invalid_input', { problems: [problem] });

function text(input: Input, name: string): string {
  const value = input[name];
  if (typeof value !== 'string' || value.length > 8_192) throw invalid(`${name}: must be a text`);
  return value;
}

function list(input: Input, name: string): readonly string[] {
  const value = input[name];
  if (!Array.isArray(value) || value.length > 200 || !value.every((each): each is string => typeof each === 'string'))
    throw invalid(`${name}: must be a list of texts`);
  return value;
}
