/**
 * Several hosts of one database, of which one can be written to: connections come from that one alone, and from another one when it can't be
 * reached or has become a standby. It must never use two at a time, nor go back while the one in use answers.
 */
import pg, { type PoolClient, type QueryResult, type QueryResultRow } from 'pg';
import { isElsewhere, NotWritable } from './failures.ts';

/** What is used of a pool. */
export interface Pool {
  connect(): Promise<PoolClient>;
  query<R extends QueryResultRow>(text: string): Promise<QueryResult<R>>;
  end(): Promise<void>;
}

/** A question that costs the server nothing. */
const VERIFY_MS = 2_000;

/** A connection that breaks while it is out says so by an event too, which would end the process if nobody listened. */
const ignore = (): void => {};

/** Of each new connection, before it is used. */
export function requireWriter(client: PoolClient, done: (error?: Error) => void): void {
  const question = { text: 'show transaction_read_only', query_timeout: VERIFY_MS } as { text: string };
  client.on('error', ignore);
  const tell = (error?: Error): void => {
    // One that is broken is not listened to by anybody else any more.
    if (error === undefined || error instanceof NotWritable) client.removeListener('error', ignore);
    done(error);
  };
  client.query<{ transaction_read_only: string }>(question).then(
    ({ rows }) => tell(rows[0]?.transaction_read_only === 'off' ? undefined : new NotWritable()),
    (cause: Error) => tell(cause),
  );
}

interface InUse {
  readonly at: number;
  readonly pool: pg.Pool;
}

export class HostPools implements Pool {
  readonly #makers: readonly (() => pg.Pool)[];
  #inUse: InUse;
  #moving: Promise<void> | null = null;
  #isEnded = false;

  /** @param makers one for each host, in the order of the URL */
  constructor(makers: readonly [() => pg.Pool, ...(() => pg.Pool)[]]) {
    this.#makers = makers;
    this.#inUse = { at: 0, pool: makers[0]() };
  }

  async connect(): Promise<PoolClient> {
    for (let attempt = 1; ; attempt++) {
      const tried = this.#inUse;
      try {
        return await tried.pool.connect();
      } catch (cause) {
        if (this.#isEnded || attempt > this.#makers.length) throw cause;
        // Who waited for a place in a pool that was left comes to the next one, whatever it was told there.
        if (this.#inUse !== tried) continue;
        if (!isElsewhere(cause)) throw cause;
        await this.#moveFrom(tried, cause);
      }
    }
  }

  async query<R extends QueryResultRow>(text: string): Promise<QueryResult<R>> {
    const client = await this.connect();
    let broken = true;
    client.on('error', ignore);
    try {
      const result = await client.query<R>(text);
      broken = false;
      return result;
    } catch (cause) {
      broken = !(cause instanceof pg.DatabaseError);
      throw cause;
    } finally {
      if (!broken) client.removeListener('error', ignore);
      client.release(broken);
    }
  }

  async end(): Promise<void> {
    this.#isEnded = true;
    await this.#moving?.catch(() => {});
    await this.#inUse.pool.end();
  }

  /** However many find out at a time, the next one is looked for once. */
  async #moveFrom(tried: InUse, cause: unknown): Promise<void> {
    if (this.#inUse !== tried) return;
    this.#moving ??= this.#findFrom(tried, cause).finally(() => {
      this.#moving = null;
    });
    await this.#moving;
  }

  /** @throws the cause when no other one can be written to */
  async #findFrom({ at, pool: left }: InUse, cause: unknown): Promise<void> {
    for (let n = 1; n < this.#makers.length && !this.#isEnded; n++) {
      const next = (at + n) % this.#makers.length;
      const pool = (this.#makers[next] as () => pg.Pool)();
      try {
        (await pool.connect()).release();
      } catch {
        await pool.end();
        continue;
      }
      this.#inUse = { at: next, pool };
      // Ends when those that are out have come back; who still comes to it is sent on to the next.
      void left.end();
      return;
    }
    throw cause;
  }
}
