/** `/v1/agents`: named workload identities and their keys. A key is in an answer once, when it is made. */
import { Hono } from 'hono';
import * as z from 'zod';
import type { ApiDeps } from './deps.ts';
import { instant, readBody, readOptionalBody } from './input.ts';
import { bindingOf, boundTo } from './key-binding.ts';
import { userNamer } from './people-views.ts';
import { agentView, grantView, keyView } from './views.ts';

const about = {
  type: z.enum(['agent', 'service']).optional(),
  providers: z.array(z.string()).max(1_000).nullish(),
  metadata: z.record(z.string().max(128), z.string()).optional(),
};
const newAgent = z.strictObject({ name: z.string(), parent: z.string().optional(), ...about });
const changedAgent = z.strictObject(about);
const newStatus = z.strictObject({ status: z.enum(['active', 'paused', 'revoked']) });
const newKey = z.strictObject({
  expires_at: instant.nullish(),
  ...boundTo,
});
const rotation = z.strictObject({ overlap_ms: z.number().int().min(0).optional() });

/** Long enough to hand the new key out without hurry. */
const DEFAULT_OVERLAP_MS = 24 * 3_600_000;

export function agentRoutes({ vault, now = Date.now }: ApiDeps): Hono {
  const routes = new Hono();
  const nameOf = (id: string): string | null => vault.agents.list().find((agent) => agent.id === id)?.name ?? null;

  routes.get('/', (c) =>
    c.json({
      agents: vault.agents.list().map((agent) => ({
        ...agentView(agent),
        keys: vault.agents.listKeys(agent.id).filter((key) => key.status === 'active').length,
        grants: vault.grants.list().filter((grant) => isOf(grant.principal, agent.id) && grant.status === 'active').length,
      })),
    }),
  );

  routes.post('/', async (c) => {
    const body = await readBody(c, newAgent);
    const { agent, key, keyInfo } = await vault.agents.create(body);
    // SECURITY: the only moment at which the key leaves; it can't be asked for again.
    return c.json({ agent: agentView(agent), key: key.reveal(), key_info: keyView(keyInfo) }, 201);
  });

  routes.get('/:name', (c) => {
    const agent = vault.agents.find(c.req.param('name'));
    return c.json({
      agent: agentView(agent),
      keys: vault.agents.listKeys(agent.id).map(keyView),
      grants: vault.grants
        .list()
        .filter((grant) => grant.principal.type === 'system' || isOf(grant.principal, agent.id))
        .map((grant) => grantView(grant, nameOf, now(), { userName: userNamer(vault) })),
      sessions: vault.sessions.list().filter((session) => session.agentId === agent.id).length,
    });
  });

  routes.post('/:name', async (c) => {
    const body = await readBody(c, changedAgent);
    return c.json({ agent: agentView(await vault.agents.change(c.req.param('name'), body)) });
  });

  routes.post('/:name/status', async (c) => {
    const { status } = await readBody(c, newStatus);
    return c.json({ agent: agentView(await vault.agents.changeStatus(c.req.param('name'), status)) });
  });

  routes.delete('/:name', async (c) => {
    await vault.agents.remove(c.req.param('name'));
    return c.body(null, 204);
  });

  routes.get('/:name/keys', (c) => c.json({ keys: vault.agents.listKeys(c.req.param('name')).map(keyView) }));

  routes.post('/:name/keys', async (c) => {
    const body = await readOptionalBody(c, newKey);
    const { key, keyInfo } = await vault.agents.createKey(c.req.param('name'), {
      expiresAt: body.expires_at,
      boundUid: body.bound_uid,
      binding: bindingOf(body),
    });
    return c.json({ key: key.reveal(), key_info: keyView(keyInfo) }, 201);
  });

  routes.post('/:name/keys/rotate', async (c) => {
    const body = await readOptionalBody(c, rotation);
    const overlapMs = body.overlap_ms ?? DEFAULT_OVERLAP_MS;
    const { key, keyInfo } = await vault.agents.rotateKey(c.req.param('name'), { overlapMs });
    return c.json({ key: key.reveal(), key_info: keyView(keyInfo), overlap_ms: overlapMs }, 201);
  });

  return routes;
}

const isOf = (principal: { readonly type: string; readonly agentId?: string }, agentId: string): boolean =>
  principal.type === 'agent' && principal.agentId === agentId;
