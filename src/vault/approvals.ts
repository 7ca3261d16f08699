/**
 * Approvals under way: who asks for what, who waits, what was decided. They live in memory and die with the daemon: what nobody
 * approved, or approved and nobody used, is asked again. What was approved for more than once is a permit, which the vault keeps.
 * Every step is an audit event, written before it takes effect.
 * SECURITY: an approval lets exactly one request pass, and only the very one that was asked about (S-95); what an approver is shown
 * is never changed afterwards.
 */
import { randomBytes } from 'node:crypto';
import type { Approval, ApprovalAnswer, ApprovalPort, ApprovalStatus, ApprovalSubject } from '../domain/approval.ts';
import type { AuditPort } from '../domain/audit.ts';
import { BLANK_EVENT } from '../domain/audit-event.ts';
import { AlterError } from '../domain/errors.ts';
import type { CallPattern, Permit, PermitTerm } from '../domain/permit.ts';
import type { VaultPermits } from './permits.ts';

export interface ApprovalLimits {
  /** How long a question stays open, and an approval unused. */
  readonly expireMs: number;
  readonly pendingPerAgent: number;
  readonly pending: number;
}

/** Who decides: a name for the audit row. Never an agent. */
export interface Approver {
  readonly name: string;
  /** Of the user who signed in; null for the operator of a machine without issuers. */
  readonly userId: string | null;
}

export interface VaultApprovals {
  /** Newest first; those that are over are kept for a while. */
  list(): readonly Approval[];
  /** @throws AlterError not_found */
  find(id: string): Approval;
  /** `term`: a permit for further calls of the kind is made too. @throws AlterError not_found, conflict, forbidden, audit_unavailable, vault_unavailable */
  approve(id: string, approver: Approver, term: PermitTerm | null): Promise<Approval>;
  /** @throws AlterError not_found, conflict, audit_unavailable */
  deny(id: string, approver: Approver): Promise<Approval>;
  /** Calls `listener` after each change; answers the function that stops it. */
  onChange(listener: (approval: Approval) => void): () => void;
}

interface Waiter {
  readonly answer: (answer: ApprovalAnswer) => void;
}

interface Entry {
  approval: Approval;
  readonly fingerprint: string;
  readonly pattern: CallPattern;
  readonly waiters: Set<Waiter>;
  /** Somebody was told that it is pending and may come back. */
  told: boolean;
  /** It left a permit, which lets the request pass in its place. */
  permit: Permit | null;
}

const KEPT = 500;
const ENDED = { outcome: 'success', status: null, error: null, latency_ms: 0, bytes_in: 0, bytes_out: 0 } as const;

/** Somebody may still decide on it, or use it. */
const isOpen = ({ approval, permit }: Entry): boolean =>
  approval.status === 'pending' || (approval.status === 'approved' && permit === null);

export class Approvals implements ApprovalPort, VaultApprovals {
  readonly #audit: AuditPort;
  readonly #limits: () => ApprovalLimits;
  readonly #permits: Pick<VaultPermits, 'match' | 'create' | 'revoke'>;
  readonly #now: () => number;
  /** In order of creation. */
  readonly #entries = new Map<string, Entry>();
  readonly #listeners = new Set<(approval: Approval) => void>();
  #closed = false;

  constructor(
    audit: AuditPort,
    limits: () => ApprovalLimits,
    permits: Pick<VaultPermits, 'match' | 'create' | 'revoke'>,
    now: () => number = Date.now,
  ) {
    this.#audit = audit;
    this.#limits = limits;
    this.#permits = permits;
    this.#now = now;
  }

