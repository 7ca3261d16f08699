/**
 * The rows that the vault stores, and the changes that may be made to them. Plain values of portable types: text ids,
 * integer milliseconds, nulls, lists that travel as JSON text, bytes.
 */
import type { Agent, AgentKey } from '../domain/agent.ts';
import type { CredentialInfo, Injection } from '../domain/credential.ts';
import type { Delegation } from '../domain/delegation.ts';
import type { FleetHost } from '../domain/fleet-host.ts';
import type { Grant, GrantDestination } from '../domain/grant.ts';
import type { Permit } from '../domain/permit.ts';
import type { PolicySource } from '../domain/policy.ts';
import type { User } from '../domain/user.ts';

export type AgentRow = Agent;

export interface KeyRow extends AgentKey {
  /** Hex SHA-256 of the key. */
  readonly hash: string;
}

export interface CredentialRow extends CredentialInfo {
  /** Null: the provider's way. */
  readonly injections: readonly Injection[] | null;
  /** Null: the provider's hosts. */
  readonly destinations: readonly GrantDestination[] | null;
  /** Values of the fields that are no secret (a site, an account id). */
  readonly publicFields: Readonly<Record<string, string>>;
}

/** The name of the credential is looked up when a Grant is made of it. */
export type GrantRow = Omit<Grant, 'credentialName'>;

export type UserRow = User;
export type DelegationRow = Delegation;

export interface DataKeyRow {
  readonly id: string;
  /** Sealed by the master key. */
  readonly wrapped: Uint8Array;
  readonly createdAt: number;
}

/** The operator's own client at a provider. Its secret is sealed by a data key for (provider_clients, id, version). */
export interface ProviderClientRow {
  readonly id: string;
  /** Unique. */
  readonly providerId: string;
  readonly clientId: string;
  readonly version: number;
  readonly dataKeyId: string;
  readonly sealed: Uint8Array;
  readonly createdAt: number;
}

/** Material of a credential, sealed by a data key for (table, id, version). */
export interface SealedRow {
  readonly credentialId: string;
  readonly version: number;
  readonly dataKeyId: string;
  readonly sealed: Uint8Array;
}

/** A policy that was added through the API, as it was written. */
export interface PolicyRow {
  readonly id: string;
  readonly name: string;
  readonly toml: string;
  /** Rises with each replacement. */
  readonly version: number;
  readonly createdAt: number;
  readonly updatedAt: number;
}

/** All policies that were in force from one epoch on, those of files included. */
export interface PolicySetRow {
  /** The epoch that the set came with, as text. */
  readonly id: string;
  /** Hex SHA-256 over the sources. */
  readonly digest: string;
  readonly sources: readonly PolicySource[];
  readonly createdAt: number;
}

export type PermitRow = Permit;
export type HostRow = FleetHost;

/** A counter of a rate limit; see SavedLimit of the policy room. Not part of the epoch and not under the vault's MAC. */
export interface RateLimitRow {
  readonly key: string;
  readonly spec: string;
  readonly state: readonly number[];
  readonly at: number;
}

/** Everything but the sealed material, read at one instant. Lists are ordered by creation, then id. */
export interface StoreSnapshot {
  /** Raised by one with each applied set of changes. */
  readonly epoch: number;
  readonly agents: readonly AgentRow[];
  readonly keys: readonly KeyRow[];
  readonly credentials: readonly CredentialRow[];
  readonly grants: readonly GrantRow[];
  readonly users: readonly UserRow[];
  readonly delegations: readonly DelegationRow[];
  readonly dataKeys: readonly DataKeyRow[];
  readonly policies: readonly PolicyRow[];
  readonly policySets: readonly PolicySetRow[];
  readonly providerClients: readonly ProviderClientRow[];
  readonly permits: readonly PermitRow[];
  readonly hosts: readonly HostRow[];
  readonly meta: ReadonlyMap<string, string>;
}

/**
 * One change. A put inserts or replaces by id, but leaves the
 * moment of last use of what exists alone. Removing an agent removes its keys and grants, and fails while another agent works
 * under it; removing a user removes the user's grants; what is removed takes the delegations and permits that name it along.
 * Removing a credential removes its sealed material and fails while a grant points to it. Sealed material must name a data key
 * that exists.
 */
export type StoreChange =
  | { readonly put: 'agent'; readonly row: AgentRow }
  | { readonly put: 'key'; readonly row: KeyRow }
  | { readonly put: 'credential'; readonly row: CredentialRow }
  | { readonly put: 'sealed'; readonly row: SealedRow }
  | { readonly put: 'grant'; readonly row: GrantRow }
  | { readonly put: 'user'; readonly row: UserRow }
  | { readonly put: 'delegation'; readonly row: DelegationRow }
  | { readonly put: 'data_key'; readonly row: DataKeyRow }
  | { readonly put: 'policy'; readonly row: PolicyRow }
  | { readonly put: 'policy_set'; readonly row: PolicySetRow }
  | { readonly put: 'provider_client'; readonly row: ProviderClientRow }
  | { readonly put: 'permit'; readonly row: PermitRow }
  | { readonly put: 'host'; readonly row: HostRow }
  | { readonly put: 'meta'; readonly name: string; readonly value: string }
  | { readonly remove: RowKind; readonly id: string }
  /** The material of a credential whose row stays. */
  | { readonly remove: 'sealed'; readonly id: string };

export type RowKind =
  | 'agent'
  | 'credential'
  | 'grant'
  | 'user'
  | 'delegation'
  | 'data_key'
  | 'provider_client'
  | 'policy'
  | 'policy_set'
  | 'permit'
  | 'host';

/** A moment of use, written lazily. */
export interface LastUse {
  readonly of: 'key' | 'credential' | 'user' | 'host';
  readonly id: string;
  readonly at: number;
}
