/**
 * The grants that one agent may use for one user (or for nobody), found by destination. Matching is done once for each destination
 * and kept; nothing that changes with time is kept. Must never hold another agent's grants, nor those of a user who is not the caller's.
 */
import type { Delegation } from '../domain/delegation.ts';
import { isDelegationLive } from '../domain/delegation.ts';
import type { Destination } from '../domain/destination.ts';
import type { Grant, GrantDestination } from '../domain/grant.ts';
import { matchesHostPattern } from '../domain/host.ts';

/** What an agent has for one destination. Own grants come first, in the authority's order. */
export interface Matched {
  /** Active or not. */
  readonly all: readonly Grant[];
  /** The grant to use when it has not expired and nothing is selected; null when a choice has to be looked at. */
  readonly only: Grant | null;
  /** Plain http, and only grants for https are there: one of them. */
  readonly httpsOnly: Grant | null;
  /** Ports of the host for which there is a grant of that scheme, when none matches. */
  readonly otherPorts: readonly number[];
}

/** Destinations are the agent's choice: the memo is emptied rather than let it grow. */
const MEMO_LIMIT = 1024;
const NO_DELEGATIONS: ReadonlyMap<Grant, Delegation> = new Map();

export class AgentGrants {
  /** Own ones, those of people, then the system's. */
  readonly all: readonly Grant[];
  /** Grants that would be the agent's, but for the limit of its providers. */
  readonly outOfScope: readonly Grant[];
  readonly #byName = new Map<string, Grant[]>();
  readonly #bySuffix = new Map<string, Grant[]>();
  readonly #system: AgentGrants | null;
  readonly #delegationOf: ReadonlyMap<Grant, Delegation>;
  readonly #byOrigin = new Map<string, Matched>();
  #byId: ReadonlyMap<string, Grant> | null = null;

  /** @param own everything but the system's; `system` null when there is none, or `own` has it all */
  constructor(
    own: readonly Grant[],
    system: AgentGrants | null,
    delegationOf: ReadonlyMap<Grant, Delegation> = NO_DELEGATIONS,
    outOfScope: readonly Grant[] = [],
  ) {
    this.all = system === null ? own : [...own, ...system.all];
    this.outOfScope = outOfScope;
    this.#system = system;
    this.#delegationOf = delegationOf;
    for (const grant of own) {
      for (const { pattern } of grant.destinations) {
        if (pattern.startsWith('*.')) add(this.#bySuffix, pattern.slice(1), grant);
        else add(this.#byName, pattern, grant);
      }
    }
  }

  /** Answers from memory but for the first request to an origin. */
  matching(destination: Destination): Matched {
    let matched = this.#byOrigin.get(destination.origin);
    if (matched === undefined) {
      matched = match(this.#onHost(destination.host), destination);
      if (this.#byOrigin.size >= MEMO_LIMIT) this.#byOrigin.clear();
      this.#byOrigin.set(destination.origin, matched);
    }
    return matched;
  }

  /** By what the agent uses a grant of a person; null for its own, the system's, and one that nobody delegated. */
  delegationOf(grant: Grant): Delegation | null {
    return this.#delegationOf.get(grant) ?? null;
  }

  /** SECURITY: the end of the grant, and of the delegation that leads to it, asked at each use. */
  isUsable(grant: Grant, now: number): boolean {
    if (!isUsable(grant, now)) return false;
    if (!isOfPeople(grant)) return true;
    const delegation = this.#delegationOf.get(grant);
    return delegation !== undefined && isDelegationLive(delegation, now);
  }

  /** True while the agent may use the grant of this id. */
  holds(grantId: string, now: number): boolean {
    this.#byId ??= new Map(this.all.map((grant) => [grant.id, grant]));
    const grant = this.#byId.get(grantId);
    return grant !== undefined && this.isUsable(grant, now);
  }

  /** Each grant that names the host, on whatever port, once. */
  #onHost(host: string): Set<Grant> {
    const dot = host.indexOf('.');
    const found = new Set(this.#byName.get(host));
    for (const grant of (dot > 0 && this.#bySuffix.get(host.slice(dot))) || []) found.add(grant);
    if (this.#system !== null) for (const grant of this.#system.#onHost(host)) found.add(grant);
    return found;
  }
}

function add(index: Map<string, Grant[]>, key: string, grant: Grant): void {
  const list = index.get(key);
  if (list === undefined) index.set(key, [grant]);
  else if (list.at(-1) !== grant) list.push(grant);
}

function match(onHost: ReadonlySet<Grant>, destination: Destination): Matched {
  const all: Grant[] = [];
  const otherPorts = new Set<number>();
  let httpsOnly: Grant | null = null;
  for (const grant of onHost) {
    let hit = false;
    for (const place of grant.destinations) {
      if (!matchesHostPattern(place.pattern, destination.host)) continue;
      if (serves(grant, place, destination)) hit = true;
      // The default ports of both schemes stand for each other here: http://G/ is meant by nobody as "another port" (S-16).
      else if (destination.scheme === 'http' && !grant.allowPlaintext) httpsOnly ??= grant;
      else otherPorts.add(place.port);
    }
    if (hit) all.push(grant);
  }
  return { all, only: onlyOf(all), httpsOnly, otherPorts: [...otherPorts].sort((a, b) => a - b) };
}

/** SECURITY: port and scheme are part of what was granted; cleartext needs the grant's own word (S-15, S-16). */
function serves(grant: Grant, place: GrantDestination, destination: Destination): boolean {
  if (place.port !== destination.port) return false;
  return destination.scheme === 'http' ? grant.allowPlaintext : place.scheme === 'https';
}

/** The more personal consent wins: the agent's own, a user's, a group's, the system's. */
const RANKS = { agent: 0, user: 1, group: 2, system: 3 } as const satisfies Record<Grant['principal']['type'], number>;

/** The grants of the first rank that has any. */
export function topRank(grants: readonly Grant[]): readonly Grant[] {
  let best = Number.POSITIVE_INFINITY;
  for (const { principal } of grants) best = Math.min(best, RANKS[principal.type]);
  return grants.filter(({ principal }) => RANKS[principal.type] === best);
}

function onlyOf(all: readonly Grant[]): Grant | null {
  const top = topRank(all.filter((grant) => grant.status === 'active'));
  const [first] = top;
  // A single grant hides those of lower rank only as long as it has not expired, which the caller checks.
  return top.length === 1 && first !== undefined && isOfOneUser(all) ? first : null;
}

/**
 * True when at most one user has a say here. Without a user at hand more than one can't be told apart; users who are deactivated or
 * whose delegation has expired count too, or their requests would quietly go out as whoever is left.
 */
export function isOfOneUser(grants: readonly Grant[]): boolean {
  let owner: string | null = null;
  for (const { principal, status } of grants) {
    if (principal.type !== 'user' || status !== 'active') continue;
    if (owner !== null && owner !== principal.userId) return false;
    owner = principal.userId;
  }
  return true;
}

export const isOfPeople = ({ principal }: Grant): boolean => principal.type === 'user' || principal.type === 'group';

export const isUsable = (grant: Grant, now: number): boolean =>
  grant.status === 'active' && (grant.expiresAt === null || grant.expiresAt > now);
