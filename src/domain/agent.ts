/** Agents: named workload identities, their keys, and the sessions that `alterd run` mints. */

export type AgentStatus = 'active' | 'paused' | 'revoked';

/** `agent` works for people · `service` is a program that calls without one. Only a label for people and rules. */
export type AgentType = 'agent' | 'service';

export interface Agent {
  /** UUID. */
  readonly id: string;
  /** Unique slug: lower-case letters, digits, `-` and `_`. */
  readonly name: string;
  readonly status: AgentStatus;
  readonly createdAt: number;
  readonly type: AgentType;
  /** Only grants of these providers count for the agent, whoever owns them; null for no such limit. */
  readonly providers: readonly string[] | null;
  /** The agent that this one works under; it ends with it. Set when it is made, and never changed. */
  readonly parentId: string | null;
  /** Free facts for people, at most 8 KB as JSON. */
  readonly metadata: Readonly<Record<string, string>>;
}

/** Where a key may be presented from, in the kernel's words; null for anywhere. */
export interface KeyBinding {
  /** systemd unit, `research.service`. */
  readonly unit: string | null;
  /** Absolute path of the program. */
  readonly executable: string | null;
  /** Addresses of callers, `10.1.0.0/16`. */
  readonly cidr: string | null;
}

export const NO_BINDING: KeyBinding = { unit: null, executable: null, cidr: null };

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
  readonly binding: KeyBinding;
  /** The key that this one was derived from; it ends with that key. */
  readonly parentKeyId: string | null;
  /** What the key may do less than its agent. */
  readonly narrowing: Narrowing;
}

/** What a session or a derived key may do less than its agent. Every list is an AND with the grant; null means no further restriction. */
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
  readonly binding: KeyBinding;
  /** The user whom the session was made for; null when it was made for none. */
  readonly userId: string | null;
  /** Name of the agent that this one works under. */
  readonly parentAgent: string | null;
}
