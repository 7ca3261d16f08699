/** `/v1/delegations`: which agent may use which grant of a person. With a sign-in it is that person's word, else the operator's. */
import { Hono } from 'hono';
import * as z from 'zod';
import type { ApiDeps } from './deps.ts';
import { instant, readBody, readOptionalBody } from './input.ts';
import { delegationView } from './people-views.ts';

const newDelegation = z
  .strictObject({
    grant: z.string().min(1),
    agent: z.string().min(1),
    user: z.string().min(1).optional(),
    user_session: z.string().max(128).optional(),
    expires_at: instant.nullish(),
  })
  .refine((body) => body.user === undefined || body.user_session === undefined, 'has both user and user_session');
const revocation = z.strictObject({ user_session: z.string().max(128).optional() });

export function delegationRoutes({ vault, identity, now = Date.now }: ApiDeps): Hono {
  const routes = new Hono();

  routes.get('/', (c) => c.json({ delegations: vault.delegations.list().map((each) => delegationView(each, vault, now())) }));

  routes.post('/', async (c) => {
    const body = await readBody(c, newDelegation);
    const signedIn = body.user_session === undefined ? null : identity.sessions.find(body.user_session);
    const delegation = await vault.delegations.create({
      grant: body.grant,
      agent: body.agent,
      user: signedIn?.userId ?? body.user,
      expiresAt: body.expires_at,
      by: signedIn === null ? 'operator' : 'user',
    });
    return c.json({ delegation: delegationView(delegation, vault, now()) }, 201);
  });

  routes.post('/:id/revoke', async (c) => {
    const body = await readOptionalBody(c, revocation);
    const signedIn = body.user_session === undefined ? null : identity.sessions.find(body.user_session);
    const delegation =
      signedIn === null
        ? await vault.delegations.revoke(c.req.param('id'), 'operator')
        : await vault.delegations.revoke(c.req.param('id'), 'user', { userId: signedIn.userId });
    return c.json({ delegation: delegationView(delegation, vault, now()) });
  });

  return routes;
}
