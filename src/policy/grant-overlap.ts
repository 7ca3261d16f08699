/**
 * Which other grants a request could mean as well, asked when a grant is made rather than when the request is refused. Pure. It knows the
 * rule of `resolve.ts` and adds none: only host, port and scheme tell grants apart there, never methods or paths.
 */
import type { Grant, GrantDestination } from '../domain/grant.ts';
import { matchesHostPattern } from '../domain/host.ts';
import { topRank } from './agent-grants.ts';

/** `ambiguous`: who does not say which one is meant is refused. `first`: the new grant is used. `second`: the other one is. */
export type OverlapEffect = 'ambiguous' | 'first' | 'second';

export interface GrantOverlap {
  readonly grant: Grant;
  /** A host that both cover, as one of them names it. */
  readonly host: string;
  readonly effect: OverlapEffect;
}

/** @param others grants that the same caller may use now */
export function overlapsOf(grant: Grant, others: readonly Grant[]): GrantOverlap[] {
  return others.flatMap((other) => {
    const host = other.id === grant.id ? null : hostInCommon(grant, other);
    return host === null ? [] : [{ grant: other, host, effect: effectOf(grant, other) }];
  });
}

function effectOf(grant: Grant, other: Grant): OverlapEffect {
  const top = topRank([grant, other]);
  if (top.length > 1) return 'ambiguous';
  return top[0] === grant ? 'first' : 'second';
}

function hostInCommon(one: Grant, other: Grant): string | null {
  for (const a of one.destinations) for (const b of other.destinations) if (isShared(a, b)) return narrower(a.pattern, b.pattern);
  return null;
}

/** Grants for plain http hold their http places too, so equal schemes are enough. */
const isShared = (a: GrantDestination, b: GrantDestination): boolean =>
  a.port === b.port &&
  a.scheme === b.scheme &&
  (a.pattern === b.pattern || isWithin(a.pattern, b.pattern) || isWithin(b.pattern, a.pattern));

const isWithin = (inner: string, outer: string): boolean =>
  outer.startsWith('*.') && !inner.startsWith('*.') && matchesHostPattern(outer, inner);

const narrower = (a: string, b: string): string => (a.startsWith('*.') ? b : a);
