/** `/v1/providers`: the catalogue, and the operator's own provider files. */
import { Hono } from 'hono';
import { z } from 'zod';
import type { ProviderSpec } from '../config/provider.ts';
import { AlterError } from '../domain/errors.ts';
import type { ApiDeps } from './deps.ts';
import { readBody } from './input.ts';
import { injectionText } from './views.ts';

export interface ProviderView {
  readonly slug: string;
  readonly name: string;
  readonly kind: string;
  readonly hosts: readonly string[];
  readonly fields: readonly {
    readonly name: string;
    readonly label: string;
    readonly secret: boolean;
    readonly pattern: string | null;
  }[];
  readonly injects: readonly string[];
  readonly excluded_paths: readonly string[];
  /** What a grant is for when it names no paths; null: every path. */
  readonly only_paths: readonly string[] | null;
  readonly git_hosts: readonly string[];
  /** A harmless GET that only a good credential gets a 2xx for. */
  readonly probe: { readonly host: string; readonly path: string } | null;
  readonly shares_host_with: readonly { readonly provider: string; readonly reason: string }[];
  readonly placeholder: string | null;
  readonly agent_env: readonly { readonly name: string; readonly value: string }[];
  readonly aliases: readonly string[];
  readonly docs_url: string | null;
  readonly evidence: string;
  readonly user_defined: boolean;
  /** The operator's file stands in the place of a built-in one. */
  readonly overrides_builtin: boolean;
}

const document = z.strictObject({ toml: z.string().max(262_144), replace: z.boolean().optional() });
const draft = z.strictObject({ toml: z.string().max(262_144) });

export function providerRoutes({ providers }: ApiDeps): Hono {
  const routes = new Hono();
  const view = (spec: ProviderSpec): ProviderView =>
    providerView(spec, providers.isUserDefined(spec.slug), providers.overridesBuiltin(spec.slug));

  routes.get('/', (c) => c.json({ providers: providers.list().map(view), problems: providers.problems }));

  routes.post('/', async (c) => {
    const { toml, replace } = await readBody(c, document);
    return c.json({ provider: view(await providers.add(toml, { replace: replace === true })) }, 201);
  });

  routes.post('/validate', async (c) => {
    const { toml } = await readBody(c, draft);
    return c.json({ provider: providerView(providers.validate(toml), true, false) });
  });

  routes.get('/:slug', (c) => {
    const slug = c.req.param('slug');
    const spec = providers.find(slug);
    if (spec === undefined)
      throw new AlterError('not_found', { what: 'provider', name: slug, list_command: 'alterd provider list' });
    return c.json({ provider: view(spec) });
  });

  return routes;
}

function providerView(spec: ProviderSpec, userDefined: boolean, overridesBuiltin: boolean): ProviderView {
  return {
    slug: spec.slug,
    name: spec.name,
    kind: spec.kind,
    hosts: spec.hosts,
    fields: spec.fields.map(({ name, label, secret, pattern }) => ({ name, label, secret, pattern: pattern ?? null })),
    injects: spec.inject.map(injectionText),
    excluded_paths: spec.excludedPaths,
    only_paths: spec.onlyPaths ?? null,
    git_hosts: spec.gitHosts ?? [],
    probe: spec.probe === undefined ? null : { host: spec.probe.host, path: spec.probe.path },
    shares_host_with: (spec.sharesHostWith ?? []).map(({ provider, reason }) => ({ provider, reason })),
    placeholder: spec.placeholder,
    agent_env: spec.agentEnv,
    aliases: spec.aliases ?? [],
    docs_url: spec.docsUrl ?? null,
    evidence: spec.evidence,
    user_defined: userDefined,
    overrides_builtin: overridesBuiltin,
  };
}
