/** `/v1/hosts`: the machines that borrow from a central vault. A token is in an answer once, when it is made. */
import { Hono } from 'hono';
import * as z from 'zod';
import { AlterError } from '../domain/errors.ts';
import type { FleetHost } from '../domain/fleet-host.ts';
import type { Secret } from '../domain/secret.ts';
import { HOST_CAPABILITIES, neededCapabilities } from '../vault/host-capabilities.ts';
import type { ApiDeps, FleetPort } from './deps.ts';
import { readBody, readOptionalBody, readQuery, wholeNumber } from './input.ts';

const invitation = z.strictObject({ name: z.string(), expires_in_ms: z.number().int().optional() });
const again = z.strictObject({ expires_in_ms: z.number().int().optional() });
const assignment = z.strictObject({ agents: z.array(z.string()).max(10_000).optional(), system_grants: z.boolean().optional() });
const pageOfRows = z.strictObject({
  after: wholeNumber.default(0),
  limit: wholeNumber.pipe(z.number().min(1).max(1_000)).default(100),
  journal: z.string().max(128).optional(),
});
const newStatus = z.strictObject({ status: z.enum(['active', 'paused', 'revoked']) });

export interface HostView {
  readonly id: string;
  readonly name: string;
  readonly status: FleetHost['status'];
  /** By name; those that are gone are left out. */
  readonly agents: readonly string[];
  readonly system_grants: boolean;
  readonly version: string | null;
  readonly capabilities: readonly string[];
  readonly signing_key: string | null;
  /** A token that was not used yet. */
  readonly invited_until: string | null;
  readonly created_at: string;
  readonly enrolled_at: string | null;
  readonly last_seen_at: string | null;
}

/** A grant that the host would get if its daemon could enforce it. */
export interface WithheldGrant {
  readonly grant_id: string;
  readonly label: string;
  readonly provider: string;
  readonly missing: readonly string[];
}

export interface InvitationView {
  readonly host: HostView;
  readonly token: string;
  readonly url: string;
  readonly fingerprint: string;
  readonly expires_at: string;
}

export function hostRoutes({ vault, fleet, now = Date.now }: ApiDeps): Hono {
  const routes = new Hono();
  const nameOf = (id: string): string | undefined => vault.authority.agents.get(id)?.name;

  const view = (host: FleetHost): HostView => ({
    ...{ id: host.id, name: host.name, status: host.status, system_grants: host.systemGrants, version: host.version },
    agents: host.agentIds.flatMap((id) => nameOf(id) ?? []),
    capabilities: host.capabilities,
    signing_key: host.signingKey,
    invited_until: host.inviteExpiresAt !== null && host.inviteExpiresAt > now() ? iso(host.inviteExpiresAt) : null,
    created_at: iso(host.createdAt),
    enrolled_at: host.enrolledAt === null ? null : iso(host.enrolledAt),
    last_seen_at: host.lastUsedAt === null ? null : iso(host.lastUsedAt),
  });
  // SECURITY: the only moment at which the token leaves; it can't be asked for again.
  const invitationView = (port: FleetPort, { host, token }: { host: FleetHost; token: Secret }): InvitationView => ({
    host: view(host),
    token: token.reveal(),
    ...{ url: port.url, fingerprint: port.fingerprint, expires_at: iso(host.inviteExpiresAt ?? now()) },
  });
  const withheld = (host: FleetHost): WithheldGrant[] => {
    if (host.status === 'invited') return [];
    const known = new Set(host.capabilities);
    const policies = vault.policies.version();
    const agents = new Set(host.agentIds);
    const theirs = host.agentIds.flatMap((id) => vault.authority.agents.get(id) ?? []);
    const delegated = new Set(vault.delegations.list().flatMap(({ agentId, grantId }) => (agents.has(agentId) ? [grantId] : [])));
    return vault.grants.list().flatMap((grant) => {
      const { principal } = grant;
      const isTheirs =
        principal.type === 'agent'
          ? agents.has(principal.agentId)
          : principal.type === 'system'
            ? host.systemGrants
            : delegated.has(grant.id);
      const missing =
        isTheirs && grant.status === 'active'
          ? neededCapabilities(grant, policies, theirs).filter((each) => !known.has(each))
          : [];
      return missing.length === 0 ? [] : [{ grant_id: grant.id, label: grant.label, provider: grant.providerId, missing }];
    });
  };

  routes.get('/', (c) => c.json({ hosts: requiredFleet(fleet).hosts.list().map(view) }));

  routes.post('/', async (c) => {
    const port = requiredFleet(fleet);
    const { name, expires_in_ms: ttlMs } = await readBody(c, invitation);
    return c.json(invitationView(port, await port.hosts.invite(name, ttlMs)), 201);
  });

  routes.get('/:name', (c) => {
    const host = requiredFleet(fleet).hosts.find(c.req.param('name'));
    return c.json({ host: view(host), withheld: withheld(host), vault_capabilities: HOST_CAPABILITIES });
  });

  routes.post('/:name/invitation', async (c) => {
    const port = requiredFleet(fleet);
    const { expires_in_ms: ttlMs } = await readOptionalBody(c, again);
    return c.json(invitationView(port, await port.hosts.reinvite(c.req.param('name'), ttlMs)), 201);
  });

  routes.post('/:name/status', async (c) => {
    const { status } = await readBody(c, newStatus);
    return c.json({ host: view(await requiredFleet(fleet).hosts.changeStatus(c.req.param('name'), status)) });
  });

  for (const verb of ['assign', 'unassign'] as const)
    routes.post(`/:name/${verb}`, async (c) => {
      const { agents = [], system_grants: systemGrants } = await readBody(c, assignment);
      return c.json({ host: view(await requiredFleet(fleet).hosts[verb](c.req.param('name'), { agents, systemGrants })) });
    });

  routes.get('/:name/audit', async (c) => {
    const { hosts, audit } = requiredFleet(fleet);
    const { id } = hosts.find(c.req.param('name'));
    const { after, limit, journal } = readQuery(c, pageOfRows);
    const journals = await audit.listHostChains(id);
    const chain = journal ?? journals.at(-1);
    if (chain === undefined) return c.json({ journals, journal: null, rows: [] });
    const rows = await audit.listHostAudit({ hostId: id, chain }, after, limit);
    return c.json({ journals, journal: chain, rows: rows.map(({ line, arrivedAt }) => ({ line, arrived_at: iso(arrivedAt) })) });
  });

  routes.delete('/:name', async (c) => {
    await requiredFleet(fleet).hosts.remove(c.req.param('name'));
    return c.body(null, 204);
  });

  return routes;
}

const iso = (at: number): string => new Date(at).toISOString();

/** @throws AlterError conflict where no hosts are served */
export function requiredFleet(fleet: FleetPort | undefined): FleetPort {
  if (fleet !== undefined) return fleet;
  throw new AlterError('conflict', {
    reason: 'This daemon is no central vault, so it has no hosts',
    hint: 'Run one with `alterd vault start`, and name its directory with --home.',
  });
}
