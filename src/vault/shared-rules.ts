/**
 * Which policies hold limits that all hosts share: read from their texts, once for each set, for whoever has only the rows. Pure.
 * SECURITY: a text that can't be read counts as having one, so that nothing is lent by mistake.
 */
import { parsePolicy } from '../config/policy-file.ts';
import type { Policy, PolicySource } from '../domain/policy.ts';
import type { ExpressionCompiler } from '../policy/conditions.ts';
import { isAbout } from '../policy/policy-set.ts';
import { UNKNOWN } from '../policy/truth.ts';
import type { AgentRow, GrantRow } from '../store/rows.ts';

type Target = Pick<Policy, 'layer' | 'targets'>;

/** Expressions were checked when the policy was loaded, and say nothing of limits. */
const UNREAD: ExpressionCompiler = { compile: () => () => UNKNOWN };
const EVERYTHING: Target = { layer: 'installation', targets: [] };

const found = new WeakMap<readonly PolicySource[], readonly Policy[]>();

/** The policies that enforce such a limit. */
function sharingPolicies(sources: readonly PolicySource[]): readonly Policy[] {
  let policies = found.get(sources);
  if (policies === undefined) {
    policies = sources.flatMap(({ toml, place }) => {
      const { policy } = parsePolicy(toml, place, UNREAD);
      if (policy === null) return [{ ...EVERYTHING, name: place, description: '', mode: 'enforce', rules: [] }];
      const shares = policy.mode === 'enforce' && policy.rules.some(({ limit }) => limit?.scope === 'fleet');
      return shares ? [policy] : [];
    });
    found.set(sources, policies);
  }
  return policies;
}

/** Whether such a limit may be about what one of these agents does under the grant. */
export function isUnderSharedLimit(
  grant: GrantRow,
  sources: readonly PolicySource[],
  agents: readonly Pick<AgentRow, 'id' | 'name'>[],
): boolean {
  const policies = sharingPolicies(sources);
  if (policies.length === 0) return false;
  const { principal } = grant;
  const callers = principal.type === 'agent' ? agents.filter(({ id }) => id === principal.agentId) : agents;
  return policies.some((policy) =>
    callers.some(({ id, name }) => isAbout(policy, { caller: { agentId: id, agentName: name }, grant })),
  );
}
