/**
 * What a limit that all hosts share is counted by, as the verdict sees it: so much of it is in hand here, or somebody has to be asked
 * for more. Types only; where there is no fleet, nothing is shared.
 */
import type { LimitSpec } from '../domain/policy.ts';

/** One counter: a rule for one agent under one grant. */
export interface LimitUse {
  readonly key: string;
  readonly spec: LimitSpec;
  /** `POLICY/RULE`. */
  readonly rule: string;
  readonly agentId: string;
  readonly grantId: string;
}

/** In place of a wait: nothing is in hand, and nobody has said that there is nothing left. */
export const ASK = -1;

export interface SharedLimits {
  /** Whether it is counted here, and not for this host alone. */
  covers(use: LimitUse): boolean;
  /** Milliseconds until one more may fit; 0 when it does now; ASK. */
  waitMs(use: LimitUse): number;
  /** Takes one. After an ASK it is a debt that the next slice pays. */
  take(use: LimitUse): void;
  /** Asks for more of these; resolves when there is an answer, which may be that there is no more. @throws AlterError vault_unavailable */
  ask(uses: readonly LimitUse[], withinMs: number): Promise<void>;
}
