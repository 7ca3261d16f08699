/**
 * Which grant a request uses: exactly one that is active, or a refusal that says why. Never a guess (S-17).
 *
 * - A destination matches on host, port and scheme. A grant for https serves http on the same port only with allowPlaintext.
 * - Session, selectors and placeholder only ever take grants away.
 * - An agent's own grants hide the system's: more specific consent wins. Two of the same rank are ambiguous, also when one
 *   names the host and the other has a wildcard.
 * - Expired and revoked grants explain a refusal when nothing active is left.
 *
 * Must never tell an agent of a grant that it may not use.
 */
import type { CallerIdentity } from '../domain/agent.ts';
import type { Authority } from '../domain/authority.ts';
import type { Destination } from '../domain/destination.ts';
import { AlterError } from '../domain/errors.ts';
import type { Grant } from '../domain/grant.ts';
import type { Selectors } from '../domain/selectors.ts';
import { AgentGrants, isUsable, type Matched } from './agent-grants.ts';
import { noGrantLeft, notSelected, wrongPlaceholder } from './resolve-refusals.ts';

export interface CompiledAuthority {
  readonly version: number;
  /**
   * Any grant of anybody, active or not, names this host: it is never tunnelled blindly. True on every port of the host, so
   * that a refusal for a wrong port or for plain http happens inside, with its reason.
   */
  covers(host: string, port: number): boolean;
  /** Placeholders of all grants, also of ended ones. */
  readonly placeholders: ReadonlySet<string>;
  /** Grants of the agent and of the system that match the destination, active or not; the same array for the same destination. */
  candidates(agentId: string, destination: Destination): readonly Grant[];
  /** The agent's view, built when first asked for. */
  grantsOf(agentId: string): AgentGrants;
}

/** Indexes an authority: one pass over the grants now, the rest for each agent when it first calls. */
export function compileAuthority(authority: Authority): CompiledAuthority {
  const names = new Set<string>();
  const suffixes = new Set<string>();
  const placeholders = new Set<string>();
  const own = new Map<string, Grant[]>();
  const system: Grant[] = [];
  for (const grant of authority.grants) {
    if (grant.placeholder !== null) placeholders.add(grant.placeholder);
    for (const { pattern } of grant.destinations) {
      if (pattern.startsWith('*.')) suffixes.add(pattern.slice(1));
      else names.add(pattern);
    }
    if (grant.principal.type === 'system') system.push(grant);
    else {
      const list = own.get(grant.principal.agentId);
      if (list === undefined) own.set(grant.principal.agentId, [grant]);
      else list.push(grant);
    }
  }
  const systemGrants = new AgentGrants(system, null);
  const byAgent = new Map<string, AgentGrants>();
  const grantsOf = (agentId: string): AgentGrants => {
    let grants = byAgent.get(agentId);
    if (grants === undefined) {
      const list = own.get(agentId);
      grants = list === undefined ? systemGrants : new AgentGrants(list, systemGrants);
      byAgent.set(agentId, grants);
    }
    return grants;
  };
  return {
    version: authority.version,
    placeholders,
    grantsOf,
    covers(host) {
      if (names.has(host)) return true;
      // Patterns with a wildcard never have an address for a suffix, so a mere look-up can't match one.
      const dot = suffixes.size === 0 ? -1 : host.indexOf('.');
      return dot > 0 && suffixes.has(host.slice(dot));
    },
    candidates: (agentId, destination) => grantsOf(agentId).matching(destination).all,
  };
}

/**
 * The one grant that this request uses.
 * @param placeholder what the client sent in a place that alterd fills, null for none
 * @throws AlterError grant_not_found, ambiguous_grant, grant_expired, grant_revoked, policy_violation
 */
export function resolveGrant(
  compiled: CompiledAuthority,
  caller: CallerIdentity,
  destination: Destination,
  selectors: Selectors,
  placeholder: string | null,
  now: number,
): Grant {
  const grants = compiled.grantsOf(caller.agentId);
  const matched = grants.matching(destination);
  const free = selectors.grantId === null && selectors.label === null && selectors.account === null;
  if (free && placeholder === null && caller.narrowing.grantIds === null) {
    // The common case, prepared when the destination was first seen: only the clock is asked again.
    const { only } = matched;
    if (only !== null && isUsable(only, now)) return only;
    return choose(matched, matched.all, caller, destination, now);
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
  return choose(matched, selected, caller, destination, now);
}

/** A label names a grant or its credential. Managed secrets have no account of their own, so an account is read like a label. */
function isSelected(grant: Grant, selectors: Selectors): boolean {
  const { grantId, label, account } = selectors;
  if (grantId !== null && grant.id !== grantId) return false;
  if (label !== null && grant.label !== label && grant.credentialName !== label) return false;
  return account === null || grant.label === account || grant.credentialName === account;
}

function choose(
  matched: Matched,
  selected: readonly Grant[],
  caller: CallerIdentity,
  destination: Destination,
  now: number,
): Grant {
  const usable = selected.filter((grant) => isUsable(grant, now));
  const own = usable.filter((grant) => grant.principal.type === 'agent');
  const ranked = own.length > 0 ? own : usable;
  const first = ranked[0];
  if (first === undefined) throw noGrantLeft(matched, selected, caller, destination);
  if (ranked.length === 1) return first;
  const sameProvider = ranked.every((grant) => grant.providerId === first.providerId);
  throw new AlterError('ambiguous_grant', {
    host: destination.host,
    ...(sameProvider ? { provider_id: first.providerId } : {}),
    candidates: ranked.map((grant) => ({ grant_id: grant.id, label: grant.label })),
  });
}