  async ask(
    subject: ApprovalSubject,
    fingerprint: string,
    pattern: CallPattern,
    holdMs: number,
    left: AbortSignal,
  ): Promise<ApprovalAnswer> {
    this.#sweep();
    const permit = this.#permits.match(pattern);
    if (permit !== undefined) return { kind: 'approved', id: permit.id, by: permit.createdBy };
    const joined = this.#openFor(fingerprint);
    if (joined?.approval.status === 'approved') return this.#use(joined);
    const entry = joined ?? (await this.#create(subject, fingerprint, pattern));
    if (entry === null) return { kind: 'limit' };
    // Decided while its event was written.
    if (entry.approval.status === 'approved') return this.#use(entry);
    if (entry.approval.status === 'denied') return { kind: 'denied', id: entry.approval.id };
    return this.#wait(entry, holdMs, left);
  }

  list(): readonly Approval[] {
    this.#sweep();
    return [...this.#entries.values()].reverse().map(({ approval }) => approval);
  }

  find(id: string): Approval {
    this.#sweep();
    return this.#entryOf(id).approval;
  }

  async approve(id: string, approver: Approver, term: PermitTerm | null): Promise<Approval> {
    const entry = this.#requirePending(id);
    requireAnother(entry.approval, approver);
    await this.#record('approval.approved', entry, { by: approver.name, by_user_id: approver.userId, for_ms: term });
    this.#requirePending(id);
    // SECURITY: the permit stands in place of the approval: once it is revoked nothing must be left that one more request could use.
    entry.permit = term === null ? null : await this.#permit(entry, approver, term);
    const { permit } = entry;
    const at = this.#now();
    this.#change(entry, { status: 'approved', decidedAt: at, decidedBy: approver.name, expiresAt: at + this.#limits().expireMs });
    this.#sweepLater();
    const waiters = [...entry.waiters];
    entry.waiters.clear();
    const first = permit === null ? waiters.shift() : undefined;
    if (first !== undefined) first.answer(await this.#use(entry));
    // An approval is for one request. Those that waited beside it were told of it, and ask again for themselves.
    for (const other of waiters)
      other.answer(
        permit === null
          ? { kind: 'pending', id, expiresAt: entry.approval.expiresAt }
          : { kind: 'approved', id: permit.id, by: approver.name },
      );
    return entry.approval;
  }

  async deny(id: string, approver: Approver): Promise<Approval> {
    const entry = this.#requirePending(id);
    await this.#record('approval.denied', entry, { by: approver.name, by_user_id: approver.userId });
    this.#requirePending(id);
    this.#change(entry, { status: 'denied', decidedAt: this.#now(), decidedBy: approver.name });
    this.#answerAll(entry, { kind: 'denied', id });
    return entry.approval;
  }

  onChange(listener: (approval: Approval) => void): () => void {
    const own = (approval: Approval): void => listener(approval);
    this.#listeners.add(own);
    return () => void this.#listeners.delete(own);
  }

  /** Answers everybody who waits; for the end of the daemon. */
  close(): void {
    this.#closed = true;
    for (const entry of this.#entries.values())
      this.#answerAll(entry, { kind: 'pending', id: entry.approval.id, expiresAt: entry.approval.expiresAt });
  }

  /** The permit that an approval leaves behind; none when it was decided otherwise, or is over, by then. */
  async #permit(entry: Entry, approver: Approver, term: PermitTerm): Promise<Permit> {
    const { id } = entry.approval;
    const permit = await this.#permits.create(entry.pattern, term, { approvalId: id, by: approver.name });
    try {
      this.#requirePending(id);
    } catch (thrown) {
      await this.#permits.revoke(permit.id, approver.name);
      throw thrown;
    }
    return permit;
  }

  /** SECURITY: the status changes before anybody waits for anything, so that two requests never use one approval (S-95). */
  async #use(entry: Entry): Promise<ApprovalAnswer> {
    const { id, decidedBy } = entry.approval;
    this.#change(entry, { status: 'used' });
    await this.#record('approval.used', entry, { by: decidedBy ?? '' });
    return { kind: 'approved', id, by: decidedBy ?? '' };
  }

  #openFor(fingerprint: string): Entry | undefined {
    for (const entry of this.#entries.values()) if (entry.fingerprint === fingerprint && isOpen(entry)) return entry;
    return undefined;
  }

  async #create(subject: ApprovalSubject, fingerprint: string, pattern: CallPattern): Promise<Entry | null> {
    const limits = this.#limits();
    const pending = [...this.#entries.values()].filter(({ approval }) => approval.status === 'pending');
    if (pending.length >= limits.pending) return null;
    if (pending.filter(({ approval }) => approval.agentId === subject.agentId).length >= limits.pendingPerAgent) return null;
    const at = this.#now();
    const approval: Approval = {
      ...subject,
      id: `apr_${randomBytes(12).toString('base64url')}`,
      status: 'pending',
      createdAt: at,
      expiresAt: at + limits.expireMs,
      decidedAt: null,
      decidedBy: null,
      waiting: 0,
    };
    const entry: Entry = { approval, fingerprint, pattern, waiters: new Set(), told: false, permit: null };
    // Before its event is written, so that an identical request that comes meanwhile joins it.
    this.#entries.set(approval.id, entry);
    try {
      await this.#record('approval.requested', entry, {});
    } catch (thrown) {
      this.#entries.delete(approval.id);
      throw thrown;
    }
    this.#tell(entry);
    this.#sweepLater();
    this.#trim();
    return entry;
  }

  #wait(entry: Entry, holdMs: number, left: AbortSignal): Promise<ApprovalAnswer> {
    return new Promise((resolve) => {
      const { id } = entry.approval;
      const settle = (answer: ApprovalAnswer): void => {
        clearTimeout(timer);
        left.removeEventListener('abort', onLeft);
        entry.waiters.delete(waiter);
        this.#count(entry);
        resolve(answer);
      };
      const waiter: Waiter = { answer: settle };
      const onLeft = (): void => {
        settle({ kind: 'pending', id, expiresAt: entry.approval.expiresAt });
        // SECURITY: nobody is there any more for whom it could be approved (S-97).
        if (entry.waiters.size === 0 && !entry.told && entry.approval.status === 'pending') void this.#end(entry, 'cancelled');
      };
      const timer = setTimeout(
        () => {
          entry.told = true;
          settle({ kind: 'pending', id, expiresAt: entry.approval.expiresAt });
        },
        Math.max(0, Math.min(holdMs, entry.approval.expiresAt - this.#now())),
      );
      left.addEventListener('abort', onLeft, { once: true });
      entry.waiters.add(waiter);
      this.#count(entry);
      if (left.aborted) onLeft();
    });
  }

  #requirePending(id: string): Entry {
    this.#sweep();
    const entry = this.#entryOf(id);
    if (entry.approval.status !== 'pending')
      throw new AlterError('conflict', {
        reason: `The approval ${id} is ${entry.approval.status}`,
        hint: 'See what waits: `alterd approvals list`.',
      });
    return entry;
  }

  #entryOf(id: string): Entry {
    const entry = this.#entries.get(id);
    if (entry === undefined)
      throw new AlterError('not_found', { what: 'approval', name: id, list_command: 'alterd approvals list' });
    return entry;
  }

  /** Ends what is too old; called before anything is looked at. */
  #sweep(): void {
    const now = this.#now();
    for (const entry of this.#entries.values()) {
      if (isOpen(entry) && entry.approval.expiresAt <= now) void this.#end(entry, 'expired');
    }
  }

