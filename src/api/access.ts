/** `/v1/access` and `/v1/reach`: who reaches a secret or a grant, and what an agent reaches, each with the path that leads there. */
import { Hono } from 'hono';
import { AlterError } from '../domain/errors.ts';
import type { Grant } from '../domain/grant.ts';
import { pathsTo, reachOf } from '../policy/access.ts';
import type { ApiDeps } from './deps.ts';
import { accessView } from './people-views.ts';

export function accessRoutes({ vault, now = Date.now }: ApiDeps): Hono {
  const routes = new Hono();
  routes.get('/:name', (c) => {
    const { what, grants } = named(vault, c.req.param('name'));
    return c.json({ of: what, access: pathsTo(vault.authority, grants, now()).map(accessView) });
  });
  return routes;
}

export function reachRoutes({ vault, now = Date.now }: ApiDeps): Hono {
  const routes = new Hono();
  routes.get('/:agent', (c) => {
    const agent = vault.agents.find(c.req.param('agent'));
    return c.json({ agent: agent.name, status: agent.status, reach: reachOf(vault.authority, agent.id, now()).map(accessView) });
  });
  return routes;
}

/** A secret by its name, else a grant by id or label. */
function named(vault: ApiDeps['vault'], name: string): { what: 'secret' | 'grant'; grants: readonly Grant[] } {
  const secret = vault.secrets.list().find((each) => each.name === name || each.id === name);
  if (secret !== undefined)
    return { what: 'secret', grants: vault.grants.list().filter((grant) => grant.credentialId === secret.id) };
  try {
    return { what: 'grant', grants: [vault.grants.find(name)] };
  } catch (thrown) {
    if (!(thrown instanceof AlterError) || thrown.code !== 'not_found') throw thrown;
    throw new AlterError('not_found', { what: 'secret or grant', name, list_command: 'alterd secret list' });
  }
}
