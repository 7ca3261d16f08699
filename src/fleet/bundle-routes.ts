/** `/v1/host/bundle`: what is assigned to a host. */
import type { BundleAnswer } from '../domain/fleet-wire.ts';
import type { FleetDeps } from './deps.ts';
import { type FleetRoute, hostRoute } from './route.ts';
import { bundleAnswer } from './schemas.ts';

export function bundleRoutes({ vault, vaultId, now = Date.now }: FleetDeps): FleetRoute[] {
  return [
    hostRoute({
      method: 'GET',
      path: '/v1/host/bundle',
      summary: 'What is assigned to the host',
      answers: { 200: { description: 'The bundle.', schema: bundleAnswer } },
      errors: [],
      answer: ({ host }) => ({
        status: 200,
        body: { vault_id: vaultId, host_id: host.id, epoch: vault.epoch, issued_at: now() } satisfies BundleAnswer,
      }),
    }),
  ];
}
