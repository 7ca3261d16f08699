/**
 * Reads a whole table as lists of values, each of which is made into a row before the next one is read. Objects with the names of thirty
 * columns cost the driver three times as much, and a hundred thousand of them at once half a gigabyte.
 */
import type { Database, Statement } from 'better-sqlite3';
import type { Columns } from '../columns/columns.ts';
import { selectAll } from '../columns/statements.ts';
import { TABLES, type TableKey } from '../columns/tables.ts';

type Value = Columns[string];

export class TableReader {
  readonly #read: Statement<unknown[], Value[]>;
  /** One for all rows: what a row is made by must not keep it. */
  readonly #columns: Columns;
  #values: readonly Value[] = [];

  constructor(db: Database, key: TableKey) {
    this.#read = db.prepare<unknown[], Value[]>(selectAll(key)).raw();
    const names: readonly string[] = TABLES[key].columns;
    const columns = names.map((name, i) => [name, { get: () => this.#values[i], enumerable: true }] as const);
    this.#columns = Object.defineProperties({}, Object.fromEntries(columns)) as Columns;
  }

  all<R>(make: (columns: Columns) => R): R[] {
    const rows: R[] = [];
    for (const values of this.#read.iterate()) {
      this.#values = values;
      rows.push(make(this.#columns));
    }
    this.#values = [];
    return rows;
  }
}
