/**
 * Audit entries: one row for each exchange, tunnel, refusal or event, and the doorway through which the proxy writes them.
 * Nothing here may carry a secret, a header value of the agent (but selectors) or a query value; bodies only as what is captured of
 * them where a grant asks for it, which is no part of the row.
 */

import type { BodyMark, CapturedBodies } from './audit-body.ts';

/** `exchange` a request · `tunnel` a blind pipe · `event` something that is no request (a key minted, the daemon started). */
export type AuditKind = 'exchange' | 'tunnel' | 'event';

/**
 * `success` the provider answered · `refused` alterd refused · `provider_error` reset or illegal answer ·
 * `client_abort` the agent left · `unknown` the daemon died before the end was known.
 */
export type AuditOutcome = 'success' | 'refused' | 'provider_error' | 'client_abort' | 'unknown';

/** What is known before any byte leaves. Field names are those of the row on disk and of every export. */
export interface AuditOpening {
  readonly kind: AuditKind;
  /** Epoch milliseconds. */
  readonly at: number;
  /** Action in words, for events: `agent.created`. For exchanges `api.call`, for tunnels `tunnel.opened`. */
  readonly action: string;
  readonly agent_id: string | null;
  readonly agent: string | null;
  /** The agent that this one works under. */
  readonly parent_agent: string | null;
  /** For whom the agent called, proved by a session or a token. */
  readonly user_id: string | null;
  /** The user's e-mail, or the issuer's name for the user. */
  readonly user: string | null;
  /** The group that owns the grant. */
  readonly group: string | null;
  readonly delegation_id: string | null;
  readonly key_id: string | null;
  readonly key_prefix: string | null;
  readonly session_id: string | null;
  /** The free label of the proxy user name. */
  readonly caller: string | null;
  readonly uid: number | null;
  readonly pid: number | null;
  readonly executable: string | null;
  readonly peer: string | null;
  readonly grant_id: string | null;
  readonly grant_label: string | null;
  readonly provider_id: string | null;
  readonly credential: string | null;
  readonly principal_type: string | null;
  readonly scheme: string | null;
  readonly host: string | null;
  readonly port: number | null;
  readonly method: string | null;
  readonly path: string | null;
  /** Names only: values may be secrets. */
  readonly query_keys: readonly string[];
  readonly protocol: string | null;
  readonly decision: 'allow' | 'deny' | null;
  readonly rule: string | null;
  readonly error: string | null;
  readonly policy_error: string | null;
  readonly policy_version: number | null;
  readonly trace_id: string | null;
  readonly parent_span_id: string | null;
  readonly reason: string | null;
  readonly run_id: string | null;
  readonly thread_id: string | null;
  readonly tool: string | null;
  /** The client had a value of its own where alterd injected. */
  readonly replaced: boolean;
  /** Free small facts, for events. */
  readonly details: Readonly<Record<string, string | number | boolean | null>> | null;
}

/** What is known at the end. */
export interface AuditClosing {
  readonly outcome: AuditOutcome;
  readonly status: number | null;
  readonly error: string | null;
  /** Of an error that came after the opening, which has none then. */
  readonly policy_error?: string | null;
  readonly latency_ms: number;
  readonly bytes_in: number;
  readonly bytes_out: number;
  /** How often the credential was found in the answer and masked; absent for never. */
  readonly scrubbed?: number;
  /** Bodies to keep beside the row, where its grant asks for that. */
  readonly captured?: CapturedBodies | null;
}

/** An entry as it is read back: opening and closing in one, plus its identity and its place in the chain. */
export interface AuditEntry extends AuditOpening, Omit<AuditClosing, 'error' | 'policy_error' | 'captured'>, BodyMark {
  readonly scrubbed: number;
  readonly request_id: string;
  /** Position in the hash chain; null while the entry is still open. */
  readonly n: number | null;
  readonly closed_at: number | null;
  /** Hex SHA-256 over the previous hash and this entry's text; null while open. */
  readonly hash: string | null;
}

/** A written opening. `close` must be called exactly once. */
export interface AuditTicket {
  /** `req_…`: in the refusal, the log and the row. */
  readonly requestId: string;
  /** Writes the closing; failures here are logged by the journal, never thrown: the bytes have left already. */
  close(closing: AuditClosing): void;
}

export interface AuditPort {
  /**
   * Writes the opening and resolves when it is durable; nothing may leave before that.
   * @throws AlterError audit_unavailable
   */
  open(opening: AuditOpening): Promise<AuditTicket>;
  /** An entry that begins and ends at once: refusals and events. Resolves when durable. @throws AlterError audit_unavailable */
  record(opening: AuditOpening, closing: AuditClosing): Promise<string>;
}
