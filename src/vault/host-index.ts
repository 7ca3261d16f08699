/**
 * The vault's rows by what a host's view is made of, so that a view costs what is in it and not what is in the vault. Made once for each
 * snapshot, and each part only when its rows changed. Pure.
 */
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

export interface RowIndex {
  readonly agents: ReadonlyMap<string, AgentRow>;
  readonly grants: ReadonlyMap<string, GrantRow>;
  readonly credentials: ReadonlyMap<string, CredentialRow>;
  readonly users: ReadonlyMap<string, UserRow>;
  readonly deactivatedUsers: readonly UserRow[];
  readonly systemGrants: readonly GrantRow[];
  /** The policies in force. */
  readonly policies: PolicySetRow | null;
  keysOf(agentId: string): readonly KeyRow[];
  grantsOf(agentId: string): readonly GrantRow[];
  delegationsOf(agentId: string): readonly DelegationRow[];
  permitsOf(agentId: string): readonly PermitRow[];
  usersOf(issuer: string): readonly UserRow[];
}

type Indexed = Pick<
  StoreSnapshot,
  'agents' | 'keys' | 'credentials' | 'grants' | 'users' | 'delegations' | 'permits' | 'policySets'
>;

/** Indexes one snapshot after the other. */
export class HostIndexer {
  readonly #agents = once((rows: Indexed['agents']) => byId(rows));
  readonly #keys = once((rows: Indexed['keys']) => groupBy(rows, ({ agentId }) => agentId));
  readonly #credentials = once((rows: Indexed['credentials']) => byId(rows));
  readonly #grants = once((rows: Indexed['grants']) => ({
    byId: byId(rows),
    byAgent: groupBy(rows, ({ principal }) => (principal.type === 'agent' ? principal.agentId : null)),
    system: rows.filter(({ principal }) => principal.type === 'system'),
  }));
  readonly #users = once((rows: Indexed['users']) => ({
    byId: byId(rows),
    byIssuer: groupBy(rows, ({ issuer }) => issuer),
    deactivated: rows.filter(({ status }) => status !== 'active'),
  }));
  readonly #delegations = once((rows: Indexed['delegations']) => groupBy(rows, ({ agentId }) => agentId));
  readonly #permits = once((rows: Indexed['permits']) => groupBy(rows, ({ agentId }) => agentId));
  readonly #policies = once((rows: Indexed['policySets']) =>
    rows.reduce<PolicySetRow | null>(
      (newest, row) => (newest === null || Number(row.id) > Number(newest.id) ? row : newest),
      null,
    ),
  );

  index(rows: Indexed): RowIndex {
    const grants = this.#grants(rows.grants);
    const users = this.#users(rows.users);
    const keys = this.#keys(rows.keys);
    const delegations = this.#delegations(rows.delegations);
    const permits = this.#permits(rows.permits);
    return {
      agents: this.#agents(rows.agents),
      grants: grants.byId,
      credentials: this.#credentials(rows.credentials),
      users: users.byId,
      deactivatedUsers: users.deactivated,
      systemGrants: grants.system,
      policies: this.#policies(rows.policySets),
      keysOf: (id) => keys.get(id) ?? [],
      grantsOf: (id) => grants.byAgent.get(id) ?? [],
      delegationsOf: (id) => delegations.get(id) ?? [],
      permitsOf: (id) => permits.get(id) ?? [],
      usersOf: (issuer) => users.byIssuer.get(issuer) ?? [],
    };
  }
}

/** Computes again only for another list. */
function once<R extends object, T>(make: (rows: R) => T): (rows: R) => T {
  let last: { readonly rows: R; readonly made: T } | null = null;
  return (rows) => {
    if (last?.rows !== rows) last = { rows, made: make(rows) };
    return last.made;
  };
}

const byId = <R extends { readonly id: string }>(rows: readonly R[]): ReadonlyMap<string, R> =>
  new Map(rows.map((row) => [row.id, row]));

function groupBy<R>(rows: readonly R[], keyOf: (row: R) => string | null): ReadonlyMap<string, readonly R[]> {
  const groups = new Map<string, R[]>();
  for (const row of rows) {
    const key = keyOf(row);
    if (key === null) continue;
    const group = groups.get(key);
    if (group === undefined) groups.set(key, [row]);
    else group.push(row);
  }
  return groups;
}
