/** Agents: created with a first key, paused and resumed, revoked for good, removed with everything they own. */
import { randomUUID } from 'node:crypto';
import type { Agent, AgentKey, AgentStatus } from '../domain/agent.ts';
import { isAgentActive, MAX_AGENT_DEPTH } from '../domain/authority.ts';
import { AlterError } from '../domain/errors.ts';
import type { StoreChange } from '../store/rows.ts';
import { type AgentOptions, agentProblems } from './agent-input.ts';
import { endings } from './endings.ts';
import type { VaultAction } from './events.ts';
import { type AgentKeys, type DerivedKeyOptions, type KeyOptions, keyInfoOf, type MintedKey, mintKey } from './keys.ts';
import type { LastUses } from './last-uses.ts';
import { requireNone, slugProblem } from './names.ts';
import type { TokenEndings } from './oauth/token-endings.ts';
import type { EmbeddedSessions } from './sessions.ts';
import type { VaultState } from './state.ts';

export interface NewAgent extends AgentOptions {
  readonly name: string;
}

export interface VaultAgents {
  list(): Agent[];
  /** @throws AlterError not_found */
  find(nameOrId: string): Agent;
  /** @throws AlterError invalid_input, conflict, audit_unavailable, vault_unavailable */
  create(input: NewAgent): Promise<MintedKey & { readonly agent: Agent }>;
  /** Replaces what is given. @throws AlterError not_found, conflict, invalid_input, audit_unavailable, vault_unavailable */
  change(nameOrId: string, options: Omit<AgentOptions, 'parent'>): Promise<Agent>;
  /** @throws AlterError not_found, conflict, invalid_input, audit_unavailable, vault_unavailable */
  changeStatus(nameOrId: string, status: AgentStatus): Promise<Agent>;
  /** Removes the agent with its keys, sessions and grants. @throws AlterError not_found, audit_unavailable, vault_unavailable */
  remove(nameOrId: string): Promise<void>;
  /** @throws AlterError not_found */
  listKeys(nameOrId: string): AgentKey[];
  /** @throws AlterError not_found, conflict, invalid_input, audit_unavailable, vault_unavailable */
  createKey(nameOrId: string, options?: KeyOptions): Promise<MintedKey>;
  /** A key that can do less than the one named by id or prefix. @throws AlterError not_found, key_revoked, conflict, invalid_input, audit_unavailable, vault_unavailable */
  deriveKey(idOrPrefix: string, options?: DerivedKeyOptions): Promise<MintedKey>;
  /**
   * A new key; the active ones become deprecated and end after `overlapMs`.
   * @throws AlterError not_found, conflict, invalid_input, audit_unavailable, vault_unavailable
   */
  rotateKey(nameOrId: string, options: { readonly overlapMs: number }): Promise<MintedKey>;
  /** @throws AlterError not_found, conflict, audit_unavailable, vault_unavailable */
  revokeKey(idOrPrefix: string, options?: { readonly force?: boolean | undefined }): Promise<AgentKey>;
}

const STATUS_ACTIONS: Readonly<Record<AgentStatus, VaultAction>> = {
  active: 'agent.resumed',
  paused: 'agent.paused',
  revoked: 'agent.revoked',
};

export interface AgentParts {
  readonly state: VaultState;
  readonly keys: AgentKeys;
  readonly sessions: EmbeddedSessions;
  readonly uses: LastUses;
  readonly endings: TokenEndings;
}

export class EmbeddedAgents implements VaultAgents {
  readonly #parts: AgentParts;

  constructor(parts: AgentParts) {
    this.#parts = parts;
  }

