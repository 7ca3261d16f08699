/**
 * Sessions: short-lived keys that can only do less than their agent. They live in memory alone and die with the daemon, and
 * with their agent's pause or end.
 */
import { randomUUID } from 'node:crypto';
import type { Narrowing } from '../domain/agent.ts';
import { AlterError } from '../domain/errors.ts';
import type { Secret } from '../domain/secret.ts';
import type { User } from '../domain/user.ts';
import { hashKeyText, mintKeyText, shownPrefix } from './key-text.ts';
import { requireNone } from './names.ts';
import { narrowingProblems, normalisedNarrowing } from './narrowing.ts';
import type { VaultState } from './state.ts';

const MAX_TTL_MS = 30 * 24 * 3_600_000;
const MAX_LABEL_LENGTH = 200;

/** What may be said of a session. */
export interface SessionInfo {
  readonly sessionId: string;
  readonly agentId: string;
  readonly agentName: string;
  readonly label: string | null;
  readonly keyPrefix: string;
  readonly narrowing: Narrowing;
  /** The user whom it was made for: it calls for no other. */
  readonly userId: string | null;
  readonly createdAt: number;
  readonly expiresAt: number;
}

export interface NewSession {
  readonly agentName: string;
  readonly narrowing: Narrowing;
  readonly ttlMs: number;
  readonly label?: string | null | undefined;
  /** Id of a user. */
  readonly userId?: string | null | undefined;
  /** Where the user was proved by something that ends: the session ends no later. Epoch milliseconds. */
  readonly notAfter?: number | undefined;
}

export interface VaultSessions {
  /** @throws AlterError not_found, conflict, invalid_input, audit_unavailable */
  create(input: NewSession): Promise<{ readonly sessionId: string; readonly key: Secret; readonly expiresAt: number }>;
  /** @throws AlterError not_found, audit_unavailable */
  revoke(sessionId: string): Promise<void>;
  /** The sessions that are still good. */
  list(): SessionInfo[];
}

/** A session and the hash that its key is found by. `ended` ones are kept until they expire, to answer "revoked", not "unknown". */
export interface SessionRecord {
  readonly info: SessionInfo;
  readonly hash: string;
  ended: boolean;
}

export class EmbeddedSessions implements VaultSessions {
  readonly #state: VaultState;
  readonly #byHash = new Map<string, SessionRecord>();
  readonly #byId = new Map<string, SessionRecord>();

  constructor(state: VaultState) {
    this.#state = state;
  }

  create(input: NewSession): Promise<{ readonly sessionId: string; readonly key: Secret; readonly expiresAt: number }> {
    return this.#state.exclusive(async () => {
      this.#sweep();
      const agent = this.#state.findAgent(input.agentName);
      if (agent.status !== 'active') {
        throw new AlterError('conflict', {
          reason: `Agent "${agent.name}" is ${agent.status}`,
          hint:
            agent.status === 'paused'
              ? `Resume it: \`alterd agent resume ${agent.name}\`.`
              : 'Make a new one: `alterd agent create NAME`.',
        });
      }
      requireNone(this.#problems(input));
      const user = this.#userOf(input);
      const now = this.#state.now();
      const key = mintKeyText('session');
      const info: SessionInfo = {
        sessionId: randomUUID(),
        agentId: agent.id,
        agentName: agent.name,
        label: input.label ?? null,
        keyPrefix: shownPrefix(key, 'session'),
        narrowing: normalisedNarrowing(input.narrowing),
        userId: user?.id ?? null,
        createdAt: now,
        expiresAt: Math.min(now + input.ttlMs, input.notAfter ?? Number.POSITIVE_INFINITY),
      };
      const record: SessionRecord = { info, hash: hashKeyText(key.reveal()), ended: false };
      const event = {
        action: 'session.created',
        agent,
        sessionId: info.sessionId,
        user,
        details: { expires_at: info.expiresAt },
      } as const;
      await this.#state.commitInMemory(event, () => {
        this.#byHash.set(record.hash, record);
        this.#byId.set(info.sessionId, record);
      });
      return { sessionId: info.sessionId, key, expiresAt: info.expiresAt };
    });
  }

  revoke(sessionId: string): Promise<void> {
    return this.#state.exclusive(async () => {
      const record = this.#byId.get(sessionId);
      if (!record) throw new AlterError('not_found', { what: 'session', name: sessionId, list_command: 'alterd session list' });
      if (record.ended) return;
      const { agentId, agentName } = record.info;
      await this.#state.commitInMemory({ action: 'session.revoked', agent: { id: agentId, name: agentName }, sessionId }, () => {
        record.ended = true;
      });
    });
  }

  list(): SessionInfo[] {
    const now = this.#state.now();
    return [...this.#byId.values()].filter((record) => isSessionGood(record, now)).map((record) => record.info);
  }

  findByHash(hash: string): SessionRecord | undefined {
    return this.#byHash.get(hash);
  }

  findById(sessionId: string): SessionRecord | undefined {
    return this.#byId.get(sessionId);
  }

  endAllOf(agentId: string): void {
    for (const record of this.#byId.values()) if (record.info.agentId === agentId) record.ended = true;
  }

  endAllOfUser(userId: string): void {
    for (const record of this.#byId.values()) if (record.info.userId === userId) record.ended = true;
  }

  #userOf({ userId }: NewSession): User | undefined {
    if (userId === null || userId === undefined) return undefined;
    const user = this.#state.authority.users.get(userId);
    if (user === undefined) throw new AlterError('not_found', { what: 'user', name: userId, list_command: 'alterd user list' });
    if (user.status === 'active') return user;
    throw new AlterError('conflict', {
      reason: 'The user is deactivated',
      hint: `Let the user in again: \`alterd user activate ${user.id}\`.`,
    });
  }

  #sweep(): void {
    const now = this.#state.now();
    for (const [id, record] of this.#byId) {
      if (record.info.expiresAt > now) continue;
      this.#byId.delete(id);
      this.#byHash.delete(record.hash);
    }
  }

  #problems({ narrowing, ttlMs, label }: NewSession): (string | undefined)[] {
    const known = new Set(this.#state.rows.grants.map((grant) => grant.id));
    return [
      Number.isSafeInteger(ttlMs) && ttlMs > 0 && ttlMs <= MAX_TTL_MS ? undefined : 'ttl_ms: must be between 1 ms and 30 days',
      (label ?? '').length <= MAX_LABEL_LENGTH ? undefined : `label: has at most ${MAX_LABEL_LENGTH} characters`,
      ...narrowingProblems(narrowing, known),
    ];
  }
}

export const isSessionGood = (record: SessionRecord, now: number): boolean => !record.ended && record.info.expiresAt > now;
