/**
 * `/v1/connect/sessions`: an operator or an application's back end makes the one-time link to the Connect page. The names in the body are those of
 * Alter's Connect session. SECURITY: the answer to a new session is the only time that its token is told.
 */
import { Hono } from 'hono';
import * as z from 'zod';
import { AlterError } from '../domain/errors.ts';
import { userLabel } from '../domain/user.ts';
import type { ConnectSession } from '../vault/connect-sessions.ts';
import type { VaultUsers } from '../vault/users.ts';
import type { ApiDeps } from './deps.ts';
import { readBody } from './input.ts';

const names = z.array(z.string().min(1).max(2_048)).min(1).max(100);
const seconds = z.number().int().min(60);

const newConnectSession = z.strictObject({
  allowed_providers: names,
  required_scopes: z.record(z.string(), names).optional(),
  allowed_origin: z.string().nullish(),
  return_url: z.string().max(4_096).nullish(),
  grant_policy: z.strictObject({ max_ttl_seconds: seconds.nullish(), default_ttl_seconds: seconds.nullish() }).optional(),
  agent: z.string().nullish(),
  system: z.boolean().optional(),
  requested_grant: z
    .strictObject({
      label: z.string().min(1).nullish(),
      methods: names.nullish(),
      paths: names.nullish(),
    })
    .optional(),
  fields: z.record(z.string(), z.record(z.string(), z.string())).optional(),
  allow_private: z.boolean().optional(),
  grant_id: z.string().nullish(),
  /** Id, e-mail or subject of the person who will open the link: the grant becomes theirs, and `agent` is to whom they delegate it. */
  user: z.string().min(1).nullish(),
  metadata: z.record(z.string(), z.string()).optional(),
});

/** The answer to a new session. */
export interface NewConnectSessionView {
  readonly id: string;
  readonly session_token: string;
  readonly connect_url: string;
  /** What the widget calls its base. */
  readonly base_url: string;
  /** To be registered at each provider. */
  readonly redirect_uri: string;
  readonly expires_in: number;
  readonly expires_at: string;
}

export interface ConnectSessionView {
  readonly id: string;
  readonly state: 'waiting' | 'open' | 'ended';
  readonly providers: readonly string[];
  readonly agent: string | null;
  readonly user: string | null;
  readonly label: string | null;
  readonly allowed_origin: string | null;
  readonly return_url: string | null;
  readonly grant_ids: readonly string[];
  readonly created_at: string;
  readonly expires_at: string;
}

export function connectSessionRoutes({ connect, vault, now = Date.now }: ApiDeps): Hono {
  const routes = new Hono();

  routes.get('/', (c) => c.json({ sessions: connect.sessions().map(sessionView) }));

  routes.post('/', async (c) => {
    const body = await readBody(c, newConnectSession);
    const agent = body.agent ?? null;
    const grantId = body.grant_id ?? null;
    const owners = [agent !== null, body.system === true, grantId !== null].filter((isNamed) => isNamed).length;
    if (owners !== 1)
      throw new AlterError('invalid_input', {
        problems: ['agent: name an agent, or say system, or name a grant_id to connect anew'],
      });
    const requested = body.requested_grant;
    const grant = grantId === null ? null : vault.grants.find(grantId);
    if (grant !== null && body.allowed_providers.join() !== grant.providerId)
      throw new AlterError('invalid_input', {
        problems: [`allowed_providers: must be ["${grant.providerId}"], that of the grant`],
      });
    const owner = grant?.principal.type === 'agent' ? grant.principal.agentId : agent;
    const made = await connect.create({
      providers: body.allowed_providers,
      requiredScopes: body.required_scopes ?? {},
      allowedOrigin: body.allowed_origin ?? null,
      returnUrl: body.return_url ?? null,
      maxLifetimeMs: milliseconds(body.grant_policy?.max_ttl_seconds),
      defaultLifetimeMs: milliseconds(body.grant_policy?.default_ttl_seconds),
      agent: owner,
      label: grant === null ? (requested?.label ?? null) : grant.label || null,
      methods: requested?.methods ?? null,
      paths: requested?.paths ?? null,
      fields: body.fields ?? {},
      allowPrivate: body.allow_private ?? false,
      grantId: grant?.id ?? null,
      user: body.user == null ? null : userOf(vault.users, body.user),
      metadata: body.metadata ?? {},
    });
    return c.json(
      {
        id: made.id,
        session_token: made.token.reveal(),
        connect_url: `${made.origin}/sdk/oauth/connect#session=${encodeURIComponent(made.token.reveal())}`,
        base_url: made.origin,
        redirect_uri: `${made.origin}/oauth/callback`,
        expires_in: Math.round((made.expiresAt - now()) / 1_000),
        expires_at: new Date(made.expiresAt).toISOString(),
      } satisfies NewConnectSessionView,
      201,
    );
  });

  return routes;
}

/** @throws AlterError not_found, conflict */
function userOf(users: VaultUsers, name: string): { readonly id: string; readonly name: string } {
  const user = users.find(name);
  if (user.status === 'active') return { id: user.id, name: userLabel(user) };
  throw new AlterError('conflict', {
    reason: `${userLabel(user)} is deactivated`,
    hint: `Let them in again first: \`alterd user activate ${user.id}\`.`,
  });
}

const milliseconds = (value: number | null | undefined): number | null =>
  value === null || value === undefined ? null : value * 1_000;

const sessionView = (session: ConnectSession): ConnectSessionView => ({
  id: session.id,
  state: session.phase,
  providers: session.request.providers,
  agent: session.request.agent,
  user: session.request.user?.name ?? null,
  label: session.request.label,
  allowed_origin: session.request.allowedOrigin,
  return_url: session.request.returnUrl,
  grant_ids: session.connected.map((each) => each.grantId),
  created_at: new Date(session.createdAt).toISOString(),
  expires_at: new Date(session.expiresAt).toISOString(),
});
