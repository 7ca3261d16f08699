/** `/v1/config` and `/v1/reload`: the configuration in force, with the origin of each value, and reading it anew. */
import { Hono } from 'hono';
import type { ApiDeps } from './deps.ts';

export interface ReloadView {
  readonly changed: readonly string[];
  readonly restart_required: readonly string[];
}

export function configRoutes({ config }: ApiDeps): Hono {
  const routes = new Hono();
  routes.get('/', (c) => c.json({ values: config() }));
  return routes;
}

export function reloadRoutes({ reload }: ApiDeps): Hono {
  const routes = new Hono();
  routes.post('/', async (c) => {
    const { changed, restartRequired } = await reload();
    return c.json({ changed, restart_required: restartRequired } satisfies ReloadView);
  });
  return routes;
}
