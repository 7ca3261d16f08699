/**
 * The grants that one agent may use, found by destination. Matching is done once for each destination and kept; nothing that
 * changes with time is kept. Must never hold another agent's grants.
 */
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

export class AgentGrants {
  /** Own ones, then the system's. */
  readonly all: readonly Grant[];
  readonly #byName = new Map<string, Grant[]>();
  readonly #bySuffix = new Map<string, Grant[]>();
  readonly #system: AgentGrants | null;
  readonly #byOrigin = new Map<string, Matched>();

  constructor(own: readonly Grant[], system: AgentGrants | null) {
    this.all = system === null ? own : [...own, ...system.all];
    this.#system = system;
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

function onlyOf(all: readonly Grant[]): Grant | null {
  const active = all.filter((grant) => grant.status === 'active');
  const own = active.filter((grant) => grant.principal.type === 'agent');
  // A single own grant hides the system's only as long as it has not expired, which the caller checks.
  if (own.length > 0) return own.length === 1 ? (own[0] as Grant) : null;
  return active.length === 1 ? (active[0] as Grant) : null;
}

export const isUsable = (grant: Grant, now: number): boolean =>
  grant.status === 'active' && (grant.expiresAt === null || grant.expiresAt > now);
