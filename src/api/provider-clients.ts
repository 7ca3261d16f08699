/** `/v1/provider-clients`: the operator's own OAuth clients. Write-only: the secret comes in here and is never answered. */
import { Hono } from 'hono';
import * as z from 'zod';
import { Secret } from '../domain/secret.ts';
import type { ProviderClientInfo } from '../vault/oauth/provider-clients.ts';
import type { ApiDeps } from './deps.ts';
import { readBody } from './input.ts';

export interface ProviderClientView {
  readonly provider: string;
  readonly client_id: string;
  readonly created_at: string;
}

const newClient = z.strictObject({
  provider: z.string(),
  client_id: z.string().max(512),
  client_secret: z.string().min(1).max(4_096).nullish(),
});

export function providerClientRoutes({ vault }: ApiDeps): Hono {
  const routes = new Hono();

  routes.get('/', (c) => c.json({ clients: vault.clients.list().map(view) }));

  routes.post('/', async (c) => {
    const body = await readBody(c, newClient);
    const secret = body.client_secret ?? null;
    const info = await vault.clients.set({
      provider: body.provider,
      clientId: body.client_id,
      clientSecret: secret === null ? null : new Secret(secret),
    });
    return c.json({ client: view(info) }, 201);
  });

  routes.delete('/:provider', async (c) => {
    await vault.clients.remove(c.req.param('provider'));
    return c.body(null, 204);
  });

  return routes;
}

const view = (info: ProviderClientInfo): ProviderClientView => ({
  provider: info.providerId,
  client_id: info.clientId,
  created_at: new Date(info.createdAt).toISOString(),
});
