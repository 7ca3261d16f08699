/**
 * The vault's rows by what a host's view is made of, so that a view costs what is in it and not what is in the vault. Kept in step with one
 * snapshot after the other: a change costs the rows that it changes.
 */
import { groupBy, RowGroups, RowsById } from '../domain/row-lists.ts';
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

/** No agent has this for an id. */
const SYSTEM = '';

/** Indexes one snapshot after the other. */
export class HostIndexer {
  readonly #agents = new RowsById<AgentRow>();
  readonly #keys = once((rows: Indexed['keys']) => groupBy(rows, ({ agentId }) => agentId));
  readonly #credentials = new RowsById<CredentialRow>();
  readonly #grants = new RowsById<GrantRow>();
  readonly #grantsByOwner = new RowGroups<GrantRow>(({ principal }) =>
    principal.type === 'agent' ? principal.agentId : principal.type === 'system' ? SYSTEM : null,
  );
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

  /** What an index of before says by id is brought forward with it. */
  index(rows: Indexed): RowIndex {
    const grants = this.#grantsByOwner.of(rows.grants);
    const users = this.#users(rows.users);
    const keys = this.#keys(rows.keys);
    const delegations = this.#delegations(rows.delegations);
    const permits = this.#permits(rows.permits);
    return {
      agents: this.#agents.of(rows.agents),
      grants: this.#grants.of(rows.grants),
      credentials: this.#credentials.of(rows.credentials),
      users: users.byId,
      deactivatedUsers: users.deactivated,
      systemGrants: grants.get(SYSTEM) ?? [],
      policies: this.#policies(rows.policySets),
      keysOf: (id) => keys.get(id) ?? [],
      grantsOf: (id) => grants.get(id) ?? [],
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
