/**
 * Four-valued truth: what can't be known is neither yes nor no, and what hangs on a body that is not read yet is pending.
 * SECURITY: callers must treat UNKNOWN as the answer that denies, never as NO (S-91).
 */
import type { PolicyFacts } from './policy-facts.ts';

export const NO = 0;
export const YES = 1;
export const UNKNOWN = 2;
export const PENDING = 3;
export type Truth = typeof NO | typeof YES | typeof UNKNOWN | typeof PENDING;

export const truthOf = (value: boolean): Truth => (value ? YES : NO);

/**
 * How doubt between several readings of a request is settled: `broad` says yes when one reading meets the condition (for what
 * denies), `strict` only when every reading does (for what is required).
 */
export type Reading = 'broad' | 'strict';

export interface Condition {
  /** Key of the condition as it is written: `methods`, `source`. */
  readonly key: string;
  /** `host`: answers the same for every request to a host; `method`: for every request with a method and no override of it. */
  readonly dependsOn: 'host' | 'method' | 'request';
  readonly test: (facts: PolicyFacts) => Truth;
  /** Lower-case first segments of plain paths outside of which the answer is NO; absent when the first segment alone says nothing. */
  readonly firstSegments?: ReadonlySet<string> | null;
}

/** All of them: one NO decides, then what is pending, then what is unknown. */
export function testAll(conditions: readonly Condition[], facts: PolicyFacts): Truth {
  let result: Truth = YES;
  for (const condition of conditions) {
    const truth = condition.test(facts);
    if (truth === NO) return NO;
    if (truth === PENDING || (truth === UNKNOWN && result === YES)) result = truth;
  }
  return result;
}
