/**
 * Which grant a request uses: exactly one that is active, or a refusal that says why. Never a guess (S-17).
 *
 * - A destination matches on host, port and scheme. A grant for https serves http on the same port only with allowPlaintext.
 * - Session, selectors and placeholder only ever take grants away.
 * - The more specific consent wins: an agent's own grants, then those that its user delegated to it, then the group's, then the
 *   system's. Two of the same rank are ambiguous, also when one names the host and the other has a wildcard.
 * - Without a user, grants of people count only while all of them are one user's.
 * - Expired and revoked grants explain a refusal when nothing active is left.
 *
 * Must never tell an agent of a grant that it may not use.
 */
import type { Agent, CallerIdentity } from '../domain/agent.ts';
import type { Authority } from '../domain/authority.ts';
import type { Destination } from '../domain/destination.ts';
import { AlterError } from '../domain/errors.ts';
import type { Grant } from '../domain/grant.ts';
import type { Selectors } from '../domain/selectors.ts';
import { AgentGrants, isOfOneUser, topRank } from './agent-grants.ts';
import { indexDelegations } from './delegated-grants.ts';
import { PlaceholderIndex } from './placeholder-index.ts';
import { Reach } from './reach-index.ts';
import { type Choice, noGrantLeft, notSelected, severalUsers, wrongPlaceholder } from './resolve-refusals.ts';

export interface CompiledAuthority {
  readonly version: number;
  /**
   * Any grant of anybody, active or not, names this host: it is never tunnelled blindly. True on every port of the host, so
   * that a refusal for a wrong port or for plain http happens inside, with its reason.
   */
  covers(host: string, port: number): boolean;
  /** Placeholders of all grants, also of ended ones. */
  readonly placeholders: ReadonlySet<string>;
  /** The same with those of grants that are gone, and whose they are or were. */
  readonly placeholderIndex: PlaceholderIndex;
  /** Grants that the agent may use and that match the destination, active or not; the same array for the same destination. */
  candidates(agentId: string, destination: Destination, userId?: string | null): readonly Grant[];
  /** The agent's view when it calls for this user, or for nobody known; built when first asked for. */
  grantsOf(agentId: string, userId?: string | null): AgentGrants;
}

/** Users are many: the views of an agent are dropped rather than let them grow. */
const USERS_LIMIT = 4096;

interface AgentViews {
  /** For nobody, and for everybody where nothing is delegated to the agent. */
  readonly base: AgentGrants;
  readonly byUser: Map<string, AgentGrants> | null;
}

/**
 * Indexes an authority, the rest for each agent when it first calls. Of an index of the version before only what changed is made anew; which
 * hosts that one covers is brought forward with it, so that what is under way goes by what holds now.
 */
export function compileAuthority(authority: Authority, before: CompiledAuthority | null = null): CompiledAuthority {
  const reach = (before === null ? undefined : reaches.get(before)) ?? new Reach();
  reach.follow(authority.grants);
  const { owned, placeholders } = reach;
  const { system } = owned;
  const systemGrants = new AgentGrants(system, null);
  const delegated = indexDelegations(authority);
  const byAgent = new Map<string, AgentViews>();
  const build = (agentId: string, userId: string | null): AgentGrants => {
    const theirs = delegated(agentId, userId);
    const list = [...owned.of(agentId), ...(theirs?.grants ?? [])];
    const agent = authority.agents.get(agentId);
    if (agent !== undefined && agent.providers !== null) return scoped(agent, [...list, ...system], theirs?.delegationOf);
    return list.length === 0 ? systemGrants : new AgentGrants(list, systemGrants, theirs?.delegationOf);
  };
  const grantsOf = (agentId: string, userId: string | null = null): AgentGrants => {
    let views = byAgent.get(agentId);
    if (views === undefined) {
      views = { base: build(agentId, null), byUser: delegated(agentId, null) === null ? null : new Map() };
      byAgent.set(agentId, views);
    }
    if (userId === null || views.byUser === null) return views.base;
    let view = views.byUser.get(userId);
    if (view === undefined) {
      view = build(agentId, userId);
      if (views.byUser.size >= USERS_LIMIT) views.byUser.clear();
      views.byUser.set(userId, view);
    }
    return view;
  };
  const compiled: CompiledAuthority = {
    version: authority.version,
    placeholders,
    placeholderIndex: new PlaceholderIndex(authority, placeholders),
    grantsOf,
    covers: (host) => reach.covers(host),
    candidates: (agentId, destination, userId) => grantsOf(agentId, userId).matching(destination).all,
  };
  reaches.set(compiled, reach);
  return compiled;
}

