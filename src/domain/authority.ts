/**
 * Authority: the immutable view of everything that decides requests, built by the vault and replaced whole on each change.
 * The proxy reads it without waiting; a change is seen by the next request.
 */
import type { Agent } from './agent.ts';
import type { Delegation } from './delegation.ts';
import type { Grant } from './grant.ts';
import type { RetiredPlaceholder } from './retired-placeholder.ts';
import type { User } from './user.ts';

export interface Authority {
  /** Rises with each change. */
  readonly version: number;
  readonly agents: ReadonlyMap<string, Agent>;
  /** Every grant that is not deleted, active or not: an expired or revoked one still explains a refusal. */
  readonly grants: readonly Grant[];
  readonly users: ReadonlyMap<string, User>;
  /** Also revoked ones. */
  readonly delegations: readonly Delegation[];
  /** Placeholders of grants that are deleted; absent for none. */
  readonly retired?: readonly RetiredPlaceholder[];
}

export const EMPTY_AUTHORITY: Authority = { version: 0, agents: new Map(), grants: [], users: new Map(), delegations: [] };

/** True while the agent and everyone it works under are active. */
export function isAgentActive(authority: Authority, agentId: string): boolean {
  let agent = authority.agents.get(agentId);
  for (let depth = 0; agent !== undefined && depth < MAX_AGENT_DEPTH; depth++) {
    if (agent.status !== 'active') return false;
    if (agent.parentId === null) return true;
    agent = authority.agents.get(agent.parentId);
  }
  return false;
}

/** Of agents under agents; what is deeper is not active. */
export const MAX_AGENT_DEPTH = 4;
