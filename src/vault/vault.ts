/**
 * The embedded vault: one facade over agents, sessions, secrets and grants, and the Vault port that the proxy reads.
 * Nothing here answers secret material but obtain().
 */
import type { KeySource, MasterKey } from '../crypto/master-key.ts';
import type { CallerIdentity } from '../domain/agent.ts';
import type { AuditPort } from '../domain/audit.ts';
import type { Authority } from '../domain/authority.ts';
import type { CredentialMaterial } from '../domain/credential.ts';
import type { Delegation } from '../domain/delegation.ts';
import { AlterError } from '../domain/errors.ts';
import type { Grant } from '../domain/grant.ts';
import type { HttpsCall } from '../domain/https-call.ts';
import type { StoreSnapshot } from '../store/rows.ts';
import { openSqliteStore } from '../store/sqlite/sqlite-store.ts';
import type { HostAudit, Nonce, Store } from '../store/store.ts';
import { EmbeddedAgents, type VaultAgents } from './agents.ts';
import { Callers } from './callers.ts';
import { EmbeddedDelegations, type VaultDelegations } from './delegations.ts';
import { type FleetIdentity, openFleetIdentity } from './fleet-identity.ts';
import { EmbeddedGrants, type VaultGrants } from './grants.ts';
import { EmbeddedHosts, type VaultHosts } from './hosts.ts';
import { AgentKeys } from './keys.ts';
import { LastUses } from './last-uses.ts';
import { MaterialMaker } from './material-maker.ts';
import { Materials } from './materials.ts';
import type { ConnectFlows } from './oauth/connect-flows.ts';
import { Connections } from './oauth/connections.ts';
import { EmbeddedConnectFlows } from './oauth/flows.ts';
import { EmbeddedProviderClients, type ProviderClients } from './oauth/provider-clients.ts';
import { Refresher } from './oauth/refresher.ts';
import { SiblingGrants } from './oauth/sibling-grants.ts';
import { TokenClients } from './oauth/token-clients.ts';
import { TokenEndings } from './oauth/token-endings.ts';
import { UPKEEP_EVERY_MS, Upkeep } from './oauth/upkeep.ts';
import { EmbeddedPermits, type VaultPermits } from './permits.ts';
import { EmbeddedPolicies, type VaultPolicies } from './policies.ts';
import type { ProviderSource } from './provider-source.ts';
import { EmbeddedQuotas, type VaultQuotas } from './quotas.ts';
import { EmbeddedSecrets, type VaultSecrets } from './secrets.ts';
import { EmbeddedSessions, type VaultSessions } from './sessions.ts';
import { VaultState } from './state.ts';
import { EmbeddedTransfer, type VaultTransfer } from './transfer/transfer.ts';
import { EmbeddedUsers, type VaultUsers } from './users.ts';
import { type KeyWatch, type RecordedKey, recordedKeyOf, VaultKeys } from './vault-keys.ts';
import type { VaultRooms } from './vault-rooms.ts';

