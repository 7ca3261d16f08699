/**
 * A MAC over every row that decides requests, together with the epoch. Whoever edits the database without the master key
 * (adds a grant, widens a host list, re-activates a key, swaps in older rows) is noticed when the vault is opened.
 * It can't notice a rollback of the whole file to an older state: that state was valid once, and its MAC is too. The epoch in
 * the audit events of the vault shows such a rollback to whoever compares the two.
 */
import { createHmac, type KeyObject, timingSafeEqual } from 'node:crypto';
import { isDeepStrictEqual } from 'node:util';
import { NO_BINDING, NO_NARROWING } from '../domain/agent.ts';
import type { AgentRow, GrantRow, KeyRow, StoreSnapshot } from '../store/rows.ts';

export const MAC_NAME = 'authority_mac';

/** MAC of a snapshot, as text. Moments of last use are left out: they change without a change of authority. */
export function macOf(key: KeyObject, snapshot: StoreSnapshot): string {
  const covered = {
    epoch: snapshot.epoch,
    agents: snapshot.agents.map(agentAsBefore),
    keys: snapshot.keys.map(keyAsBefore),
    credentials: snapshot.credentials.map(withoutUse),
    grants: snapshot.grants.map(asBefore),
    // A database of before has none of these, and a MAC that says nothing of them. One whose rows were taken away has another MAC.
    ...(snapshot.users.length === 0 ? {} : { users: snapshot.users.map(withoutUse) }),
    ...(snapshot.delegations.length === 0 ? {} : { delegations: snapshot.delegations }),
    dataKeys: snapshot.dataKeys.map((row) => ({ ...row, wrapped: Buffer.from(row.wrapped).toString('base64url') })),
    // A database of before has neither and a MAC without them; one that lost them has the wrong MAC.
    ...(snapshot.policies.length === 0 ? {} : { policies: snapshot.policies }),
    ...(snapshot.policySets.length === 0 ? {} : { policySets: snapshot.policySets }),
    ...(snapshot.permits.length === 0 ? {} : { permits: snapshot.permits }),
    ...(snapshot.hosts.length === 0 ? {} : { hosts: snapshot.hosts.map(withoutUse) }),
    // A database of before has a MAC without them.
    ...(snapshot.providerClients.length === 0
      ? {}
      : {
          providerClients: snapshot.providerClients.map((row) => ({
            ...row,
            sealed: Buffer.from(row.sealed).toString('base64url'),
          })),
        }),
    meta: [...snapshot.meta].filter(([name]) => name !== MAC_NAME).sort(([a], [b]) => (a < b ? -1 : 1)),
  };
  return createHmac('sha256', key).update(canonicalJson(covered)).digest('base64url');
}

export function isMacRight(key: KeyObject, snapshot: StoreSnapshot): boolean {
  const written = Buffer.from(snapshot.meta.get(MAC_NAME) ?? '', 'base64url');
  const expected = Buffer.from(macOf(key, snapshot), 'base64url');
  return written.length === expected.length && timingSafeEqual(written, expected);
}

/** A database of before a setting has a MAC without it: its absence is the initial value, and any other is covered like all else. */
const asBefore = (row: GrantRow): object => {
  const { passResponseCookies, operations, approval, git, noCache, offlineGraceMs, ...rest } = row;
  return {
    ...rest,
    ...(passResponseCookies ? { passResponseCookies } : {}),
    ...(operations.length > 0 ? { operations } : {}),
    ...(approval === null ? {} : { approval }),
    ...(git === null ? {} : { git }),
    ...(noCache ? { noCache } : {}),
    ...(offlineGraceMs === 0 ? {} : { offlineGraceMs }),
  };
};

const agentAsBefore = ({ type, providers, parentId, metadata, ...rest }: AgentRow): object => ({
  ...rest,
  ...(type === 'agent' ? {} : { type }),
  ...(providers === null ? {} : { providers }),
  ...(parentId === null ? {} : { parentId }),
  ...(Object.keys(metadata).length === 0 ? {} : { metadata }),
});

const keyAsBefore = (row: KeyRow): object => {
  const { parentKeyId, narrowing, binding, ...rest } = withoutUse(row);
  return {
    ...rest,
    ...(parentKeyId === null ? {} : { parentKeyId }),
    ...(isDeepStrictEqual(narrowing, NO_NARROWING) ? {} : { narrowing }),
    ...(isDeepStrictEqual(binding, NO_BINDING) ? {} : { binding }),
  };
};

const withoutUse = <R extends { readonly lastUsedAt: number | null }>(row: R): Omit<R, 'lastUsedAt'> => {
  const { lastUsedAt: _left, ...rest } = row;
  return rest;
};

/** JSON with sorted keys, so that equal rows give equal text however they were built. */
function canonicalJson(value: unknown): string {
  return JSON.stringify(value, (_key, part: unknown) =>
    part !== null && typeof part === 'object' && !Array.isArray(part)
      ? Object.fromEntries(Object.entries(part).sort(([a], [b]) => (a < b ? -1 : 1)))
      : part,
  );
}
