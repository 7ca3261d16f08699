/**
 * The policies as the data plane uses them: the set in force, the counters of its limits, and what has to be kept of both.
 * Replaced as a whole, between two requests. Must never let a request pass on a set that was not loaded in full.
 */
import { decidePolicies, type PolicyDecision } from '../policy/decide-policies.ts';
import { LimitLedger, type SavedLimit } from '../policy/limit-ledger.ts';
import type { PolicyFacts } from '../policy/policy-facts.ts';
import { NO_POLICIES, type PolicySet } from '../policy/policy-set.ts';
import type { LimitUse, SharedLimits } from '../policy/shared-limits.ts';

export interface PoliciesOptions {
  /** Version of the whole that decides requests, grants and policies: goes into each row. */
  readonly version: () => number;
  /** Counters of an earlier run. */
  readonly saved?: readonly SavedLimit[];
  /** What counts the limits that all hosts share; null: this installation is alone. */
  readonly shared?: SharedLimits | null;
}

export class Policies {
  readonly ledger: LimitLedger;
  readonly #version: () => number;
  #set: PolicySet = NO_POLICIES;
  #revision = 0;

  constructor({ version, saved = [], shared = null }: PoliciesOptions) {
    this.#version = version;
    this.ledger = new LimitLedger(saved, shared);
  }

  get set(): PolicySet {
    return this.#set;
  }

  /** Nothing can be denied: the usual state, and the fast path. */
  get isEmpty(): boolean {
    return this.#set.rules.length === 0;
  }

  get version(): number {
    return this.#version();
  }

  /** Rises with each replacement: who decided before it has to decide again. */
  get revision(): number {
    return this.#revision;
  }

  /** A rule looks at uid, unit or program of the caller, which the kernel has to be asked for. */
  get asksForPeer(): boolean {
    return this.#set.asksForPeer;
  }

  replace(set: PolicySet): void {
    this.#set = set;
    this.#revision++;
  }

  /** `counts` is false for a request that is looked at again, or not for the last time; `approved` when a person said yes. */
  decide(facts: PolicyFacts, { counts, approved }: { readonly counts: boolean; readonly approved: boolean }): PolicyDecision {
    return decidePolicies(this.#set, facts, counts ? this.ledger : null, approved);
  }

  /** Asks for more of limits that all hosts share. @throws AlterError vault_unavailable */
  ask(uses: readonly LimitUse[], withinMs: number): Promise<void> {
    return this.ledger.ask(uses, withinMs);
  }
}
