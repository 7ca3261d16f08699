/**
 * Connect sessions: an operator, or an application's back end, lets one person connect their account on alterd's own page.
 * The token that opens the page is kept as a hash, works once and for ten minutes; what the page holds afterwards is a ticket, kept
 * in the same way. Sessions live in memory alone: a restart ends them, and only what was connected stays.
 */
import { createHash, randomBytes, randomUUID } from 'node:crypto';
import type { AgentStatus } from '../domain/agent.ts';
import type { AuditPort } from '../domain/audit.ts';
import { AlterError } from '../domain/errors.ts';
import { Secret } from '../domain/secret.ts';
import { type ConnectAction, connectEvent, connectEventEnd } from './connect-events.ts';
import { type ConnectSessionRequest, checkConnectSessionRequest } from './connect-session-request.ts';

/** How long a token waits for its person, and how long the person may then take. */
export const CONNECT_SESSION_MS = 10 * 60_000;
const MAX_SESSIONS = 1_000;
/** One person needs a few tries; more is a program that fills the journal or asks the provider without end. */
const MAX_CONSENTS = 30;
const MAX_RECORDED_REFUSALS = 10;
const TOKEN_PREFIX = 'alter_connect_';

/** What was connected in a session, as the application is told. No secret. */
export interface ConnectedAccount {
  readonly grantId: string;
  /** Slug, as the session names it. */
  readonly provider: string;
  readonly providerName: string;
  readonly accountId: string | null;
  readonly accountName: string | null;
  readonly scopes: readonly string[];
  /** True when the account was connected before. */
  readonly isReconnected: boolean;
  readonly at: number;
}

/** One provider's consent that is under way. */
export interface PendingConsent {
  readonly provider: string;
  readonly flowId: string;
  /** SHA-256 of the state: the page proves that it comes back from the consent it began. */
  readonly stateHash: string;
}

export type ConnectPhase = 'waiting' | 'open' | 'ended';

export interface ConnectSession {
  readonly id: string;
  readonly request: ConnectSessionRequest;
  readonly createdAt: number;
  /** Of the token while it waits, of the ticket afterwards. */
  readonly expiresAt: number;
  readonly phase: ConnectPhase;
  readonly pending: PendingConsent | null;
  readonly connected: readonly ConnectedAccount[];
  /** Providers whose account is being approved without a new consent. */
  readonly approving: ReadonlySet<string>;
}

interface ConnectRecord extends ConnectSession {
  expiresAt: number;
  phase: ConnectPhase;
  pending: PendingConsent | null;
  connected: ConnectedAccount[];
  readonly approving: Set<string>;
  readonly tokenHash: string;
  ticketHash: string | null;
  consents: number;
  refusals: number;
}

export interface ConnectSessionsOptions {
  readonly audit: AuditPort;
  /** @throws AlterError not_found */
  readonly findAgent: (nameOrId: string) => { readonly name: string; readonly status: AgentStatus };
  readonly now?: (() => number) | undefined;
}

export class ConnectSessions {
  readonly #options: ConnectSessionsOptions;
  readonly #now: () => number;
  readonly #byToken = new Map<string, ConnectRecord>();
  readonly #byTicket = new Map<string, ConnectRecord>();

  constructor(options: ConnectSessionsOptions) {
    this.#options = options;
    this.#now = options.now ?? Date.now;
  }

