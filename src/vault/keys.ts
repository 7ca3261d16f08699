/** Agent keys: minted once, stored as a hash, rotated with an overlap, revoked at once. */
import { randomUUID } from 'node:crypto';
import type { Agent, AgentKey } from '../domain/agent.ts';
import { AlterError } from '../domain/errors.ts';
import type { Secret } from '../domain/secret.ts';
import type { KeyRow, StoreChange } from '../store/rows.ts';
import { hashKeyText, mintKeyText, shownPrefix } from './key-text.ts';
import type { LastUses } from './last-uses.ts';
import { expiryProblem, requireNone } from './names.ts';
import type { VaultState } from './state.ts';

const MAX_OVERLAP_MS = 90 * 24 * 3_600_000;
const MAX_UID = 0xffff_fffe;
/** A prefix must at least be longer than what all keys begin with. */
const MIN_PREFIX_LENGTH = 'alter_key_agent_'.length + 3;

export interface MintedKey {
  /** Shown once; only its SHA-256 is kept. */
  readonly key: Secret;
  readonly keyInfo: AgentKey;
}

export interface KeyOptions {
  /** Epoch milliseconds. */
  readonly expiresAt?: number | null | undefined;
  readonly boundUid?: number | null | undefined;
}

/** A key that may still be presented. */
export const isKeyGood = (key: Pick<AgentKey, 'status' | 'expiresAt'>, now: number): boolean =>
  key.status !== 'revoked' && (key.expiresAt === null || key.expiresAt > now);

/** A new key and its row; nothing is stored yet. */
export function mintKey(agent: Agent, now: number, options: KeyOptions = {}): { readonly key: Secret; readonly row: KeyRow } {
  const key = mintKeyText('agent');
  const row: KeyRow = {
    id: randomUUID(),
    agentId: agent.id,
    hash: hashKeyText(key.reveal()),
    prefix: shownPrefix(key, 'agent'),
    status: 'active',
    createdAt: now,
    expiresAt: options.expiresAt ?? null,
    lastUsedAt: null,
    boundUid: options.boundUid ?? null,
  };
  return { key, row };
}

export const keyInfoOf = (row: KeyRow, uses: LastUses): AgentKey => {
  const { hash: _hash, ...info } = row;
  return { ...info, lastUsedAt: uses.latest('key', row.id, row.lastUsedAt) };
};

export class AgentKeys {
  readonly #state: VaultState;
  readonly #uses: LastUses;

  constructor(state: VaultState, uses: LastUses) {
    this.#state = state;
    this.#uses = uses;
  }

  list(agent: Agent): AgentKey[] {
    return this.#state.rows.keys.filter((row) => row.agentId === agent.id).map((row) => keyInfoOf(row, this.#uses));
  }

  /** Call it inside exclusive(). */
  async create(agent: Agent, options: KeyOptions): Promise<MintedKey> {
    const now = this.#state.now();
    requireUsable(agent);
    requireNone([expiryProblem(options.expiresAt, now), uidProblem(options.boundUid)]);
    const { key, row } = mintKey(agent, now, options);
    await this.#state.commit(
      { action: 'key.created', agent, key: row, details: { bound_uid: row.boundUid, expires_at: row.expiresAt } },
      [{ put: 'key', row }],
    );
    return { key, keyInfo: keyInfoOf(row, this.#uses) };
  }

  /** Call it inside exclusive(). */
  async rotate(agent: Agent, overlapMs: number): Promise<MintedKey> {
    const now = this.#state.now();
    requireUsable(agent);
    const fits = Number.isSafeInteger(overlapMs) && overlapMs >= 0 && overlapMs <= MAX_OVERLAP_MS;
    requireNone([fits ? undefined : 'overlap_ms: must be between 0 and 90 days']);
    const active = this.#state.rows.keys.filter(
      (row) => row.agentId === agent.id && row.status === 'active' && isKeyGood(row, now),
    );
    // The new key inherits the binding when all the old ones agree on it: rotation must not widen who may call.
    const uids = new Set(active.map((row) => row.boundUid));
    const { key, row } = mintKey(agent, now, { boundUid: uids.size === 1 ? active[0]!.boundUid : null });
    const changes = active.map((old): StoreChange => {
      const expiresAt = Math.min(old.expiresAt ?? Number.MAX_SAFE_INTEGER, now + overlapMs);
      return { put: 'key', row: { ...old, status: 'deprecated', expiresAt } };
    });
    await this.#state.commit(
      { action: 'key.rotated', agent, key: row, details: { deprecated: active.length, overlap_ms: overlapMs } },
      [{ put: 'key', row }, ...changes],
    );
    return { key, keyInfo: keyInfoOf(row, this.#uses) };
  }

  /** Call it inside exclusive(). */
  async revoke(idOrPrefix: string, force: boolean): Promise<AgentKey> {
    const now = this.#state.now();
    const row = this.#find(idOrPrefix);
    if (row.status === 'revoked') return keyInfoOf(row, this.#uses);
    const agent = this.#state.authority.agents.get(row.agentId);
    const others = this.#state.rows.keys.filter((key) => key.agentId === row.agentId && key.id !== row.id);
    if (!force && isKeyGood(row, now) && !others.some((key) => key.status === 'active' && isKeyGood(key, now))) {
      throw new AlterError('conflict', {
        reason: `The key ${row.prefix}… is the last active key of agent "${agent?.name ?? row.agentId}"`,
        hint: `Mint another first (\`alterd agent key create ${agent?.name ?? 'NAME'}\`), or repeat with --force.`,
      });
    }
    const revoked: KeyRow = { ...row, status: 'revoked' };
    await this.#state.commit({ action: 'key.revoked', agent, key: row }, [{ put: 'key', row: revoked }]);
    return keyInfoOf(revoked, this.#uses);
  }

  #find(idOrPrefix: string): KeyRow {
    const exact = this.#state.keyById(idOrPrefix);
    if (exact !== undefined) return exact;
    const matching =
      idOrPrefix.length < MIN_PREFIX_LENGTH ? [] : this.#state.rows.keys.filter((row) => row.prefix.startsWith(idOrPrefix));
    if (matching.length > 1) {
      throw new AlterError('conflict', {
        reason: `Several keys begin with "${idOrPrefix}"`,
        hint: 'Give the id: `alterd agent key list NAME`.',
      });
    }
    if (matching[0] === undefined) {
      // Not echoed when it is long: it may be a whole key, pasted by mistake.
      const name = idOrPrefix.length > 36 ? `${idOrPrefix.slice(0, 22)}…` : idOrPrefix;
      throw new AlterError('not_found', { what: 'key', name, list_command: 'alterd agent key list NAME' });
    }
    return matching[0];
  }
}

function requireUsable(agent: Agent): void {
  if (agent.status === 'revoked')
    throw new AlterError('conflict', { reason: `Agent "${agent.name}" is revoked`, hint: 'Create a new agent.' });
}

const uidProblem = (uid: number | null | undefined): string | undefined =>
  uid === null || uid === undefined || (Number.isInteger(uid) && uid >= 0 && uid <= MAX_UID)
    ? undefined
    : 'bound_uid: must be a user id, 0 or above';