  /** So that whoever listens hears of the end when it comes, not when somebody looks. */
  #sweepLater(): void {
    setTimeout(() => {
      if (!this.#closed) this.#sweep();
    }, this.#limits().expireMs + 1).unref();
  }

  async #end(entry: Entry, status: 'expired' | 'cancelled'): Promise<void> {
    this.#change(entry, { status });
    this.#answerAll(entry, { kind: 'pending', id: entry.approval.id, expiresAt: entry.approval.expiresAt });
    // Nothing passes by an approval that ended, whether the event could be written or not.
    await this.#record(`approval.${status}`, entry, {}).catch(() => {});
  }

  #answerAll(entry: Entry, answer: ApprovalAnswer): void {
    for (const waiter of [...entry.waiters]) waiter.answer(answer);
  }

  #change(
    entry: Entry,
    change: Partial<Pick<Approval, 'decidedAt' | 'decidedBy' | 'expiresAt'>> & { status: ApprovalStatus },
  ): void {
    entry.approval = { ...entry.approval, ...change };
    this.#tell(entry);
  }

  #count(entry: Entry): void {
    entry.approval = { ...entry.approval, waiting: entry.waiters.size };
    this.#tell(entry);
  }

  #tell(entry: Entry): void {
    for (const listener of this.#listeners) listener(entry.approval);
  }

  /** Forgets the oldest of those that are over. */
  #trim(): void {
    let surplus = this.#entries.size - KEPT;
    for (const [id, entry] of this.#entries) {
      if (surplus <= 0) return;
      if (isOpen(entry)) continue;
      this.#entries.delete(id);
      surplus--;
    }
  }

  async #record(action: string, { approval }: Entry, details: Readonly<Record<string, string | number | null>>): Promise<void> {
    await this.#audit.record(
      {
        ...BLANK_EVENT,
        at: this.#now(),
        action,
        agent_id: approval.agentId,
        agent: approval.agent,
        session_id: approval.sessionId,
        user_id: approval.userId,
        user: approval.user,
        grant_id: approval.grantId,
        grant_label: approval.grantLabel,
        provider_id: approval.providerId,
        credential: approval.credential,
        method: approval.method,
        path: approval.path,
        rule: approval.rule,
        reason: approval.agentSays.reason,
        run_id: approval.agentSays.runId,
        tool: approval.agentSays.tool,
        details: { approval: approval.id, origin: approval.origin, body_sha256: approval.bodySha256, ...details },
      },
      ENDED,
    );
  }
}

/** SECURITY: nobody lets their own request pass, or an agent that has a person's ear needs no second one (S-94). Denying is anybody's. */
function requireAnother({ userId }: Approval, approver: Approver): void {
  if (userId === null || userId !== approver.userId) return;
  throw new AlterError(
    'forbidden',
    { reason: 'The request is made for you, so somebody else has to approve it' },
    { hint: 'Ask another person who is signed in, or deny it: `alterd approvals deny ID`.' },
  );
}
