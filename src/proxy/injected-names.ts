/** Names of the header fields that a grant fills, so that nothing else can bring them in beside it. */
import type { Grant } from '../domain/grant.ts';

const namesOf = new WeakMap<Grant, ReadonlySet<string>>();
const NO_NAMES: ReadonlySet<string> = new Set();

/** Names that the grant injects, folded; no trailer may carry them (S-37, S-39). */
export function injectedNamesOf(grant: Grant | null): ReadonlySet<string> {
  if (grant === null) return NO_NAMES;
  let names = namesOf.get(grant);
  if (names === undefined) {
    names = new Set(
      grant.injections.map((i) => (i.in === 'header' ? i.name.toLowerCase().replace(/[_.]/g, '-') : 'authorization')),
    );
    namesOf.set(grant, names);
  }
  return names;
}
