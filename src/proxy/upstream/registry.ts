/** All pools of the data plane, one for each (agent, grant, destination). */
import type { Destination } from '../../domain/destination.ts';
import type { Grant } from '../../domain/grant.ts';
import { type PoolParts, UpstreamPool } from './pool.ts';

export class PoolRegistry {
  readonly #parts: PoolParts;
  readonly #pools = new Map<string, UpstreamPool>();

  constructor(parts: PoolParts) {
    this.#parts = parts;
  }

  /** SECURITY: the key names caller, grant and destination; leaving one out lets requests of one meet sockets of another (S-17). */
  poolOf(agentId: string, grant: Grant | null, destination: Destination): UpstreamPool {
    const key = `${agentId}|${grant?.id ?? ''}|${grant?.allowPrivate ?? ''}|${destination.origin}`;
    let pool = this.#pools.get(key);
    if (pool === undefined) {
      const made = new UpstreamPool(destination, grant === null ? null : grant.allowPrivate, this.#parts, () => {
        if (this.#pools.get(key) !== made) return;
        this.#pools.delete(key);
        made.registered = false;
      });
      pool = made;
      this.#pools.set(key, pool);
    }
    return pool;
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
