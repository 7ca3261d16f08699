/** Agents: named workload identities, their keys, and the sessions that `alterd run` mints. */

export type AgentStatus = 'active' | 'paused' | 'revoked';

export interface Agent {
  /** UUID. */
  readonly id: string;
  /** Unique slug: lower-case letters, digits, `-` and `_`. */
  readonly name: string;
  readonly status: AgentStatus;
  readonly createdAt: number;
}

export type KeyStatus = 'active' | 'deprecated' | 'revoked';

/** What may be said of a key; only its SHA-256 is stored. */
export interface AgentKey {
  readonly id: string;
  readonly agentId: string;
  /** First characters of the key, enough to recognise it. */
  readonly prefix: string;
  readonly status: KeyStatus;
  readonly createdAt: number;
  /** Epoch milliseconds; null for no end. Set on a deprecated key: the end of the overlap. */
  readonly expiresAt: number | null;
  readonly lastUsedAt: number | null;
  /** Only this uid may present the key, when set (needs kernel evidence of the caller). */
  readonly boundUid: number | null;
}

/** What a session may do less than its agent. Every list is an AND with the grant; null means no further restriction. */
export interface Narrowing {
  readonly grantIds: readonly string[] | null;
  readonly deniedMethods: readonly string[];
  readonly deniedPaths: readonly string[];
  readonly deniedHosts: readonly string[];
}

export const NO_NARROWING: Narrowing = { grantIds: null, deniedMethods: [], deniedPaths: [], deniedHosts: [] };

/** Who is calling, proved by a key. One value for each authenticated proxy socket. */
export interface CallerIdentity {
  readonly agentId: string;
  readonly agentName: string;
  readonly keyId: string;
  readonly keyPrefix: string;
  readonly keyKind: 'agent' | 'session';
  readonly sessionId: string | null;
  readonly narrowing: Narrowing;
  /** Epoch milliseconds; null for no end. */
  readonly expiresAt: number | null;
  readonly boundUid: number | null;
}
