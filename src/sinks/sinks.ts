/**
 * The daemon's end of the sinks: starts their thread, keeps what it says of them, and gives it a moment at the end. Rows go from
 * the journal's thread to theirs; the data-plane thread never sees one.
 */
import { join } from 'node:path';
import type { MessagePort, Worker } from 'node:worker_threads';
import type { SinkConfig } from '../config/sink.ts';
import type { SinkStatus } from '../domain/sink-status.ts';
import { startThread } from '../runtime/thread.ts';
import type { FromSinks, SinkThreadData, ToSinks } from './messages.ts';
import type { OutboundOptions } from './outbound.ts';
import { VAULT_SINK, type VaultSinkData } from './vault-sink.ts';

export interface SinksOptions {
  readonly configs: readonly SinkConfig[];
  /** Where the places of the sinks are kept; made when it is missing. */
  readonly dir: string;
  readonly feed: () => MessagePort;
  readonly outbound: OutboundOptions;
  /** Rows go there as well, and need no configuration to. */
  readonly vault?: VaultSinkData | undefined;
  /** Told when a sink begins or ceases to fail, and when their thread is gone. */
  readonly onTrouble: (fields: object, message: string) => void;
}

export interface Sinks {
  readonly status: readonly SinkStatus[];
  /** Their thread is gone: what they say is of before, and nothing is delivered any more. */
  readonly isLost: boolean;
  /** Delivers what can be delivered within the time; the rest is due at the next start. */
  close(withinMs: number): Promise<void>;
}

const NONE: Sinks = { status: [], isLost: false, close: () => Promise.resolve() };

/** Nothing is started where nothing is configured. */
export function openSinks(options: SinksOptions): Sinks {
  return options.configs.length === 0 && options.vault === undefined ? NONE : new RunningSinks(options);
}

class RunningSinks implements Sinks {
  readonly #worker: Worker;
  readonly #onTrouble: SinksOptions['onTrouble'];
  #onDrained: () => void = () => {};
  #closing = false;
  status: readonly SinkStatus[];
  isLost = false;

  constructor({ configs, dir, feed, outbound, vault, onTrouble }: SinksOptions) {
    this.#onTrouble = onTrouble;
    const all = [...configs, ...(vault === undefined ? [] : [{ name: VAULT_SINK, kind: 'vault' }])];
    this.status = all.map(({ name, kind }) => ({
      name,
      kind,
      n: 0,
      lag: 0,
      delivered: 0,
      failures: 0,
      error: null,
      deliveredAt: null,
      skipped: 0,
    }));
    const sinks = configs.map((config) => ({ config, feed: feed(), cursorFile: join(dir, `${config.name}.place`) }));
    const ofVault = vault === undefined ? null : { ...vault, feed: feed() };
    const data: SinkThreadData = { sinks, outbound, vault: ofVault };
    this.#worker = startThread(
      'sinks/worker',
      'alterd-sinks',
      data,
      [...sinks, ...(ofVault === null ? [] : [ofVault])].map((sink) => sink.feed),
    );
    this.#worker.unref();
    this.#worker.on('message', (message: FromSinks) => {
      if (message.type === 'drained') this.#onDrained();
      else this.#take(message.sinks);
    });
    this.#worker.on('error', (error) => this.#lose(`${error}`));
    this.#worker.on('exit', () => this.#lose('the thread ended'));
  }

  async close(withinMs: number): Promise<void> {
    if (!this.#closing) {
      this.#worker.ref();
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, withinMs);
        this.#onDrained = () => {
          clearTimeout(timer);
          resolve();
        };
        this.#worker.postMessage('drain' satisfies ToSinks);
      });
    }
    this.#closing = true;
    await this.#worker.terminate();
  }

  #take(next: readonly SinkStatus[]): void {
    for (const [index, sink] of next.entries()) {
      const before = this.status[index];
      const fields = { sink: sink.name, error: sink.error };
      if (sink.failures > 0 && before?.failures === 0) this.#onTrouble(fields, 'an audit sink can not deliver; its rows wait');
      else if (sink.failures === 0 && (before?.failures ?? 0) > 0) this.#onTrouble(fields, 'an audit sink delivers again');
    }
    this.status = next;
  }

  #lose(reason: string): void {
    this.#onDrained();
    if (this.#closing) return;
    this.#closing = true;
    this.isLost = true;
    this.status = this.status.map((sink) => ({ ...sink, failures: Math.max(1, sink.failures), error: reason }));
    this.#onTrouble({ reason }, 'the audit sinks have stopped; restart the daemon to start them again');
  }
}
