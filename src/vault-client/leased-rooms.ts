/**
 * The rooms of a vault over borrowed rows: callers, sessions, users and everything that is read are the same code as in the vault's own
 * process; what would change the vault is refused by the store. Sessions are the host's own, because they only narrow.
 */
import { randomBytes } from 'node:crypto';
import { MasterKey } from '../crypto/master-key.ts';
import { mintKey } from '../crypto/seal.ts';
import type { AuditPort } from '../domain/audit.ts';
import { AlterError } from '../domain/errors.ts';
import type { HttpsCall } from '../domain/https-call.ts';
import { EMPTY_SNAPSHOT } from '../store/snapshot.ts';
import { EmbeddedAgents, type VaultAgents } from '../vault/agents.ts';
import { Callers } from '../vault/callers.ts';
import { DataKeys, mintDataKey } from '../vault/data-keys.ts';
import { EmbeddedDelegations, type VaultDelegations } from '../vault/delegations.ts';
import { EmbeddedGrants, type VaultGrants } from '../vault/grants.ts';
import { type HostView, snapshotOf } from '../vault/host-view.ts';
import { AgentKeys } from '../vault/keys.ts';
import { LastUses } from '../vault/last-uses.ts';
import { MaterialMaker } from '../vault/material-maker.ts';
import { Materials } from '../vault/materials.ts';
import type { ConnectFlows } from '../vault/oauth/connect-flows.ts';
import { EmbeddedProviderClients, type ProviderClients } from '../vault/oauth/provider-clients.ts';
import { TokenClients } from '../vault/oauth/token-clients.ts';
import { TokenEndings } from '../vault/oauth/token-endings.ts';
import { EmbeddedPermits, type VaultPermits } from '../vault/permits.ts';
import type { ProviderSource } from '../vault/provider-source.ts';
import { EmbeddedSecrets, type VaultSecrets } from '../vault/secrets.ts';
import { EmbeddedSessions } from '../vault/sessions.ts';
import { VaultState } from '../vault/state.ts';
import { EmbeddedUsers, type VaultUsers } from '../vault/users.ts';
import { LeasedPolicies } from './leased-policies.ts';
import { LeasedStore, type LimitStore, managedElsewhere } from './leased-store.ts';

export interface LeasedRoomsOptions {
  readonly vaultUrl: string;
  readonly catalogue: ProviderSource;
  readonly audit: AuditPort;
  readonly policiesDir: string;
  readonly limits: LimitStore;
  readonly now: () => number;
}

const noNetwork: HttpsCall = async ({ url }) => {
  throw new AlterError('upstream_unreachable', { host: new URL(url).hostname, reason: 'the vault asks, not this host' });
};

export class LeasedRooms {
  readonly state: VaultState;
  readonly callers: Callers;
  readonly agents: VaultAgents;
  readonly sessions: EmbeddedSessions;
  readonly secrets: VaultSecrets;
  readonly grants: VaultGrants;
  readonly users: VaultUsers;
  readonly delegations: VaultDelegations;
  readonly permits: VaultPermits;
  readonly policies: LeasedPolicies;
  readonly clients: ProviderClients;
  readonly connect: ConnectFlows;
  readonly uses: LastUses;
  readonly #store: LeasedStore;

  constructor({ vaultUrl, catalogue, audit, policiesDir, limits, now }: LeasedRoomsOptions) {
    const store = new LeasedStore(vaultUrl, limits);
    // SECURITY: what these rooms would seal, they seal with a key that nobody has a moment later; the store takes nothing of it anyway.
    const ephemeral = new MasterKey('file', randomBytes(32));
    const dataKeys = new DataKeys(ephemeral, [mintDataKey(ephemeral, now())]);
    const state = new VaultState({ store, snapshot: EMPTY_SNAPSHOT, macKey: mintKey(), audit, now });
    const uses = new LastUses(async () => {});
    const clients = new EmbeddedProviderClients({ state, dataKeys, catalogue });
    const tokenClients = new TokenClients({ https: noNetwork, clients, catalogue, now });
    const endings = new TokenEndings({ state, dataKeys, clients: tokenClients, dropMaterial: () => {} });
    const materials = new Materials({ state, maker: new MaterialMaker(dataKeys, null, now), uses });
    const sessions = new EmbeddedSessions(state);
    this.#store = store;
    this.state = state;
    this.uses = uses;
    this.sessions = sessions;
    this.callers = new Callers(state, sessions, uses);
    this.agents = new EmbeddedAgents({ state, keys: new AgentKeys(state, uses), sessions, uses, endings });
    this.users = new EmbeddedUsers(state, sessions, uses, endings);
    this.grants = new EmbeddedGrants(state, catalogue, endings, this.users);
    this.delegations = new EmbeddedDelegations(state, this.grants, this.users);
    this.permits = new EmbeddedPermits(state);
    this.policies = new LeasedPolicies({ state, store, vaultUrl, dir: policiesDir });
    this.clients = clients;
    this.secrets = new EmbeddedSecrets({ state, dataKeys, materials, uses, catalogue, endings, call: null });
    this.connect = refusingConnect(vaultUrl);
  }

  /** Puts a view in force, between two requests. Its policies first, by whoever loaded them: no new row may meet an old rule. */
  adopt(view: HostView, epoch: number): void {
    // As in the vault itself, sessions end with a pause, and do not come back with what follows it.
    for (const { id, status } of view.agent.values()) if (status !== 'active') this.sessions.endAllOf(id);
    for (const { id, status } of view.user.values()) if (status !== 'active') this.sessions.endAllOfUser(id);
    this.state.adopt(this.#store.withOwn({ ...EMPTY_SNAPSHOT, ...snapshotOf(view, epoch) }));
  }
}

/** Consent happens where the tokens are kept. */
function refusingConnect(vaultUrl: string): ConnectFlows {
  const refuse = async (): Promise<never> => {
    throw managedElsewhere(vaultUrl);
  };
  return {
    begin: refuse,
    complete: refuse,
    cancel: () => {},
    beginDevice: refuse,
    pollDevice: refuse,
    connectWith: refuse,
    knownAccount: () => null,
    approveKnown: refuse,
  };
}
