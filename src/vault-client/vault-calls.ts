/** What a host asks of its vault, as types: the network is behind this. Failures: `vault_unavailable` when there was no answer. */
import type { CredentialMaterial } from '../domain/credential.ts';
import type { AlterError } from '../domain/errors.ts';
import type { HostView, ViewChange } from '../vault/host-view.ts';

/** The view of this host at one moment. */
export interface Bundle {
  readonly vaultId: string;
  readonly epoch: number;
  /** Equal for equal views. */
  readonly digest: string;
  readonly leaseMs: number;
  readonly view: HostView;
}

/** The view is still the one that is known; its lease begins anew. */
export interface Unchanged {
  readonly view: null;
  readonly epoch: number;
  readonly leaseMs: number;
}

export interface LentMaterial {
  readonly grantId: string;
  readonly material: CredentialMaterial;
  /** From the moment at which it was asked for. */
  readonly leaseMs: number;
}

export interface LendingAnswer {
  readonly materials: readonly LentMaterial[];
  readonly failures: readonly { readonly grantId: string; readonly error: AlterError }[];
}

/** What is asked of a limit that all hosts share. */
export interface QuotaCall {
  readonly rule: string;
  readonly agentId: string;
  readonly grantId: string;
  readonly sliceId: string;
  /** The last version of the counter that this host was told. */
  readonly seen: number;
  readonly want: number;
  readonly settled: readonly { readonly sliceId: string; readonly used: number; readonly idleMs: number }[];
}

export interface QuotaSlice {
  readonly sliceId: string;
  readonly count: number;
  /** From the moment at which it was asked for. */
  readonly validMs: number;
  readonly retryMs: number;
  readonly version: number;
}

export interface QuotaDraws {
  readonly slices: readonly QuotaSlice[];
  readonly failures: readonly { readonly sliceId: string; readonly error: AlterError }[];
}

export interface ViewChanged {
  readonly epoch: number;
  /** Of the view that the changes are for, and of the one that they lead to. */
  readonly from: string;
  readonly digest: string;
  readonly changes: readonly ViewChange[];
}

export interface EventSink {
  /** The stream is there: what is changed from now on comes by it. */
  onOpen(): void;
  /** The vault is still there. */
  onPing(): void;
  onChanged(change: ViewChanged): void;
  /** What the host knows is too old for changes: the whole view has to be fetched. */
  onReset(): void;
  /** The vault ends what this host may do. */
  onEnded(error: AlterError): void;
}

export interface VaultCalls {
  /** @param known digest of the view that the host has. @throws AlterError */
  bundle(known: string | null): Promise<Bundle | Unchanged>;
  /** @throws AlterError */
  materials(grantIds: readonly string[]): Promise<LendingAnswer>;
  /** After the provider refused this version; null when there is nothing newer. @throws AlterError */
  renew(grantId: string, version: number): Promise<LentMaterial | null>;
  /** @throws AlterError */
  quotas(asks: readonly QuotaCall[]): Promise<QuotaDraws>;
  /** An agent gives a delegation back. @throws AlterError */
  dropDelegation(agentId: string, delegationId: string): Promise<void>;
  /** Resolves when the stream is over, however. Never throws. */
  events(after: { readonly epoch: number; readonly digest: string }, sink: EventSink, signal: AbortSignal): Promise<void>;
}
