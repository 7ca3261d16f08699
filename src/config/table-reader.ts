/**
 * Reads one TOML table key by key and remembers every problem with its path, unknown keys included.
 * It never throws: the caller looks at the problems once everything was read.
 */

/** Told the dotted path and what is wrong with it. */
export type ProblemSink = (path: string, problem: string) => void;

export class TableReader {
  readonly #table: Readonly<Record<string, unknown>>;
  readonly #prefix: string;
  readonly #report: ProblemSink;
  readonly #seen = new Set<string>();
  #count = 0;

  constructor(table: Readonly<Record<string, unknown>>, prefix: string, report: ProblemSink) {
    this.#table = table;
    this.#prefix = prefix;
    this.#report = report;
  }

  /** How many problems this table has shown so far, those of its inner tables included. */
  get problems(): number {
    return this.#count;
  }

  problem(key: string, text: string): void {
    this.#count++;
    this.#report(this.#prefix + key, text);
  }

  keys(): string[] {
    return Object.keys(this.#table);
  }

  has(key: string): boolean {
    return Object.hasOwn(this.#table, key);
  }

  isEmptyList(key: string): boolean {
    const raw = this.#table[key];
    return Array.isArray(raw) && raw.length === 0;
  }

  /** `check` answers what is wrong with the text, or null. */
  text(key: string, check: (value: string) => string | null = () => null): string {
    return this.optionalText(key, check) ?? this.#missing(key, '');
  }

  optionalText(key: string, check: (value: string) => string | null = () => null): string | undefined {
    const raw = this.#take(key);
    if (raw === undefined) return undefined;
    const problem = typeof raw === 'string' ? check(raw) : 'must be a string';
    if (problem !== null) this.problem(key, problem);
    return typeof raw === 'string' ? raw : '';
  }

  toggle(key: string, initial: boolean): boolean {
    const raw = this.#take(key) ?? initial;
    if (typeof raw !== 'boolean') this.problem(key, 'must be true or false');
    return raw === true;
  }

  /** A whole number within bounds. */
  integer(key: string, initial: number, min: number, max: number): number {
    const raw = this.#take(key) ?? initial;
    const isRight = typeof raw === 'number' && Number.isInteger(raw) && raw >= min && raw <= max;
    if (!isRight) this.problem(key, `must be a whole number from ${min} to ${max}`);
    return isRight ? raw : initial;
  }

  choice<const T extends string>(key: string, allowed: readonly T[]): T {
    const value = this.text(key, (text) =>
      allowed.some((each) => each === text) ? null : `must be one of ${allowed.map((each) => `"${each}"`).join(', ')}`,
    );
    return value as T;
  }

  optionalChoice<const T extends string>(key: string, allowed: readonly T[]): T | undefined {
    return this.has(key) ? this.choice(key, allowed) : void this.#seen.add(key);
  }

  optionalWhole(key: string, least: number, most: number): number | undefined {
    const raw = this.#take(key);
    if (raw === undefined) return undefined;
    const value = typeof raw === 'bigint' ? Number(raw) : raw;
    if (typeof value === 'number' && Number.isSafeInteger(value) && value >= least && value <= most) return value;
    this.problem(key, `must be a whole number from ${least} to ${most}`);
    return undefined;
  }

  /** A table of strings, `key = { name = "value" }`; `check` answers what is wrong with one, or null. */
  textTable(key: string, check: (name: string, value: string) => string | null): Record<string, string> {
    return (
      this.table(key, (each) =>
        Object.fromEntries(Object.keys(each.#table).map((name) => [name, each.text(name, (value) => check(name, value))])),
      ) ?? {}
    );
  }

  /** The table `[key]`, read and closed; undefined when there is none. */
  table<T>(key: string, read: (reader: TableReader) => T): T | undefined {
    const raw = this.#take(key);
    if (raw === undefined) return undefined;
    if (typeof raw !== 'object' || raw === null || Array.isArray(raw) || raw instanceof Date) {
      this.problem(key, 'must be a table');
      return undefined;
    }
    const reader = new TableReader(raw as Record<string, unknown>, `${this.#prefix}${key}.`, this.#report);
    const value = read(reader);
    reader.close();
    this.#count += reader.#count;
    return value;
  }

  /** A list of strings; `read` answers the value to keep, or null when it is wrong. */
  texts(key: string, expected: string, read: (value: string) => string | null): string[] {
    const raw = this.#take(key) ?? [];
    if (!Array.isArray(raw)) {
      this.problem(key, 'must be a list');
      return [];
    }
    return raw.flatMap((each: unknown, index) => {
      const value = typeof each === 'string' ? read(each) : null;
      if (value === null) this.problem(`${key}.${index}`, `${JSON.stringify(each)} must be ${expected}`);
      return value === null ? [] : [value];
    });
  }

  /** The tables of `[[key]]`, each read and closed in turn. */
  tables<T>(key: string, read: (reader: TableReader) => T): T[] {
    const raw = this.#take(key) ?? [];
    if (!Array.isArray(raw) || !raw.every((each) => typeof each === 'object' && each !== null && !Array.isArray(each))) {
      this.problem(key, `must be written as [[${key}]] tables`);
      return [];
    }
    return raw.map((each: Record<string, unknown>, index) => {
      const reader = new TableReader(each, `${this.#prefix}${key}.${index}.`, this.#report);
      const value = read(reader);
      reader.close();
      this.#count += reader.#count;
      return value;
    });
  }

  /** A value of whatever type, for the caller to check; undefined when it is absent. */
  raw(key: string): unknown {
    return this.#take(key);
  }

  /** Reports every key that nobody asked for. */
  close(): void {
    for (const key of Object.keys(this.#table)) if (!this.#seen.has(key)) this.problem(key, 'is not a known key');
  }

  #take(key: string): unknown {
    this.#seen.add(key);
    return this.has(key) ? this.#table[key] : undefined;
  }

  #missing(key: string, instead: string): string {
    this.problem(key, 'is missing');
    return instead;
  }
}
