/** Where a daemon's vault comes from: what composing one needs, and what it gives. Types only. */
import type { Worker } from 'node:worker_threads';
import type { LoadedConfig } from '../config/load.ts';
import type { Paths } from '../config/paths.ts';
import type { KeyRing } from '../crypto/key-ring.ts';
import type { HttpsCall } from '../domain/https-call.ts';
import type { VaultLinkStatus } from '../domain/vault-link.ts';
import type { Journal } from '../journal/journal.ts';
import type { DaemonLog } from '../log.ts';
import type { RequestMeter } from '../metrics/request-meter.ts';
import type { SharedLimits } from '../policy/shared-limits.ts';
import type { VaultSinkData } from '../sinks/vault-sink.ts';
import type { ProviderSource } from '../vault/provider-source.ts';
import type { VaultRooms } from '../vault/vault-rooms.ts';
import type { Backup } from './backup.ts';
import type { KeyRotation } from './key-rotation.ts';

export interface VaultSourceOptions {
  readonly paths: Paths;
  readonly loaded: LoadedConfig;
  readonly log: DaemonLog;
  readonly catalogue: ProviderSource;
  /** The daemon's way out. May be called once there is a data plane. */
  readonly https: HttpsCall;
  readonly meter: RequestMeter;
  /** The operator goes on with an older copy of the vault, or without its journal. */
  readonly acceptRestore: boolean;
  /** Of `startWriter`, for the journal. */
  readonly writer?: Worker | undefined;
}

export interface BackupPort {
  /** Into a directory that is not there yet. @throws AlterError invalid_input, conflict, audit_unavailable, vault_unavailable */
  write(directory: string): Promise<Backup>;
}

/** A vault with the journal beside it. Whoever opened it closes first the vault, then the journal. */
export interface OpenedSource {
  readonly vault: VaultRooms;
  readonly journal: Journal;
  /** Of the installation: the local CA's key is sealed by the one in force. */
  readonly ring: KeyRing;
  /** Replaces the master key; absent where it is not this daemon's to replace. */
  readonly rotation?: KeyRotation;
  /** How this host gets on with its central vault; absent where it has a vault of its own. */
  readonly link?: () => VaultLinkStatus;
  /** Copies what is this installation's own; absent where it only borrows. */
  readonly backup?: BackupPort;
  /** What counts the limits that all hosts of a central vault share. */
  readonly shared?: SharedLimits;
  /** Where the rows of the journal go as well. */
  readonly auditTo?: VaultSinkData;
}

/** @throws AlterError of what failed; nothing is left open then */
export type VaultSource = (options: VaultSourceOptions) => Promise<OpenedSource>;
