/**
 * What the API needs from the daemon, as types only. Nothing here may carry secret material.
 */
import type { ProviderSpec } from '../config/provider.ts';
import type { ConfigView } from '../config/view.ts';
import type { AuditPort } from '../domain/audit.ts';
import type { MasterKeyFacts, RotationReport, RotationRequest } from '../domain/master-key-report.ts';
import type { NoticeStatus } from '../domain/notice-status.ts';
import type { Secret } from '../domain/secret.ts';
import type { SinkStatus } from '../domain/sink-status.ts';
import type { VaultLinkStatus } from '../domain/vault-link.ts';
import type { Identity } from '../identity/identity.ts';
import type { JournalReader } from '../journal/reader.ts';
import type { Approver, VaultApprovals } from '../vault/approvals.ts';
import type { ConnectSessionRequest } from '../vault/connect-session-request.ts';
import type { ConnectSession } from '../vault/connect-sessions.ts';
import type { HostAuditReader, VaultHosts } from '../vault/hosts.ts';
import type { VaultQuotas } from '../vault/quotas.ts';
import type { VaultRooms } from '../vault/vault-rooms.ts';

/** What the daemon knows about itself. */
export interface DaemonFacts {
  readonly version: string;
  readonly pid: number;
  /** Epoch milliseconds. */
  readonly startedAt: number;
  readonly proxy: {
    /** `127.0.0.1:PORT`; null when TCP is off. */
    readonly tcp: string | null;
    /** Path of the Unix socket; null when it is off. */
    readonly unix: string | null;
  };
  readonly caFile: string;
  readonly bundleFile: string;
  readonly stateDir: string;
  readonly configDir: string;
  /** The central vault that this daemon borrows from; absent: it has a vault of its own. */
  readonly vaultLink?: VaultLinkStatus | undefined;
  /** Where hosts reach the central vault that this is; absent: it is none. */
  readonly servesAt?: string | undefined;
  /** Open tunnels. */
  readonly tunnels: number;
  readonly sinks: readonly SinkStatus[];
  /** Receivers that are told of approvals. */
  readonly notices: readonly NoticeStatus[];
  /** Requests and tunnels that ended since the start, and those that were denied. */
  readonly requests: { readonly ended: number; readonly denied: number };
  /** Where metrics are served over TCP; null when they are not. */
  readonly metrics: string | null;
}

/** The local CA as it may be shown: its certificate, never its key. */
export interface CaInfo {
  readonly fingerprintSha256: string;
  readonly subject: string;
  /** Epoch milliseconds. */
  readonly notBefore: number;
  readonly notAfter: number;
  readonly caFile: string;
  readonly bundleFile: string;
  readonly pem: string;
}

export interface CaPort {
  info(): CaInfo | Promise<CaInfo>;
  /** A new root in place of the old one; clients must trust it anew. */
  rotate(): Promise<CaInfo>;
}

/** The master key of this installation. */
export interface MasterKeyPort {
  readonly facts: MasterKeyFacts;
  /** @throws AlterError conflict, audit_unavailable, vault_unavailable */
  rotate(request: RotationRequest): Promise<RotationReport>;
}

/** The catalogue, and the one place where an operator's provider file is checked and kept. */
export interface ProviderLibrary {
  find(name: string): ProviderSpec | undefined;
  list(): readonly ProviderSpec[];
  /** What is wrong with files that cannot be used. */
  readonly problems: readonly string[];
  /** True when the operator's own file is in force for this slug. */
  isUserDefined(slug: string): boolean;
  overridesBuiltin(slug: string): boolean;
  /** @throws AlterError invalid_input */
  validate(toml: string): ProviderSpec;
  /** Stores the file; never over another one unless `replace`. @throws AlterError invalid_input, conflict */
  add(toml: string, options: { readonly replace: boolean }): Promise<ProviderSpec>;
}

/** Connect sessions, and the pages on which people take part in them. */
export interface ConnectPort {
  /** Opens the page listener when nothing needed it before. @throws AlterError invalid_input, not_found, conflict, audit_unavailable */
  create(request: ConnectSessionRequest): Promise<{
    readonly id: string;
    readonly token: Secret;
    readonly expiresAt: number;
    /** Where the pages are. */
    readonly origin: string;
  }>;
  sessions(): readonly ConnectSession[];
}

/** A backup that was made, as it may be shown. */
export interface BackupFacts {
  readonly directory: string;
  readonly manifest: {
    readonly id: string;
    readonly made_at: string;
    readonly epoch: number;
    readonly database: 'sqlite' | 'postgresql';
    readonly key_source: string;
    readonly files: readonly { readonly path: string; readonly bytes: number }[];
  };
}

export interface BackupPort {
  /** @throws AlterError invalid_input, conflict, audit_unavailable, vault_unavailable */
  write(directory: string): Promise<BackupFacts>;
}

export interface ReloadReport {
  /** Key paths whose value is another one now. */
  readonly changed: readonly string[];
  /** Of these, the ones that need a restart. */
  readonly restartRequired: readonly string[];
}

/** What a central vault is to the hosts that borrow from it. */
export interface FleetPort {
  readonly hosts: VaultHosts;
  /** Rows that hosts have sent of their journals. */
  readonly audit: HostAuditReader;
  /** Limits that all hosts share. */
  readonly quotas: Pick<VaultQuotas, 'list'>;
  readonly vaultId: string;
  /** Where hosts reach it. */
  readonly url: string;
  /** Where it listens: HOST:PORT. */
  readonly address: string;
  /** Of the certificate that hosts pin. */
  readonly fingerprint: string;
}

export interface ApiDeps {
  /** Absent in a daemon that is no central vault. */
  readonly fleet?: FleetPort | undefined;
  readonly vault: VaultRooms;
  readonly approvals: VaultApprovals;
  /** The vault that what is managed here is managed at instead; absent: here. */
  readonly managedAt?: string | undefined;
  /** Who decides on this socket. */
  readonly operator: Approver;
  /** Writing to it is for reads that leave a row. */
  readonly journal: JournalReader & Pick<AuditPort, 'record'>;
  readonly identity: Identity;
  readonly providers: ProviderLibrary;
  readonly ca: CaPort;
  /** Absent where the vault is somebody else's. */
  readonly masterKey?: MasterKeyPort | undefined;
  readonly connect: ConnectPort;
  /** Absent on a host that borrows everything. */
  readonly backup?: BackupPort | undefined;
  readonly config: () => ConfigView;
  readonly facts: () => DaemonFacts;
  /** @throws AlterError invalid_input when the new configuration is wrong; the old one stays in force */
  readonly reload: () => Promise<ReloadReport>;
  /** Told about failures that are bugs; the id is in the answer too. */
  readonly onFault: (error: unknown, requestId: string) => void;
  /** Text of the metrics. */
  readonly metrics: () => Promise<string>;
  readonly now?: () => number;
}