export interface Vault extends VaultRooms {
  /** The machines that borrow from this vault. */
  readonly hosts: VaultHosts;
  readonly transfer: VaultTransfer;
  /** What the vault is to them; made by `mint` the first time. @throws AlterError audit_unavailable, vault_unavailable */
  fleetIdentity(mint: () => Buffer): Promise<FleetIdentity>;
  /** True for each text that was new, whichever replica asks. @throws AlterError vault_unavailable */
  useNonces(nonces: readonly Nonce[]): Promise<boolean[]>;
  /** @throws AlterError vault_unavailable */
  forgetNonces(expiredBefore: number): Promise<void>;
  /** False while a database that others change too can't be asked: what is in memory may have ended. */
  readonly isFresh: boolean;
  /** What hosts have sent of their journals. */
  readonly hostAudit: HostAudit;
  /** Limits that all hosts share. */
  readonly quotas: VaultQuotas;
  /** Asks the database for something small. @throws AlterError vault_unavailable */
  ping(): Promise<void>;
  /** The rows in force: what hosts' views are made of. Nothing in them is opened. */
  readonly rows: StoreSnapshot;
  /** Where the master key is kept. */
  readonly keySource: KeySource;
  /** When the key in force was put in force; null for the first one. */
  readonly keySince: number | null;
  /** Whether a master key was in force before the one that is. */
  isRetiredKey(key: MasterKey): boolean;
  /** True while another replica has put a master key in force that is not here; nothing is answered then. */
  readonly isLocked: boolean;
  /** Others change the same database. */
  readonly isShared: boolean;
  /** @throws AlterError vault_unavailable when what is in memory may have ended */
  requireFresh(): void;
  /** The mark of the journal that it wrote to when it was changed last; null before that. */
  readonly recordedJournal: string | null;
  /** From the next change on the vault says that this is its journal. */
  bindJournal(mark: string): void;
  /** Says in the journal that an operator goes on with an older copy, and binds the two anew. @throws AlterError audit_unavailable, vault_unavailable */
  acceptRestore(details: Readonly<Record<string, string | number | null>>): Promise<void>;
  /** Copies the database into a new file, at one instant between two changes; false where it is no file. @throws AlterError vault_unavailable */
  copyTo(file: string): Promise<boolean>;
  /** Wraps the data keys with another master key. @throws AlterError audit_unavailable, conflict for one of before, vault_unavailable */
  rotateMasterKey(to: MasterKey): Promise<void>;
  /**
   * Seals every secret again under a new data key.
   * @param learntMs how long after a key was stored each replica that serves knows it
   * @throws AlterError audit_unavailable, conflict, vault_unavailable
   */
  rotateDataKey(learntMs?: number): Promise<void>;
}

export interface VaultOptions {
  readonly dbFile: string;
  /** Another database than the file. */
  readonly openStore?: (() => Promise<Store>) | undefined;
  /** Where other replicas change the same store: how often their changes are asked for. Absent: this vault is alone. */
  readonly followEveryMs?: number | undefined;
  /** The key, or how to load it once the database has said which source holds it (nothing is recorded on a fresh install). */
  readonly masterKey: MasterKey | ((recorded: RecordedKey | undefined) => Promise<MasterKey>);
  /** Where another key is looked for, and who is told of a key in force. */
  readonly keyWatch?: KeyWatch | undefined;
  readonly catalogue: ProviderSource;
  readonly audit: AuditPort;
  /** Directory of policy files; need not exist. Absent: there are none. */
  readonly policiesDir?: string | undefined;
  /** How token endpoints are reached; without it nothing can be connected or renewed. */
  readonly https?: HttpsCall | undefined;
  /** How often connected accounts are looked after, where there is a network to do it by. */
  readonly upkeepEveryMs?: number | undefined;
  readonly now?: (() => number) | undefined;
}

/**
 * Opens the vault in a database file, or makes one. Only one vault may have a file open.
 * @throws AlterError vault_unavailable
 */
export async function openVault(options: VaultOptions): Promise<Vault> {
  const now = options.now ?? Date.now;
  const store = await (options.openStore?.() ?? openSqliteStore({ dbFile: options.dbFile }));
  try {
    const found = await store.load();
    const masterKey = typeof options.masterKey === 'function' ? await options.masterKey(recordedKeyOf(found)) : options.masterKey;
    const { snapshot, macKey, digests, keys } = await VaultKeys.unlock(store, found, masterKey, {
      now: now(),
      watch: options.keyWatch,
    });
    const state = new VaultState({
      store,
      snapshot,
      macKey,
      digests,
      audit: options.audit,
      now,
      isShared: options.followEveryMs !== undefined,
      macKeyFor: (rows) => keys.macKeyFor(rows),
    });
    const policies = new EmbeddedPolicies(state, options.policiesDir ?? null);
    // Before anything of its own is changed: what another replica does meanwhile is taken over with that.
    state.onFollow((rows) => keys.follow(rows));
    state.onFollow((rows) => policies.follow(rows));
    const policyProblems = await policies.start();
    const https = options.https ?? noNetwork;
    const vault = new EmbeddedVault({ store, state, keys, catalogue: options.catalogue, https, policies, policyProblems });
    if (options.followEveryMs !== undefined) vault.follow(options.followEveryMs);
    if (options.https !== undefined) vault.upkeep.start(options.upkeepEveryMs ?? UPKEEP_EVERY_MS);
    return vault;
  } catch (thrown) {
    await store.close();
    throw thrown;
  }
}

