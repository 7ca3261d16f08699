/** Builds the Authority, the immutable view that the proxy decides by, from the stored rows. Pure. */
import type { Authority } from '../domain/authority.ts';
import type { CredentialInfo } from '../domain/credential.ts';
import type { Grant } from '../domain/grant.ts';
import { changedRows, mapRows } from '../domain/row-lists.ts';
import type { CredentialRow, GrantRow, StoreSnapshot } from '../store/rows.ts';
import { retiredIn } from './retired-placeholders.ts';

/** An authority and the rows that it was made of. */
export interface MadeAuthority {
  readonly authority: Authority;
  readonly rows: StoreSnapshot;
}

/**
 * Frozen: a consumer that could change it would change what is allowed. What is made of a row is the same object as `before` where the
 * row is: with many grants, a change makes one of them anew.
 */
export function authorityOf(snapshot: StoreSnapshot, version: number, before: MadeAuthority | null = null): Authority {
  const { agents, users, grants, credentials, delegations } = snapshot;
  const isSame = (...names: ('agents' | 'users' | 'grants' | 'credentials' | 'delegations')[]): boolean =>
    names.every((name) => before?.rows[name] === snapshot[name]);
  return Object.freeze({
    version,
    agents: before !== null && isSame('agents') ? before.authority.agents : frozenById(agents),
    grants:
      before !== null && isSame('grants', 'credentials')
        ? before.authority.grants
        : Object.freeze(grantsOf(grants, credentials, before)),
    users: before !== null && isSame('users') ? before.authority.users : frozenById(users),
    delegations:
      before !== null && isSame('delegations')
        ? before.authority.delegations
        : Object.freeze(delegations.map((row) => Object.freeze({ ...row }))),
    retired: retiredIn(snapshot),
  });
}

const frozenById = <R extends { readonly id: string }>(rows: readonly R[]): ReadonlyMap<string, R> =>
  new Map(rows.map((row) => [row.id, Object.freeze({ ...row })]));

function grantsOf(grants: readonly GrantRow[], credentials: readonly CredentialRow[], before: MadeAuthority | null): Grant[] {
  const make = (row: GrantRow): Grant => grantOf(row, namesIn(credentials).get(row.credentialId) ?? '');
  if (before === null) return grants.map(make);
  const made = mapRows({ rows: before.rows.grants, made: before.authority.grants }, grants, make);
  // The name of a credential is in its grants, whose rows say nothing of it.
  const renamed = renamedIn(before.rows.credentials, credentials);
  return renamed.size === 0
    ? made
    : made.map((grant, i) => (renamed.has(grant.credentialId) ? make(grants[i] as GrantRow) : grant));
}

/** Ids of those that came, went or have another name. */
function renamedIn(before: readonly CredentialRow[], after: readonly CredentialRow[]): ReadonlySet<string> {
  if (before === after) return new Set();
  const { gone, come } = changedRows(before, after);
  const names = new Map(gone.map(({ id, name }) => [id, name]));
  const renamed = new Set([...gone, ...come].map(({ id }) => id));
  for (const { id, name } of come) if (names.get(id) === name) renamed.delete(id);
  return renamed;
}

const nameMaps = new WeakMap<readonly CredentialRow[], ReadonlyMap<string, string>>();

/** Made once for a list. */
function namesIn(credentials: readonly CredentialRow[]): ReadonlyMap<string, string> {
  let names = nameMaps.get(credentials);
  if (names === undefined) {
    names = new Map(credentials.map((row) => [row.id, row.name]));
    nameMaps.set(credentials, names);
  }
  return names;
}

export const grantOf = (row: GrantRow, credentialName: string): Grant => Object.freeze({ ...row, credentialName });

export const isLive = (grant: Pick<Grant, 'status' | 'expiresAt'>, now: number): boolean =>
  grant.status === 'active' && (grant.expiresAt === null || grant.expiresAt > now);

export function credentialInfoOf(row: CredentialRow): CredentialInfo {
  const { injections: _injections, destinations: _destinations, publicFields: _publicFields, ...info } = row;
  return info;
}
