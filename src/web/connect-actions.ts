/**
 * What the Connect page's script may ask: redeem, view, begin, complete, end. Each answers for the session of its ticket alone.
 * SECURITY: a ticket is the only right; it comes in the body, so no page that lacks it can make a browser use it. What was connected is told
 * only where the session says.
 */
import { AlterError, toAlterError } from '../domain/errors.ts';
import type { ConnectSession, ConnectSessions } from '../vault/connect-sessions.ts';
import type { ConsentPort } from './consent-port.ts';
import { type ConnectFailure, failureOf } from './failure.ts';
import { outcomeOf } from './outcome.ts';
import { CALLBACK_PATH, CONNECT_PATH } from './paths.ts';
import type { Action, ActionAnswer } from './server.ts';
import { type SessionView, viewOf } from './view.ts';

export interface ConnectActionsOptions {
  readonly sessions: ConnectSessions;
  readonly consents: ConsentPort;
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
    const { sessions, consents, origin } = this.#options;
    const ticket = text(input, 'ticket');
    const session = sessions.find(ticket);
    const provider = text(input, 'provider');
    // SECURITY: only what the operator allowed; a page's word for another provider is nothing.
    if (!session.request.providers.includes(provider)) throw invalid('provider: is not one of this session');
    const shown = consents.describe(provider, session.request.requiredScopes[provider] ?? []);
    const asked = new Set(list(input, 'scopes'));
    const scopes = shown.scopes.filter((scope) => scope.required || asked.has(scope.id)).map((scope) => scope.id);
    const begun = await consents.begin({
      provider,
      scopes,
      redirectUri: `${origin}${CALLBACK_PATH}`,
      request: session.request,
      expiresAt: this.#expiryOf(session, input.lifetime_seconds),
    });
    sessions.noteConsent(ticket, provider, begun.state);
    return { authorization_url: begun.authorizationUrl };
  }

  /** The person is back from the provider. */
  async complete(input: Input): Promise<Input> {
    const { sessions, consents, origin } = this.#options;
    const ticket = text(input, 'ticket');
    const parameters = new URLSearchParams(text(input, 'query'));
    const { provider } = sessions.takeConsent(ticket, parameters.get('state') ?? '');
    try {
      const account = await consents.complete(new URL(`${origin}${CALLBACK_PATH}?${parameters}`));
      return { session: this.#viewOf(sessions.noteConnected(ticket, account)) };
    } catch (thrown) {
      const failure = failureOf(thrown);
      await sessions.noteFailure(sessions.find(ticket), provider, failure.error);
      throw thrown;
    }
  }

  async end(input: Input): Promise<Input> {
    return { outcome: outcomeOf(await this.#options.sessions.end(text(input, 'ticket')), null) };
  }

  /** The failure in words; with the session when the page may try again, with the outcome when it may only tell. */
  refuse(thrown: unknown, input: Input): ActionAnswer {
    if (toAlterError(thrown).code === 'internal_error') this.#options.onFault(thrown);
    const failure: ConnectFailure = failureOf(thrown);
    const body: Record<string, unknown> = { error: failure.error, message: failure.message };
    if (failure.hint !== undefined) body['hint'] = failure.hint;
    const session = this.#sessionOf(input);
    if (session !== undefined) body['session'] = this.#viewOf(session);
    const ended = typeof input['session_token'] === 'string' ? this.#options.sessions.peek(input['session_token']) : undefined;
    if (ended !== undefined)
      body['outcome'] = outcomeOf({ ...ended, connected: [] }, { code: failure.error, description: failure.message });
    return { status: failure.status, body };
  }

  #sessionOf(input: Input): ConnectSession | undefined {
    try {
      return typeof input['ticket'] === 'string' ? this.#options.sessions.find(input['ticket']) : undefined;
    } catch {
      return undefined;
    }
  }

  #viewOf(session: ConnectSession): SessionView {
    const { providers, requiredScopes } = session.request;
    return viewOf(
      session,
      providers.map((slug) => this.#options.consents.describe(slug, requiredScopes[slug] ?? [])),
    );
  }

  /** SECURITY: never longer than the operator's bound, whatever the page says. */
  #expiryOf({ request }: ConnectSession, seconds: unknown): number | null {
    const { maxLifetimeMs: max, defaultLifetimeMs: initial } = request;
    if (seconds === null || seconds === undefined) {
      const length = seconds === undefined ? (initial ?? max) : max;
      return length === null ? null : this.#now() + length;
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
