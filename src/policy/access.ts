/**
 * Who reaches what, and by which path: the same questions that a request asks, asked of everybody at once. Pure.
 * A path is listed only while every link of it holds, so that the list is what would work now and nothing else.
 */
import type { Agent } from '../domain/agent.ts';
import { type Authority, isAgentActive } from '../domain/authority.ts';
import { type Delegation, isDelegationLive } from '../domain/delegation.ts';
import type { Grant } from '../domain/grant.ts';
import { isMember, type User } from '../domain/user.ts';
import { isUsable } from './agent-grants.ts';

/** `agent` a grant of the agent's own · `delegation` of a user · `group` by a delegation of a group's grant · `system` every agent. */
export type PathKind = 'agent' | 'delegation' | 'group' | 'system';

export interface AccessPath {
  readonly path: PathKind;
  readonly agent: Agent;
  /** For whom; null where no user is needed. */
  readonly user: User | null;
  readonly delegation: Delegation | null;
  readonly grant: Grant;
  /** When the first link ends; null for never. */
  readonly expiresAt: number | null;
}

/** Every path to these grants. */
export function pathsTo(authority: Authority, grants: readonly Grant[], now: number): AccessPath[] {
  const agents = [...authority.agents.values()].filter((agent) => isAgentActive(authority, agent.id));
  const byGrant = new Map<string, Delegation[]>();
  for (const delegation of authority.delegations) {
    if (!isDelegationLive(delegation, now)) continue;
    const list = byGrant.get(delegation.grantId);
    if (list === undefined) byGrant.set(delegation.grantId, [delegation]);
    else list.push(delegation);
  }
  return grants
    .filter((grant) => isUsable(grant, now))
    .flatMap((grant) => pathsOf(authority, agents, grant, byGrant.get(grant.id) ?? []))
    .filter(({ agent, grant }) => agent.providers === null || agent.providers.includes(grant.providerId));
}

/** Every path of one agent. */
export const reachOf = (authority: Authority, agentId: string, now: number): AccessPath[] => {
  const agent = authority.agents.get(agentId);
  if (agent === undefined) return [];
  const alone: Authority = { ...authority, delegations: authority.delegations.filter((each) => each.agentId === agentId) };
  const grants = authority.grants.filter(({ principal }) => principal.type !== 'agent' || principal.agentId === agentId);
  return pathsTo(alone, grants, now).filter((path) => path.agent.id === agentId);
};

function pathsOf(authority: Authority, agents: readonly Agent[], grant: Grant, delegations: readonly Delegation[]): AccessPath[] {
  const { principal } = grant;
  const own = (path: PathKind) => (agent: Agent) => ({
    path,
    agent,
    user: null,
    delegation: null,
    grant,
    expiresAt: grant.expiresAt,
  });
  if (principal.type === 'system') return agents.map(own('system'));
  if (principal.type === 'agent') return agents.filter((agent) => agent.id === principal.agentId).map(own('agent'));
  const path: PathKind = principal.type === 'user' ? 'delegation' : 'group';
  return delegations.flatMap((delegation) => {
    const agent = agents.find((each) => each.id === delegation.agentId);
    if (agent === undefined) return [];
    return usersOf(authority, principal, delegation).map((user) => ({
      path,
      agent,
      user,
      delegation,
      grant,
      expiresAt: earlier(grant.expiresAt, delegation.expiresAt),
    }));
  });
}

type OfPeople = Extract<Grant['principal'], { type: 'user' | 'group' }>;

function usersOf(authority: Authority, principal: OfPeople, { userId }: Delegation): User[] {
  const isTheirs = (user: User): boolean =>
    user.status === 'active' && (principal.type === 'user' ? user.id === principal.userId : isMember(user, principal));
  if (userId === null) return principal.type === 'user' ? [] : [...authority.users.values()].filter(isTheirs);
  const user = authority.users.get(userId);
  return user !== undefined && isTheirs(user) ? [user] : [];
}

const earlier = (a: number | null, b: number | null): number | null => (a === null ? b : b === null ? a : Math.min(a, b));
