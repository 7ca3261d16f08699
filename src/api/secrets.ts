/**
 * `/v1/secrets`: managed secrets. Write-only: material comes in here and no route of this API ever answers it.
 */
import { Hono } from 'hono';
import * as z from 'zod';
import type { Injection } from '../domain/credential.ts';
import { Secret } from '../domain/secret.ts';
import { DEFAULT_LIFETIME_MS } from '../vault/sources/source.ts';
import type { ApiDeps } from './deps.ts';
import { flag, readBody, readQuery } from './input.ts';
import { secretView } from './views.ts';

const fields = z.record(z.string().regex(/^[a-z][a-z0-9_]{0,63}$/), z.string().max(65_536));
const hosts = z.array(z.string()).max(100).optional();
const template = z.string().max(4_096);

const places = z.array(z.strictObject({ name: z.string(), template })).max(20);
const requests = z.enum(['git', 'other']).optional();
const members = z.record(z.string().max(100), template).optional();

const injection = z.discriminatedUnion('in', [
  z.strictObject({ in: z.literal('header'), name: z.string(), template, hosts, requests }),
  z.strictObject({ in: z.literal('basic'), username: template, password: template, hosts, requests }),
  z.strictObject({ in: z.literal('query'), name: z.string(), template, hosts, requests }),
  z.strictObject({ in: z.literal('cookie'), name: z.string(), template, hosts, requests }),
  z.strictObject({
    in: z.literal('sigv4'),
    key_id: template,
    key: template,
    token: template.optional(),
    region: template.optional(),
    service: template.optional(),
    role: template.optional(),
    hosts,
  }),
  z.strictObject({
    in: z.literal('hmac'),
    algorithm: z.enum(['sha1', 'sha256', 'sha384', 'sha512']),
    key: template,
    key_encoding: z.enum(['text', 'hex', 'base64']).optional(),
    message: template,
    encoding: z.enum(['hex', 'base64', 'base64url']),
    timestamp: z.enum(['seconds', 'milliseconds', 'iso']).optional(),
    headers: places,
    query: places.optional(),
    when: z.enum(['always', 'asked']).optional(),
    hosts,
  }),
  z.strictObject({
    in: z.literal('jwt'),
    algorithm: z.enum(['ES256', 'ES384', 'EdDSA', 'RS256', 'PS256']),
    key: template,
    lifetime_s: z.int(),
    header: members,
    claims: members,
    name: z.string(),
    template,
    hosts,
  }),
  z.strictObject({ in: z.literal('client_certificate'), certificate: template, key: template, hosts }),
]);

const sources = z.strictObject({
  fields: z.record(z.string(), z.string().max(4_096)),
  lifetime_ms: z.number().int().optional(),
});

const newSecret = z.strictObject({
  name: z.string().optional(),
  provider: z.string(),
  fields: fields.optional(),
  sources: sources.optional(),
  kind: z
    .enum(['bearer', 'header', 'basic', 'query', 'cookie', 'sigv4', 'hmac', 'jwt', 'client_certificate', 'custom'])
    .optional(),
  inject: z.array(injection).max(20).optional(),
  hosts,
});
const rotation = z.strictObject({ fields });
const removal = z.strictObject({ cascade: flag.optional() });

export function secretRoutes({ vault, providers }: ApiDeps): Hono {
  const routes = new Hono();

  routes.get('/', (c) => c.json({ secrets: vault.secrets.list().map(secretView) }));

  routes.post('/', async (c) => {
    const body = await readBody(c, newSecret);
    const info = await vault.secrets.create({
      name: body.name,
      // An alias of the catalogue is stored under the provider's own slug.
      providerId: providers.find(body.provider)?.slug ?? body.provider,
      fields: sealed(body.fields ?? {}),
      sources: body.sources && { fields: body.sources.fields, lifetimeMs: body.sources.lifetime_ms ?? DEFAULT_LIFETIME_MS },
      kind: body.kind,
      injections: body.inject?.map((each) => withoutAbsent(each) as Injection),
      hosts: body.hosts,
    });
    return c.json({ secret: secretView(info) }, 201);
  });

  routes.get('/:name', (c) => {
    const info = vault.secrets.find(c.req.param('name'));
    const grants = vault.grants.list().filter((grant) => grant.credentialId === info.id);
    return c.json({
      secret: secretView(info),
      grants: grants.map((grant) => ({ id: grant.id, label: grant.label, status: grant.status })),
    });
  });

  routes.post('/:name/rotate', async (c) => {
    const body = await readBody(c, rotation);
    return c.json({ secret: secretView(await vault.secrets.rotate(c.req.param('name'), sealed(body.fields))) });
  });

  routes.delete('/:name', async (c) => {
    const { cascade } = readQuery(c, removal);
    await vault.secrets.remove(c.req.param('name'), { cascade });
    return c.body(null, 204);
  });

  return routes;
}

/** What was not said is not there, rather than undefined. */
const withoutAbsent = (table: object): object =>
  Object.fromEntries(Object.entries(table).filter(([, value]) => value !== undefined));

const sealed = (raw: Record<string, string>): Map<string, Secret> =>
  new Map(Object.entries(raw).map(([name, value]) => [name, new Secret(value)]));