const noNetwork: HttpsCall = async ({ url }) => {
  throw new AlterError('upstream_unreachable', { host: new URL(url).hostname, reason: 'this vault has no network' });
};

interface VaultParts {
  readonly store: Store;
  readonly state: VaultState;
  readonly keys: VaultKeys;
  readonly catalogue: ProviderSource;
  readonly policies: EmbeddedPolicies;
  readonly policyProblems: readonly string[];
  readonly https: HttpsCall;
}

class EmbeddedVault implements Vault {
  readonly agents: VaultAgents;
  readonly sessions: VaultSessions;
  readonly secrets: VaultSecrets;
  readonly grants: VaultGrants;
  readonly users: VaultUsers;
  readonly delegations: VaultDelegations;
  readonly permits: VaultPermits;
  readonly policies: VaultPolicies;
  readonly policyProblems: readonly string[];
  readonly connect: ConnectFlows;
  readonly clients: ProviderClients;
  readonly hosts: VaultHosts;
  readonly quotas: EmbeddedQuotas;
  readonly transfer: VaultTransfer;
  readonly #parts: VaultParts;
  readonly #uses: LastUses;
  readonly #materials: Materials;
  readonly #callers: Callers;
  readonly upkeep: Upkeep;
  readonly #refresher: Refresher;
  readonly #endings: TokenEndings;
  #closed = false;
  #following: NodeJS.Timeout | undefined;

  constructor(parts: VaultParts) {
    const { state, keys, catalogue, https } = parts;
    const { dataKeys } = keys;
    const uses = new LastUses((batch) => parts.store.noteUses(batch));
    const clients = new EmbeddedProviderClients({ state, dataKeys, catalogue });
    const tokenClients = new TokenClients({ https, clients, catalogue, now: state.now });
    const dropMaterial = (credentialId: string): void => materials.drop(credentialId);
    const shared = { state, dataKeys, clients: tokenClients, dropMaterial };
    const maker = new MaterialMaker(dataKeys, https, state.now);
    const refresher = new Refresher(shared);
    const materials: Materials = new Materials({ state, maker, uses, renewal: refresher });
    const endings = new TokenEndings(shared);
    const sessions = new EmbeddedSessions(state);
    const users = new EmbeddedUsers(state, sessions, uses, endings);
    const grants = new EmbeddedGrants(state, catalogue, endings, users);
    const delegations = new EmbeddedDelegations(state, grants, users);
    const connections = new Connections({ state, dataKeys, grants, dropMaterial });
    const siblings = new SiblingGrants(state, grants);
    this.#parts = parts;
    this.#uses = uses;
    this.#materials = materials;
    this.#callers = new Callers(state, sessions, uses);
    this.sessions = sessions;
    this.agents = new EmbeddedAgents({ state, keys: new AgentKeys(state, uses), sessions, uses, endings });
    this.users = users;
    this.policies = parts.policies;
    this.policyProblems = parts.policyProblems;
    this.secrets = new EmbeddedSecrets({ state, dataKeys, materials, uses, catalogue, endings, call: https });
    this.grants = grants;
    this.delegations = delegations;
    this.permits = new EmbeddedPermits(state);
    this.clients = clients;
    this.hosts = new EmbeddedHosts(state, uses);
    this.quotas = new EmbeddedQuotas(parts.store, parts.policies, state.now);
    this.transfer = new EmbeddedTransfer({
      ...{ state, dataKeys, catalogue, dropMaterial, policies: parts.policies },
      settle: () => refresher.settle(),
    });
    this.connect = new EmbeddedConnectFlows({ clients: tokenClients, connections, siblings, now: state.now });
    this.upkeep = new Upkeep({ state, dataKeys, uses, refresher, endings });
    this.#refresher = refresher;
    this.#endings = endings;
  }

  get authority(): Authority {
    return this.#parts.state.authority;
  }

  get epoch(): number {
    return this.#parts.state.rows.epoch;
  }

