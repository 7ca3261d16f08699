/** `/v1/quotas`: how much of each limit that all hosts share is out, and with whom. Nothing here changes any. */
import { Hono } from 'hono';
import { AlterError } from '../domain/errors.ts';
import type { QuotaUse } from '../vault/quotas.ts';
import type { ApiDeps } from './deps.ts';

export interface QuotaView {
  /** `POLICY/RULE`. */
  readonly rule: string;
  /** By name; its id when it is gone. */
  readonly agent: string;
  readonly grant_id: string;
  readonly kind: QuotaUse['limit']['kind'];
  readonly limit: number;
  readonly per_ms: number;
  /** What may still be drawn now. */
  readonly left: number;
  readonly hosts: readonly {
    readonly host: string;
    /** In its hands; it may have been spent. */
    readonly held: number;
    /** Spent, and not over yet; a bucket remembers none. */
    readonly spent: number;
  }[];
}

export function quotaRoutes({ vault, fleet }: ApiDeps): Hono {
  const routes = new Hono();

  routes.get('/', async (c) => {
    if (fleet === undefined)
      throw new AlterError('conflict', {
        reason: 'This daemon is no central vault: its limits are counted here alone',
        hint: 'Ask where `alterd vault start` runs.',
      });
    const { hosts, quotas } = fleet;
    const names = new Map(hosts.list().map(({ id, name }) => [id, name]));
    const view = ({ rule, agentId, grantId, limit, left, hosts: uses }: QuotaUse): QuotaView => ({
      ...{ rule, agent: vault.authority.agents.get(agentId)?.name ?? agentId, grant_id: grantId },
      ...{ kind: limit.kind, limit: limit.requests, per_ms: limit.perMs, left },
      hosts: uses.map(({ host, held, spent }) => ({ host: names.get(host) ?? (host || 'unknown'), held, spent })),
    });
    return c.json({ quotas: (await quotas.list()).map(view) });
  });

  return routes;
}
