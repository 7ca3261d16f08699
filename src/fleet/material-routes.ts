/**
 * `/v1/host/materials`: secrets, lent to a host for the time of a lease.
 * SECURITY: only those of grants in the host's view, and sealed to the host's key, so that neither the connection's end nor a log between
 * the two can show them.
 */
import { HostSealer } from '../crypto/hpke.ts';
import type { CredentialMaterial } from '../domain/credential.ts';
import { AlterError, problemOf, toAlterError } from '../domain/errors.ts';
import type { FleetHost } from '../domain/fleet-host.ts';
import type { LentWire } from '../domain/fleet-wire.ts';
import type { Grant } from '../domain/grant.ts';
import type { GrantRow } from '../store/rows.ts';
import { grantOf, isLive } from '../vault/authority.ts';
import { sealMaterial } from '../vault/lent-material.ts';
import type { BundleDeps } from './bundle-routes.ts';
import { type FleetRoute, hostRoute } from './route.ts';
import { droppedAnswer, dropRequest, materialsAnswer, materialsRequest, renewAnswer, renewRequest } from './schemas.ts';

export function materialRoutes(deps: BundleDeps): FleetRoute[] {
  const { vault } = deps;
  const lender = new Lender(deps);
  return [
    hostRoute({
      method: 'POST',
      path: '/v1/host/materials',
      summary: 'Borrow the secrets of grants',
      description: 'Each is sealed to the key of the host by HPKE, bound to grant, version and the end of its lease.',
      body: materialsRequest,
      answers: { 200: { description: 'What is lent, and what is not and why.', schema: materialsAnswer } },
      errors: [],
      answer: async ({ host, body }) => {
        const materials: LentWire[] = [];
        const failures: { grant_id: string; problem: object }[] = [];
        await Promise.all(
          [...new Set(body.grant_ids)].map(async (id) => {
            try {
              const grant = lender.grantOf(host, id);
              materials.push(await lender.lend(host, grant, await vault.obtain(grant)));
            } catch (thrown) {
              const error = toAlterError(thrown);
              if (error.code === 'internal_error') deps.onFault(error.cause ?? error, `material ${id}`);
              failures.push({ grant_id: id, problem: problemOf(error, error.apiStatus, null) });
            }
          }),
        );
        return { status: 200, body: { materials, failures } };
      },
    }),
    hostRoute({
      method: 'POST',
      path: '/v1/host/materials/renew',
      summary: 'Borrow what follows a secret that the provider refused',
      body: renewRequest,
      answers: { 200: { description: 'What is newer; null when there is nothing.', schema: renewAnswer } },
      errors: ['credential_unavailable', 're_auth_required'],
      answer: async ({ host, body }) => {
        const grant = lender.grantOf(host, body.grant_id);
        const material = await vault.renewRefused(grant, body.version);
        return { status: 200, body: { material: material === null ? null : await lender.lend(host, grant, material) } };
      },
    }),
    hostRoute({
      method: 'POST',
      path: '/v1/host/delegations/drop',
      summary: 'Give back a delegation that was made to an agent of the host',
      body: dropRequest,
      answers: { 200: { description: 'It is over.', schema: droppedAnswer } },
      errors: ['not_found', 'audit_unavailable'],
      answer: async ({ host, body }) => {
        if (!host.agentIds.includes(body.agent_id))
          throw new AlterError('not_found', { what: 'delegation', name: body.delegation_id });
        await vault.delegations.revoke(body.delegation_id, 'agent', { agentId: body.agent_id });
        return { status: 200, body: { dropped: true } };
      },
    }),
  ];
}

class Lender {
  readonly #deps: BundleDeps;
  readonly #sealers = new WeakMap<FleetHost, HostSealer>();
  readonly #grants = new WeakMap<GrantRow, Grant>();

  constructor(deps: BundleDeps) {
    this.#deps = deps;
  }

  /** @throws AlterError credential_unavailable when it is not the host's to use */
  grantOf(host: FleetHost, id: string): Grant {
    const { views, now = Date.now } = this.#deps;
    const row = views.of(host).view.grant.get(id);
    // SECURITY: a host learns nothing of grants that are not assigned to it, not even that they exist.
    if (row === undefined || !isLive(row, now()))
      throw new AlterError('credential_unavailable', { grant_id: id, reason: 'the grant is not active for this host' });
    let grant = this.#grants.get(row);
    if (grant === undefined) {
      grant = grantOf(row, views.index.credentials.get(row.credentialId)?.name ?? '');
      this.#grants.set(row, grant);
    }
    return grant;
  }

  async lend(host: FleetHost, grant: Grant, material: CredentialMaterial): Promise<LentWire> {
    const { vaultId, leaseMs, views, vault, now = Date.now } = this.#deps;
    const issuedAt = now();
    const token = views.index.credentials.get(grant.credentialId)?.oauth?.expiresAt ?? null;
    const ends = [grant.expiresAt, token].filter((end): end is number => end !== null && end > issuedAt);
    const expiresAt = Math.min(issuedAt + leaseMs, ...ends);
    const facts = { version: material.version, revision: material.revision ?? 0, credentialId: material.credentialId };
    const sealed = await sealMaterial(
      this.#sealerOf(host),
      { ...facts, vaultId, hostId: host.id, grantId: grant.id, expiresAt },
      material,
    );
    // SECURITY: sealing waited. What was revoked, or taken from the host, in the meantime is not lent.
    const current = vault.hosts.byId(host.id);
    if (current?.status !== 'active')
      throw new AlterError('host_inactive', { host: host.name, host_status: current?.status ?? 'revoked' });
    this.grantOf(current, grant.id);
    return {
      ...{ grant_id: grant.id, credential_id: facts.credentialId, version: facts.version, revision: facts.revision },
      ...{ issued_at: issuedAt, expires_at: expiresAt, no_cache: grant.noCache, sealed },
    };
  }

  #sealerOf(host: FleetHost): HostSealer {
    let sealer = this.#sealers.get(host);
    if (sealer === undefined) {
      sealer = new HostSealer(Buffer.from(host.sealingKey ?? '', 'base64url'));
      this.#sealers.set(host, sealer);
    }
    return sealer;
  }
}
