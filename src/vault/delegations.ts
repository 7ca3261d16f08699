/**
 * Delegations: a user lets a named agent use one of the user's grants, or a grant of a group the user is in, until it ends or is
 * taken back. Made by the user or by an operator; ended by either, and by the agent that holds it.
 */
import { randomUUID } from 'node:crypto';
import type { Agent } from '../domain/agent.ts';
import { type Delegation, type DelegationEnder, isDelegationLive } from '../domain/delegation.ts';
import { AlterError } from '../domain/errors.ts';
import type { Grant } from '../domain/grant.ts';
import { isMember, type User } from '../domain/user.ts';
import type { StoreChange } from '../store/rows.ts';
import { isLive } from './authority.ts';
import { endings } from './endings.ts';
import type { VaultGrants } from './grants.ts';
import { expiryProblem, requireNone } from './names.ts';
import type { VaultState } from './state.ts';
import { userText, type VaultUsers } from './users.ts';

const DAY_MS = 24 * 3_600_000;
/** When nothing is said. */
const DEFAULT_TTL_MS = 90 * DAY_MS;
const MAX_TTL_MS = 1_825 * DAY_MS;
const MIN_ID_PREFIX_LENGTH = 8;

export interface NewDelegation {
  /** Id or label. */
  readonly grant: string;
  /** Name or id. */
  readonly agent: string;
  /** Who delegates; left out, the owner of the grant, or every member of the group that owns it. */
  readonly user?: string | undefined;
  /** Epoch milliseconds; left out, 90 days from now. Never beyond the grant's own end. */
  readonly expiresAt?: number | null | undefined;
  readonly by: Exclude<DelegationEnder, 'agent'>;
}

export interface VaultDelegations {
  list(): Delegation[];
  /** By id, or its beginning. @throws AlterError not_found, conflict */
  find(id: string): Delegation;
  /** Takes the place of an older one between the same three. @throws AlterError not_found, conflict, invalid_input, forbidden, audit_unavailable, vault_unavailable */
  create(input: NewDelegation): Promise<Delegation>;
  /** @param userId the user who takes it back; an operator says none. @throws AlterError not_found, audit_unavailable, vault_unavailable */
  revoke(id: string, by: DelegationEnder, whose?: { readonly userId?: string; readonly agentId?: string }): Promise<Delegation>;
}

export class EmbeddedDelegations implements VaultDelegations {
  readonly #state: VaultState;
  readonly #grants: VaultGrants;
  readonly #users: VaultUsers;

  constructor(state: VaultState, grants: VaultGrants, users: VaultUsers) {
    this.#state = state;
    this.#grants = grants;
    this.#users = users;
  }

