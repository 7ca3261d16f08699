/**
 * `/v1/policies`: the rules in force, where they come from, and what another set of them would change. Simulation and suggestion read
 * the audit journal; nothing here changes a grant.
 */
import { Hono } from 'hono';
import * as z from 'zod';
import { type LoadedPolicies, type LoadedPolicy, loadPolicies } from '../config/policy-directory.ts';
import { type PolicyProblem, problemText } from '../config/policy-problem.ts';
import type { AuditEntry } from '../domain/audit.ts';
import { AlterError } from '../domain/errors.ts';
import type { Policy, PolicySource } from '../domain/policy.ts';
import { compareReach, type ReachRow } from '../policy/policy-reach.ts';
import type { PolicySet } from '../policy/policy-set.ts';
import { factsOfEntry, type SimulatedVerdict, Simulation } from '../policy/policy-simulation.ts';
import { type SuggestedReach, suggestPolicy } from '../policy/policy-suggestion.ts';
import type { VaultRooms } from '../vault/vault-rooms.ts';
import type { ApiDeps } from './deps.ts';
import { instant, readBody } from './input.ts';

export interface PolicyView {
  readonly name: string;
  readonly description: string;
  readonly layer: Policy['layer'];
  readonly targets: readonly string[];
  readonly mode: Policy['mode'];
  readonly rules: readonly { readonly name: string; readonly effect: string }[];
  readonly origin: 'file' | 'vault';
  readonly place: string;
}

export interface PolicyVersionView {
  readonly version: number;
  readonly created_at: string;
  readonly digest: string;
  readonly policies: readonly string[];
}

export interface ProblemView {
  readonly severity: 'error' | 'warning';
  readonly text: string;
}

export interface DiffView {
  readonly rows: readonly ReachRow[];
  readonly widens: boolean;
  readonly is_cut: boolean;
}

export interface SimulationView {
  readonly requests: number;
  readonly verdicts: Readonly<Record<SimulatedVerdict, number>>;
  /** Where the verdict is another one than was recorded, grouped. */
  readonly changes: readonly {
    readonly was: string;
    readonly would_be: SimulatedVerdict;
    readonly agent: string;
    readonly host: string;
    readonly method: string;
    readonly path: string;
    readonly rules: readonly string[];
    readonly requests: number;
    readonly request_id: string;
  }[];
}

export interface SuggestionView {
  readonly toml: string;
  readonly requests: number;
  readonly allows: readonly SuggestedReach[];
}

const source = z.strictObject({ place: z.string().max(256), toml: z.string() });
/**
 * A version, sources, or neither for what is in force. Sources stand alone, in place of all files, or beside what is in force, where
 * they take the place of policies of the same name.
 */
const setSchema = z.strictObject({
  version: z.number().int().min(0).optional(),
  sources: z.array(source).max(500).optional(),
  over: z.enum(['nothing', 'files', 'same_name']).optional(),
});
const newPolicy = z.strictObject({ toml: z.string(), replace: z.boolean().optional() });
const validation = z.strictObject({ sources: z.array(source).max(500).optional() });
const comparison = z.strictObject({ before: setSchema, after: setSchema });
const period = { since: instant.optional(), until: instant.optional(), agent: z.string().optional() };
const simulation = z.strictObject({ ...period, set: setSchema });
const suggestion = z.strictObject({ ...period, agent: z.string() });
/** More rows than this would keep the daemon from its work. */
const MAX_ROWS = 200_000;
const MAX_CHANGES = 500;