const reaches = new WeakMap<CompiledAuthority, Reach>();

/** SECURITY: the limit takes away before anything is chosen, so that nothing outside it can win, tie or lend its placeholder. */
function scoped(agent: Agent, all: readonly Grant[], delegationOf: ConstructorParameters<typeof AgentGrants>[2]): AgentGrants {
  const providers = new Set(agent.providers);
  const inside = all.filter((grant) => providers.has(grant.providerId));
  return new AgentGrants(
    inside,
    null,
    delegationOf,
    all.filter((grant) => !providers.has(grant.providerId)),
  );
}

/**
 * The one grant that this request uses.
 * @param placeholder what the client sent in a place that alterd fills, null for none
 * @param userId for whom the agent calls, proved by a session or a token; null when nobody said
 * @throws AlterError grant_not_found, no_delegated_grant, ambiguous_grant, grant_expired, grant_revoked, policy_violation
 */
export function resolveGrant(
  compiled: CompiledAuthority,
  caller: CallerIdentity,
  destination: Destination,
  selectors: Selectors,
  placeholder: string | null,
  now: number,
  userId: string | null = null,
): Grant {
  const grants = compiled.grantsOf(caller.agentId, userId);
  const matched = grants.matching(destination);
  const free = selectors.grantId === null && selectors.label === null && selectors.account === null;
  if (free && placeholder === null && caller.narrowing.grantIds === null) {
    // The common case, prepared when the destination was first seen: only the clock is asked again.
    const { only } = matched;
    if (only !== null && grants.isUsable(only, now)) return only;
    return choose({ grants, matched, inSession: matched.all, selected: matched.all, caller, destination, now, userId });
  }
  if (placeholder !== null && !matched.all.some((grant) => grant.placeholder === placeholder))
    throw wrongPlaceholder(grants.all, placeholder, destination);
  const { grantIds } = caller.narrowing;
  const inSession = grantIds === null ? matched.all : matched.all.filter((grant) => grantIds.includes(grant.id));
  const selected = inSession.filter(
    (grant) => (placeholder === null || grant.placeholder === placeholder) && isSelected(grant, selectors),
  );
  // With no grant for the host at all, that is what to say; what was selected is beside the point.
  if (selected.length === 0 && matched.all.length > 0) throw notSelected(inSession, selectors, caller, destination);
  return choose({ grants, matched, inSession, selected, caller, destination, now, userId });
}

/** A label names a grant or its credential. Managed secrets have no account of their own, so an account is read like a label. */
function isSelected(grant: Grant, selectors: Selectors): boolean {
  const { grantId, label, account } = selectors;
  if (grantId !== null && grant.id !== grantId) return false;
  if (label !== null && grant.label !== label && grant.credentialName !== label) return false;
  return account === null || grant.label === account || grant.credentialName === account;
}

function choose(choice: Choice): Grant {
  const { grants, inSession, selected, destination, now, userId } = choice;
  const ranked = topRank(selected.filter((grant) => grants.isUsable(grant, now)));
  const first = ranked[0];
  if (first === undefined) throw noGrantLeft(choice);
  // SECURITY: before selectors count. An agent that serves two users could otherwise be talked into naming the other one's grant.
  if (userId === null && first.principal.type === 'user' && !isOfOneUser(inSession)) throw severalUsers(choice, ranked);
  if (ranked.length === 1) return first;
  const sameProvider = ranked.every((grant) => grant.providerId === first.providerId);
  throw new AlterError('ambiguous_grant', {
    host: destination.host,
    ...(sameProvider ? { provider_id: first.providerId } : {}),
    candidates: ranked.map((grant) => ({ grant_id: grant.id, label: grant.label })),
  });
}
