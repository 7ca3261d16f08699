/**
 * What a host keeps on disk of its lease, so that a restart while the vault is away goes on with it: the view, without what may not be
 * kept, and the material beside it (lease-cache.ts). A disk that fails costs the restart, never a request.
 */
import { toAlterError } from '../domain/errors.ts';
import { type HostView, keptView } from '../vault/host-view.ts';
import { readWireView, wireView } from '../vault/host-wire.ts';
import { isWithin } from './host-lease.ts';
import type { LeaseCache } from './lease-cache.ts';
import type { ClockSource, Lease } from './lease-clock.ts';

export interface KeptViewOf {
  readonly view: HostView;
  readonly epoch: number;
  /** null: it lost something on the way to the disk, and is another view. */
  readonly digest: string | null;
  readonly lease: Lease;
}

export interface KeptLeaseOptions {
  readonly cache: LeaseCache;
  readonly clock: ClockSource;
  readonly log: { warn(fields: object, message: string): void };
}

export class KeptLease {
  readonly #options: KeptLeaseOptions;

  constructor(options: KeptLeaseOptions) {
    this.#options = options;
  }

  /** @param gone ids of grants whose material is to go with it */
  write({ view, epoch, digest, lease }: KeptViewOf, gone: readonly string[]): void {
    const kept = keptView(view);
    const head = { epoch, digest: kept.grant.size === view.grant.size ? digest : null, lease, rows: wireView(kept) };
    this.#tried(() => this.#options.cache.writeHead(head, gone));
  }

  clear(): void {
    this.#tried(() => this.#options.cache.clear());
  }

  /** What an earlier run left, while a lease of it or the grace of a grant lasts. */
  read(): KeptViewOf | null {
    const { cache, clock, log } = this.#options;
    if (cache.problem !== null) log.warn({ reason: cache.problem }, 'the leases of before do not open; all is borrowed anew');
    if (cache.found === null) return null;
    try {
      const { rows, ...head } = cache.found.head as Omit<KeptViewOf, 'view'> & { readonly rows: unknown };
      const view = readWireView(rows);
      return isWithin(head.lease, longestGraceMs(view), clock) ? { ...head, view } : null;
    } catch (thrown) {
      log.warn({ reason: toAlterError(thrown).message }, 'the leases of before can not be read; all is borrowed anew');
      return null;
    }
  }

  failed(thrown: unknown): void {
    this.#options.log.warn({ reason: toAlterError(thrown).message }, 'what is borrowed can not be kept on disk');
  }

  #tried(work: () => void): void {
    try {
      work();
    } catch (thrown) {
      this.failed(thrown);
    }
  }
}

/** The longest that any grant of a view may outlast its lease. */
export const longestGraceMs = ({ grant }: HostView): number =>
  Math.max(0, ...[...grant.values()].map(({ offlineGraceMs }) => offlineGraceMs));
