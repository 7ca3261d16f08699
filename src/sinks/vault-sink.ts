/**
 * Rows of an enrolled host's journal on their way to its central vault, and where they stand there: the vault knows how far it has got,
 * so no place is kept here. It signs each call as the host does, on the thread of the sinks.
 */
import type { KeyObject } from 'node:crypto';
import type { MessagePort } from 'node:worker_threads';
import type { AuditAnswer } from '../domain/fleet-wire.ts';
import { SignedClient } from '../vault-client/signed-client.ts';
import { type Cursor, NO_ROW, type Place } from './cursor.ts';
import { type Complaint, type Sink, type SinkItem, TooMuchAtOnce } from './sink.ts';

export const VAULT_SINK = 'central-vault';

/** What the thread needs to speak for the host. */
export interface VaultSinkData {
  readonly url: string;
  /** PEM of the pinned authority. */
  readonly ca: string;
  readonly hostId: string;
  readonly signing: KeyObject;
  /** Mark of the journal that the rows are of. */
  readonly chain: string;
}

export type VaultSinkFeed = VaultSinkData & { readonly feed: MessagePort };

/** The vault takes 8 MiB, and quotes double in the body. */
const MAX_CHARS = 3 * 1024 * 1024;

export class VaultSink implements Sink, Place {
  readonly isElsewhere = true;
  readonly #client: SignedClient;
  readonly #chain: string;
  /** The last row that the vault said it keeps. */
  #upTo = 0;

  constructor({ url, ca, hostId, signing, chain }: VaultSinkData) {
    this.#client = new SignedClient({ url, ca, identity: { hostId, signing } });
    this.#chain = chain;
  }

  /** @throws AlterError whatever the vault answers, vault_unavailable, vault_untrusted */
  async read(): Promise<Cursor> {
    await this.#send([], false);
    // Checkpoints are for receivers that check a chain by them; the vault checks each row.
    return { n: this.#upTo, checkpoint: NO_ROW };
  }

  write(): void {}

  async deliver(items: readonly SinkItem[]): Promise<Complaint> {
    const lines = items.map(({ line }) => line);
    if (lines.length > 1 && lines.reduce((sum, { length }) => sum + length, 0) > MAX_CHARS) throw new TooMuchAtOnce();
    // The journal leaves nothing out but what retention has removed.
    await this.#send(lines, (items[0]?.n ?? 0) > this.#upTo + 1);
    return null;
  }

  close(): void {
    this.#client.close();
  }

  async #send(lines: readonly string[], gap: boolean): Promise<void> {
    const { body } = await this.#client.call<AuditAnswer>('POST', '/v1/host/audit', { chain: this.#chain, lines, gap });
    this.#upTo = body.accepted_up_to;
  }
}
