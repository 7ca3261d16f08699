/** Builds the Authority, the immutable view that the proxy decides by, from the stored rows. Pure. */
import type { Authority } from '../domain/authority.ts';
import type { CredentialInfo } from '../domain/credential.ts';
import type { Grant } from '../domain/grant.ts';
import type { CredentialRow, GrantRow, StoreSnapshot } from '../store/rows.ts';
import { retiredIn } from './retired-placeholders.ts';

/** Frozen: a consumer that could change it would change what is allowed. */
export function authorityOf(snapshot: StoreSnapshot, version: number): Authority {
  const names = new Map(snapshot.credentials.map((row) => [row.id, row.name]));
  return Object.freeze({
    version,
    agents: new Map(snapshot.agents.map((agent) => [agent.id, Object.freeze({ ...agent })])),
    grants: Object.freeze(snapshot.grants.map((row) => grantOf(row, names.get(row.credentialId) ?? ''))),
    users: new Map(snapshot.users.map((user) => [user.id, Object.freeze({ ...user })])),
    delegations: Object.freeze(snapshot.delegations.map((row) => Object.freeze({ ...row }))),
    retired: retiredIn(snapshot),
  });
}

const grants = new WeakMap<GrantRow, Grant>();

/** The same object for the same row and name: with many grants, a change makes one of them anew. */
export function grantOf(row: GrantRow, credentialName: string): Grant {
  let grant = grants.get(row);
  if (grant?.credentialName !== credentialName) {
    grant = Object.freeze({ ...row, credentialName });
    grants.set(row, grant);
  }
  return grant as Grant;
}

export const isLive = (grant: Pick<Grant, 'status' | 'expiresAt'>, now: number): boolean =>
  grant.status === 'active' && (grant.expiresAt === null || grant.expiresAt > now);

export function credentialInfoOf(row: CredentialRow): CredentialInfo {
  const { injections: _injections, destinations: _destinations, publicFields: _publicFields, ...info } = row;
  return info;
}
