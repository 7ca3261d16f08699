/** `/v1/providers`: the catalogue, and the operator's own provider files. */
import { Hono } from 'hono';
import * as z from 'zod';
import type { ProviderSpec } from '../config/provider.ts';
import { AlterError } from '../domain/errors.ts';
import type { ApiDeps } from './deps.ts';
import { readBody } from './input.ts';
import { type ProviderView, providerView } from './provider-view.ts';

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
