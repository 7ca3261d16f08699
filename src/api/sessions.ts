/**
 * `/v1/sessions`: short-lived keys that `alterd run` mints. A session can only narrow what its agent may do;
 * it lives in memory and dies with the daemon.
 */
import { Hono } from 'hono';
import * as z from 'zod';
import { AlterError } from '../domain/errors.ts';
import { compileAuthority } from '../policy/resolve.ts';
import type { SessionInfo } from '../vault/sessions.ts';
import { agentVariables } from './agent-variables.ts';
import type { ApiDeps } from './deps.ts';
import { readBody } from './input.ts';
import type { SessionView } from './views.ts';

const DEFAULT_TTL_MS = 12 * 3_600_000;
const names = z.array(z.string().min(1)).max(1_000);

const newSession = z.strictObject({
  agent: z.string(),
  /** For whom: a token of the user, a sign-in of `alterd login`, or a user that the operator names. */
  user_token: z.string().max(16_384).optional(),
  user_session: z.string().max(128).optional(),
  user: z.string().min(1).optional(),
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
  readonly user_id: string | null;
  readonly key: string;
  /** User name for the proxy URL. */
  readonly proxy_user: string;
  /** null when the proxy has no TCP listener. */
  readonly proxy_url: string | null;
  readonly expires_at: string;
  /** Variables that programs expect, with placeholders in place of secrets. */
  readonly agent_env: Readonly<Record<string, string>>;
  readonly notes: readonly string[];
  /** Names of this machine's loopback that its grants cover: what is asked there is meant to come through the proxy. */
  readonly loopback_hosts: readonly string[];
}

export function sessionRoutes({ vault, identity, facts, providers, now = Date.now }: ApiDeps): Hono {
  const routes = new Hono();

  routes.get('/', (c) => c.json({ sessions: vault.sessions.list().map(sessionView) }));

  routes.post('/', async (c) => {
    const body = await readBody(c, newSession);
    const agent = vault.agents.find(body.agent);
    // A label is as good as an id here; a grant that doesn't exist must not silently narrow to nothing.
    const grantIds = body.grant_ids?.map((idOrLabel) => vault.grants.find(idOrLabel).id) ?? null;
    const whom = await userFor(body, vault, identity);
    const created = await vault.sessions.create({
      agentName: agent.name,
      ...whom,
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
    const view = compileAuthority(vault.authority).grantsOf(agent.id, whom.userId);
    const usable = view.all.filter((grant) => view.isUsable(grant, now()) && (grantIds === null || grantIds.includes(grant.id)));
    const { variables, notes } = agentVariables(usable, providers.find, (id) => vault.secrets.publicFields(id));
    return c.json(
      {
        session_id: created.sessionId,
        agent: agent.name,
        user_id: whom.userId,
        key,
        proxy_user: user,
        proxy_url: address === null ? null : `http://${user}:${key}@${address}`,
        expires_at: new Date(created.expiresAt).toISOString(),
        agent_env: variables,
        notes,
        loopback_hosts: [
          ...new Set(usable.flatMap(({ destinations }) => destinations.map(({ pattern }) => pattern).filter(isLoopback))),
        ],
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

const isLoopback = (host: string): boolean => host === 'localhost' || host === '::1' || /^127\.[\d.]+$/.test(host);

/** A free label; characters that some client would escape wrongly are replaced rather than encoded. */
const proxyUser = (label: string): string => label.replace(/[^A-Za-z0-9._-]+/g, '-') || 'agent';

/**
 * Whom the session is made for, at most one way of saying it.
 * SECURITY: what ends proves no longer than it lasts: a session from a token or a sign-in ends with that.
 */
async function userFor(
  body: z.output<typeof newSession>,
  vault: ApiDeps['vault'],
  identity: ApiDeps['identity'],
): Promise<{ readonly userId: string | null; readonly notAfter?: number }> {
  const { user, user_token: token, user_session: handle } = body;
  if ([user, token, handle].filter((given) => given !== undefined).length > 1)
    throw new AlterError('invalid_input', { problems: ['give one of user, user_token and user_session'] });
  if (token !== undefined) {
    const { userId, expiresAt } = await identity.tokens.identifyUser(token);
    return { userId, notAfter: expiresAt };
  }
  if (handle !== undefined) {
    const { userId, expiresAt } = identity.sessions.find(handle);
    return { userId, notAfter: expiresAt };
  }
  return { userId: user === undefined ? null : vault.users.find(user).id };
}

const sessionView = (session: SessionInfo): SessionView => ({
  session_id: session.sessionId,
  agent: session.agentName,
  label: session.label,
  key_prefix: session.keyPrefix,
  user_id: session.userId,
  grant_ids: session.narrowing.grantIds,
  denied_methods: session.narrowing.deniedMethods,
  denied_paths: session.narrowing.deniedPaths,
  denied_hosts: session.narrowing.deniedHosts,
  created_at: new Date(session.createdAt).toISOString(),
  expires_at: new Date(session.expiresAt).toISOString(),
});
