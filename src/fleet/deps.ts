/** What the fleet API needs of the process that serves it, as types only. */
import type { AuditPort } from '../domain/audit.ts';
import type { VaultPort } from '../domain/vault-port.ts';
import type { StoreSnapshot } from '../store/rows.ts';
import type { HostAudit } from '../store/store.ts';
import type { VaultDelegations } from '../vault/delegations.ts';
import type { VaultHosts } from '../vault/hosts.ts';
import type { VaultQuotas } from '../vault/quotas.ts';
import type { NonceStore } from './nonce-book.ts';

export interface FleetVault extends NonceStore, Pick<VaultPort, 'obtain' | 'renewRefused' | 'onAuthorityChange'> {
  readonly hosts: VaultHosts;
  readonly delegations: Pick<VaultDelegations, 'revoke'>;
  readonly hostAudit: HostAudit;
  readonly quotas: Pick<VaultQuotas, 'draw'>;
  /** False while what it knows may be older than the database. */
  readonly isFresh: boolean;
  /** True while another replica has put a master key in force that is not here. */
  readonly isLocked: boolean;
  /** @throws AlterError vault_unavailable while it is not fresh */
  requireFresh(): void;
  /** The rows in force. */
  readonly rows: StoreSnapshot;
  readonly epoch: number;
  ping(): Promise<void>;
}

export interface FleetDeps {
  readonly vault: FleetVault;
  readonly vaultId: string;
  readonly audit: AuditPort;
  /** How long a host may go on with what it was lent. */
  readonly leaseMs: number;
  /** Told about failures that are bugs; the id is in the answer too. */
  readonly onFault: (error: unknown, requestId: string) => void;
  readonly now?: (() => number) | undefined;
}
