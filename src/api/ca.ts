/** `/v1/ca`: the local CA's certificate. Its key is in no answer. */
import { Hono } from 'hono';
import type { ApiDeps, CaInfo } from './deps.ts';

export interface CaView {
  readonly fingerprint_sha256: string;
  readonly subject: string;
  readonly not_before: string;
  readonly not_after: string;
  readonly ca_file: string;
  readonly bundle_file: string;
  readonly pem: string;
}

export function caRoutes({ ca }: ApiDeps): Hono {
  const routes = new Hono();
  routes.get('/', async (c) => c.json(caView(await ca.info())));
  routes.post('/rotate', async (c) => c.json(caView(await ca.rotate())));
  return routes;
}

const caView = (info: CaInfo): CaView => ({
  fingerprint_sha256: info.fingerprintSha256,
  subject: info.subject,
  not_before: new Date(info.notBefore).toISOString(),
  not_after: new Date(info.notAfter).toISOString(),
  ca_file: info.caFile,
  bundle_file: info.bundleFile,
  pem: info.pem,
});
