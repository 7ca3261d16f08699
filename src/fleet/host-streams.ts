/**
 * The event streams of hosts at a replica: each change of the vault goes at once to the hosts whose view it changes, and to no other.
 * A host that may borrow no more is told so and cut off. One timer for all of them says that the vault is still there.
 */
import type { ServerResponse } from 'node:http';
import { AlterError, problemOf } from '../domain/errors.ts';
import type { FleetHost } from '../domain/fleet-host.ts';
import { wireChange } from '../vault/host-wire.ts';
import type { HostViews } from './host-views.ts';

const PING_MS = 5_000;
/** A host that does not read is cut off; it comes again and gets what it missed. */
const MAX_UNREAD_BYTES = 4 * 1024 * 1024;

interface OpenStream {
  readonly hostId: string;
  readonly response: ServerResponse;
  digest: string;
}

export interface HostStreamsOptions {
  readonly views: HostViews;
  readonly hosts: { byId(id: string): FleetHost | undefined };
  readonly epoch: () => number;
  readonly isFresh: () => boolean;
  readonly onChange: (listener: () => void) => () => void;
}

export class HostStreams {
  readonly #options: HostStreamsOptions;
  readonly #open = new Set<OpenStream>();
  readonly #stop: () => void;
  readonly #timer: NodeJS.Timeout;
  #isDue = false;

  constructor(options: HostStreamsOptions) {
    this.#options = options;
    this.#stop = options.onChange(() => {
      // Changes of one turn go out together.
      if (this.#isDue) return;
      this.#isDue = true;
      setImmediate(() => {
        this.#isDue = false;
        for (const each of this.#open) this.#push(each);
      });
    });
    this.#timer = setInterval(() => {
      // SECURITY: a replica that has lost the database would keep hosts from those that hear of revocations.
      if (!options.isFresh()) {
        for (const { response } of this.#open) response.end();
        return;
      }
      for (const { response } of this.#open) response.write(`event: ping\ndata: {"epoch":${options.epoch()}}\n\n`);
    }, PING_MS).unref();
  }

  get size(): number {
    return this.#open.size;
  }

  /** @param digest of the view that the host has */
  add(host: FleetHost, digest: string, response: ServerResponse): void {
    response.writeHead(200, { 'content-type': 'text/event-stream', 'x-accel-buffering': 'no' });
    const stream: OpenStream = { hostId: host.id, response, digest };
    this.#open.add(stream);
    response.once('close', () => this.#open.delete(stream));
    response.write(`event: ping\ndata: {"epoch":${this.#options.epoch()}}\n\n`);
    this.#push(stream);
  }

  close(): void {
    this.#stop();
    clearInterval(this.#timer);
    for (const { response } of this.#open) response.end();
  }

  #push(stream: OpenStream): void {
    const { hosts, views, epoch } = this.#options;
    const { response } = stream;
    const host = hosts.byId(stream.hostId);
    if (host?.status !== 'active') {
      const error = new AlterError('host_inactive', { host: host?.name ?? '', host_status: host?.status ?? 'revoked' });
      response.end(`event: ended\ndata: ${JSON.stringify(problemOf(error, error.apiStatus, null))}\n\n`);
      this.#open.delete(stream);
      return;
    }
    const { digest } = views.of(host);
    if (digest === stream.digest) return;
    const changes = views.changesSince(host, stream.digest);
    const id = `id: ${epoch()}.${digest}\n`;
    if (changes === null) response.write(`${id}event: reset\ndata: {"epoch":${epoch()}}\n\n`);
    else {
      const data = { epoch: epoch(), from: stream.digest, digest, changes: changes.map(wireChange) };
      response.write(`${id}event: changed\ndata: ${JSON.stringify(data)}\n\n`);
    }
    stream.digest = digest;
    if (response.writableLength > MAX_UNREAD_BYTES) response.destroy();
  }
}
