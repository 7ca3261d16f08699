/** `/v1/grants`: which agent may call what with which credential. */
import { isDeepStrictEqual } from 'node:util';
import { Hono } from 'hono';
import * as z from 'zod';
import { KEPT_BODIES } from '../domain/audit-body.ts';
import { AlterError } from '../domain/errors.ts';
import type { Grant } from '../domain/grant.ts';
import { isUsable } from '../policy/agent-grants.ts';
import { type GrantOverlap, type OverlapEffect, overlapsOf } from '../policy/grant-overlap.ts';
import { compileAuthority } from '../policy/resolve.ts';
import type { GrantChange } from '../vault/grant-change.ts';
import type { ApiDeps } from './deps.ts';
import { instant, readBody } from './input.ts';
import { userNamer } from './people-views.ts';
import { type GrantView, grantView } from './views.ts';

const texts = z.array(z.string().min(1)).min(1).max(1_000);

/** What hosts of a central vault may keep of a grant. */
const leaseShape = { no_cache: z.boolean().optional(), offline_grace_ms: z.int().optional() };

/** Which bodies the journal keeps of its exchanges. */
const bodiesShape = { audit_bodies: z.enum(KEPT_BODIES).optional(), audit_body_bytes: z.int().optional() };

/** How its requests go out. */
const outgoingShape = {
  override: z.enum(['always', 'if_absent', 'placeholder_only']).optional(),
  allow_private: z.boolean().optional(),
  allow_plaintext: z.boolean().optional(),
  pass_response_cookies: z.boolean().optional(),
};

const pin = z.string().min(1).max(64);

const changedGrant = z
  .strictObject({
    label: z.string().max(128).optional(),
    approval: texts.nullish(),
    expires_at: instant.nullish(),
    ...outgoingShape,
    ...leaseShape,
    ...bodiesShape,
    aws_region: pin.nullish(),
    aws_service: pin.nullish(),
  })
  .refine((body) => Object.keys(body).length > 0, 'says nothing to change');

const newGrant = z
  .strictObject({
    provider: z.string().optional(),
    credential: z.string().optional(),
    agent: z.string().optional(),
    user: z.string().min(1).optional(),
    group: z.string().min(1).max(512).optional(),
    /** Name of the group's issuer; needed when there are several. */
    issuer: z.string().min(1).optional(),
    system: z.boolean().optional(),
    label: z.string().max(128).optional(),
    hosts: texts.optional(),
    methods: texts.optional(),
    paths: texts.optional(),
    operations: z
      .array(z.strictObject({ kind: z.enum(['graphql', 'json_rpc']), at: texts.nullable().default(null), allow: texts }))
      .max(20)
      .optional(),
    approval: texts.optional(),
    git: z.enum(['read', 'write']).optional(),
    expires_at: instant.nullish(),
    ...outgoingShape,
    /** Narrower than the secret: a request for another region or service gets no signature. */
    aws_region: pin.optional(),
    aws_service: pin.optional(),
    ...leaseShape,
    ...bodiesShape,
  })
  .refine((body) => body.provider !== undefined || body.credential !== undefined, 'needs provider or credential')
  .refine(
    (body) =>
      [body.agent, body.user, body.group].filter((owner) => owner !== undefined).length + (body.system === true ? 1 : 0) === 1,
    'needs exactly one of agent, user, group and system',
  );

