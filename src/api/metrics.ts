/** `/v1/metrics`: counts in the text format of Prometheus. */
import { Hono } from 'hono';
import { METRICS_TYPE } from '../metrics/scrape.ts';
import type { ApiDeps } from './deps.ts';

export function metricsRoutes({ metrics }: ApiDeps): Hono {
  const routes = new Hono();
  routes.get('/', async (c) => c.body(await metrics(), 200, { 'content-type': METRICS_TYPE }));
  return routes;
}
