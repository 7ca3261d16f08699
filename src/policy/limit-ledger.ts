/**
 * The counters of all rate limits, by (rule, agent, grant). Looking and taking are one synchronous step, so parallel requests
 * can't pass on the same count. Must never forget a counter whose limit still binds.
 */
import type { LimitSpec } from '../domain/policy.ts';
import { type Counter, type LimitState, openCounter } from './rate-limit.ts';
import type { LimitUse, SharedLimits } from './shared-limits.ts';

/** A counter as it is kept over a restart. */
export interface SavedLimit {
  readonly key: string;
  /** Tells a specification from another one of the same rule: a changed limit starts anew. */
  readonly spec: string;
  readonly state: LimitState;
  readonly at: number;
}

interface Entry {
  spec: LimitSpec;
  readonly counter: Counter;
  usedAt: number;
}

export const specText = ({ kind, requests, perMs, burst }: LimitSpec): string => `${kind} ${requests} ${perMs} ${burst}`;

/** Names are slugs and ids have no slash, so a key belongs to one triple. */
export const limitKey = (rule: string, agentId: string, grantId: string): string => `${rule} ${agentId} ${grantId}`;

export const limitUse = (rule: string, agentId: string, grantId: string, spec: LimitSpec): LimitUse => ({
  ...{ key: limitKey(rule, agentId, grantId), spec, rule, agentId, grantId },
});

const SWEEP_EVERY = 4096;

export class LimitLedger {
  readonly #entries = new Map<string, Entry>();
  readonly #saved = new Map<string, SavedLimit>();
  readonly #dirty = new Set<string>();
  readonly #shared: SharedLimits | null;
  #takes = 0;

  /**
   * @param saved what an earlier run left
   * @param shared what counts the limits that all hosts share; null: there is no fleet
   */
  constructor(saved: readonly SavedLimit[] = [], shared: SharedLimits | null = null) {
    this.#shared = shared;
    for (const each of saved) this.#saved.set(each.key, each);
  }

  /** Milliseconds until one more fits; 0 when it does now; ASK where only others know. */
  waitMs(use: LimitUse, now: number): number {
    if (this.#shared?.covers(use)) return this.#shared.waitMs(use);
    return this.#entryOf(use.key, use.spec, now).counter.waitMs(now);
  }

  /** Takes one from each. Only after waitMs answered 0 for all of them in the same step. */
  take(uses: readonly LimitUse[], now: number): void {
    for (const use of uses) {
      const { key, spec } = use;
      if (this.#shared?.covers(use)) {
        this.#shared.take(use);
        continue;
      }
      const entry = this.#entryOf(key, spec, now);
      entry.counter.take(now);
      entry.usedAt = now;
      this.#dirty.add(key);
    }
    this.#takes += uses.length;
    if (this.#takes >= SWEEP_EVERY) this.#sweep(now);
  }

  /** Counts what passed before a crash and was not saved, whether or not it fits. */
  replay(use: LimitUse, at: number): void {
    // What all hosts share, the vault has counted when it gave it out.
    if (this.#shared?.covers(use)) return;
    const entry = this.#entryOf(use.key, use.spec, at);
    entry.counter.take(at);
    entry.usedAt = Math.max(entry.usedAt, at);
    this.#dirty.add(use.key);
  }

  /** Asks for more of what all hosts share. @throws AlterError vault_unavailable */
  async ask(uses: readonly LimitUse[], withinMs: number): Promise<void> {
    await this.#shared?.ask(uses, withinMs);
  }

  /** What changed since it was last asked. */
  takeChanges(): SavedLimit[] {
    const changes = [...this.#dirty].flatMap((key) => {
      const entry = this.#entries.get(key);
      if (entry === undefined) return [];
      return [{ key, spec: specText(entry.spec), state: entry.counter.state, at: entry.usedAt }];
    });
    this.#dirty.clear();
    return changes;
  }

  /** A save that failed: the same counters are told again. */
  keepChanges(changes: readonly SavedLimit[]): void {
    for (const { key } of changes) this.#dirty.add(key);
  }

  #entryOf(key: string, spec: LimitSpec, now: number): Entry {
    let entry = this.#entries.get(key);
    if (entry === undefined || (entry.spec !== spec && specText(entry.spec) !== specText(spec))) {
      const saved = entry === undefined ? this.#saved.get(key) : undefined;
      const state = saved !== undefined && saved.spec === specText(spec) ? saved.state : null;
      entry = { spec, counter: openCounter(spec, state, now), usedAt: saved?.at ?? now };
      this.#entries.set(key, entry);
      this.#saved.delete(key);
    }
    entry.spec = spec;
    return entry;
  }

  /** A counter that was not used for two of its windows counts like a new one. */
  #sweep(now: number): void {
    this.#takes = 0;
    for (const [key, entry] of this.#entries) {
      const spanMs = entry.spec.perMs * Math.max(2, Math.ceil(entry.spec.burst / entry.spec.requests) + 1);
      if (now - entry.usedAt > spanMs && !this.#dirty.has(key)) this.#entries.delete(key);
    }
  }
}
