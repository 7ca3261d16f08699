/**
 * The Store port of a host that borrows: there is no database, and nothing may be changed but what is the host's own. That is what its
 * issuers say of people, and what people let pass here; both only ever as long as the daemon runs. Everything else is refused, with
 * the name of the vault where it belongs.
 */
import { AlterError } from '../domain/errors.ts';
import type { PermitRow, RateLimitRow, SealedRow, StoreChange, StoreSnapshot, UserRow } from '../store/rows.ts';
import { EMPTY_SNAPSHOT } from '../store/snapshot.ts';
import type { Store } from '../store/store.ts';

/** Where counters of rate limits are kept. */
export interface LimitStore {
  loadLimits(): readonly RateLimitRow[];
  saveLimits(rows: readonly RateLimitRow[]): void;
}

/** What can't be done on a host, because the vault is elsewhere. */
export const managedElsewhere = (vaultUrl: string): AlterError =>
  new AlterError('conflict', {
    reason: `This host borrows what it may use from the vault at ${vaultUrl}, so that nothing of it is managed here`,
    hint: 'Run the same command on the machine of the vault; `alterd status` says how this host gets on with it.',
  });

export class LeasedStore implements Pick<Store, keyof Store> {
  readonly #vaultUrl: string;
  readonly #limits: LimitStore;
  readonly #users = new Map<string, UserRow>();
  readonly #permits = new Map<string, PermitRow>();

  constructor(vaultUrl: string, limits: LimitStore) {
    this.#vaultUrl = vaultUrl;
    this.#limits = limits;
  }

  async load(): Promise<StoreSnapshot> {
    return EMPTY_SNAPSHOT;
  }

  /** Borrowed rows with what is the host's own. */
  withOwn(rows: StoreSnapshot): StoreSnapshot {
    const agents = new Set(rows.agents.map(({ id }) => id));
    const permits = [...this.#permits.values()].filter(({ agentId }) => agents.has(agentId));
    return { ...rows, users: this.#usersWith(rows.users), permits: [...rows.permits, ...permits] };
  }

  async apply(changes: readonly StoreChange[], expectedEpoch: number): Promise<number> {
    if (!changes.every(isOwn)) throw managedElsewhere(this.#vaultUrl);
    for (const change of changes) {
      if ('remove' in change) this.#permits.delete(change.id);
      else if (change.put === 'user') this.#users.set(change.row.id, change.row);
      else if (change.put === 'permit') this.#permits.set(change.row.id, change.row);
    }
    return expectedEpoch + 1;
  }

  async readSealed(): Promise<SealedRow | undefined> {
    return undefined;
  }

  async listSealed(): Promise<SealedRow[]> {
    return [];
  }

  async noteUses(): Promise<void> {}

  async listRateLimits(): Promise<RateLimitRow[]> {
    return [...this.#limits.loadLimits()];
  }

  async saveRateLimits(rows: readonly RateLimitRow[], olderThan: number): Promise<void> {
    const kept = new Map(this.#limits.loadLimits().map((row) => [row.key, row]));
    for (const row of rows) kept.set(row.key, row);
    this.#limits.saveLimits([...kept.values()].filter(({ at }) => at >= olderThan));
  }

  async currentEpoch(): Promise<number> {
    return 0;
  }

  async changesSince(): Promise<null> {
    return null;
  }

  async useNonces(): Promise<boolean[]> {
    throw managedElsewhere(this.#vaultUrl);
  }

  async forgetNonces(): Promise<void> {}

  async acquireLease(): Promise<number | null> {
    return null;
  }

  async renewLease(): Promise<boolean> {
    return false;
  }

  async releaseLease(): Promise<void> {}

  async addHostAudit(): Promise<void> {
    throw managedElsewhere(this.#vaultUrl);
  }

  async lastHostAudit(): Promise<undefined> {
    return undefined;
  }

  async listHostAudit(): Promise<never[]> {
    return [];
  }

  async listHostChains(): Promise<string[]> {
    return [];
  }

  async readQuota(): Promise<undefined> {
    return undefined;
  }

  async writeQuota(): Promise<boolean> {
    throw managedElsewhere(this.#vaultUrl);
  }

  async listQuotas(): Promise<never[]> {
    return [];
  }

  async forgetQuotas(): Promise<void> {}

  async close(): Promise<void> {}

  /**
   * SECURITY: a token may say newer things of a person than the vault knows, but never that somebody is active whom the vault put out,
   * nor anything of somebody whom the vault knows under another id.
   */
  #usersWith(borrowed: readonly UserRow[]): readonly UserRow[] {
    const byIdentity = new Map(borrowed.map((row) => [identityOf(row), row]));
    const own = [...this.#users.values()].filter((row) => !byIdentity.has(identityOf(row)));
    const merged = borrowed.map((row) => {
      const here = this.#users.get(row.id);
      if (here === undefined || row.status !== 'active' || here.claimsAt <= row.claimsAt) return row;
      return { ...row, email: here.email, name: here.name, groups: here.groups, claimsAt: here.claimsAt };
    });
    return [...merged, ...own];
  }
}

const identityOf = ({ issuer, subject }: UserRow): string => `${issuer}\n${subject}`;

/** Whether the host may change it by itself. */
function isOwn(change: StoreChange): boolean {
  if ('remove' in change) return change.remove === 'permit';
  return change.put === 'meta' || change.put === 'permit' || (change.put === 'user' && change.row.status === 'active');
}