  list(): Delegation[] {
    return [...this.#state.authority.delegations];
  }

  find(id: string): Delegation {
    const { delegations } = this.#state.authority;
    const exact = delegations.find((delegation) => delegation.id === id);
    if (exact !== undefined) return exact;
    const found = id.length < MIN_ID_PREFIX_LENGTH ? [] : delegations.filter((delegation) => delegation.id.startsWith(id));
    if (found.length > 1)
      throw new AlterError('conflict', {
        reason: `Several delegations begin with "${id}"`,
        hint: 'Give the whole id: `alterd delegation list`.',
      });
    if (found[0] === undefined)
      throw new AlterError('not_found', { what: 'delegation', name: id, list_command: 'alterd delegation list' });
    return found[0];
  }

  create(input: NewDelegation): Promise<Delegation> {
    const state = this.#state;
    return state.exclusive(async () => {
      const agent = state.findAgent(input.agent);
      const user = input.user === undefined ? undefined : this.#users.find(input.user);
      // SECURITY: a user learns nothing of grants that are not the user's to delegate, not even whether there is one.
      const grant =
        input.by === 'user' && user !== undefined ? this.#grantFor(user, input.grant) : this.#grants.find(input.grant);
      const userId = delegatorOf(grant, user);
      const { row, changes, replaced } = draftDelegation(state, { ...input, agent, grant, userId });
      await state.commit(
        {
          action: 'delegation.created',
          agent,
          grant,
          user: user ?? ownerOf(grant, state),
          delegationId: row.id,
          credential: { name: grant.credentialName, providerId: grant.providerId },
          details: { by: input.by, expires_at: row.expiresAt, replaced },
        },
        changes,
      );
      return row;
    });
  }

  revoke(
    id: string,
    by: DelegationEnder,
    whose: { readonly userId?: string; readonly agentId?: string } = {},
  ): Promise<Delegation> {
    const state = this.#state;
    return state.exclusive(async () => {
      const delegation = this.find(id);
      // SECURITY: another's delegation looks like none at all, or asking would tell who delegates what to whom.
      const isTheirs =
        (whose.userId === undefined || whose.userId === delegation.userId) &&
        (whose.agentId === undefined || whose.agentId === delegation.agentId);
      if (!isTheirs) throw new AlterError('not_found', { what: 'delegation', name: id });
      if (delegation.status === 'revoked') return delegation;
      const [ending] = endings([delegation], by, state.now());
      await state.commit(
        {
          action: 'delegation.revoked',
          agent: state.authority.agents.get(delegation.agentId),
          user: delegation.userId === null ? undefined : state.authority.users.get(delegation.userId),
          grant: state.authority.grants.find((grant) => grant.id === delegation.grantId),
          delegationId: delegation.id,
          details: { by },
        },
        ending === undefined ? [] : [ending],
      );
      return this.find(delegation.id);
    });
  }

  #grantFor(user: User, idOrLabel: string): Grant {
    const theirs = this.#state.authority.grants.filter(({ principal }) =>
      principal.type === 'user' ? principal.userId === user.id : principal.type === 'group' && isMember(user, principal),
    );
    const named = theirs.filter((grant) => grant.id === idOrLabel || (grant.label !== '' && grant.label === idOrLabel));
    const [found, another] = named.filter((grant) => isLive(grant, this.#state.now()));
    if (found === undefined) throw new AlterError('not_found', { what: 'grant', name: idOrLabel, list_command: 'alterd whoami' });
    if (another !== undefined)
      throw new AlterError('conflict', { reason: `Several of your grants are labelled "${idOrLabel}"`, hint: 'Give the id.' });
    return found;
  }
}

export interface DelegationParts {
  readonly agent: Agent;
  /** Stored already, or in the same change. */
  readonly grant: Grant;
  readonly userId: string | null;
  readonly expiresAt?: number | null | undefined;
  readonly by: NewDelegation['by'];
}

/** A checked delegation with what makes it, not stored yet. Call it inside exclusive(). @throws AlterError conflict, invalid_input */
export function draftDelegation(
  state: VaultState,
  { agent, grant, userId, by, expiresAt: asked }: DelegationParts,
): { readonly row: Delegation; readonly changes: readonly StoreChange[]; readonly replaced: number } {
  const now = state.now();
  requireUsable(agent, grant, now);
  const expiresAt = Math.min(asked ?? now + DEFAULT_TTL_MS, grant.expiresAt ?? Number.POSITIVE_INFINITY);
  requireNone([expiryProblem(asked, now), expiresAt > now + MAX_TTL_MS ? 'expires_at: at most five years from now' : undefined]);
  const row: Delegation = {
    id: randomUUID(),
    userId,
    agentId: agent.id,
    grantId: grant.id,
    status: 'active',
    createdAt: now,
    expiresAt,
    revokedAt: null,
    revokedBy: null,
  };
  const older = state.rows.delegations.filter(
    (each) => each.userId === userId && each.agentId === agent.id && each.grantId === grant.id,
  );
  const replaced = older.filter((each) => isDelegationLive(each, now)).length;
  return { row, changes: [...endings(older, by, now), { put: 'delegation', row }], replaced };
}

/** Whose word the delegation is. @throws AlterError conflict */
function delegatorOf(grant: Grant, user: User | undefined): string | null {
  const { principal } = grant;
  if (principal.type === 'user') {
    if (user === undefined || user.id === principal.userId) return principal.userId;
    throw new AlterError('conflict', {
      reason: `The grant is not one of ${userText(user)}`,
      hint: 'Only its owner delegates it.',
    });
  }
  if (principal.type === 'group') {
    if (user === undefined) return null;
    if (isMember(user, principal)) return user.id;
    throw new AlterError('conflict', {
      reason: `${userText(user)} is not in the group "${principal.group}" that owns the grant`,
      hint: 'Only its members delegate it.',
    });
  }
  throw new AlterError('conflict', {
    reason: `The grant belongs to ${principal.type === 'agent' ? 'an agent' : 'the system'}, so there is nothing to delegate`,
    hint: 'Delegations are for grants of users and groups: `alterd grant create PROVIDER --user USER`.',
  });
}

function requireUsable(agent: Agent, grant: Grant, now: number): void {
  if (agent.status === 'revoked')
    throw new AlterError('conflict', {
      reason: `Agent "${agent.name}" is revoked`,
      hint: 'Make a new one: `alterd agent create NAME`.',
    });
  if (!isLive(grant, now))
    throw new AlterError('conflict', { reason: 'The grant is revoked or has expired', hint: 'Create a new one.' });
  if (agent.providers !== null && !agent.providers.includes(grant.providerId))
    throw new AlterError('conflict', {
      reason: `Agent "${agent.name}" is limited to ${agent.providers.join(', ') || 'no provider'}, and the grant is for ${grant.providerId}`,
      hint: `See the agent: \`alterd agent show ${agent.name}\`.`,
    });
}

const ownerOf = (grant: Grant, state: VaultState): User | undefined =>
  grant.principal.type === 'user' ? state.authority.users.get(grant.principal.userId) : undefined;
