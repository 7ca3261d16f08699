/**
 * `/v1/secrets`: managed secrets. Write-only: material comes in here and no route of this API ever answers it.
 */
import { Hono } from 'hono';
import { z } from 'zod';
import { Secret } from '../domain/secret.ts';
import type { ApiDeps } from './deps.ts';
import { flag, readBody, readQuery } from './input.ts';
import { secretView } from './views.ts';

const fields = z.record(z.string().regex(/^[a-z][a-z0-9_]{0,63}$/), z.string().max(65_536));
const hosts = z.array(z.string()).max(100).optional();
const template = z.string().max(4_096);

const injection = z.discriminatedUnion('in', [
  z.strictObject({ in: z.literal('header'), name: z.string(), template, hosts }),
  z.strictObject({ in: z.literal('basic'), username: template, password: template, hosts }),
  z.strictObject({ in: z.literal('query'), name: z.string(), template, hosts }),
  z.strictObject({ in: z.literal('cookie'), name: z.string(), template, hosts }),
]);

const newSecret = z.strictObject({
  name: z.string().optional(),
  provider: z.string(),
  fields,
  kind: z.enum(['bearer', 'header', 'basic', 'query', 'cookie', 'custom']).optional(),
  inject: z.array(injection).max(20).optional(),
  hosts,
});
const rotation = z.strictObject({ fields });
const removal = z.strictObject({ cascade: flag.optional() });

export function secretRoutes({ vault, providers }: ApiDeps): Hono {
  const routes = new Hono();

  routes.get('/', (c) => c.json({ secrets: vault.secrets.list().map(secretView) }));

  routes.post('/', async (c) => {
    const body = await readBody(c, newSecret);
    const info = await vault.secrets.create({
      name: body.name,
      // An alias of the catalogue is stored under the provider's own slug.
      providerId: providers.find(body.provider)?.slug ?? body.provider,
      fields: sealed(body.fields),
      kind: body.kind,
      injections: body.inject?.map(({ hosts: narrowed, ...rest }) =>
        narrowed === undefined ? rest : { ...rest, hosts: narrowed },
      ),
      hosts: body.hosts,
    });
    return c.json({ secret: secretView(info) }, 201);
  });

  routes.get('/:name', (c) => {
    const info = vault.secrets.find(c.req.param('name'));
    const grants = vault.grants.list().filter((grant) => grant.credentialId === info.id);
    return c.json({
      secret: secretView(info),
      grants: grants.map((grant) => ({ id: grant.id, label: grant.label, status: grant.status })),
    });
  });

  routes.post('/:name/rotate', async (c) => {
    const body = await readBody(c, rotation);
    return c.json({ secret: secretView(await vault.secrets.rotate(c.req.param('name'), sealed(body.fields))) });
  });

  routes.delete('/:name', async (c) => {
    const { cascade } = readQuery(c, removal);
    await vault.secrets.remove(c.req.param('name'), { cascade });
    return c.body(null, 204);
  });

  return routes;
}

const sealed = (raw: Record<string, string>): Map<string, Secret> =>
  new Map(Object.entries(raw).map(([name, value]) => [name, new Secret(value)]));
