/** What a session or a derived key may do less, checked and made canonical. It only ever takes away. */
import type { Narrowing } from '../domain/agent.ts';
import { parseHostPattern } from '../domain/host.ts';
import { hostPatternProblem, methodProblem, pathProblem } from './grant-scope.ts';

/** @param grants ids of the grants that there are */
export function narrowingProblems(narrowing: Narrowing, grants: ReadonlySet<string>): (string | undefined)[] {
  return [
    ...(narrowing.grantIds ?? []).map((id) =>
      grants.has(id) ? undefined : `grant_ids: there is no grant ${JSON.stringify(id)}`,
    ),
    ...narrowing.deniedMethods.map((method) => methodProblem('denied_methods', method)),
    ...narrowing.deniedPaths.map((path) => pathProblem('denied_paths', path)),
    ...narrowing.deniedHosts.map((host) => hostPatternProblem('denied_hosts', host)),
  ];
}

export function normalisedNarrowing(narrowing: Narrowing): Narrowing {
  return {
    grantIds: narrowing.grantIds && [...narrowing.grantIds],
    deniedMethods: narrowing.deniedMethods.map((method) => method.toUpperCase()),
    deniedPaths: [...narrowing.deniedPaths],
    deniedHosts: narrowing.deniedHosts.map(parseHostPattern),
  };
}
