/** `/v1/permits`: what passes without being asked each time. They are made by approving; here they are seen and revoked. */
import { Hono } from 'hono';
import type { Permit } from '../domain/permit.ts';
import { userLabel } from '../domain/user.ts';
import type { ApiDeps } from './deps.ts';

export interface PermitView {
  readonly id: string;
  readonly agent: string;
  /** In whose name the calls go out; null: nobody's but the agent's own. */
  readonly user_id: string | null;
  readonly user: string | null;
  readonly grant_id: string | null;
  readonly grant_label: string | null;
  readonly rule: string;
  readonly method: string;
  readonly origin: string;
  readonly path: string | null;
  readonly approval: string;
  readonly created_by: string;
  readonly created_at: string;
  /** null: until it is revoked, or its agent, user, grant, delegation or credential ends. */
  readonly expires_at: string | null;
}

export function permitRoutes({ vault, operator }: ApiDeps): Hono {
  const routes = new Hono();
  const userOf = (id: string | null): string | null => {
    const user = id === null ? undefined : vault.authority.users.get(id);
    return user === undefined ? null : userLabel(user);
  };
  const viewOf = (p: Permit): PermitView => ({
    id: p.id,
    agent: vault.authority.agents.get(p.agentId)?.name ?? p.agentId,
    user_id: p.userId,
    user: userOf(p.userId),
    grant_id: p.grantId,
    grant_label: vault.authority.grants.find((grant) => grant.id === p.grantId)?.label ?? null,
    rule: p.rule,
    method: p.method,
    origin: p.origin,
    path: p.path,
    approval: p.approvalId,
    created_by: p.createdBy,
    created_at: new Date(p.createdAt).toISOString(),
    expires_at: p.expiresAt === null ? null : new Date(p.expiresAt).toISOString(),
  });

  routes.get('/', (c) => c.json({ permits: vault.permits.list().map(viewOf) }));

  routes.post('/:id/revoke', async (c) =>
    c.json({ permit: viewOf(await vault.permits.revoke(c.req.param('id'), operator.name)) }),
  );

  return routes;
}
