/** What the daemon and the thread of the sinks say to each other. Types only; no row travels this way. */
import type { MessagePort } from 'node:worker_threads';
import type { SinkConfig } from '../config/sink.ts';
import type { SinkStatus } from '../domain/sink-status.ts';
import type { OutboundOptions } from './outbound.ts';
import type { VaultSinkFeed } from './vault-sink.ts';

export interface SinkThreadData {
  readonly sinks: readonly { readonly config: SinkConfig; readonly feed: MessagePort; readonly cursorFile: string }[];
  readonly outbound: OutboundOptions;
  /** The central vault of an enrolled host. */
  readonly vault: VaultSinkFeed | null;
}

/** `drain`: say so when everything is delivered that can be now. */
export type ToSinks = 'drain';

export type FromSinks = { readonly type: 'status'; readonly sinks: readonly SinkStatus[] } | { readonly type: 'drained' };
