/** `/v1/fleet`: what a central vault is to its hosts, and when it heard of each: what a check of the vault has to know. */
import { Hono } from 'hono';
import type { FleetHost } from '../domain/fleet-host.ts';
import type { HostAuditReader } from '../vault/hosts.ts';
import type { ApiDeps } from './deps.ts';
import { requiredFleet } from './hosts.ts';

export interface FleetView {
  readonly vault_id: string;
  readonly url: string;
  readonly address: string;
  /** SHA-256 of the certificate that hosts pin. */
  readonly fingerprint: string;
  readonly hosts: readonly FleetHostView[];
}

export interface FleetHostView {
  readonly name: string;
  readonly status: FleetHost['status'];
  readonly enrolled_at: string | null;
  readonly last_seen_at: string | null;
  /** When the newest row of its audit journal came; null: none yet. */
  readonly last_audit_at: string | null;
  /** When that row was written at the host. */
  readonly last_audit_row_at: string | null;
}

export function fleetRoutes({ fleet }: ApiDeps): Hono {
  const routes = new Hono();

  routes.get('/', async (c) => {
    const { vaultId, url, address, fingerprint, hosts, audit } = requiredFleet(fleet);
    const views = await Promise.all(hosts.list().map((host) => viewOf(host, audit)));
    return c.json({ fleet: { vault_id: vaultId, url, address, fingerprint, hosts: views } satisfies FleetView });
  });

  return routes;
}

async function viewOf(host: FleetHost, audit: HostAuditReader): Promise<FleetHostView> {
  const chain = (await audit.listHostChains(host.id)).at(-1);
  const last = chain === undefined ? undefined : await audit.lastHostAudit({ hostId: host.id, chain });
  return {
    ...{ name: host.name, status: host.status, enrolled_at: iso(host.enrolledAt), last_seen_at: iso(host.lastUsedAt) },
    last_audit_at: iso(last?.arrivedAt ?? null),
    last_audit_row_at: iso(last === undefined ? null : writtenAt(last.line)),
  };
}

/** Hosts write their rows: nothing of one is believed but that it may be a time. */
function writtenAt(line: string): number | null {
  try {
    const { at } = JSON.parse(line) as { at?: unknown };
    return typeof at === 'number' && Math.abs(at) < 8.64e15 ? at : null;
  } catch {
    return null;
  }
}

const iso = (at: number | null): string | null => (at === null ? null : new Date(at).toISOString());