export function policyRoutes({ vault, journal, now = Date.now }: ApiDeps): Hono {
  const routes = new Hono();
  const { policies } = vault;

  routes.get('/', (c) => c.json({ version: policies.version().version, policies: policies.list().map(policyView) }));

  routes.get('/versions', (c) => c.json({ versions: policies.versions().map(versionView) }));

  routes.post('/', async (c) => {
    const { toml, replace = false } = await readBody(c, newPolicy);
    return c.json({ policy: policyView(await policies.add(toml, { replace })) }, 201);
  });

  routes.post('/validate', async (c) => {
    const { sources } = await readBody(c, validation);
    const checked = sources === undefined ? await checkInstalled(vault) : await loadPolicies(filesOf(sources));
    return c.json({ problems: [...checked.problems.map(problemView), ...unknownTargets(checked.loaded, vault)] });
  });

  routes.post('/diff', async (c) => {
    const { before, after } = await readBody(c, comparison);
    const [a, b] = [await setOf(vault, before), await setOf(vault, after)];
    const grants = vault.grants
      .list()
      .filter(({ status, expiresAt }) => status === 'active' && (expiresAt === null || expiresAt > now()));
    const { rows, isCut } = compareReach(a, b, {
      agents: vault.agents.list(),
      grants,
      delegations: vault.delegations.list(),
      now: now(),
    });
    return c.json({ rows, widens: rows.some((row) => row.widens), is_cut: isCut } satisfies DiffView);
  });

  routes.post('/simulate', async (c) => {
    const { set, ...filter } = await readBody(c, simulation);
    return c.json(await simulate(await setOf(vault, set), vault, await readRows(journal, filter)));
  });

  routes.post('/suggest', async (c) => {
    const filter = await readBody(c, suggestion);
    const { name } = vault.agents.find(filter.agent);
    const found = suggestPolicy(name, await readRows(journal, { ...filter, agent: name }));
    if (found === null) {
      const hint = 'Let it work for a while, then ask again; `alterd audit list` shows what there is.';
      throw new AlterError('conflict', { reason: `No allowed request of the agent "${name}" is recorded`, hint });
    }
    return c.json(found satisfies SuggestionView);
  });

  routes.get('/:name', (c) => {
    const name = c.req.param('name');
    const found = policies.list().find(({ policy }) => policy.name === name);
    if (found === undefined) throw new AlterError('not_found', { what: 'policy', name, list_command: 'alterd policy list' });
    return c.json({ policy: policyView(found), toml: found.source.toml });
  });

  routes.delete('/:name', async (c) => {
    await policies.remove(c.req.param('name'));
    return c.body(null, 204);
  });

  return routes;
}

function policyView({ policy, source }: LoadedPolicy): PolicyView {
  return {
    name: policy.name,
    description: policy.description,
    layer: policy.layer,
    targets: policy.targets,
    mode: policy.mode,
    rules: policy.rules.map(({ name, effect }) => ({ name, effect })),
    origin: source.origin,
    place: source.place,
  };
}

const versionView = ({
  version,
  createdAt,
  digest,
  sources,
}: ReturnType<VaultRooms['policies']['version']>): PolicyVersionView => ({
  version,
  created_at: new Date(createdAt).toISOString(),
  digest,
  policies: sources.map(({ place }) => place),
});

const problemView = (problem: PolicyProblem): ProblemView => ({ severity: problem.severity, text: problemText(problem) });

const filesOf = (sources: readonly { place: string; toml: string }[]): PolicySource[] =>
  sources.map(({ place, toml }) => ({ origin: 'file', place, toml }));

async function checkInstalled(vault: VaultRooms): Promise<Pick<LoadedPolicies, 'problems' | 'loaded'>> {
  const { sources } = vault.policies.readSources();
  return loadPolicies(sources);
}

/** A policy about nobody is a mistake in a name more often than foresight. */
function unknownTargets(loaded: readonly LoadedPolicy[], vault: VaultRooms): ProblemView[] {
  const agents = new Set(vault.agents.list().flatMap(({ id, name }) => [id, name]));
  const grants = new Set(vault.grants.list().flatMap(({ id, label }) => [id, label]));
  const providers = new Set(vault.grants.list().map(({ providerId }) => providerId));
  const known: Partial<Record<Policy['layer'], ReadonlySet<string>>> = { agent: agents, grant: grants, provider: providers };
  return loaded.flatMap(({ policy, source: { place } }) =>
    policy.targets
      .filter((target) => target !== '*' && known[policy.layer]?.has(target) === false)
      .map((target) => ({
        severity: 'warning' as const,
        text: `${place}: targets ${JSON.stringify(target)} is no ${policy.layer === 'provider' ? 'provider of a grant' : policy.layer} that exists`,
      })),
  );
}

