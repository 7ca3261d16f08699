/**
 * The journal of a process that keeps one: opened as soon as the master key is there, while the vault goes on opening, which writes to
 * it through the port from its first moment. Part of the composition root; it decides nothing.
 */
import { createPublicKey, type KeyObject } from 'node:crypto';
import type { Worker } from 'node:worker_threads';
import type { Paths } from '../config/paths.ts';
import type { Config } from '../config/schema.ts';
import type { KeyRing } from '../crypto/key-ring.ts';
import type { MasterKey } from '../crypto/master-key.ts';
import type { AuditPort } from '../domain/audit.ts';
import { keyIdOf } from '../journal/checkpoint.ts';
import { type Journal, openJournal } from '../journal/journal.ts';
import { openSigningKey, type SigningKey } from '../journal/signing-key.ts';
import type { DaemonLog } from '../log.ts';
import type { RequestMeter } from '../metrics/request-meter.ts';
import { ENDED, event } from '../observation.ts';
import { signingKeyFile } from './sealed-files.ts';

/** What seals the journal's head and its index. */
export const headKeyOf = (key: MasterKey): KeyObject => key.derive('audit head');

export interface JournalRoomOptions {
  readonly paths: Pick<Paths, 'stateDir' | 'auditDir'>;
  readonly config: Pick<Config, 'audit'>;
  readonly log: DaemonLog;
  /** Counts what is recorded; absent where nobody asks for numbers. */
  readonly meter?: RequestMeter;
  /** A thread that was started ahead. */
  readonly writer?: Worker | undefined;
}

export class JournalRoom {
  readonly #options: JournalRoomOptions;
  #opening: Promise<Journal> | null = null;
  #madeKey: SigningKey | null = null;

  constructor(options: JournalRoomOptions) {
    this.#options = options;
  }

  /** Begins to open it. Call it once, with the key that the vault is known to open with in force. */
  begin(ring: KeyRing): void {
    const { paths, config, log, meter, writer } = this.#options;
    const signing = openSigningKey(signingKeyFile(paths.stateDir), ring);
    if (signing.made) this.#madeKey = signing;
    const opening = openJournal({
      writer,
      dir: paths.auditDir,
      sync: config.audit.sync,
      syncIntervalMs: config.audit.syncIntervalMs,
      segmentBytes: config.audit.segmentBytes,
      retentionDays: config.audit.retentionDays,
      maxBodiesBytes: config.audit.bodiesBytes,
      headKey: headKeyOf(ring.inForce),
      otherHeadKeys: ring.others.map(headKeyOf),
      signingKey: signing.privateKey,
      onEntry: (row, closing, mark) => meter?.observe(row, closing, mark),
      onRemoved: (upTo) =>
        void opening.then((journal) => journal.record(event('audit.rows_removed', { up_to: upTo }), ENDED)).catch(() => {}),
      onFault: (message) => log.error({}, message),
    });
    opening.catch(() => {});
    this.#opening = opening;
  }

  /** For the vault while both are opening: waits for the journal. */
  get audit(): AuditPort {
    return {
      open: async (row) => (await this.#journal()).open(row),
      record: async (row, closing) => (await this.#journal()).record(row, closing),
    };
  }

  /** The opened journal. @throws AlterError audit_unavailable */
  async opened(): Promise<Journal> {
    const journal = await this.#journal();
    if (this.#madeKey !== null) {
      const key = keyIdOf(createPublicKey(this.#madeKey.privateKey));
      this.#madeKey = null;
      await journal.record(event('audit.key_created', { key }), ENDED);
    }
    return journal;
  }

  /** Lets go of what was begun, when the vault did not open. Never throws. */
  async abandon(): Promise<void> {
    await this.#opening?.then((journal) => journal.close()).catch(() => {});
  }

  #journal(): Promise<Journal> {
    return this.#opening as Promise<Journal>;
  }
}