  /** @throws AlterError invalid_input, not_found, conflict, audit_unavailable */
  async create(
    input: ConnectSessionRequest,
  ): Promise<{ readonly id: string; readonly token: Secret; readonly expiresAt: number }> {
    this.#sweep();
    const agent = input.agent === null ? null : this.#options.findAgent(input.agent);
    if (agent?.status === 'revoked')
      throw new AlterError('conflict', {
        reason: `Agent "${agent.name}" is revoked`,
        hint: 'Name another agent: `alterd agent list`.',
      });
    const request = { ...checkConnectSessionRequest(input), agent: agent?.name ?? null };
    if (this.#byToken.size >= MAX_SESSIONS)
      throw new AlterError('conflict', { reason: `${MAX_SESSIONS} Connect sessions are open`, hint: 'Wait until some end.' });
    const token = mint(TOKEN_PREFIX);
    const now = this.#now();
    const record: ConnectRecord = {
      id: randomUUID(),
      request,
      createdAt: now,
      expiresAt: now + CONNECT_SESSION_MS,
      phase: 'waiting',
      pending: null,
      connected: [],
      approving: new Set(),
      tokenHash: hashOf(token.reveal()),
      ticketHash: null,
      consents: 0,
      refusals: 0,
    };
    await this.#record(record, 'connect.session_created');
    this.#byToken.set(record.tokenHash, record);
    return { id: record.id, token, expiresAt: record.expiresAt };
  }

  /**
   * Trades the token for a ticket, once.
   * @throws AlterError connect_session_invalid, audit_unavailable
   */
  async redeem(token: string): Promise<{ readonly ticket: Secret; readonly session: ConnectSession }> {
    const record = this.#byToken.get(hashOf(token));
    if (record === undefined) throw refusal('session_unknown');
    if (record.phase !== 'waiting') return this.#refuse(record, 'session_used');
    if (record.expiresAt <= this.#now()) return this.#refuse(record, 'session_expired');
    // SECURITY: spent before anything is awaited, or two pages could trade the same token.
    record.phase = 'open';
    try {
      await this.#record(record, 'connect.session_redeemed');
    } catch (thrown) {
      record.phase = 'waiting';
      throw thrown;
    }
    const ticket = mint('');
    record.ticketHash = hashOf(ticket.reveal());
    record.expiresAt = this.#now() + CONNECT_SESSION_MS;
    this.#byTicket.set(record.ticketHash, record);
    return { ticket, session: record };
  }

  /** The session that a page is in. @throws AlterError connect_session_invalid */
  find(ticket: string): ConnectSession {
    return this.#open(ticket);
  }

  /** The session of a token, spent or not; undefined when there is none. */
  peek(token: string): ConnectSession | undefined {
    return this.#byToken.get(hashOf(token));
  }

  /** The page leaves for a provider. One consent at a time: the last one that was begun counts. @throws AlterError connect_session_invalid */
  noteConsent(ticket: string, consent: { readonly provider: string; readonly flowId: string; readonly state: string }): void {
    const record = this.#open(ticket);
    record.consents += 1;
    if (record.consents > MAX_CONSENTS) throw refusal('too_many_tries');
    record.pending = { provider: consent.provider, flowId: consent.flowId, stateHash: hashOf(consent.state) };
  }

  /**
   * The page is back from a provider: which one, if it is the consent that this page began. It can be taken once.
   * @throws AlterError connect_session_invalid
   */
  takeConsent(ticket: string, state: string): { readonly session: ConnectSession; readonly provider: string } {
    const record = this.#open(ticket);
    const { pending } = record;
    // SECURITY: an answer to somebody else's consent would put their account into this session, or this one into theirs.
    if (pending === null || pending.stateHash !== hashOf(state)) throw refusal('state_mismatch');
    record.pending = null;
    return { session: record, provider: pending.provider };
  }

  /**
   * The person approves an account that is there already: once for each provider, however often the button is pressed.
   * @throws AlterError connect_session_invalid
   */
  noteApproval(ticket: string, provider: string): { readonly session: ConnectSession; readonly fail: () => void } {
    const record = this.#open(ticket);
    const isDone = record.approving.has(provider) || record.connected.some((each) => each.provider === provider);
    // SECURITY: a session is for the one whom it was made for; without that, a link would be as good as the account.
    if (record.request.user === null || isDone) throw refusal('session_used');
    record.consents += 1;
    if (record.consents > MAX_CONSENTS) throw refusal('too_many_tries');
    record.approving.add(provider);
    return { session: record, fail: () => void record.approving.delete(provider) };
  }

  /** @throws AlterError connect_session_invalid */
  noteConnected(ticket: string, account: ConnectedAccount): ConnectSession {
    const record = this.#open(ticket);
    record.connected = [...record.connected.filter((each) => each.provider !== account.provider), account];
    return record;
  }

  /** One try failed; the page may try again while the session lasts. @throws AlterError audit_unavailable */
  async noteFailure(
    session: ConnectSession,
    provider: string,
    failure: { readonly error: string; readonly reason: string },
  ): Promise<void> {
    await this.#record(session, 'connect.failed', failure.error, { provider, reason: failure.reason });
  }

  /** Ends the session: with what was connected, or with nothing. @throws AlterError connect_session_invalid, audit_unavailable */
  async end(ticket: string): Promise<ConnectSession> {
    const record = this.#open(ticket);
    await this.#record(record, record.connected.length > 0 ? 'connect.session_completed' : 'connect.session_cancelled');
    record.phase = 'ended';
    record.pending = null;
    return record;
  }

  /** What is open, for the operator. */
  list(): ConnectSession[] {
    const now = this.#now();
    return [...this.#byToken.values()].filter((record) => record.phase !== 'ended' && record.expiresAt > now);
  }

  #open(ticket: string): ConnectRecord {
    const record = this.#byTicket.get(hashOf(ticket));
    if (record === undefined) throw refusal('session_unknown');
    if (record.phase === 'ended') throw refusal('session_used');
    if (record.expiresAt <= this.#now()) throw refusal('session_expired');
    return record;
  }

  async #refuse(record: ConnectRecord, error: 'session_used' | 'session_expired'): Promise<never> {
    record.refusals += 1;
    if (record.refusals <= MAX_RECORDED_REFUSALS) await this.#record(record, 'connect.session_refused', error);
    throw refusal(error);
  }

  #record(
    session: ConnectSession,
    action: ConnectAction,
    error: string | null = null,
    about: { readonly provider?: string; readonly reason?: string } = {},
  ): Promise<unknown> {
    return this.#options.audit.record(connectEvent(session, action, this.#now(), about), connectEventEnd(error));
  }

  /** Spent and expired ones are kept for a while, so that their token is told apart from one that never was. */
  #sweep(): void {
    const now = this.#now();
    for (const [hash, record] of this.#byToken) {
      if (record.expiresAt + CONNECT_SESSION_MS > now) continue;
      this.#byToken.delete(hash);
      if (record.ticketHash !== null) this.#byTicket.delete(record.ticketHash);
    }
  }
}

const mint = (prefix: string): Secret => new Secret(prefix + randomBytes(32).toString('base64url'));
const hashOf = (text: string): string => createHash('sha256').update(text).digest('hex');

const REASONS = {
  session_unknown: 'this link is not known here; it may be incomplete, or alterd was restarted',
  session_used: 'this link was used already',
  session_expired: 'this link has expired',
  too_many_tries: 'it was tried too often',
  state_mismatch: 'the answer does not belong to the consent that this page began',
} as const;

const refusal = (error: keyof typeof REASONS): AlterError =>
  new AlterError('connect_session_invalid', { connect_error: error, reason: REASONS[error] });
