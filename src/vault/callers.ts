/**
 * Who is calling: from the text of a key to an identity, by one hash and one map lookup, and whether that identity still holds.
 * Runs for each proxy socket and each request of an open tunnel, so nothing here waits or scans.
 */
import { type CallerIdentity, NO_NARROWING } from '../domain/agent.ts';
import { AlterError } from '../domain/errors.ts';
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
    if (state.authority.agents.get(caller.agentId)?.status !== 'active') return false;
    if (caller.keyKind === 'agent') {
      const row = state.keyById(caller.keyId);
      return row !== undefined && row.agentId === caller.agentId && isKeyGood(row, state.now());
    }
    const session = caller.sessionId === null ? undefined : this.#sessions.findById(caller.sessionId);
    return session !== undefined && session.info.agentId === caller.agentId && isSessionGood(session, state.now());
  }

  #identifyAgent(hash: string): CallerIdentity {
    const row = this.#state.keyByHash(hash);
    if (row === undefined) throw new AlterError('caller_unauthenticated', {});
    const agent = this.#state.authority.agents.get(row.agentId);
    const now = this.#state.now();
    if (agent?.status !== 'active' || !isKeyGood(row, now)) throw new AlterError('key_revoked', { key_prefix: row.prefix });
    this.#uses.note('key', row.id, now);
    return {
      agentId: agent.id,
      agentName: agent.name,
      keyId: row.id,
      keyPrefix: row.prefix,
      keyKind: 'agent',
      sessionId: null,
      narrowing: NO_NARROWING,
      expiresAt: row.expiresAt,
      boundUid: row.boundUid,
    };
  }

  #identifySession(hash: string): CallerIdentity {
    const session = this.#sessions.findByHash(hash);
    if (session === undefined) throw new AlterError('caller_unauthenticated', {});
    const { info } = session;
    const agent = this.#state.authority.agents.get(info.agentId);
    if (agent?.status !== 'active' || !isSessionGood(session, this.#state.now())) {
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
    };
  }
}
