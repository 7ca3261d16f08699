/** All pools of the data plane, one for each (agent, grant, destination). */
import type { Destination } from '../../domain/destination.ts';
import type { Grant } from '../../domain/grant.ts';
import type { ClientIdentity } from '../../injection/client-identity.ts';
import { type PoolParts, UpstreamPool } from './pool.ts';

export class PoolRegistry {
  readonly #parts: PoolParts;
  readonly #pools = new Map<string, UpstreamPool>();

  constructor(parts: PoolParts) {
    this.#parts = parts;
  }

  /**
   * SECURITY: the key names caller, grant, destination and the certificate that is shown there; leaving one out lets requests of one
   * meet sockets of another (S-17).
   */
  poolOf(agentId: string, grant: Grant | null, destination: Destination, identity: ClientIdentity | null = null): UpstreamPool {
    const key = `${agentId}|${grant?.id ?? ''}|${grant?.allowPrivate ?? ''}|${destination.origin}|${identity?.tag ?? ''}`;
    let pool = this.#pools.get(key);
    if (pool === undefined) {
      const onEmpty = (): void => {
        if (this.#pools.get(key) !== made) return;
        this.#pools.delete(key);
        made.registered = false;
      };
      const made = new UpstreamPool(destination, grant === null ? null : grant.allowPrivate, this.#parts, onEmpty, identity);
      pool = made;
      this.#pools.set(key, pool);
    }
    return pool;
  }

  /**
   * What is verified from now on is verified by new settings: sockets end after the request that they carry.
   * SECURITY: a kept session would be resumed without another look at the certificate (S-83).
   */
  renew(): void {
    for (const pool of this.#pools.values()) pool.retire();
    this.#pools.clear();
  }

  /** How many pools there are, and how many sockets are open in them. */
  get sizes(): { readonly pools: number; readonly sockets: number } {
    let sockets = 0;
    for (const pool of this.#pools.values()) sockets += pool.openSockets;
    return { pools: this.#pools.size, sockets };
  }

  close(): void {
    for (const pool of this.#pools.values()) pool.close();
  }

  destroy(): void {
    for (const pool of this.#pools.values()) pool.destroy();
    this.#pools.clear();
  }
}
