/** `/v1/explain`: one audit entry in words, with what would have made it go otherwise. */
import { Hono } from 'hono';
import { loadPolicies } from '../config/policy-directory.ts';
import type { AuditEntry } from '../domain/audit.ts';
import { AlterError } from '../domain/errors.ts';
import type { Grant } from '../domain/grant.ts';
import { explainRule, type RuleExplanation } from '../policy/policy-explanation.ts';
import { factsOfEntry } from '../policy/policy-simulation.ts';
import type { ApiDeps } from './deps.ts';
import { explanationOf } from './explanation.ts';
import { type EntryView, entryView, grantView } from './views.ts';

export interface ExplainView {
  readonly entry: EntryView;
  readonly verdict: string;
  readonly why: readonly string[];
  readonly fix: readonly string[];
}

export function explainRoutes({ vault, journal, now = Date.now }: ApiDeps): Hono {
  const routes = new Hono();
  const nameOf = (id: string): string | null => vault.agents.list().find((agent) => agent.id === id)?.name ?? null;

  routes.get('/:request_id', async (c) => {
    const id = c.req.param('request_id');
    const entry = await journal.find(id);
    if (entry === undefined)
      throw new AlterError('not_found', { what: 'audit entry', name: id, list_command: 'alterd audit list' });
    const grant = vault.grants.list().find((each) => each.id === entry.grant_id);
    const view = grant === undefined ? null : grantView(grant, nameOf, now());
    const policy = grant === undefined ? null : await explainPolicy(vault, entry, grant);
    return c.json({ entry: entryView(entry), ...explanationOf(entry, view, policy) } satisfies ExplainView);
  });

  return routes;
}

/** The rule of a policy that refused the request, as it was then; null when none did, or nothing is left of it. */
async function explainPolicy(vault: ApiDeps['vault'], entry: AuditEntry, grant: Grant): Promise<RuleExplanation | null> {
  const facts = factsOfEntry(entry, grant);
  if (entry.rule === null || !entry.rule.startsWith('policy.') || facts === null) return null;
  const then = vault.policies.versions().find(({ version }) => version <= (entry.policy_version ?? 0));
  const set = then === undefined ? null : (await loadPolicies(then.sources)).set;
  const rule = set?.rules.find(({ name }) => `policy.${name}` === entry.rule);
  if (rule === undefined) return null;
  const found = explainRule(rule, facts);
  return entry.error === 'vault_unavailable' ? uncounted(found) : found;
}

/** A limit that all hosts share, when there was nobody to draw from. */
const uncounted = ({ says, inputs, changes }: RuleExplanation): RuleExplanation => ({
  says: `${says}, and the central vault, which counts it, did not answer`,
  inputs,
  changes: ['the same request once the vault answers; `alterd status` says whether it does', ...changes.slice(1)],
});
