/**
 * Serializable transactions, run again with jitter where the database asks for it. Work must be free of effects outside of the database.
 * It must never say of a commit whose answer was lost that it failed: nobody knows.
 */
import type { PoolClient } from 'pg';
import { AlterError } from '../../domain/errors.ts';
import { CommitUnknown } from '../conflicts.ts';
import type { Connection } from './connection.ts';
import { asStoreError, isContention, isLost, isReadOnly, isRefusedCommit } from './failures.ts';

const TRIES = 12;
const FIRST_PAUSE_MS = 4;
const LONGEST_PAUSE_MS = 250;
/** To begin costs the server nothing: who does not answer that is gone. */
const BEGIN_MS = 2_000;

export class Transactions {
  readonly #connection: Connection;
  /** When a connection was last heard of, by performance.now(). */
  readonly #heardAt = new WeakMap<PoolClient, number>();
  /** One was found dead then: what was not heard of since may be dead too, and nobody waits for each to find out. */
  #doubtBefore = 0;
  #closed = false;

  constructor(connection: Connection) {
    this.#connection = connection;
  }

  /** @throws CommitUnknown; AlterError conflict, vault_unavailable */
  write<T>(work: (client: PoolClient) => Promise<T>): Promise<T> {
    return this.#run('begin isolation level serializable', work);
  }

  /** @throws AlterError vault_unavailable */
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
    const { client, release } = await this.#begun(begin);
    let result: T;
    try {
      result = await work(client);
    } catch (cause) {
      release(isLost(cause) || isReadOnly(cause) || !(await isRolledBack(client)));
      throw cause;
    }
    try {
      await client.query('commit');
    } catch (cause) {
      release(true);
      if (isRefusedCommit(cause)) throw cause;
      throw new CommitUnknown(this.#connection.place, cause);
    }
    this.#heardAt.set(client, performance.now());
    release(false);
    return result;
  }

  /** A connection in a transaction. One that died while nobody used it is replaced: nothing was sent by it yet. */
  async #begun(begin: string): Promise<{ readonly client: PoolClient; readonly release: (isBroken: boolean) => void }> {
    for (;;) {
      const client = await this.#connection.pool.connect();
      const heardAt = this.#heardAt.get(client);
      let isOver = false;
      const noteEnd = (): void => {
        isOver = true;
      };
      client.on('error', noteEnd);
      const release = (isBroken: boolean): void => {
        client.removeListener('error', noteEnd);
        // The pool would say goodbye and wait for an answer, and whoever waits for a place in it with it.
        if (isBroken) socketOf(client).destroy();
        client.release(isBroken || isOver);
      };
      if (heardAt !== undefined && heardAt < this.#doubtBefore) {
        release(true);
        continue;
      }
      try {
        await client.query({ text: begin, query_timeout: BEGIN_MS } as { text: string });
        return { client, release };
      } catch (cause) {
        release(true);
        if (heardAt === undefined || !isLost(cause)) throw cause;
        this.#doubtBefore = performance.now();
      }
    }
  }
}

/** The driver has no name for it. */
const socketOf = (client: PoolClient): { destroy(): void } =>
  (client as unknown as { connection: { stream: { destroy(): void } } }).connection.stream;

/** False when it can't be undone: then the connection is in an unknown state. */
async function isRolledBack(client: PoolClient): Promise<boolean> {
  try {
    await client.query('rollback');
    return true;
  } catch {
    return false;
  }
}
