/** Names of the headers that a grant fills, folded: no trailer may carry them (S-37, S-39). */
import type { Grant } from '../domain/grant.ts';
import { foldName } from '../injection/field-name.ts';
import { headerNamesOf } from '../injection/injection-parts.ts';

const namesOf = new WeakMap<Grant, ReadonlySet<string>>();
const NO_NAMES: ReadonlySet<string> = new Set();

export function injectedNamesOf(grant: Grant | null): ReadonlySet<string> {
  if (grant === null) return NO_NAMES;
  let names = namesOf.get(grant);
  if (names === undefined) {
    names = new Set(['authorization', ...grant.injections.flatMap(headerNamesOf).map(foldName)]);
    namesOf.set(grant, names);
  }
  return names;
}
