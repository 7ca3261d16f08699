/**
 * What all grants together reach, and whose they are: the hosts that are never tunnelled blindly, the placeholders, the grants of each
 * agent and of the system. Brought forward from one version of the authority to the next in the cost of what changed.
 * Must never forget a host that any grant names, active or not.
 */
import type { Grant } from '../domain/grant.ts';
import { changedRows, RowGroups } from '../domain/row-lists.ts';

/** No agent has this for an id. */
const SYSTEM = '';

const ownerOf = ({ principal }: Grant): string | null =>
  principal.type === 'agent' ? principal.agentId : principal.type === 'system' ? SYSTEM : null;

export class Reach {
  #grants: readonly Grant[] = [];
  readonly #names = new Counts();
  readonly #suffixes = new Counts();
  readonly #placeholders = new Counts();
  readonly #groups = new RowGroups<Grant>(ownerOf);
  /** Of these grants, also when others have followed. */
  owned: OwnedGrants = new OwnedGrants(new Map());
  /** Of all grants, also of ended ones; another set when one came or went. */
  placeholders: ReadonlySet<string> = new Set();

  follow(grants: readonly Grant[]): void {
    if (grants === this.#grants) return;
    const { gone, come } = changedRows(this.#grants, grants);
    this.#grants = grants;
    this.owned = new OwnedGrants(this.#groups.of(grants));
    // What comes first: a host that the one grant gives up and the other takes is covered throughout.
    for (const grant of come) this.#count(grant, 1);
    for (const grant of gone) this.#count(grant, -1);
    if (this.#placeholders.isChanged) this.placeholders = this.#placeholders.taken();
  }

  covers(host: string): boolean {
    if (this.#names.has(host)) return true;
    // Patterns with a wildcard never have an address for a suffix, so a mere look-up can't match one.
    const dot = this.#suffixes.isEmpty ? -1 : host.indexOf('.');
    return dot > 0 && this.#suffixes.has(host.slice(dot));
  }

  #count({ placeholder, destinations }: Grant, by: 1 | -1): void {
    if (placeholder !== null) this.#placeholders.add(placeholder, by);
    for (const { pattern } of destinations)
      if (pattern.startsWith('*.')) this.#suffixes.add(pattern.slice(1), by);
      else this.#names.add(pattern, by);
  }
}

/** Whose the grants of one version are. */
class OwnedGrants {
  readonly #byOwner: ReadonlyMap<string, readonly Grant[]>;

  constructor(byOwner: ReadonlyMap<string, readonly Grant[]>) {
    this.#byOwner = byOwner;
  }

  /** In the authority's order. */
  of(agentId: string): readonly Grant[] {
    return this.#byOwner.get(agentId) ?? [];
  }

  get system(): readonly Grant[] {
    return this.#byOwner.get(SYSTEM) ?? [];
  }
}

/** How often each text is there. */
class Counts {
  readonly #counts = new Map<string, number>();
  /** A text came or went since the texts were taken. */
  isChanged = false;

  get isEmpty(): boolean {
    return this.#counts.size === 0;
  }

  has(text: string): boolean {
    return this.#counts.has(text);
  }

  add(text: string, by: 1 | -1): void {
    const count = this.#counts.get(text) ?? 0;
    if (count + by > 0) this.#counts.set(text, count + by);
    else this.#counts.delete(text);
    if (count === 0 || count + by <= 0) this.isChanged = true;
  }

  taken(): ReadonlySet<string> {
    this.isChanged = false;
    return new Set(this.#counts.keys());
  }
}
