/**
 * `/v1/sessions`: short-lived keys that `alterd run` mints. A session can only narrow what its agent may do;
 * it lives in memory and dies with the daemon.
 */
import { Hono } from 'hono';
import { z } from 'zod';
import type { Grant } from '../domain/grant.ts';
import type { SessionInfo } from '../vault/sessions.ts';
import { agentVariables } from './agent-variables.ts';
import type { ApiDeps } from './deps.ts';
import { readBody } from './input.ts';
import type { SessionView } from './views.ts';

const DEFAULT_TTL_MS = 12 * 3_600_000;
const names = z.array(z.string().min(1)).max(1_000);

const newSession = z.strictObject({
  agent: z.string(),
  grant_ids: names.nullish(),
  denied_methods: names.optional(),
  denied_paths: names.optional(),
  denied_hosts: names.optional(),
  ttl_ms: z.number().int().min(1_000).optional(),
  label: z.string().max(128).nullish(),
});

/** The answer to a new session: the only time that its key is told. */
export interface NewSessionView {
  readonly session_id: string;
  readonly agent: string;
  readonly key: string;
  /** User name for the proxy URL. */
  readonly proxy_user: string;
  /** null when the proxy has no TCP listener. */
  readonly proxy_url: string | null;
  readonly expires_at: string;
  /** Variables that programs expect, with placeholders in place of secrets. */
  readonly agent_env: Readonly<Record<string, string>>;
  readonly notes: readonly string[];
}

export function sessionRoutes({ vault, facts, providers, now = Date.now }: ApiDeps): Hono {
  const routes = new Hono();

  routes.get('/', (c) => c.json({ sessions: vault.sessions.list().map(sessionView) }));

  routes.post('/', async (c) => {
    const body = await readBody(c, newSession);
    const agent = vault.agents.find(body.agent);
    // A label is as good as an id here; a grant that doesn't exist must not silently narrow to nothing.
    const grantIds = body.grant_ids?.map((idOrLabel) => vault.grants.find(idOrLabel).id) ?? null;
    const created = await vault.sessions.create({
      agentName: agent.name,
      narrowing: {
        grantIds,
        deniedMethods: body.denied_methods ?? [],
        deniedPaths: body.denied_paths ?? [],
        deniedHosts: body.denied_hosts ?? [],
      },
      ttlMs: body.ttl_ms ?? DEFAULT_TTL_MS,
      label: body.label ?? null,
    });
    const key = created.key.reveal();
    const user = proxyUser(body.label ?? agent.name);
    const address = facts().proxy.tcp;
    const usable = vault.grants.list().filter((grant) => isUsable(grant, agent.id, grantIds, now()));
    const { variables, notes } = agentVariables(usable, providers.find, (id) => vault.secrets.publicFields(id));
    return c.json(
      {
        session_id: created.sessionId,
        agent: agent.name,
        key,
        proxy_user: user,
        proxy_url: address === null ? null : `http://${user}:${key}@${address}`,
        expires_at: new Date(created.expiresAt).toISOString(),
        agent_env: variables,
        notes,
      } satisfies NewSessionView,
      201,
    );
  });

  routes.delete('/:id', async (c) => {
    await vault.sessions.revoke(c.req.param('id'));
    return c.body(null, 204);
  });

  return routes;
}

/** A free label; characters that some client would escape wrongly are replaced rather than encoded. */
const proxyUser = (label: string): string => label.replace(/[^A-Za-z0-9._-]+/g, '-') || 'agent';

function isUsable(grant: Grant, agentId: string, only: readonly string[] | null, now: number): boolean {
  const isOurs = grant.principal.type === 'system' || grant.principal.agentId === agentId;
  const isAlive = grant.status === 'active' && (grant.expiresAt === null || grant.expiresAt > now);
  return isOurs && isAlive && (only === null || only.includes(grant.id));
}

const sessionView = (session: SessionInfo): SessionView => ({
  session_id: session.sessionId,
  agent: session.agentName,
  label: session.label,
  key_prefix: session.keyPrefix,
  grant_ids: session.narrowing.grantIds,
  denied_methods: session.narrowing.deniedMethods,
  denied_paths: session.narrowing.deniedPaths,
  denied_hosts: session.narrowing.deniedHosts,
  created_at: new Date(session.createdAt).toISOString(),
  expires_at: new Date(session.expiresAt).toISOString(),
});
