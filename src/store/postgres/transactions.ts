/** Serializable transactions, run again with jitter where the database asks for it. Work must be free of effects outside of the database. */
import type { PoolClient } from 'pg';
import { AlterError } from '../../domain/errors.ts';
import type { Connection } from './connection.ts';
import { asStoreError, isContention } from './failures.ts';

const TRIES = 12;
const FIRST_PAUSE_MS = 4;
const LONGEST_PAUSE_MS = 250;

export class Transactions {
  readonly #connection: Connection;
  #closed = false;

  constructor(connection: Connection) {
    this.#connection = connection;
  }

  write<T>(work: (client: PoolClient) => Promise<T>): Promise<T> {
    return this.#run('begin isolation level serializable', work);
  }

  read<T>(work: (client: PoolClient) => Promise<T>): Promise<T> {
    return this.#run('begin isolation level repeatable read read only', work);
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    await this.#connection.pool.end();
  }

  async #run<T>(begin: string, work: (client: PoolClient) => Promise<T>): Promise<T> {
    for (let attempt = 1; ; attempt++) {
      if (this.#closed) throw new AlterError('vault_unavailable', { reason: 'it is closed' });
      try {
        return await this.#once(begin, work);
      } catch (cause) {
        if (!isContention(cause) || attempt === TRIES) throw asStoreError(cause, this.#connection.place);
        const pauseMs = Math.random() * Math.min(LONGEST_PAUSE_MS, FIRST_PAUSE_MS * 2 ** attempt);
        await new Promise((resolve) => setTimeout(resolve, pauseMs));
      }
    }
  }

  async #once<T>(begin: string, work: (client: PoolClient) => Promise<T>): Promise<T> {
    const client = await this.#connection.pool.connect();
    let broken: Error | undefined;
    const noteEnd = (cause: Error): void => {
      broken = cause;
    };
    client.on('error', noteEnd);
    try {
      await client.query(begin);
      const result = await work(client);
      await client.query('commit');
      return result;
    } catch (cause) {
      // A connection whose transaction can't be undone is in an unknown state: it is thrown away.
      await client.query('rollback').catch(noteEnd);
      throw cause;
    } finally {
      client.removeListener('error', noteEnd);
      client.release(broken);
    }
  }
}
