/**
 * What one host of a fleet gets to see of the vault: the agents that are assigned to it, and what these can use. Pure: rows and an
 * assignment in, a view out; two views give the changes between them.
 * SECURITY: a host that was broken into shows what is in its view, so nothing may be in it that its agents can't use: no other agent's
 * keys or grants, no sealed material, no references to where values come from.
 */
import { isDeepStrictEqual } from 'node:util';
import { isMember, type User } from '../domain/user.ts';
import type {
  AgentRow,
  CredentialRow,
  DelegationRow,
  GrantRow,
  KeyRow,
  PermitRow,
  PolicySetRow,
  StoreSnapshot,
  UserRow,
} from '../store/rows.ts';
import { neededCapabilities } from './host-capabilities.ts';
import type { RowIndex } from './host-index.ts';

/** The rows of a view, by kind. */
export interface ViewRows {
  readonly agent: AgentRow;
  readonly key: KeyRow;
  readonly grant: GrantRow;
  readonly credential: CredentialRow;
  readonly user: UserRow;
  readonly delegation: DelegationRow;
  readonly permit: PermitRow;
  /** One at most: the policies in force. */
  readonly policies: PolicySetRow;
}

export type ViewKind = keyof ViewRows;

/** In the order in which rows name each other. */
export const VIEW_KINDS: readonly ViewKind[] = [
  'agent',
  'key',
  'credential',
  'grant',
  'user',
  'delegation',
  'permit',
  'policies',
];

export type HostView = { readonly [K in ViewKind]: ReadonlyMap<string, ViewRows[K]> };

export type ViewChange =
  | { readonly [K in ViewKind]: { readonly put: K; readonly row: ViewRows[K] } }[ViewKind]
  | { readonly remove: ViewKind; readonly id: string };

/** What is given to a host. */
export interface HostAssignment {
  readonly agentIds: readonly string[];
  /** Its agents may use the grants of the system too. */
  readonly systemGrants: boolean;
  /** What its daemon is able to enforce. */
  readonly capabilities: readonly string[];
}

export const EMPTY_VIEW: HostView = {
  agent: new Map(),
  key: new Map(),
  grant: new Map(),
  credential: new Map(),
  user: new Map(),
  delegation: new Map(),
  permit: new Map(),
  policies: new Map(),
};

export function hostView(index: RowIndex, { agentIds, systemGrants, capabilities }: HostAssignment): HostView {
  const known = new Set(capabilities);
  const assigned = agentIds.flatMap((id) => index.agents.get(id) ?? []);
  const keys = new Map(assigned.flatMap(({ id }) => index.keysOf(id)).map((row) => [row.id, row]));
  const delegations = assigned.flatMap(({ id }) => index.delegationsOf(id));
  const mayUse = (grant: GrantRow): boolean =>
    assigned.some(({ providers }) => providers === null || providers.includes(grant.providerId)) &&
    // SECURITY: a rule that the daemon does not know would not be enforced there.
    neededCapabilities(grant, index.policies, assigned).every((each) => known.has(each));
  const grants = byId(
    [
      ...assigned.flatMap(({ id }) => index.grantsOf(id)),
      ...delegations.flatMap(({ grantId }) => index.grants.get(grantId) ?? []),
      ...(systemGrants ? index.systemGrants : []),
    ].filter(mayUse),
  );
  const delegation = byId(delegations.filter(({ grantId }) => grants.has(grantId)));
  const credential = byId(
    [...grants.values()].flatMap((grant) => index.credentials.get(grant.credentialId) ?? []).map(publicRow),
  );
  const permits = assigned.flatMap(({ id }) => index.permitsOf(id));
  return {
    agent: withParents(index, assigned),
    key: keys,
    grant: grants,
    credential,
    user: usersOf(index, grants, delegation),
    delegation,
    permit: byId(permits.filter(({ grantId }) => grantId === null || grants.has(grantId))),
    policies: byId(index.policies === null ? [] : [index.policies]),
  };
}

/** An agent ends with the agents above it, so their rows come along: without their keys and grants. */
function withParents(index: RowIndex, assigned: readonly AgentRow[]): ReadonlyMap<string, AgentRow> {
  const rows = new Map<string, AgentRow>();
  for (const agent of assigned) {
    let each: AgentRow | undefined = agent;
    while (each !== undefined && !rows.has(each.id)) {
      rows.set(each.id, each);
      each = each.parentId === null ? undefined : index.agents.get(each.parentId);
    }
  }
  return rows;
}