export function grantRoutes({ vault, identity, providers, now = Date.now }: ApiDeps): Hono {
  const routes = new Hono();
  const nameOf = (id: string): string | null => vault.agents.list().find((agent) => agent.id === id)?.name ?? null;
  const view = (grant: Grant, credentials = vault.secrets.list()): GrantView =>
    grantView(grant, nameOf, now(), {
      oauth: credentials.find((each) => each.id === grant.credentialId)?.oauth,
      userName: userNamer(vault),
    });

  routes.get('/', (c) => {
    const credentials = vault.secrets.list();
    return c.json({ grants: vault.grants.list().map((grant) => view(grant, credentials)) });
  });

  routes.post('/', async (c) => {
    const body = await readBody(c, newGrant);
    const grant = await vault.grants.create({
      provider: body.provider === undefined ? undefined : (providers.find(body.provider)?.slug ?? body.provider),
      credential: body.credential,
      agent: body.agent,
      user: body.user,
      group: body.group === undefined ? undefined : { issuer: issuerOf(identity, body.issuer), name: body.group },
      system: body.system,
      label: body.label,
      hosts: body.hosts,
      methods: body.methods,
      paths: body.paths,
      operations: body.operations,
      approval: body.approval,
      git: body.git,
      expiresAt: body.expires_at,
      overrideMode: body.override,
      allowPrivate: body.allow_private,
      allowPlaintext: body.allow_plaintext,
      passResponseCookies: body.pass_response_cookies,
      noCache: body.no_cache,
      offlineGraceMs: body.offline_grace_ms,
      auditBodies: body.audit_bodies,
      auditBodyBytes: body.audit_body_bytes,
      awsRegion: body.aws_region,
      awsService: body.aws_service,
    });
    return c.json({ grant: view(grant), overlaps: overlapsOf(grant, besides(grant, vault, now())).map(overlapView) }, 201);
  });

  routes.get('/:id', (c) => c.json({ grant: view(vault.grants.find(c.req.param('id'))) }));

  routes.post('/:id', async (c) => {
    const body = await readBody(c, changedGrant);
    const change: GrantChange = {
      label: body.label,
      approval: body.approval,
      expiresAt: body.expires_at,
      overrideMode: body.override,
      allowPrivate: body.allow_private,
      allowPlaintext: body.allow_plaintext,
      passResponseCookies: body.pass_response_cookies,
      noCache: body.no_cache,
      offlineGraceMs: body.offline_grace_ms,
      auditBodies: body.audit_bodies,
      auditBodyBytes: body.audit_body_bytes,
      awsRegion: body.aws_region,
      awsService: body.aws_service,
    };
    return c.json({ grant: view(await vault.grants.change(c.req.param('id'), change)) });
  });

  routes.post('/:id/revoke', async (c) => c.json({ grant: view(await vault.grants.revoke(c.req.param('id'))) }));

  routes.delete('/:id', async (c) => {
    await vault.grants.remove(c.req.param('id'));
    return c.body(null, 204);
  });

  return routes;
}

/** What the grant stands beside: all that its agent may use, or the other grants of the same owner. */
function besides(grant: Grant, vault: ApiDeps['vault'], now: number): readonly Grant[] {
  if (grant.principal.type === 'agent') {
    const { agentId } = grant.principal;
    // What is another agent's own is no part of its view, and there may be very much of it.
    const grants = vault.authority.grants.filter(({ principal }) => principal.type !== 'agent' || principal.agentId === agentId);
    const theirs = compileAuthority({ ...vault.authority, grants }).grantsOf(agentId);
    return theirs.all.filter((each) => theirs.isUsable(each, now));
  }
  return vault.grants.list().filter((each) => isUsable(each, now) && isDeepStrictEqual(each.principal, grant.principal));
}

/** Another grant that covers a host of a new one. */
export interface OverlapView {
  readonly grant_id: string;
  readonly label: string;
  readonly credential: string;
  readonly host: string;
  /** `ambiguous`: requests that name none are refused. `first`: the new one is used, `second`: the other one is. */
  readonly effect: OverlapEffect;
}

const overlapView = ({ grant, host, effect }: GrantOverlap): OverlapView => ({
  grant_id: grant.id,
  label: grant.label,
  credential: grant.credentialName,
  host,
  effect,
});

/** A group is its issuer's. @throws AlterError not_found, conflict */
function issuerOf({ issuers }: ApiDeps['identity'], name: string | undefined): string {
  const [first, another] = issuers();
  if (name === undefined && first !== undefined && another === undefined) return first.issuer;
  const found = issuers().find((each) => each.name === name);
  if (found !== undefined) return found.issuer;
  if (name === undefined)
    throw new AlterError('conflict', {
      reason: 'A group belongs to an issuer, and it is not clear to which',
      hint: 'Say --issuer NAME; issuers are in the configuration under [[identity.issuer]].',
    });
  throw new AlterError('not_found', { what: 'issuer', name, list_command: 'alterd config show' });
}
