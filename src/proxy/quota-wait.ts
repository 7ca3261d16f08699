/**
 * Step 3 of the line where a limit is shared by all hosts and this host has nothing of it in hand: waits for the vault, briefly, and
 * decides again. Must never let a request pass that was not counted: without an answer it is refused.
 */
import { type Admission, admitAgain, type Progress, refuseNewDemands } from './admission.ts';
import type { DataPlane } from './data-plane.ts';
import type { AgentRequest } from './message.ts';
import type { Route } from './route.ts';

/** As long as a person would not yet call it hanging. */
const LONGEST_WAIT_MS = 2_000;

/** @throws AlterError rate_limited, vault_unavailable, or whatever refuses the request by now */
export async function awaitQuotas(
  plane: DataPlane,
  route: Route,
  request: AgentRequest,
  asked: Admission,
  progress: Progress,
): Promise<Admission> {
  const until = performance.now() + LONGEST_WAIT_MS;
  let admission = asked;
  while (admission.policy.awaits.length > 0) {
    try {
      await plane.policies.ask(admission.policy.awaits, until - performance.now());
    } catch (thrown) {
      progress.rule = `policy.${admission.policy.awaits[0]?.rule}`;
      throw thrown;
    }
    // SECURITY: asking took a while; what ended meanwhile lets nothing pass (S-99).
    admission = admitAgain(plane, route, request, admission, progress);
    refuseNewDemands(admission, progress);
  }
  return admission;
}
