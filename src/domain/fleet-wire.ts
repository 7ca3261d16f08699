/** What hosts and their central vault say to each other, as it travels: snake_case, epoch milliseconds, keys as base64url. Types only. */

export interface EnrollRequest {
  readonly token: string;
  /** Raw Ed25519 public key. */
  readonly signing_key: string;
  /** Uncompressed P-256 point. */
  readonly sealing_key: string;
  readonly capabilities: readonly string[];
  readonly version: string;
}

export interface EnrollAnswer {
  readonly host_id: string;
  readonly host_name: string;
  readonly vault_id: string;
  readonly epoch: number;
}

export type KeysRequest = Omit<EnrollRequest, 'token'>;
export type KeysAnswer = EnrollAnswer;

export interface BundleAnswer {
  readonly vault_id: string;
  readonly host_id: string;
  readonly host_name: string;
  readonly epoch: number;
  readonly issued_at: number;
  /** From the moment of the request. */
  readonly lease_ms: number;
  /** Equal for equal views, at every replica. */
  readonly digest: string;
  /** By kind. */
  readonly rows: object;
}

export interface LentWire {
  readonly grant_id: string;
  readonly credential_id: string;
  readonly version: number;
  readonly revision: number;
  readonly issued_at: number;
  readonly expires_at: number;
  readonly no_cache: boolean;
  readonly sealed: { readonly enc: string; readonly ciphertext: string };
}

export interface MaterialsAnswer {
  readonly materials: readonly LentWire[];
  readonly failures: readonly { readonly grant_id: string; readonly problem: object }[];
}

export interface AuditAnswer {
  readonly accepted_up_to: number;
}

/** One limit for one agent under one grant. */
export interface QuotaCounterWire {
  readonly rule: string;
  readonly agent_id: string;
  readonly grant_id: string;
}

export interface QuotaAskWire extends QuotaCounterWire {
  readonly slice_id: string;
  readonly seen: number;
  readonly want: number;
  readonly settled: readonly { readonly slice_id: string; readonly used: number; readonly idle_ms: number }[];
}

export interface QuotaWire extends QuotaCounterWire {
  readonly slice_id: string;
  readonly count: number;
  /** From the moment of the request. */
  readonly valid_ms: number;
  readonly retry_ms: number;
  readonly version: number;
}

export interface QuotasAnswer {
  readonly quotas: readonly QuotaWire[];
  readonly failures: readonly { readonly slice_id: string; readonly problem: object }[];
}

export interface HealthAnswer {
  readonly status: 'ok';
}

export interface ReadyAnswer {
  readonly status: 'ready' | 'unready';
  /** The vault's epoch as this replica knows it. */
  readonly epoch: number;
  readonly database: 'ok' | 'unreachable';
  /** Missing: another replica has put one in force that this one was not given. */
  readonly master_key: 'ok' | 'missing';
}