/** @throws AlterError invalid_input, not_found */
async function setOf(vault: VaultRooms, { version, sources, over = 'nothing' }: z.output<typeof setSchema>): Promise<PolicySet> {
  if (sources === undefined && version === undefined) return vault.policies.set;
  const given = sources === undefined ? vault.policies.version(version).sources : filesOf(sources);
  const { set, problems } = await loadPolicies([...(await besides(vault, given, over)), ...given]);
  if (set === null) throw new AlterError('invalid_input', { problems: problems.map(problemText) });
  return set;
}

/** What of the policies in force stays beside the given ones. */
async function besides(vault: VaultRooms, given: readonly PolicySource[], over: string): Promise<readonly PolicySource[]> {
  if (over === 'nothing') return [];
  const inForce = vault.policies.list();
  if (over === 'files') return inForce.filter(({ source }) => source.origin === 'vault').map(({ source }) => source);
  const names = new Set((await loadPolicies(given)).loaded.map(({ policy }) => policy.name));
  return inForce.filter(({ policy }) => !names.has(policy.name)).map(({ source }) => source);
}

interface Period {
  readonly since?: number | undefined;
  readonly until?: number | undefined;
  readonly agent?: string | undefined;
}

/** Oldest first. */
async function readRows(journal: ApiDeps['journal'], { since, until, agent }: Period): Promise<AuditEntry[]> {
  const rows: AuditEntry[] = [];
  const filter = {
    kind: 'exchange' as const,
    ...(since === undefined ? {} : { since }),
    ...(until === undefined ? {} : { until }),
    ...(agent === undefined ? {} : { agent }),
  };
  await journal.export(filter, (entry) => {
    if (rows.length >= MAX_ROWS)
      throw new AlterError('invalid_input', {
        problems: [`since: there are more than ${MAX_ROWS} rows; ask for a shorter time`],
      });
    rows.push(entry);
  });
  return rows;
}

/** Rows that the grant itself refused say nothing of policies and are left out. */
async function simulate(set: PolicySet, vault: VaultRooms, rows: readonly AuditEntry[]): Promise<SimulationView> {
  const grants = new Map(vault.grants.list().map((grant) => [grant.id, grant]));
  const run = new Simulation(set);
  const verdicts: Record<SimulatedVerdict, number> = { allow: 0, deny: 0, limited: 0, approval: 0, undetermined: 0 };
  const changes = new Map<string, SimulationView['changes'][number]>();
  let requests = 0;
  for (const entry of rows) {
    const grant = entry.grant_id === null ? undefined : grants.get(entry.grant_id);
    const byPolicy = entry.rule?.startsWith('policy.') === true;
    if (grant === undefined || (entry.decision === 'deny' && !byPolicy)) continue;
    const facts = factsOfEntry(entry, grant);
    if (facts === null) continue;
    requests++;
    const { verdict, rules } = run.judge(facts);
    verdicts[verdict]++;
    const was = entry.decision === 'deny' ? 'deny' : 'allow';
    if (verdict === was || (was === 'deny' && verdict !== 'allow' && verdict !== 'undetermined')) continue;
    const { agent, host, method, path, request_id } = entry;
    const change = {
      was,
      would_be: verdict,
      agent: agent ?? '',
      host: host ?? '',
      method: method ?? '',
      path: path ?? '',
      rules,
      requests: 1,
      request_id,
    };
    const key = JSON.stringify([was, verdict, agent, host, method, path, rules]);
    const known = changes.get(key);
    if (known !== undefined) changes.set(key, { ...known, requests: known.requests + 1 });
    else if (changes.size < MAX_CHANGES) changes.set(key, change);
  }
  return { requests, verdicts, changes: [...changes.values()] };
}
