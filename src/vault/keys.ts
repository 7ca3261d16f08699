/** Agent keys: minted once, stored as a hash, rotated with an overlap, revoked at once. */
import { randomUUID } from 'node:crypto';
import { type Agent, type AgentKey, type KeyBinding, type Narrowing, NO_BINDING, NO_NARROWING } from '../domain/agent.ts';
import { AlterError } from '../domain/errors.ts';
import type { Secret } from '../domain/secret.ts';
import type { KeyRow, StoreChange } from '../store/rows.ts';
import { bindingProblems, bindingWithin, widerProblems } from './key-binding.ts';
import { hashKeyText, mintKeyText, shownPrefix } from './key-text.ts';
import type { LastUses } from './last-uses.ts';
import { expiryProblem, requireNone } from './names.ts';
import { narrowingProblems, normalisedNarrowing } from './narrowing.ts';
import type { VaultState } from './state.ts';

const MAX_OVERLAP_MS = 90 * 24 * 3_600_000;
/** When nothing is said: long enough for a day's work. */
const DERIVED_TTL_MS = 24 * 3_600_000;
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
  readonly binding?: Partial<KeyBinding> | undefined;
}

/** What is asked of a derived key; whatever is left out is as in its parent. */
export interface DerivedKeyOptions extends KeyOptions {
  readonly narrowing?: Narrowing | undefined;
}

/** A key that may still be presented. */
export const isKeyGood = (key: Pick<AgentKey, 'status' | 'expiresAt'>, now: number): boolean =>
  key.status !== 'revoked' && (key.expiresAt === null || key.expiresAt > now);

/** A new key and its row; nothing is stored yet. */
export function mintKey(
  agent: Agent,
  now: number,
  options: DerivedKeyOptions & { readonly parentKeyId?: string } = {},
): { readonly key: Secret; readonly row: KeyRow } {
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
    binding: { ...NO_BINDING, ...options.binding },
    parentKeyId: options.parentKeyId ?? null,
    narrowing: options.narrowing ?? NO_NARROWING,
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
    requireNone([expiryProblem(options.expiresAt, now), uidProblem(options.boundUid), ...bindingProblems(options.binding)]);
    const { key, row } = mintKey(agent, now, options);
    await this.#state.commit({ action: 'key.created', agent, key: row, details: keyDetails(row) }, [{ put: 'key', row }]);
    return { key, keyInfo: keyInfoOf(row, this.#uses) };
  }

  /** A key that can do less than the one it comes from, and ends with it. Call it inside exclusive(). */
  async derive(idOrPrefix: string, options: DerivedKeyOptions): Promise<MintedKey> {
    const now = this.#state.now();
    const parent = this.#find(idOrPrefix);
    const agent = this.#state.authority.agents.get(parent.agentId);
    if (agent === undefined || !isKeyGood(parent, now)) throw new AlterError('key_revoked', { key_prefix: parent.prefix });
    requireUsable(agent);
    // SECURITY: one step only: whoever holds a derived key must not be able to make keys that outlive the sight of its maker.
    if (parent.parentKeyId !== null)
      throw new AlterError('conflict', {
        reason: 'A derived key can not be derived from',
        hint: 'Derive from the key of the agent.',
      });
    const grants = new Set(this.#state.rows.grants.map((grant) => grant.id));
    const narrowing = options.narrowing ?? NO_NARROWING;
    requireNone([
      expiryProblem(options.expiresAt, now),
      uidProblem(options.boundUid),
      ...bindingProblems(options.binding),
      ...widerProblems(parent, options),
      ...narrowingProblems(narrowing, grants),
    ]);
    const { key, row } = mintKey(agent, now, {
      expiresAt: Math.min(options.expiresAt ?? now + DERIVED_TTL_MS, parent.expiresAt ?? Number.POSITIVE_INFINITY),
      boundUid: options.boundUid ?? parent.boundUid,
      binding: bindingWithin(parent.binding, options.binding),
      narrowing: normalisedNarrowing(narrowing),
      parentKeyId: parent.id,
    });
    await this.#state.commit(
      { action: 'key.derived', agent, key: row, details: { ...keyDetails(row), parent_key: parent.prefix } },
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
      (row) => row.agentId === agent.id && row.parentKeyId === null && row.status === 'active' && isKeyGood(row, now),
    );
    // The new key inherits the binding when all the old ones agree on it: rotation must not widen who may call.
    const uids = new Set(active.map((row) => row.boundUid));
    const bindings = new Set(active.map((row) => JSON.stringify(row.binding)));
    const { key, row } = mintKey(agent, now, {
      boundUid: uids.size === 1 ? active[0]!.boundUid : null,
      ...(bindings.size === 1 ? { binding: active[0]!.binding } : {}),
    });
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
    const others = this.#state.rows.keys.filter(
      (key) => key.agentId === row.agentId && key.id !== row.id && key.parentKeyId === null,
    );
    if (
      !force &&
      row.parentKeyId === null &&
      isKeyGood(row, now) &&
      !others.some((key) => key.status === 'active' && isKeyGood(key, now))
    ) {
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
    throw new AlterError('conflict', {
      reason: `Agent "${agent.name}" is revoked`,
      hint: 'Make a new one: `alterd agent create NAME`.',
    });
}

const keyDetails = (row: KeyRow): Record<string, string | number | null> => ({
  bound_uid: row.boundUid,
  expires_at: row.expiresAt,
  bound_unit: row.binding.unit,
  bound_executable: row.binding.executable,
  bound_cidr: row.binding.cidr,
});

const uidProblem = (uid: number | null | undefined): string | undefined =>
  uid === null || uid === undefined || (Number.isInteger(uid) && uid >= 0 && uid <= MAX_UID)
    ? undefined
    : 'bound_uid: must be a user id, 0 or above';
