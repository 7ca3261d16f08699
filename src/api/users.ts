/** `/v1/users`: the people who signed in or whose tokens came. They are made by verified tokens alone; here they are looked at and ended. */
import { Hono } from 'hono';
import * as z from 'zod';
import type { ApiDeps } from './deps.ts';
import { readBody } from './input.ts';
import { delegationView, userNamer, userView } from './people-views.ts';
import { grantView } from './views.ts';

const newStatus = z.strictObject({ status: z.enum(['active', 'deactivated']) });

export function userRoutes({ vault, now = Date.now }: ApiDeps): Hono {
  const routes = new Hono();

  routes.get('/', (c) => c.json({ users: vault.users.list().map(userView) }));

  routes.get('/:user', (c) => {
    const user = vault.users.find(c.req.param('user'));
    return c.json({
      user: userView(user),
      grants: vault.grants
        .list()
        .filter(({ principal }) => principal.type === 'user' && principal.userId === user.id)
        .map((grant) => grantView(grant, () => null, now(), { userName: userNamer(vault) })),
      delegations: vault.delegations
        .list()
        .filter((delegation) => delegation.userId === user.id)
        .map((delegation) => delegationView(delegation, vault, now())),
      sessions: vault.sessions.list().filter((session) => session.userId === user.id).length,
    });
  });

  routes.post('/:user/status', async (c) => {
    const { status } = await readBody(c, newStatus);
    return c.json({ user: userView(await vault.users.changeStatus(c.req.param('user'), status)) });
  });

  routes.delete('/:user', async (c) => {
    await vault.users.remove(c.req.param('user'));
    return c.body(null, 204);
  });

  return routes;
}
