/**
 * Who is calling: from the text of a key to an identity, by one hash and one map lookup, and whether that identity still holds.
 * Runs for each proxy socket and each request of an open tunnel, so nothing here waits or scans.
 */
import { type Agent, type CallerIdentity, NO_BINDING } from '../domain/agent.ts';
import { type Authority, isAgentActive } from '../domain/authority.ts';
import { AlterError } from '../domain/errors.ts';
import type { KeyRow } from '../store/rows.ts';
import { hashKeyText, inspectKeyText } from './key-text.ts';
import { isKeyGood } from './keys.ts';
import type { LastUses } from './last-uses.ts';
import { type EmbeddedSessions, isSessionGood } from './sessions.ts';
import type { VaultState } from './state.ts';

export class Callers {
  readonly #state: VaultState;
  readonly #sessions: EmbeddedSessions;
  readonly #uses: LastUses;

  constructor(state: VaultState, sessions: EmbeddedSessions, uses: LastUses) {
    this.#state = state;
    this.#sessions = sessions;
    this.#uses = uses;
  }

  /** @throws AlterError caller_unauthenticated, key_revoked */
  identify(key: string): CallerIdentity {
    const kind = inspectKeyText(key);
    if (kind === 'malformed') throw new AlterError('caller_unauthenticated', {});
    if (kind === 'typo')
      throw new AlterError('caller_unauthenticated', { reason: 'The key has a typo: its last characters do not fit the rest.' });
    return kind === 'agent' ? this.#identifyAgent(hashKeyText(key)) : this.#identifySession(hashKeyText(key));
  }

  isValid(caller: CallerIdentity): boolean {
    const state = this.#state;
    if (!isAgentActive(state.authority, caller.agentId)) return false;
    if (!isUserActive(state.authority, caller.userId)) return false;
    if (caller.keyKind === 'agent') {
      const row = state.keyById(caller.keyId);
      return row !== undefined && row.agentId === caller.agentId && this.#isGood(row, state.now());
    }
    const session = caller.sessionId === null ? undefined : this.#sessions.findById(caller.sessionId);
    return session !== undefined && session.info.agentId === caller.agentId && isSessionGood(session, state.now());
  }

  #identifyAgent(hash: string): CallerIdentity {
    const row = this.#state.keyByHash(hash);
    if (row === undefined) throw new AlterError('caller_unauthenticated', {});
    const agent = this.#state.authority.agents.get(row.agentId);
    const now = this.#state.now();
    if (agent === undefined || !isAgentActive(this.#state.authority, agent.id) || !this.#isGood(row, now))
      throw new AlterError('key_revoked', { key_prefix: row.prefix });
    this.#uses.note('key', row.id, now);
    return {
      agentId: agent.id,
      agentName: agent.name,
      keyId: row.id,
      keyPrefix: row.prefix,
      keyKind: 'agent',
      sessionId: null,
      narrowing: row.narrowing,
      expiresAt: row.expiresAt,
      boundUid: row.boundUid,
      binding: row.binding,
      userId: null,
      parentAgent: parentOf(this.#state.authority, agent),
    };
  }

  #identifySession(hash: string): CallerIdentity {
    const session = this.#sessions.findByHash(hash);
    if (session === undefined) throw new AlterError('caller_unauthenticated', {});
    const { info } = session;
    const agent = this.#state.authority.agents.get(info.agentId);
    const { authority } = this.#state;
    const isGood = isSessionGood(session, this.#state.now()) && isUserActive(authority, info.userId);
    if (agent === undefined || !isAgentActive(authority, agent.id) || !isGood) {
      throw new AlterError('key_revoked', { key_prefix: info.keyPrefix });
    }
    return {
      agentId: agent.id,
      agentName: agent.name,
      keyId: info.sessionId,
      keyPrefix: info.keyPrefix,
      keyKind: 'session',
      sessionId: info.sessionId,
      narrowing: info.narrowing,
      expiresAt: info.expiresAt,
      boundUid: null,
      binding: NO_BINDING,
      userId: info.userId,
      parentAgent: parentOf(authority, agent),
    };
  }

  /** SECURITY: a derived key ends with the key that it came from, whatever its own row says. */
  #isGood(row: KeyRow, now: number): boolean {
    if (!isKeyGood(row, now)) return false;
    if (row.parentKeyId === null) return true;
    const parent = this.#state.keyById(row.parentKeyId);
    return parent !== undefined && parent.parentKeyId === null && isKeyGood(parent, now);
  }
}

const isUserActive = (authority: Authority, userId: string | null): boolean =>
  userId === null || authority.users.get(userId)?.status === 'active';

const parentOf = (authority: Authority, agent: Agent): string | null =>
  agent.parentId === null ? null : (authority.agents.get(agent.parentId)?.name ?? null);
