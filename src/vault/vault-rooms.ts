/**
 * What a daemon and its API need of a vault, wherever that is: the port of the data plane, and a room for each kind of thing that
 * people manage. Says nothing of keys at rest, databases or the network: those are the business of whoever opens one.
 */
import type { VaultPort } from '../domain/vault-port.ts';
import type { VaultAgents } from './agents.ts';
import type { VaultDelegations } from './delegations.ts';
import type { VaultGrants } from './grants.ts';
import type { ConnectFlows } from './oauth/connect-flows.ts';
import type { ProviderClients } from './oauth/provider-clients.ts';
import type { VaultPermits } from './permits.ts';
import type { VaultPolicies } from './policies.ts';
import type { VaultSecrets } from './secrets.ts';
import type { VaultSessions } from './sessions.ts';
import type { VaultTransfer } from './transfer/transfer.ts';
import type { VaultUsers } from './users.ts';

export interface VaultRooms extends VaultPort {
  readonly agents: VaultAgents;
  readonly sessions: VaultSessions;
  readonly secrets: VaultSecrets;
  readonly grants: VaultGrants;
  readonly users: VaultUsers;
  readonly delegations: VaultDelegations;
  /** What people let pass without being asked each time. */
  readonly permits: VaultPermits;
  readonly policies: VaultPolicies;
  /** What was wrong with policy files at the start, when the policies of before are in force instead. */
  readonly policyProblems: readonly string[];
  /** Consent, and what comes of it. */
  readonly connect: ConnectFlows;
  /** The operator's own OAuth clients. */
  readonly clients: ProviderClients;
  /** Moving everything to another vault; absent where nothing is this vault's own. */
  readonly transfer?: VaultTransfer | undefined;
  /** Rises with each stored change, also across restarts; each change's audit event carries the value that it leads to. */
  readonly epoch: number;
  /** Waits for changes under way, writes what was noted, forgets all keys and material. */
  close(): Promise<void>;
}
