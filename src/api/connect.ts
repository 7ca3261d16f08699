/**
 * `/v1/connect`: accounts are connected once, by consent or by what the operator brings, and used for months. Codes and tokens come in
 * here; no route ever answers one.
 */
import { Hono } from 'hono';
import * as z from 'zod';
import { Secret } from '../domain/secret.ts';
import type { ConnectedGrant, ConnectRequest } from '../vault/oauth/connect-flows.ts';
import type { ApiDeps } from './deps.ts';
import { instant, readBody } from './input.ts';

export interface ConnectedView {
  readonly grant_id: string;
  readonly provider: string;
  readonly label: string;
  readonly account_id: string | null;
  readonly account_name: string | null;
  readonly scopes: readonly string[];
  readonly reconnected: boolean;
}

export interface BegunView {
  readonly flow_id: string;
  readonly provider: string;
  readonly authorize_url: string;
  readonly expires_at: string;
}

export interface DeviceView {
  readonly flow_id: string;
  readonly provider: string;
  readonly user_code: string;
  readonly verification_uri: string;
  readonly verification_uri_complete: string | null;
  readonly interval_ms: number;
  readonly expires_at: string;
}

const texts = z.array(z.string().min(1)).min(1).max(1_000);
const wanted = {
  provider: z.string(),
  scopes: z.array(z.string().min(1).max(200)).max(200).optional(),
  label: z.string().max(128).optional(),
  agent: z.string().optional(),
  system: z.boolean().optional(),
  /** The account is of whoever signed in; `agent` is then to whom it is delegated. */
  user_session: z.string().max(128).optional(),
  methods: texts.optional(),
  paths: texts.optional(),
  expires_at: instant.nullish(),
  fields: z.record(z.string(), z.string().max(1_024)).optional(),
  grant_id: z.string().optional(),
  allow_private: z.boolean().optional(),
};
const redirect = z.strictObject({ ...wanted, redirect_uri: z.string().max(2_048) });
const device = z.strictObject(wanted);
const imported = z.strictObject({
  ...wanted,
  flow: z.enum(['refresh_token', 'client_credentials', 'jwt_bearer', 'token_exchange', 'github_app']),
  inputs: z.record(z.string().regex(/^[a-z_]{1,32}$/), z.string().min(1).max(65_536)).optional(),
});
const answer = z.strictObject({
  state: z.string().max(256),
  code: z.string().max(8_192).optional(),
  error: z.string().max(256).optional(),
  error_description: z.string().max(4_096).optional(),
  iss: z.string().max(2_048).optional(),
});

export function connectRoutes({ vault, identity }: ApiDeps): Hono {
  const routes = new Hono();
  const requestOf = (body: z.output<typeof device>): ConnectRequest => ({
    provider: body.provider,
    scopes: body.scopes,
    label: body.label,
    agent: body.agent,
    system: body.system,
    user: body.user_session === undefined ? undefined : identity.sessions.find(body.user_session).userId,
    restrictions: { methods: body.methods, paths: body.paths, expiresAt: body.expires_at },
    fields: body.fields,
    grantId: body.grant_id,
    allowPrivate: body.allow_private,
  });

  routes.post('/begin', async (c) => {
    const body = await readBody(c, redirect);
    const begun = await vault.connect.begin({ ...requestOf(body), redirectUri: body.redirect_uri });
    const view: BegunView = {
      flow_id: begun.flowId,
      provider: begun.providerId,
      authorize_url: begun.authorizeUrl,
      expires_at: new Date(begun.expiresAt).toISOString(),
    };
    return c.json(view, 201);
  });

  routes.post('/complete', async (c) => {
    const body = await readBody(c, answer);
    const { error_description: errorDescription, ...rest } = body;
    return c.json(connectedView(await vault.connect.complete({ ...rest, errorDescription })), 201);
  });

  routes.post('/device', async (c) => {
    const begun = await vault.connect.beginDevice(requestOf(await readBody(c, device)));
    const view: DeviceView = {
      flow_id: begun.flowId,
      provider: begun.providerId,
      user_code: begun.userCode,
      verification_uri: begun.verificationUri,
      verification_uri_complete: begun.verificationUriComplete ?? null,
      interval_ms: begun.intervalMs,
      expires_at: new Date(begun.expiresAt).toISOString(),
    };
    return c.json(view, 201);
  });

  routes.post('/device/:flow/poll', async (c) => {
    const poll = await vault.connect.pollDevice(c.req.param('flow'));
    return poll.status === 'pending'
      ? c.json({ status: poll.status, interval_ms: poll.intervalMs })
      : c.json({ status: poll.status, ...connectedView(poll.grant) });
  });

  routes.post('/import', async (c) => {
    const body = await readBody(c, imported);
    const inputs = new Map(Object.entries(body.inputs ?? {}).map(([name, value]) => [name, new Secret(value)]));
    return c.json(connectedView(await vault.connect.connectWith({ ...requestOf(body), flow: body.flow, inputs })), 201);
  });

  routes.delete('/:flow', (c) => {
    vault.connect.cancel(c.req.param('flow'));
    return c.body(null, 204);
  });

  return routes;
}

/** What the pages and the command line show of a grant that was just connected. */
export const connectedView = (grant: ConnectedGrant): ConnectedView => ({
  grant_id: grant.grantId,
  provider: grant.providerId,
  label: grant.label,
  account_id: grant.accountId,
  account_name: grant.accountName,
  scopes: grant.scopes,
  reconnected: grant.reconnected,
});
