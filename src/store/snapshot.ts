/** Changes on a snapshot in memory: the meaning that every Store implementation must have. Pure. */
import { withRow } from '../domain/row-lists.ts';
import type { DelegationRow, GrantRow, RowKind, StoreChange, StoreSnapshot } from './rows.ts';

export const EMPTY_SNAPSHOT: StoreSnapshot = {
  epoch: 0,
  agents: [],
  keys: [],
  credentials: [],
  grants: [],
  users: [],
  delegations: [],
  dataKeys: [],
  policies: [],
  policySets: [],
  providerClients: [],
  permits: [],
  hosts: [],
  meta: new Map(),
};

/** The snapshot after the changes; constraints (unique names, dangling ids) are the store's to check. */
export function changeSnapshot(before: StoreSnapshot, changes: readonly StoreChange[]): StoreSnapshot {
  return { ...changes.reduce(changeOnce, before), epoch: before.epoch + 1 };
}

function changeOnce(s: StoreSnapshot, change: StoreChange): StoreSnapshot {
  if ('remove' in change) return change.remove === 'sealed' ? s : removed(s, change.remove, change.id);
  switch (change.put) {
    case 'agent':
      return { ...s, agents: withRow(s.agents, change.row) };
    case 'key':
      return { ...s, keys: withRow(s.keys, keepUse(s.keys, change.row)) };
    case 'credential':
      return { ...s, credentials: withRow(s.credentials, keepUse(s.credentials, change.row)) };
    case 'grant':
      return { ...s, grants: withRow(s.grants, change.row) };
    case 'user':
      return { ...s, users: withRow(s.users, keepUse(s.users, change.row)) };
    case 'delegation':
      return { ...s, delegations: withRow(s.delegations, change.row) };
    case 'data_key':
      return { ...s, dataKeys: withRow(s.dataKeys, change.row) };
    case 'policy':
      return { ...s, policies: withRow(s.policies, change.row) };
    case 'policy_set':
      return { ...s, policySets: withRow(s.policySets, change.row) };
    case 'provider_client':
      return { ...s, providerClients: withRow(s.providerClients, change.row) };
    case 'permit':
      return { ...s, permits: withRow(s.permits, change.row) };
    case 'host':
      return { ...s, hosts: withRow(s.hosts, keepUse(s.hosts, change.row)) };
    case 'meta':
      return { ...s, meta: new Map(s.meta).set(change.name, change.value) };
    case 'sealed':
      return s;
  }
}

function removed(s: StoreSnapshot, what: RowKind, id: string): StoreSnapshot {
  const others = <R extends { readonly id: string }>(rows: readonly R[]): R[] => rows.filter((row) => row.id !== id);
  switch (what) {
    case 'agent':
      return withGrants(
        { ...s, agents: others(s.agents), keys: s.keys.filter((key) => key.agentId !== id) },
        s.grants.filter((grant) => grant.principal.type !== 'agent' || grant.principal.agentId !== id),
        s.delegations.filter((delegation) => delegation.agentId !== id),
      );
    case 'user':
      return withGrants(
        { ...s, users: others(s.users) },
        s.grants.filter((grant) => grant.principal.type !== 'user' || grant.principal.userId !== id),
        s.delegations.filter((delegation) => delegation.userId !== id),
      );
    case 'delegation':
      return withPermitsLeft({ ...s, delegations: others(s.delegations) });
    case 'credential':
      return { ...s, credentials: others(s.credentials) };
    case 'grant':
      return withGrants(s, others(s.grants), s.delegations);
    case 'data_key':
      return { ...s, dataKeys: others(s.dataKeys) };
    case 'policy':
      return { ...s, policies: others(s.policies) };
    case 'policy_set':
      return { ...s, policySets: others(s.policySets) };
    case 'provider_client':
      return { ...s, providerClients: others(s.providerClients) };
    case 'permit':
      return { ...s, permits: others(s.permits) };
    case 'host':
      return { ...s, hosts: others(s.hosts) };
  }
}

/** With these grants, and without the delegations of others and the permits of what is gone. */
function withGrants(s: StoreSnapshot, grants: readonly GrantRow[], delegations: readonly DelegationRow[]): StoreSnapshot {
  const left = new Set(grants.map((grant) => grant.id));
  return withPermitsLeft({ ...s, grants, delegations: delegations.filter((delegation) => left.has(delegation.grantId)) });
}

function withPermitsLeft(s: StoreSnapshot): StoreSnapshot {
  const [agents, grants, users, delegations] = [s.agents, s.grants, s.users, s.delegations].map(
    (rows) => new Set<string | null>([null, ...rows.map(({ id }) => id)]),
  ) as [Set<string | null>, Set<string | null>, Set<string | null>, Set<string | null>];
  const permits = s.permits.filter(
    (p) => agents.has(p.agentId) && grants.has(p.grantId) && users.has(p.userId) && delegations.has(p.delegationId),
  );
  return { ...s, permits };
}

const keepUse = <R extends { readonly id: string; readonly lastUsedAt: number | null }>(rows: readonly R[], row: R): R => {
  const existing = rows.find((other) => other.id === row.id);
  return existing === undefined ? row : { ...row, lastUsedAt: existing.lastUsedAt };
};
