/**
 * Moves rows from the journal to one sink: reads a page, delivers it, notes the place on disk, and again. What fails is sent again
 * after a while, from the same place. It holds up nobody: the journal keeps the rows, and the place says which are due.
 */
import type { SinkStatus } from '../domain/sink-status.ts';
import type { FeedPage } from '../journal/messages.ts';
import { type Cursor, NO_ROW, type Place } from './cursor.ts';
import { type Feed, itemsOf } from './feed.ts';
import { ReceiverLost, type Sink, TooMuchAtOnce } from './sink.ts';

const PAGE_ROWS = 500;
const FIRST_RETRY_MS = 250;
const LAST_RETRY_MS = 60_000;
/** What may be on its way to a receiver that acknowledges nothing. */
const RECENT_PAGES = 16;
const RECENT_MS = 120_000;

export interface PumpOptions {
  readonly name: string;
  readonly kind: string;
  readonly from: 'now' | 'start';
  readonly feed: Feed;
  readonly cursor: Place;
  /** Opens the sink; called again after it threw. */
  readonly open: () => Sink;
  readonly onChange: () => void;
}

export class Pump {
  readonly #options: PumpOptions;
  #place: Cursor = { n: 0, checkpoint: 0 };
  /** Where the last pages began: a receiver that breaks off may take along what was on its way. */
  #recent: { readonly place: Cursor; readonly at: number }[] = [];
  #sink: Sink | null = null;
  #limit = PAGE_ROWS;
  #delivered = 0;
  #failures = 0;
  #error: string | null = null;
  #deliveredAt: number | null = null;
  #skipped = 0;
  #closed = false;
  #wake: () => void = () => {};
  #isIdle = false;

  constructor(options: PumpOptions) {
    this.#options = options;
  }

  get status(): SinkStatus {
    const { name, kind, feed } = this.#options;
    const { n } = this.#place;
    return {
      name,
      kind,
      n,
      lag: Math.max(0, feed.end - n),
      delivered: this.#delivered,
      failures: this.#failures,
      error: this.#error,
      deliveredAt: this.#deliveredAt,
      skipped: this.#skipped,
    };
  }

  /** True when everything that was told of is delivered, or nothing can be delivered now. */
  get isSettled(): boolean {
    return this.#closed || this.#failures > 0 || (this.#isIdle && this.#options.feed.end <= this.#place.n);
  }

  /** Runs until it is closed. */
  async run(): Promise<void> {
    for (let isPlaced = false; !this.#closed; ) {
      try {
        if (!isPlaced) await this.#findPlace();
        isPlaced = true;
        await this.#deliverNext();
      } catch (error) {
        if (this.#closed) return;
        if (this.#options.cursor.isElsewhere) isPlaced = false;
        await this.#fail(error);
      }
    }
  }

  close(): void {
    this.#closed = true;
    this.#sink?.close();
    this.#options.feed.close();
    this.#wake();
  }

  async #findPlace(): Promise<void> {
    const { cursor, feed, from } = this.#options;
    const kept = await cursor.read();
    const page = await feed.read({ n: NO_ROW, checkpoint: NO_ROW }, 1);
    if (page === null) return;
    const start: Cursor = from === 'start' ? { n: 0, checkpoint: 0 } : { n: page.end, checkpoint: page.end };
    // A chain that ends before the place is another chain: all of it is new.
    this.#place = kept === undefined ? start : kept.n > page.end ? { n: 0, checkpoint: 0 } : kept;
    if (kept !== this.#place) cursor.write(this.#place);
    this.#options.onChange();
  }

  async #deliverNext(): Promise<void> {
    const { feed, cursor } = this.#options;
    this.#sink?.check?.();
    const page = await feed.read(this.#place, this.#limit);
    if (page === null || this.#closed) return;
    const items = itemsOf(page);
    if (items.length === 0) {
      // Again, right before the wait: one that broke off while the page was read has nudged nobody.
      this.#sink?.check?.();
      this.#isIdle = true;
      await feed.waitPast(this.#place.n);
      this.#isIdle = false;
      return;
    }
    this.#sink ??= this.#openSink();
    const complaint = await this.#sink.deliver(items);
    this.#countSkipped(page);
    this.#recent = [...this.#recent.slice(1 - RECENT_PAGES), { place: this.#place, at: Date.now() }];
    this.#place = {
      n: page.rows.at(-1)?.n ?? this.#place.n,
      checkpoint: page.checkpoints.at(-1)?.n ?? this.#place.checkpoint,
    };
    cursor.write(this.#place);
    this.#delivered += items.length;
    this.#failures = 0;
    this.#error = complaint;
    this.#deliveredAt = Date.now();
    this.#limit = Math.min(PAGE_ROWS, this.#limit * 2);
    this.#options.onChange();
  }

  #openSink(): Sink {
    const sink = this.#options.open();
    sink.onLost = () => this.#options.feed.nudge();
    return sink;
  }

  #countSkipped({ rows, first }: FeedPage): void {
    const begins = rows[0]?.n ?? 0;
    if (this.#place.n > 0 && begins === first && begins > this.#place.n + 1) this.#skipped += begins - this.#place.n - 1;
  }

  async #fail(error: unknown): Promise<void> {
    if (error instanceof ReceiverLost) {
      const since = Date.now() - RECENT_MS;
      this.#place = this.#recent.find(({ at }) => at >= since)?.place ?? this.#place;
      this.#recent = [];
    }
    if (error instanceof TooMuchAtOnce) this.#limit = Math.max(1, this.#limit >> 1);
    this.#failures += 1;
    this.#error = error instanceof Error ? error.message : String(error);
    this.#options.onChange();
    const most = Math.min(LAST_RETRY_MS, FIRST_RETRY_MS * 2 ** Math.min(this.#failures - 1, 10));
    await new Promise<void>((resolve) => {
      // Not all at the same moment, where several wait for the same receiver.
      const timer = setTimeout(resolve, most * (0.5 + Math.random() / 2));
      this.#wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }
}
