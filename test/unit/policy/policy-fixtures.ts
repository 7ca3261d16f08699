/** Policies and facts for tests: a policy from its TOML, and the facts of one request with what the test changes. */
import { loadPolicies } from '../../../src/config/policy-directory.ts';
import { destinationOf } from '../../../src/domain/destination.ts';
import { decidePolicies } from '../../../src/policy/decide-policies.ts';
import type { LimitLedger } from '../../../src/policy/limit-ledger.ts';
import { parseTarget } from '../../../src/policy/path.ts';
import type { PolicyFacts } from '../../../src/policy/policy-facts.ts';
import type { PolicySet } from '../../../src/policy/policy-set.ts';
import { callerOf, grantOf } from './fixtures.ts';

export const HOST = 'api.good.test';

/** @param rules TOML of `[[rules]]`; a name is added to each that has none */
export const policyToml = (rules: string, head = 'name = "p"\nlayer = "installation"'): string =>
  `${head}\n${rules.replaceAll(/\[\[rules\]\]\n(?!name)/g, (_all, at: number) => `[[rules]]\nname = "r${at}"\n`)}`;

export async function setOf(...tomls: readonly string[]): Promise<PolicySet> {
  const { set, problems } = await loadPolicies(tomls.map((toml, i) => ({ origin: 'file', place: `p${i}.toml`, toml })));
  if (set === null) throw new Error(problems.map(({ path, message }) => `${path} ${message}`).join('; '));
  return set;
}

/** One rule, as the body of its table. */
export const ruleSet = (rule: string): Promise<PolicySet> => setOf(policyToml(`[[rules]]\nname = "r"\n${rule}`));

const GRANT = grantOf('g1', 'a1', HOST);
const CALLER = callerOf('a1');

export function factsOf(more: Partial<Omit<PolicyFacts, 'target'>> & { readonly target?: string } = {}): PolicyFacts {
  const { target = '/v1/items', ...rest } = more;
  return {
    method: 'GET',
    headers: [],
    caller: CALLER,
    destination: destinationOf('https', HOST, 443, 0),
    grant: GRANT,
    source: { address: '127.0.0.1:40000', uid: null, executable: null, unit: null },
    principal: null,
    body: null,
    now: Date.UTC(2026, 0, 14, 12, 0),
    ...rest,
    target: parseTarget(target),
  };
}

/** `allow`, `pending`, or the policy error of the refusal. */
export function verdictOf(set: PolicySet, facts: PolicyFacts, ledger: LimitLedger | null = null): string {
  const decision = decidePolicies(set, facts, ledger);
  if (decision.allow) return decision.pending ? 'pending' : 'allow';
  return (decision.error.details as { policy_error: string }).policy_error;
}
