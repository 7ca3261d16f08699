/**
 * Authority: the immutable view of everything that decides requests, built by the vault and replaced whole on each change.
 * The proxy reads it without waiting; a change is seen by the next request.
 */
import type { Agent } from './agent.ts';
import type { Grant } from './grant.ts';

export interface Authority {
  /** Rises with each change. */
  readonly version: number;
  readonly agents: ReadonlyMap<string, Agent>;
  /** Every grant that is not deleted, active or not: an expired or revoked one still explains a refusal. */
  readonly grants: readonly Grant[];
}

export const EMPTY_AUTHORITY: Authority = { version: 0, agents: new Map(), grants: [] };
