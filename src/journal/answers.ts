/** Answers what the journal is asked about the rows in the database. It changes nothing and lets the worker breathe in between. */
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { Database } from 'better-sqlite3';
import type { BlockIndex } from './block-index.ts';
import type { CheckpointBook } from './checkpoints.ts';
import type { StoredRow } from './entry-text.ts';
import type { HeadFile } from './head.ts';
import type { Ingest } from './ingest.ts';
import type { Answers, FeedPage, FeedRequest, Question } from './messages.ts';
import { IdSearch, MAX_PAGE_ROWS, PageScan } from './query.ts';
import type { AuditFilter } from './reader.ts';
import { requestIdMaker, requestNoOf } from './request-id.ts';
import { Summary } from './summary.ts';
import { bodiesAt, ChainCheck } from './verify.ts';

/** Of one answer. */
const PAGE_CHECKPOINTS = 1000;

export class RowAnswers {
  readonly #db: Database;
  readonly #head: HeadFile;
  readonly #ingest: Ingest;
  /** Checks of the chain that are under way. */
  checks = 0;

  readonly #index: BlockIndex;
  readonly #book: CheckpointBook;

  constructor(db: Database, head: HeadFile, ingest: Ingest, index: BlockIndex, book: CheckpointBook) {
    this.#index = index;
    this.#book = book;
    this.#db = db;
    this.#head = head;
    this.#ingest = ingest;
  }

  async reply(question: Exclude<Question, { op: 'close' | 'noteEpoch' | 'rekey' | 'backUp' }>): Promise<Answers[keyof Answers]> {
    const { state, end, openCount } = this.#ingest;
    switch (question.op) {
      case 'list':
        return this.#list(question.filter);
      case 'listOpen':
        return this.#ingest.openBodies().map((body) => ({ n: null, body, hash: null, prev: null }));
      case 'find':
        return this.#find(question.requestId);
      case 'bodies':
        return this.#bodies(question.requestId);
      case 'verify':
        return this.#verify();
      case 'summary':
        return this.#summary(question.filter);
      case 'checkpoints':
        if (question.sign) this.#book.advance(Date.now(), true);
        return this.#book.between(question.after, Math.min(question.upTo, end.n), PAGE_CHECKPOINTS);
      case 'stats':
        return { rows: end.n - state.anchor_n, open: openCount, headHash: end.hash };
    }
  }

  async #list(filter: AuditFilter): Promise<StoredRow[]> {
    const scan = this.#scan(filter);
    while (scan.step()) await nextTurn();
    return scan.rows;
  }

  #scan(filter: AuditFilter): PageScan {
    return new PageScan(this.#db, this.#index, filter, this.#ingest.state.anchor_n + 1, this.#ingest.end.n);
  }

  async #summary(filter: AuditFilter): Promise<Answers['summary']> {
    const summary = new Summary();
    for (let after: number | undefined; ; ) {
      const page = await this.#list({
        ...filter,
        order: 'oldest',
        limit: MAX_PAGE_ROWS,
        ...(after === undefined ? {} : { after }),
      });
      for (const row of page) summary.add(row.body);
      after = page.at(-1)?.n ?? undefined;
      if (page.length < MAX_PAGE_ROWS) return summary.result;
    }
  }

  /** What a feed sends next. Nothing but what is committed: it can't be taken back. */
  async feed({ n, checkpoint, limit }: FeedRequest): Promise<FeedPage> {
    const rows = await this.#list({ order: 'oldest', after: n, limit });
    const upTo = rows.at(-1)?.n ?? n;
    const { state, end } = this.#ingest;
    return { rows, checkpoints: this.#book.between(checkpoint, upTo, PAGE_CHECKPOINTS), end: end.n, first: state.anchor_n + 1 };
  }

  async #find(requestId: string): Promise<StoredRow | null> {
    const { installation } = this.#ingest.state;
    const requestNo = requestNoOf(installation, requestId);
    if (requestNo === undefined) return null;
    const [body] = this.#ingest.openBodies(requestNo);
    if (body !== undefined) return { n: null, body, hash: null, prev: null };
    const search = new IdSearch(this.#db, requestIdMaker(installation)(requestNo), requestNo);
    while (search.step()) await nextTurn();
    return search.row ?? null;
  }

  async #bodies(requestId: string): Promise<Answers['bodies']> {
    const row = await this.#find(requestId);
    return row === null ? null : { row, sealed: row.n === null ? null : (bodiesAt(this.#db, row.n) ?? null) };
  }

  async #verify(): Promise<Answers['verify']> {
    this.checks += 1;
    try {
      const { state, end } = this.#ingest;
      const signed = await this.#book.signedHashes(end.n);
      const check = new ChainCheck(this.#db, { state, n: end.n, hash: end.hash }, this.#head.record, signed);
      while (check.step()) await nextTurn();
      return check.result;
    } finally {
      this.checks -= 1;
    }
  }
}
