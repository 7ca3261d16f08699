/** The reader's end of a feed of the journal: asks for pages, and hears when the chain has grown. */
import type { MessagePort } from 'node:worker_threads';
import { checkpointLineOf } from '../journal/checkpoint.ts';
import type { FeedAnswer, FeedPage } from '../journal/messages.ts';
import { type ChainedRow, rowLineOf } from '../journal/row-line.ts';
import type { Cursor } from './cursor.ts';
import type { SinkItem } from './sink.ts';

export class Feed {
  readonly #port: MessagePort;
  #answered: ((page: FeedPage | null) => void) | null = null;
  #grown: (() => void) | null = null;
  #closed = false;
  #nudged = false;
  /** The last row of the chain, as far as it was told. */
  end = 0;

  constructor(port: MessagePort, onGrowth: () => void) {
    this.#port = port;
    port.on('message', (answer: FeedAnswer) => {
      if (typeof answer === 'number') {
        this.end = Math.max(this.end, answer);
        this.#grown?.();
        onGrowth();
        return;
      }
      this.end = answer.end;
      this.#answered?.(answer);
    });
    port.on('close', () => {
      this.#closed = true;
      this.#answered?.(null);
      this.#grown?.();
    });
  }

  /** The next page; null when the journal is closed. */
  read(cursor: Cursor, limit: number): Promise<FeedPage | null> {
    if (this.#closed) return Promise.resolve(null);
    return new Promise((resolve) => {
      this.#answered = resolve;
      this.#port.postMessage({ ...cursor, limit });
    });
  }

  /** Resolves when there is a row after `n`, when nothing will come any more, or when it is nudged. */
  async waitPast(n: number): Promise<void> {
    for (this.#nudged = false; !this.#closed && !this.#nudged && this.end <= n; ) {
      await new Promise<void>((resolve) => {
        this.#grown = resolve;
      });
    }
  }

  nudge(): void {
    this.#nudged = true;
    this.#grown?.();
  }

  close(): void {
    this.#port.close();
  }
}

/** What a page holds, in the order of an export: a checkpoint stands behind the row that it was signed for. */
export function itemsOf({ rows, checkpoints }: FeedPage): SinkItem[] {
  const items: SinkItem[] = [];
  let next = 0;
  const addCheckpoints = (upTo: number): void => {
    for (let each = checkpoints[next]; each !== undefined && each.n <= upTo; each = checkpoints[++next]) {
      const line = checkpointLineOf(each);
      items.push({ kind: 'checkpoint', n: each.n, at: each.at, line, facts: JSON.parse(line) as SinkItem['facts'] });
    }
  };
  for (const row of rows) {
    const n = row.n as number;
    addCheckpoints(n - 1);
    const line = rowLineOf(row as ChainedRow);
    const facts = JSON.parse(line) as SinkItem['facts'];
    items.push({ kind: 'row', n, at: facts.at as number, line, facts });
  }
  addCheckpoints(Number.MAX_SAFE_INTEGER);
  return items;
}
