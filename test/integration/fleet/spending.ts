/** Spends from what a host has in hand of a limit, as the line does: decide, ask where nothing is in hand, decide again. */
import type { LimitSpec } from '../../../src/domain/policy.ts';
import { LimitLedger, limitUse } from '../../../src/policy/limit-ledger.ts';
import { ASK, type LimitUse } from '../../../src/policy/shared-limits.ts';
import type { RemoteVault } from '../../../src/vault-client/remote-vault.ts';

/** The counter of a rule that this host knows. */
export function sharedUse(remote: RemoteVault, rule: string, agentId: string, grantId: string): LimitUse {
  const limit = remote.policies.set.rules.find(({ name }) => name === rule)?.rule.limit as LimitSpec;
  return limitUse(rule, agentId, grantId, limit);
}

/** So many requests at once; how many of them passed. */
export async function spend(remote: RemoteVault, use: LimitUse, requests: number): Promise<number> {
  const ledger = new LimitLedger([], remote.quotas);
  const one = async (): Promise<boolean> => {
    for (;;) {
      const waitMs = ledger.waitMs(use, Date.now());
      if (waitMs === 0) {
        ledger.take([use], Date.now());
        return true;
      }
      if (waitMs !== ASK) return false;
      await ledger.ask([use], 10_000);
    }
  };
  const passed = await Promise.all(Array.from({ length: requests }, one));
  return passed.filter((isPassed) => isPassed).length;
}
