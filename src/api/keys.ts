/** `/v1/keys`: what can be done to a key by its id or prefix alone. */
import { Hono } from 'hono';
import { z } from 'zod';
import type { ApiDeps } from './deps.ts';
import { readOptionalBody } from './input.ts';
import { keyView } from './views.ts';

const revocation = z.strictObject({ force: z.boolean().optional() });

export function keyRoutes({ vault }: ApiDeps): Hono {
  const routes = new Hono();
  routes.post('/:id/revoke', async (c) => {
    const { force } = await readOptionalBody(c, revocation);
    return c.json({ key_info: keyView(await vault.agents.revokeKey(c.req.param('id'), { force })) });
  });
  return routes;
}