  get rows(): StoreSnapshot {
    return this.#parts.state.rows;
  }

  get keySource(): KeySource {
    return this.#parts.keys.source;
  }

  get keySince(): number | null {
    return this.#parts.keys.since(this.#parts.state.rows);
  }

  isRetiredKey(key: MasterKey): boolean {
    return this.#parts.keys.isRetired(this.#parts.state.rows, key);
  }

  get isLocked(): boolean {
    return this.#parts.state.isLocked;
  }

  get isShared(): boolean {
    return this.#parts.state.isShared;
  }

  requireFresh(): void {
    this.#parts.state.requireFresh();
  }

  onAuthorityChange(listener: (authority: Authority) => void): () => void {
    return this.#parts.state.onAuthorityChange(listener);
  }

  /** A failure is seen by who asks next: nothing is decided by a state that is too old. */
  follow(everyMs: number): void {
    const again = (): void => {
      if (!this.#closed) this.#following = setTimeout(next, everyMs).unref();
    };
    const next = (): void => void this.#parts.state.refresh().then(again, again);
    again();
  }

  identify(key: string): CallerIdentity {
    this.#parts.state.requireFresh();
    return this.#callers.identify(key);
  }

  isCallerValid(caller: CallerIdentity): boolean {
    return this.#callers.isValid(caller);
  }

  obtain(grant: Grant): CredentialMaterial | Promise<CredentialMaterial> {
    if (this.#closed) throw new AlterError('vault_unavailable', { reason: 'it is closed' });
    this.#parts.state.requireFresh();
    return this.#materials.obtain(grant);
  }

  /** What is its own is lent to nobody. */
  isLeased(): boolean {
    return true;
  }

  dropDelegation(caller: CallerIdentity, delegationId: string): Promise<Delegation> {
    return this.delegations.revoke(delegationId, 'agent', { agentId: caller.agentId });
  }

  fleetIdentity(mint: () => Buffer): Promise<FleetIdentity> {
    const { state, keys } = this.#parts;
    return openFleetIdentity(state, keys.dataKeys, mint);
  }

  useNonces(nonces: readonly Nonce[]): Promise<boolean[]> {
    return this.#parts.store.useNonces(nonces);
  }

  forgetNonces(expiredBefore: number): Promise<void> {
    return this.#parts.store.forgetNonces(expiredBefore);
  }

  get isFresh(): boolean {
    return this.#parts.state.isFresh;
  }

  get hostAudit(): HostAudit {
    return this.#parts.store;
  }

  async ping(): Promise<void> {
    await this.#parts.store.currentEpoch();
  }

  get recordedJournal(): string | null {
    return this.#parts.state.recordedJournal;
  }

  bindJournal(mark: string): void {
    this.#parts.state.bindJournal(mark);
  }

  async acceptRestore(details: Readonly<Record<string, string | number | null>>): Promise<void> {
    const { state } = this.#parts;
    await this.quotas.distrust();
    return state.exclusive(() => state.commit({ action: 'vault.restore_accepted', details }, []));
  }

  copyTo(file: string): Promise<boolean> {
    const { state, store } = this.#parts;
    return state.exclusive(async () => {
      await store.copyTo?.(file);
      return store.copyTo !== undefined;
    });
  }

  renewRefused(grant: Grant, version: number): Promise<CredentialMaterial | null> {
    if (this.#closed) throw new AlterError('vault_unavailable', { reason: 'it is closed' });
    return this.#materials.renewRefused(grant, version);
  }

  rotateMasterKey(to: MasterKey): Promise<void> {
    return this.#parts.keys.rotateMasterKey(this.#parts.state, to);
  }

  rotateDataKey(learntMs?: number): Promise<void> {
    return this.#parts.keys.rotateDataKey(this.#parts.state, learntMs);
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    clearTimeout(this.#following);
    await this.upkeep.stop();
    // What a provider is answering just now may be the only copy of a token.
    await this.#refresher.settle();
    await this.#endings.settle();
    await this.#parts.state.settle();
    await this.#uses.flush();
    this.#materials.clear();
    await this.#parts.store.close();
  }
}
