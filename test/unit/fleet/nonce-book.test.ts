/** Nonces are asked about together while the database is busy, and never answered for it. */
import { expect, test } from 'vitest';
import { AlterError } from '../../../src/domain/errors.ts';
import type { FleetVault } from '../../../src/fleet/deps.ts';
import { readiness } from '../../../src/fleet/health-routes.ts';
import { NonceBook } from '../../../src/fleet/nonce-book.ts';
import type { Nonce } from '../../../src/store/store.ts';

class SlowStore {
  readonly asked: (readonly Nonce[])[] = [];
  readonly #used = new Set<string>();
  readonly #waiting: (() => void)[] = [];
  failure: Error | null = null;

  useNonces(nonces: readonly Nonce[]): Promise<boolean[]> {
    this.asked.push(nonces);
    return new Promise((resolve, reject) => {
      this.#waiting.push(() => {
        if (this.failure !== null) return reject(this.failure);
        resolve(nonces.map(({ key }) => !this.#used.has(key) && this.#used.add(key) !== undefined));
      });
    });
  }

  async forgetNonces(): Promise<void> {}

  answer(): void {
    this.#waiting.shift()?.();
  }
}

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

test('calls that come while the database is asked share the next statement', async () => {
  const store = new SlowStore();
  const book = new NonceBook(store);
  const first = book.use('h', 'a', 1);
  const others = [book.use('h', 'b', 1), book.use('h', 'a', 1), book.use('other', 'a', 1)];
  store.answer();
  expect(await first).toBe(true);
  await turn();
  store.answer();
  expect(await Promise.all(others)).toEqual([true, false, true]);
  expect(store.asked.map((batch) => batch.length)).toEqual([1, 3]);
  expect(store.asked[0]?.[0]).toEqual({ key: 'h.a', expiresAt: 120_001 });
  book.close();
});

test('a database that fails makes each of its calls fail, and the next is asked again', async () => {
  const store = new SlowStore();
  const book = new NonceBook(store);
  store.failure = new AlterError('vault_unavailable', { reason: 'the database is away' });
  const failed = [book.use('h', 'a', 1), book.use('h', 'b', 1)].map((each) => each.catch((error: AlterError) => error.code));
  store.answer();
  await turn();
  store.answer();
  expect(await Promise.all(failed)).toEqual(['vault_unavailable', 'vault_unavailable']);
  store.failure = null;
  const later = book.use('h', 'a', 1);
  store.answer();
  expect(await later).toBe(true);
  book.close();
});

test('a vault whose database does not answer is not ready, and says no more than that', async () => {
  const vault = (ping: () => Promise<void>, { isLocked = false, isFresh = true } = {}) => ({
    vault: { ping, epoch: 7, isLocked, isFresh } as unknown as FleetVault,
  });
  const ready = { status: 'ready', epoch: 7, database: 'ok', master_key: 'ok' };
  const there = async (): Promise<void> => {};
  expect(await readiness(vault(there))).toEqual(ready);
  expect(await readiness(vault(there, { isLocked: true }))).toEqual({ ...ready, status: 'unready', master_key: 'missing' });
  // It answers, and can not be followed.
  expect(await readiness(vault(there, { isFresh: false }))).toEqual({ ...ready, status: 'unready' });
  const away = () => Promise.reject(new AlterError('vault_unavailable', { reason: 'connect ECONNREFUSED 10.0.0.9' }));
  expect(await readiness(vault(away))).toEqual({ ...ready, status: 'unready', database: 'unreachable' });
});