  list(): Agent[] {
    return [...this.#parts.state.rows.agents];
  }

  find(nameOrId: string): Agent {
    return this.#parts.state.findAgent(nameOrId);
  }

  create(input: NewAgent): Promise<MintedKey & { readonly agent: Agent }> {
    const { state, uses } = this.#parts;
    return state.exclusive(async () => {
      requireNone([slugProblem('name', input.name), ...agentProblems(input)]);
      if (state.rows.agents.some((agent) => agent.name === input.name)) {
        throw new AlterError('conflict', { reason: `There is an agent "${input.name}" already`, hint: 'Choose another name.' });
      }
      const now = state.now();
      const agent: Agent = {
        id: randomUUID(),
        name: input.name,
        status: 'active',
        createdAt: now,
        type: input.type ?? 'agent',
        providers: input.providers === undefined || input.providers === null ? null : [...new Set(input.providers)],
        parentId: input.parent === undefined ? null : this.#parent(input.parent).id,
        metadata: { ...input.metadata },
      };
      const { key, row } = mintKey(agent, now);
      await state.commit({ action: 'agent.created', agent, key: row, details: agentDetails(agent) }, [
        { put: 'agent', row: agent },
        { put: 'key', row },
      ]);
      return { agent, key, keyInfo: keyInfoOf(row, uses) };
    });
  }

  change(nameOrId: string, options: Omit<AgentOptions, 'parent'>): Promise<Agent> {
    const { state } = this.#parts;
    return state.exclusive(async () => {
      requireNone(agentProblems(options));
      const before = this.find(nameOrId);
      const agent: Agent = {
        ...before,
        type: options.type ?? before.type,
        providers: options.providers === undefined ? before.providers : options.providers && [...new Set(options.providers)],
        metadata: options.metadata ?? before.metadata,
      };
      await state.commit({ action: 'agent.changed', agent, details: agentDetails(agent) }, [{ put: 'agent', row: agent }]);
      return agent;
    });
  }

  changeStatus(nameOrId: string, status: AgentStatus): Promise<Agent> {
    const { state, sessions } = this.#parts;
    return state.exclusive(async () => {
      requireNone([Object.hasOwn(STATUS_ACTIONS, status) ? undefined : 'status: must be active, paused or revoked']);
      const before = this.find(nameOrId);
      if (before.status === status) return before;
      if (before.status === 'revoked') {
        throw new AlterError('conflict', {
          reason: `Agent "${before.name}" is revoked for good`,
          hint: 'Make a new one: `alterd agent create NAME`.',
        });
      }
      const agent: Agent = { ...before, status };
      const held = status === 'revoked' ? state.rows.delegations.filter((delegation) => delegation.agentId === agent.id) : [];
      const changes: StoreChange[] = [{ put: 'agent', row: agent }, ...endings(held, 'operator', state.now())];
      await state.commit({ action: STATUS_ACTIONS[status], agent }, changes, {
        // Sessions end with a pause; resuming must not bring them back.
        beforePublishing: () => status !== 'active' && sessions.endAllOf(agent.id),
      });
      return agent;
    });
  }

  remove(nameOrId: string): Promise<void> {
    const { state, sessions, endings } = this.#parts;
    return state.exclusive(async () => {
      const agent = this.find(nameOrId);
      const child = state.rows.agents.find((other) => other.parentId === agent.id);
      if (child !== undefined)
        throw new AlterError('conflict', {
          reason: `Agent "${child.name}" works under "${agent.name}"`,
          hint: `Remove it first: \`alterd agent remove ${child.name}\`.`,
        });
      const owned = state.rows.grants.filter(({ principal }) => principal.type === 'agent' && principal.agentId === agent.id);
      const grants = owned.length;
      const ending = await endings.prepare(owned.map((grant) => grant.id));
      const keys = state.rows.keys.filter((key) => key.agentId === agent.id).length;
      await state.commit(
        { action: 'agent.removed', agent, details: { keys, grants } },
        [{ remove: 'agent', id: agent.id }, ...ending.changes],
        {
          beforePublishing: () => {
            sessions.endAllOf(agent.id);
            ending.beforePublishing();
          },
        },
      );
      ending.afterwards();
    });
  }

  /** @throws AlterError not_found, conflict */
  #parent(nameOrId: string): Agent {
    const { state } = this.#parts;
    const parent = this.find(nameOrId);
    let depth = 2;
    for (let up = parent; up.parentId !== null; up = this.find(up.parentId)) depth++;
    if (!isAgentActive(state.authority, parent.id) || depth > MAX_AGENT_DEPTH)
      throw new AlterError('conflict', {
        reason:
          depth > MAX_AGENT_DEPTH
            ? `Agents work at most ${MAX_AGENT_DEPTH} deep under each other`
            : `Agent "${parent.name}" is not active, so none can work under it`,
        hint: `See it: \`alterd agent show ${parent.name}\`.`,
      });
    return parent;
  }

  listKeys(nameOrId: string): AgentKey[] {
    return this.#parts.keys.list(this.find(nameOrId));
  }

  createKey(nameOrId: string, options: KeyOptions = {}): Promise<MintedKey> {
    return this.#parts.state.exclusive(async () => this.#parts.keys.create(this.find(nameOrId), options));
  }

  deriveKey(idOrPrefix: string, options: DerivedKeyOptions = {}): Promise<MintedKey> {
    return this.#parts.state.exclusive(() => this.#parts.keys.derive(idOrPrefix, options));
  }

  rotateKey(nameOrId: string, options: { readonly overlapMs: number }): Promise<MintedKey> {
    return this.#parts.state.exclusive(async () => this.#parts.keys.rotate(this.find(nameOrId), options.overlapMs));
  }

  revokeKey(idOrPrefix: string, options: { readonly force?: boolean | undefined } = {}): Promise<AgentKey> {
    return this.#parts.state.exclusive(() => this.#parts.keys.revoke(idOrPrefix, options.force === true));
  }
}

const agentDetails = (agent: Agent): Record<string, string | null> => ({
  type: agent.type,
  providers: agent.providers === null ? null : agent.providers.join(' '),
  parent: agent.parentId,
});