/** Who can be called for by these grants, and everybody who may not be called for any more. */
function usersOf(
  index: RowIndex,
  grants: ReadonlyMap<string, GrantRow>,
  delegations: ReadonlyMap<string, DelegationRow>,
): ReadonlyMap<string, UserRow> {
  const users = new Map<string, UserRow>();
  const add = (id: string | null): void => {
    const user = id === null ? undefined : index.users.get(id);
    if (user !== undefined) users.set(user.id, user);
  };
  for (const { userId } of delegations.values()) add(userId);
  for (const { principal } of grants.values()) {
    if (principal.type === 'user') add(principal.userId);
    if (principal.type === 'group')
      for (const user of index.usersOf(principal.issuer)) if (isMember(user, principal)) users.set(user.id, user);
  }
  // SECURITY: a daemon makes a user of each verified token that names a new one. Without these it would let in whom the vault put out.
  for (const user of index.deactivatedUsers) if (!users.has(user.id)) users.set(user.id, withoutLabels(user));
  return users;
}

const bare = new WeakMap<User, UserRow>();

/** The same object each time, so that a view that did not change is seen to be the same. */
function withoutLabels(user: UserRow): UserRow {
  return kept(bare, user, () => ({ ...user, email: null, name: null, groups: [] }));
}

const facts = new WeakMap<CredentialRow, CredentialRow>();

/** SECURITY: where values come from (a path, a command, a variable of the vault's machine) is nothing that a host needs. */
function publicRow(row: CredentialRow): CredentialRow {
  return kept(facts, row, () => {
    const { sources: _sources, lastUsedAt: _lastUsedAt, ...rest } = row;
    return { ...rest, lastUsedAt: null };
  });
}

function kept<R extends object, T extends object>(rows: WeakMap<R, T>, row: R, make: () => T): T {
  let made = rows.get(row);
  if (made === undefined) {
    made = make();
    rows.set(row, made);
  }
  return made;
}

const byId = <R extends { readonly id: string }>(rows: readonly R[]): ReadonlyMap<string, R> =>
  new Map(rows.map((row) => [row.id, row]));

/** What changes the one view into the other: what goes first, in the order in which nothing names what is not there. */
export function diffViews(before: HostView, after: HostView): ViewChange[] {
  const changes: ViewChange[] = [];
  for (const kind of VIEW_KINDS.toReversed())
    for (const id of before[kind].keys()) if (!after[kind].has(id)) changes.push({ remove: kind, id });
  for (const kind of VIEW_KINDS)
    for (const [id, row] of after[kind]) {
      const old = before[kind].get(id);
      if (old === row || (old !== undefined && isDeepStrictEqual(withoutUse(old), withoutUse(row)))) continue;
      changes.push({ put: kind, row } as ViewChange);
    }
  return changes;
}

/** Moments of use change all the time, and decide nothing. */
const withoutUse = (row: object): object => ('lastUsedAt' in row ? { ...row, lastUsedAt: null } : row);

export function changeView(view: HostView, changes: readonly ViewChange[]): HostView {
  const next = Object.fromEntries(VIEW_KINDS.map((kind) => [kind, new Map<string, object>(view[kind])])) as Record<
    ViewKind,
    Map<string, object>
  >;
  for (const change of changes) {
    if ('remove' in change) next[change.remove].delete(change.id);
    else next[change.put].set(change.row.id, change.row);
  }
  return next as unknown as HostView;
}

/** The view without what hosts may not keep. */
export function keptView(view: HostView): HostView {
  const grants = [...view.grant.values()].filter(({ noCache }) => !noCache);
  const ids = new Set(grants.map(({ id }) => id));
  const credentials = new Set(grants.map(({ credentialId }) => credentialId));
  return {
    ...view,
    grant: byId(grants),
    credential: byId([...view.credential.values()].filter(({ id }) => credentials.has(id))),
    delegation: byId([...view.delegation.values()].filter(({ grantId }) => ids.has(grantId))),
    permit: byId([...view.permit.values()].filter(({ grantId }) => grantId === null || ids.has(grantId))),
  };
}

/** The view as rows of a vault that has nothing else. */
export function snapshotOf(
  view: HostView,
  epoch: number,
): Omit<StoreSnapshot, 'dataKeys' | 'policies' | 'providerClients' | 'hosts' | 'meta'> {
  return {
    epoch,
    agents: sorted(view.agent),
    keys: sorted(view.key),
    credentials: sorted(view.credential),
    grants: sorted(view.grant),
    users: sorted(view.user),
    delegations: sorted(view.delegation),
    permits: sorted(view.permit),
    policySets: sorted(view.policies),
  };
}

const sorted = <R extends { readonly id: string; readonly createdAt: number }>(rows: ReadonlyMap<string, R>): R[] =>
  [...rows.values()].sort((a, b) => a.createdAt - b.createdAt || (a.id < b.id ? -1 : a.id > b.id ? 1 : 0));
