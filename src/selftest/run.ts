/**
 * Runs the checks one after the other on one ground, and tells each result as it comes. A guard comes first: where nothing is injected,
 * "nothing leaked" would say nothing, and the whole run has failed.
 */
import type { ApiClient } from '../api/client.ts';
import { type Check, type CheckResult, CheckSkipped, insist } from './check.ts';
import { CALLER_CHECKS } from './checks/callers.ts';
import { EGRESS_CHECKS } from './checks/egress.ts';
import { FRAMING_CHECKS } from './checks/framing.ts';
import { HOST_CHECKS } from './checks/hosts.ts';
import { MACHINE_CHECKS } from './checks/machine.ts';
import { PATH_CHECKS } from './checks/paths.ts';
import { SECRET_CHECKS } from './checks/secrets.ts';
import { expectForwarded } from './expect.ts';
import { type Ground, prepareGround } from './ground.ts';
import { guaranteeOf } from './guarantees.ts';

export const CHECKS: readonly Check[] = [
  ...HOST_CHECKS,
  ...EGRESS_CHECKS,
  ...FRAMING_CHECKS,
  ...PATH_CHECKS,
  ...SECRET_CHECKS,
  ...CALLER_CHECKS,
  ...MACHINE_CHECKS,
];

/** What `guard` stands for. */
const GUARD = 'The credential reaches the granted host: without that, "nothing leaked" would say nothing';

export interface SelfTestReport {
  readonly results: readonly CheckResult[];
  /** What could not be taken away again. */
  readonly left: readonly string[];
  readonly wasStopped: boolean;
}

export interface SelfTestOptions {
  readonly client: ApiClient;
  readonly onResult: (result: CheckResult) => void;
  /** Ends the run after the check under way; what was made is taken away all the same. */
  readonly signal: AbortSignal;
  /** Only these ids; the guard always runs. */
  readonly only?: ReadonlySet<string> | undefined;
}

/** @throws AlterError when the daemon can't be spoken to; nothing is left behind then */
export async function runSelfTest({ client, onResult, signal, only }: SelfTestOptions): Promise<SelfTestReport> {
  const ground = await prepareGround(client);
  const results: CheckResult[] = [];
  const tell = (result: CheckResult): void => {
    results.push(result);
    onResult(result);
  };
  let left: readonly string[] = [];
  try {
    const guard = await tried('guard', GUARD, ground, checkInjection);
    tell(guard);
    const chosen = CHECKS.filter(({ id }) => only === undefined || only.has(id));
    for (const { id, run } of guard.status === 'failed' ? [] : chosen) {
      if (signal.aborted) break;
      tell(await tried(id, guaranteeOf(id).text, ground, run));
    }
  } finally {
    left = await ground.close();
  }
  return { results, left, wasStopped: signal.aborted };
}

async function tried(id: string, guarantee: string, ground: Ground, run: Check['run']): Promise<CheckResult> {
  try {
    const aside = await run(ground);
    return aside === undefined ? { id, guarantee, status: 'pass', reason: null } : { id, guarantee, ...aside };
  } catch (error) {
    if (error instanceof CheckSkipped) return { id, guarantee, status: 'skipped', reason: error.message };
    return { id, guarantee, status: 'failed', reason: (error as Error).message };
  }
}

async function checkInjection(ground: Ground): Promise<undefined> {
  const answer = await expectForwarded(ground, () => ground.bot.ask('GET', ground.url('/public/x')));
  insist(answer.status === 200, `the origin was answered for with ${answer.status}`);
  insist(
    ground.origin.lastValues('authorization').join() === `Bearer ${ground.secret}`,
    'the credential did not reach the origin',
  );
}
