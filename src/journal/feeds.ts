/**
 * Ports that other threads read the chain through, page by page, at their own pace. Rows never pass the data-plane thread on this
 * way, and a reader that is slow or gone holds up nobody.
 */
import type { MessagePort } from 'node:worker_threads';
import type { FeedAnswer, FeedPage, FeedRequest } from './messages.ts';

interface Feed {
  readonly port: MessagePort;
  /** The last row that the reader was told of. */
  told: number;
}

export class Feeds {
  readonly #feeds = new Set<Feed>();
  readonly #read: (request: FeedRequest) => Promise<FeedPage>;

  constructor(read: (request: FeedRequest) => Promise<FeedPage>) {
    this.#read = read;
  }

  add(port: MessagePort): void {
    const feed: Feed = { port, told: 0 };
    this.#feeds.add(feed);
    port.on('message', (request: FeedRequest) => void this.#answer(feed, request));
    port.on('close', () => this.#feeds.delete(feed));
  }

  /** Says that the chain goes up to `n`. */
  tell(n: number): void {
    for (const feed of this.#feeds) {
      if (feed.told >= n) continue;
      feed.told = n;
      feed.port.postMessage(n satisfies FeedAnswer);
    }
  }

  close(): void {
    for (const { port } of this.#feeds) port.close();
    this.#feeds.clear();
  }

  async #answer(feed: Feed, request: FeedRequest): Promise<void> {
    try {
      const page = await this.#read(request);
      feed.told = page.end;
      feed.port.postMessage(page satisfies FeedAnswer);
    } catch {
      // The database can't be read now: nothing there is a page without rows, and the reader asks again.
      feed.port.postMessage({ rows: [], checkpoints: [], end: request.n, first: 1 } satisfies FeedAnswer);
    }
  }
}
