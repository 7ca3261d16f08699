/**
 * What a set of policies would have said of requests that were recorded. A row knows method, host, path and caller, but no header,
 * no value of a query and no body: what hangs on these is told as undetermined, never guessed. Pure, but for the counters that a
 * simulation keeps for itself.
 */

import { isIP } from 'node:net';
import { NO_BINDING, NO_NARROWING } from '../domain/agent.ts';
import type { AuditEntry } from '../domain/audit.ts';
import { destinationOf, type Scheme } from '../domain/destination.ts';
import type { Grant } from '../domain/grant.ts';
import { outcomeOf } from './decide-policies.ts';
import { LimitLedger } from './limit-ledger.ts';
import { parseTarget } from './path.ts';
import type { PolicyFacts } from './policy-facts.ts';
import type { ActiveRule, PolicySet } from './policy-set.ts';
import type { LimitUse } from './shared-limits.ts';
import { type Condition, PENDING } from './truth.ts';

export type SimulatedVerdict = 'allow' | 'deny' | 'limited' | 'approval' | 'undetermined';

export interface Simulated {
  readonly verdict: SimulatedVerdict;
  /** The rules that say so, as `POLICY/RULE`. */
  readonly rules: readonly string[];
}

/** Facts that no row has. */
const NOT_RECORDED: ReadonlySet<string> = new Set(['query', 'headers', 'json', 'graphql', 'jsonrpc']);

/** A row holds what the condition asks for. */
export const isRecorded = ({ key }: Condition, cel: string | null | undefined): boolean =>
  !NOT_RECORDED.has(key) && (key !== 'cel' || !/\brequest\s*\.\s*(query|headers)\b/.test(cel ?? ''));

const undetermined = (condition: Condition): Condition => ({ ...condition, test: () => PENDING });

/** The same rule, with what was not recorded left open. */
function onRecord(rule: ActiveRule): ActiveRule {
  const { on, when } = rule.compiled.rule;
  return {
    ...rule,
    on: rule.on.map((each) => (isRecorded(each, on?.cel) ? each : undetermined(each))),
    when: rule.when.map((each) => (isRecorded(each, when.cel) ? each : undetermined(each))),
  };
}

export class Simulation {
  readonly #set: PolicySet;
  readonly #ledger = new LimitLedger();

  constructor(set: PolicySet) {
    this.#set = set;
  }

  /** In the order in which the requests came. Monitored policies count as if they were enforced. */
  judge(facts: PolicyFacts): Simulated {
    const by = new Map<string, ActiveRule[]>();
    for (const rule of this.#set.rulesFor(facts)) {
      const outcome = outcomeOf(onRecord(rule), facts);
      by.set(outcome, [...(by.get(outcome) ?? []), rule]);
    }
    const names = (...outcomes: string[]): string[] =>
      outcomes.flatMap((outcome) => (by.get(outcome) ?? []).map((rule) => rule.compiled.name));
    const denied = names('deny', 'unmet', 'unknown');
    if (denied.length > 0) return { verdict: 'deny', rules: denied };
    const open = names('pending');
    if (open.length > 0) return { verdict: 'undetermined', rules: open };
    const held = names('approval');
    if (held.length > 0) return { verdict: 'approval', rules: held };
    const uses = (by.get('limit') ?? []).map((rule) => [rule.compiled.name, rule.use as LimitUse] as const);
    const full = uses.filter(([, use]) => this.#ledger.waitMs(use, facts.now) > 0);
    if (full.length > 0) return { verdict: 'limited', rules: full.map(([name]) => name) };
    this.#ledger.take(
      uses.map(([, use]) => use),
      facts.now,
    );
    return { verdict: 'allow', rules: [] };
  }
}

/** The facts of a row; null when it is no request under this grant. */
export function factsOfEntry(entry: AuditEntry, grant: Grant): PolicyFacts | null {
  if (entry.kind !== 'exchange' || entry.agent_id === null || entry.host === null || entry.method === null || entry.path === null)
    return null;
  const family = isIP(entry.host) as 0 | 4 | 6;
  try {
    return {
      method: entry.method,
      headers: [],
      target: parseTarget(entry.path),
      caller: {
        agentId: entry.agent_id,
        agentName: entry.agent ?? '',
        keyId: entry.key_id ?? '',
        keyPrefix: entry.key_prefix ?? '',
        keyKind: entry.session_id === null ? 'agent' : 'session',
        sessionId: entry.session_id,
        narrowing: NO_NARROWING,
        expiresAt: null,
        boundUid: null,
        binding: NO_BINDING,
        userId: entry.user_id,
        parentAgent: entry.parent_agent,
      },
      destination: destinationOf((entry.scheme ?? 'https') as Scheme, entry.host, entry.port ?? 443, family),
      grant,
      source: { address: entry.peer ?? '', uid: entry.uid, executable: entry.executable },
      // Who was in which group then is in no row.
      principal: entry.user_id === null ? null : { kind: 'user', user: entry.user_id, groups: null },
      body: null,
      now: entry.at,
    };
  } catch {
    return null;
  }
}
