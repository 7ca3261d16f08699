/** One check of the self-test: what it is about, how it is made, and what came of it. It must never pass because something did not answer. */
import type { Ground } from './ground.ts';

/** `exposed`: it is as it is meant to be, and does not protect here. `skipped`: it can't be tried here. */
export type CheckStatus = 'pass' | 'failed' | 'exposed' | 'skipped';

/** What a check answers when it neither passed nor failed. */
export interface Aside {
  readonly status: 'exposed' | 'skipped';
  readonly reason: string;
}

export interface Check {
  /** Of a guarantee. */
  readonly id: string;
  /** Resolves to undefined when it passed. @throws CheckFailure, or whatever went wrong: both are failures */
  readonly run: (ground: Ground) => Promise<Aside | undefined> | Aside | undefined;
}

export interface CheckResult {
  readonly id: string;
  readonly guarantee: string;
  readonly status: CheckStatus;
  readonly reason: string | null;
}

/** What was seen is not what is guaranteed. */
export class CheckFailure extends Error {
  constructor(reason: string) {
    super(reason);
    this.name = 'CheckFailure';
  }
}

/** It can't be tried with the settings in force. */
export class CheckSkipped extends Error {
  constructor(reason: string) {
    super(reason);
    this.name = 'CheckSkipped';
  }
}

/** @throws CheckFailure */
export function insist(isSo: boolean, otherwise: string): asserts isSo {
  if (!isSo) throw new CheckFailure(otherwise);
}

export const exposed = (reason: string): Aside => ({ status: 'exposed', reason });
export const skipped = (reason: string): Aside => ({ status: 'skipped', reason });
