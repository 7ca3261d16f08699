/**
 * Nonces of signed requests, each good once across all replicas: the database says which are new. Calls that come while it is asked are
 * asked about together, in one statement. It must never answer for the database: what it can't ask is refused by the caller.
 */
import { SKEW_MS } from '../crypto/request-signing.ts';
import type { Nonce } from '../store/store.ts';

const MAX_BATCH = 500;
const FORGET_EVERY_MS = 30_000;

/** What of the vault it needs. */
export interface NonceStore {
  useNonces(nonces: readonly Nonce[]): Promise<boolean[]>;
  forgetNonces(expiredBefore: number): Promise<void>;
}

interface Waiting extends Nonce {
  readonly resolve: (isNew: boolean) => void;
  readonly reject: (error: unknown) => void;
}

export class NonceBook {
  readonly #store: NonceStore;
  readonly #now: () => number;
  readonly #timer: NodeJS.Timeout;
  #waiting: Waiting[] = [];
  #isAsking = false;

  constructor(store: NonceStore, now: () => number = Date.now) {
    this.#store = store;
    this.#now = now;
    this.#timer = setInterval(() => void this.forget(), FORGET_EVERY_MS).unref();
  }

  /** True when the nonce of this host was never used. @throws AlterError vault_unavailable */
  use(hostId: string, nonce: string, timestamp: number): Promise<boolean> {
    return new Promise((resolve, reject) => {
      // SECURITY: kept for longer than any replica accepts the timestamp; twice the window, because their clocks differ too.
      this.#waiting.push({ key: `${hostId}.${nonce}`, expiresAt: timestamp + 2 * SKEW_MS, resolve, reject });
      void this.#ask();
    });
  }

  /** Lets the database forget what is too old to be accepted. */
  async forget(): Promise<void> {
    // What is left in the table for longer does no harm.
    await this.#store.forgetNonces(this.#now() - SKEW_MS).catch(() => {});
  }

  close(): void {
    clearInterval(this.#timer);
  }

  async #ask(): Promise<void> {
    if (this.#isAsking) return;
    this.#isAsking = true;
    try {
      while (this.#waiting.length > 0) {
        const batch = this.#waiting.slice(0, MAX_BATCH);
        this.#waiting = this.#waiting.slice(MAX_BATCH);
        try {
          const fresh = await this.#store.useNonces(batch.map(({ key, expiresAt }) => ({ key, expiresAt })));
          for (const [i, each] of batch.entries()) each.resolve(fresh[i] === true);
        } catch (error) {
          for (const each of batch) each.reject(error);
        }
      }
    } finally {
      this.#isAsking = false;
    }
  }
}
