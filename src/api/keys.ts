/** `/v1/keys`: what can be done to a key by its id or prefix alone. */
import { Hono } from 'hono';
import * as z from 'zod';
import type { ApiDeps } from './deps.ts';
import { instant, readOptionalBody } from './input.ts';
import { bindingOf, boundTo } from './key-binding.ts';
import { keyView } from './views.ts';

const texts = z.array(z.string().min(1)).max(1_000);
const derivation = z.strictObject({
  expires_at: instant.nullish(),
  ...boundTo,
  grant_ids: texts.nullish(),
  denied_methods: texts.optional(),
  denied_paths: texts.optional(),
  denied_hosts: texts.optional(),
});
const revocation = z.strictObject({ force: z.boolean().optional() });

export function keyRoutes({ vault }: ApiDeps): Hono {
  const routes = new Hono();
  routes.post('/:id/revoke', async (c) => {
    const { force } = await readOptionalBody(c, revocation);
    return c.json({ key_info: keyView(await vault.agents.revokeKey(c.req.param('id'), { force })) });
  });
  routes.post('/:id/derive', async (c) => {
    const body = await readOptionalBody(c, derivation);
    const { key, keyInfo } = await vault.agents.deriveKey(c.req.param('id'), {
      expiresAt: body.expires_at,
      boundUid: body.bound_uid,
      binding: bindingOf(body),
      narrowing: {
        grantIds: body.grant_ids?.map((idOrLabel) => vault.grants.find(idOrLabel).id) ?? null,
        deniedMethods: body.denied_methods ?? [],
        deniedPaths: body.denied_paths ?? [],
        deniedHosts: body.denied_hosts ?? [],
      },
    });
    // SECURITY: the only moment at which the key leaves.
    return c.json({ key: key.reveal(), key_info: keyView(keyInfo) }, 201);
  });
  return routes;
}
