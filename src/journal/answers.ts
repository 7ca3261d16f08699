/** Answers what the journal is asked about the rows in the database. It changes nothing and lets the worker breathe in between. */
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { Database } from 'better-sqlite3';
import type { StoredRow } from './entry-text.ts';
import type { HeadFile } from './head.ts';
import type { Ingest } from './ingest.ts';
import type { Answers, Question } from './messages.ts';
import { IdSearch, PageScan } from './query.ts';
import type { AuditFilter } from './reader.ts';
import { requestIdMaker, requestNoOf } from './request-id.ts';
import { ChainCheck } from './verify.ts';

export class RowAnswers {
  readonly #db: Database;
  readonly #head: HeadFile;
  readonly #ingest: Ingest;
  /** Checks of the chain that are under way. */
  checks = 0;

  constructor(db: Database, head: HeadFile, ingest: Ingest) {
    this.#db = db;
    this.#head = head;
    this.#ingest = ingest;
  }

  async reply(question: Exclude<Question, { op: 'close' | 'noteEpoch' }>): Promise<Answers[keyof Answers]> {
    const { state, end, openCount } = this.#ingest;
    switch (question.op) {
      case 'list':
        return this.#list(question.filter);
      case 'listOpen':
        return this.#ingest.openBodies().map((body) => ({ n: null, body, hash: null }));
      case 'find':
        return this.#find(question.requestId);
      case 'verify':
        return this.#verify();
      case 'stats':
        return { rows: end.n - state.anchor_n, open: openCount, headHash: end.hash };
    }
  }

  async #list(filter: AuditFilter): Promise<StoredRow[]> {
    const scan = new PageScan(this.#db, filter, this.#ingest.state.anchor_n + 1, this.#ingest.end.n);
    while (scan.step()) await nextTurn();
    return scan.rows;
  }

  async #find(requestId: string): Promise<StoredRow | null> {
    const { installation } = this.#ingest.state;
    const requestNo = requestNoOf(installation, requestId);
    if (requestNo === undefined) return null;
    const [body] = this.#ingest.openBodies(requestNo);
    if (body !== undefined) return { n: null, body, hash: null };
    const search = new IdSearch(this.#db, requestIdMaker(installation)(requestNo), requestNo);
    while (search.step()) await nextTurn();
    return search.row ?? null;
  }

  async #verify(): Promise<Answers['verify']> {
    this.checks += 1;
    try {
      const { state, end } = this.#ingest;
      const check = new ChainCheck(this.#db, { state, n: end.n, hash: end.hash }, this.#head.record);
      while (check.step()) await nextTurn();
      return check.result;
    } finally {
      this.checks -= 1;
    }
  }
}
