/**
 * The rows of an enrolled host's journal on their way to the central vault: in order, at least once, from where the vault says that it
 * has got. The journal is the spool: while the vault is away rows wait there, and when too many wait, new requests are refused.
 */
import type { MessagePort } from 'node:worker_threads';
import type { AuditPort } from '../domain/audit.ts';
import { AlterError, toAlterError } from '../domain/errors.ts';
import type { SinkStatus } from '../domain/sink-status.ts';
import type { FeedPage } from '../journal/messages.ts';
import { type ChainedRow, rowLineOf } from '../journal/row-line.ts';
import { Feed } from './feed.ts';

export interface Shipment {
  readonly lines: readonly string[];
  /** Retention has removed what lies between the vault's last row and the first line. */
  readonly gap: boolean;
}

export interface VaultShipperOptions {
  readonly feed: MessagePort;
  /** Answers the last row that the vault keeps. @throws AlterError */
  readonly send: (shipment: Shipment) => Promise<number>;
  /** More rows than this that the vault has not got refuse new requests. */
  readonly maxWaiting: number;
  readonly onTrouble: (fields: object, message: string) => void;
}

const PAGE_ROWS = 500;
/** Of text in one shipment; the vault takes 8 MiB. */
const MAX_SHIPMENT_CHARS = 4 * 1024 * 1024;
const RETRY_MS = { first: 250, most: 15_000 };

export class VaultShipper {
  readonly #options: VaultShipperOptions;
  readonly #feed: Feed;
  #acknowledged = 0;
  #failures = 0;
  #error: string | null = null;
  #delivered = 0;
  #deliveredAt: number | null = null;
  #skipped = 0;
  #closed = false;
  #wake: () => void = () => {};

  constructor(options: VaultShipperOptions) {
    this.#options = options;
    this.#feed = new Feed(options.feed, () => {});
    void this.#run();
  }

  /** As one more sink: status and metrics show it like the others. */
  get status(): SinkStatus {
    return {
      ...{ name: 'central-vault', kind: 'vault', n: this.#acknowledged, lag: this.#waiting, delivered: this.#delivered },
      ...{ failures: this.#failures, error: this.#error, deliveredAt: this.#deliveredAt, skipped: this.#skipped },
    };
  }

  /** The journal, for as long as its rows find their way: beyond the bound nothing new begins. */
  guard(journal: AuditPort): AuditPort {
    return {
      // SECURITY: a host that keeps its rows from the vault must come to a stop, not go on unseen.
      open: (opening) => (this.#isFull ? Promise.reject(this.#refusal()) : journal.open(opening)),
      record: (opening, closing) => journal.record(opening, closing),
    };
  }

  /** Delivers what can be delivered within the time. */
  async close(withinMs: number): Promise<void> {
    const deadline = Date.now() + withinMs;
    while (!this.#closed && this.#waiting > 0 && this.#failures === 0 && Date.now() < deadline)
      await new Promise((resolve) => setTimeout(resolve, 10));
    this.#closed = true;
    this.#wake();
    this.#feed.nudge();
    this.#feed.close();
  }

  get #waiting(): number {
    return Math.max(0, this.#feed.end - this.#acknowledged);
  }

  get #isFull(): boolean {
    return this.#waiting >= this.#options.maxWaiting;
  }

  #refusal(): AlterError {
    return new AlterError(
      'audit_unavailable',
      { reason: `${this.#waiting} rows wait for the central vault` },
      { hint: 'Bring the vault back, or raise vault.max_unsent_rows: `alterd status` says why they wait.' },
    );
  }

  async #run(): Promise<void> {
    let retryMs = RETRY_MS.first;
    let isKnown = false;
    while (!this.#closed) {
      try {
        if (!isKnown) this.#acknowledged = await this.#options.send({ lines: [], gap: false });
        isKnown = true;
        const page = await this.#feed.read({ n: this.#acknowledged, checkpoint: Number.MAX_SAFE_INTEGER }, PAGE_ROWS);
        if (page === null) return;
        if (page.rows.length === 0) await this.#feed.waitPast(this.#acknowledged);
        else await this.#ship(page);
        this.#recovered();
        retryMs = RETRY_MS.first;
      } catch (thrown) {
        // Where the vault is may have changed while it was away: it is asked again.
        isKnown = false;
        this.#failed(toAlterError(thrown));
        await this.#pause(retryMs);
        retryMs = Math.min(RETRY_MS.most, retryMs * 2);
      }
    }
  }

  async #ship({ rows, first }: FeedPage): Promise<void> {
    const lines: string[] = [];
    let chars = 0;
    for (const row of rows) {
      const line = rowLineOf(row as ChainedRow);
      chars += line.length;
      if (lines.length > 0 && chars > MAX_SHIPMENT_CHARS) break;
      lines.push(line);
    }
    const from = rows[0]?.n ?? 0;
    const missing = from - this.#acknowledged - 1;
    const gap = missing > 0 && first > this.#acknowledged + 1;
    this.#acknowledged = await this.#options.send({ lines, gap });
    this.#delivered += lines.length;
    this.#deliveredAt = Date.now();
    if (gap) this.#skipped += missing;
  }

  #recovered(): void {
    if (this.#failures > 0) this.#options.onTrouble({}, 'audit rows reach the central vault again');
    this.#failures = 0;
    this.#error = null;
  }

  #failed(error: AlterError): void {
    if (this.#closed) return;
    this.#error = error.message;
    if (this.#failures++ === 0)
      this.#options.onTrouble({ error: error.message }, 'audit rows do not reach the central vault; they wait in the journal');
  }

  #pause(ms: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, ms);
      timer.unref();
      this.#wake = () => {
        clearTimeout(timer);
        resolve();
      };
      if (this.#closed) this.#wake();
    });
  }
}
