/** `/v1/host/bundle` and `/v1/host/events`: what a host may use, and what of it changes. */
import * as z from 'zod';
import type { BundleAnswer } from '../domain/fleet-wire.ts';
import type { FleetDeps } from './deps.ts';
import type { HostStreams } from './host-streams.ts';
import { type HostViews, wireOf } from './host-views.ts';
import { type FleetRoute, hostRoute } from './route.ts';
import { bundleAnswer } from './schemas.ts';

const eventsQuery = z.object({
  after: z
    .string()
    .max(128)
    .optional()
    .meta({ description: 'EPOCH.DIGEST of the view that the host has; `Last-Event-ID` says the same.' }),
});

export interface BundleDeps extends FleetDeps {
  readonly views: HostViews;
  readonly streams: HostStreams;
}

export function bundleRoutes({ vault, vaultId, leaseMs, views, streams, now = Date.now }: BundleDeps): FleetRoute[] {
  return [
    hostRoute({
      method: 'GET',
      path: '/v1/host/bundle',
      summary: 'What is assigned to the host',
      description:
        'The rows of its agents and of what they can use, without secrets. `If-None-Match` with the digest that the host has answers 304, which begins its lease anew. `Alter-Lease-Ms` says how long that is.',
      answers: {
        200: { description: 'The bundle.', schema: bundleAnswer },
        304: { description: 'The view is still the same; its lease begins anew.' },
      },
      errors: [],
      answer: ({ host, headers }) => {
        const { view, digest } = views.of(host);
        const facts = { etag: `"${digest}"`, 'alter-lease-ms': String(leaseMs), 'alter-epoch': String(vault.epoch) };
        if (headers['if-none-match'] === facts.etag) return { status: 304, headers: facts };
        const body: BundleAnswer = {
          ...{ vault_id: vaultId, host_id: host.id, host_name: host.name, epoch: vault.epoch, issued_at: now() },
          ...{ lease_ms: leaseMs, digest, rows: wireOf(view) },
        };
        return { status: 200, body, headers: facts };
      },
    }),
    hostRoute({
      method: 'GET',
      path: '/v1/host/events',
      summary: 'Changes of what is assigned to the host, as they are made',
      description:
        'Events: `changed` (rows that are put or removed, from one digest to another), `reset` (fetch the bundle), `ended` (the host may borrow no more), `ping` every 5 s. Each id is EPOCH.DIGEST; a stream that was lost goes on after it.',
      query: eventsQuery,
      answers: { 200: { description: 'The events.', type: 'text/event-stream', schema: z.string() } },
      errors: [],
      answer: ({ host, query, headers }) => {
        const last = headers['last-event-id'];
        const after = (typeof last === 'string' ? last : query.after) ?? '';
        return { stream: (response) => streams.add(host, after.slice(after.indexOf('.') + 1), response) };
      },
    }),
  ];
}
