/** What the fleet API needs of the process that serves it, as types only. */
import type { AuditPort } from '../domain/audit.ts';
import type { VaultHosts } from '../vault/hosts.ts';
import type { NonceStore } from './nonce-book.ts';

export interface FleetVault extends NonceStore {
  readonly hosts: VaultHosts;
  readonly epoch: number;
  ping(): Promise<void>;
}

export interface FleetDeps {
  readonly vault: FleetVault;
  readonly vaultId: string;
  readonly audit: AuditPort;
  /** Told about failures that are bugs; the id is in the answer too. */
  readonly onFault: (error: unknown, requestId: string) => void;
  readonly now?: (() => number) | undefined;
}
