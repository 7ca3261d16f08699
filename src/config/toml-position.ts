/**
 * Where each key and each value of a TOML text stands, by its dotted path: `rules.0.when.hosts.1`. The parser keeps no positions, so
 * a text that it accepted is walked once more. Good for messages, never used for values.
 */

/** Counted from 1. */
export interface TomlPosition {
  readonly line: number;
  readonly column: number;
}

export interface TomlPositions {
  /** Of the value at the path, or of the nearest table around it. */
  positionOf(path: string): TomlPosition;
  /** Of a character within the string at the path: `offset` counts in the string's value. */
  positionIn(path: string, offset: number): TomlPosition;
}

/** @param text TOML that was parsed without an error */
export function locateToml(text: string): TomlPositions {
  const walker = new Walker(text);
  try {
    walker.document();
  } catch {
    // What was found until here still helps.
  }
  const at = (index: number): TomlPosition => {
    const before = text.slice(0, index);
    const start = before.lastIndexOf('\n') + 1;
    return { line: before.split('\n').length, column: index - start + 1 };
  };
  const indexOf = (path: string): number => {
    for (let known = path; known !== ''; known = known.slice(0, Math.max(0, known.lastIndexOf('.')))) {
      const index = walker.starts.get(known);
      if (index !== undefined) return index;
    }
    return 0;
  };
  return {
    positionOf: (path) => at(indexOf(path)),
    positionIn: (path, offset) => at(walker.starts.has(path) ? indexIn(text, indexOf(path), offset) : indexOf(path)),
  };
}

/** Index in the text of a character of the string that starts there; escapes take several characters of the text for one. */
function indexIn(text: string, start: number, offset: number): number {
  const quote = text[start];
  if (quote !== '"' && quote !== "'") return start;
  const isLong = text.startsWith(quote.repeat(3), start);
  let index = start + (isLong ? 3 : 1);
  if (isLong && text[index] === '\r') index++;
  if (isLong && text[index] === '\n') index++;
  for (let left = offset; ; left--) {
    // A backslash at the end of a line stands for nothing, with all space behind it.
    while (isLong && quote === '"' && /^\\[ \t]*\r?\n/.test(text.slice(index, index + 200))) {
      index++;
      while (/\s/.test(text[index] ?? '')) index++;
    }
    if (left <= 0 || index >= text.length) return index;
    const kind = quote === '"' && text[index] === '\\' ? text[index + 1] : null;
    index += kind === null ? 1 : kind === 'u' ? 6 : kind === 'U' ? 10 : kind === 'x' ? 4 : 2;
  }
}

const BARE = /[A-Za-z0-9_-]+/y;
const SPACE = /[ \t]*/y;
const BLANK = /(?:[ \t\r\n]+|#[^\n]*)*/y;
const PLAIN = /[^,\]}\r\n#]+/y;

class Walker {
  readonly starts = new Map<string, number>();
  readonly #text: string;
  readonly #counts = new Map<string, number>();
  #at = 0;

  constructor(text: string) {
    this.#text = text;
  }

  document(): void {
    let prefix = '';
    for (this.#take(BLANK); this.#at < this.#text.length; this.#take(BLANK)) {
      if (this.#text[this.#at] === '[') prefix = this.#header();
      else this.#pair(prefix);
    }
  }

  #header(): string {
    const start = this.#at;
    const isList = this.#text.startsWith('[[', this.#at);
    this.#at += isList ? 2 : 1;
    const name = this.#within(this.#key());
    this.#at += isList ? 2 : 1;
    let path = name;
    if (isList) {
      const nth = this.#counts.get(name) ?? 0;
      this.#counts.set(name, nth + 1);
      path = `${name}.${nth}`;
      if (nth === 0) this.starts.set(name, start);
    }
    this.starts.set(path, start);
    return `${path}.`;
  }

  /** `rules.when` below `[[rules]]` belongs to the rule that was begun last. */
  #within(parts: readonly string[]): string {
    let path = '';
    parts.forEach((part, i) => {
      path = path === '' ? part : `${path}.${part}`;
      const count = this.#counts.get(path);
      if (count !== undefined && i < parts.length - 1) path = `${path}.${count - 1}`;
    });
    return path;
  }

  #pair(prefix: string): void {
    const start = this.#at;
    const parts = this.#key();
    const path = prefix + parts.join('.');
    this.#at++; // =
    this.#take(SPACE);
    parts.slice(0, -1).forEach((_part, i) => {
      const outer = prefix + parts.slice(0, i + 1).join('.');
      if (!this.starts.has(outer)) this.starts.set(outer, start);
    });
    this.#value(path, start);
  }

  #key(): string[] {
    const parts: string[] = [];
    do {
      this.#take(SPACE);
      const quote = this.#text[this.#at];
      parts.push(quote === '"' || quote === "'" ? this.#string().slice(1, -1) : this.#take(BARE));
      this.#take(SPACE);
    } while (this.#text[this.#at] === '.' && this.#at++ >= 0);
    return parts;
  }

  #value(path: string, keyAt: number): void {
    const start = this.#at;
    switch (this.#text[start]) {
      case '"':
      case "'":
        this.starts.set(path, start);
        this.#string();
        return;
      case '[':
        this.starts.set(path, keyAt);
        this.#items(']', (index) => this.#value(`${path}.${index}`, this.#at));
        return;
      case '{':
        this.starts.set(path, keyAt);
        this.#items('}', () => this.#pair(`${path}.`));
        return;
      default:
        this.starts.set(path, start);
        this.#take(PLAIN);
    }
  }

  #items(end: string, item: (index: number) => void): void {
    this.#at++;
    for (let index = 0; ; index++) {
      this.#take(BLANK);
      if (this.#text[this.#at] === end) break;
      if (this.#at >= this.#text.length) throw new Error('the text ends within a value');
      item(index);
      this.#take(BLANK);
      if (this.#text[this.#at] === ',') this.#at++;
    }
    this.#at++;
  }

  /** The string with its quotes. */
  #string(): string {
    const start = this.#at;
    const quote = this.#text[start] as string;
    const mark = this.#text.startsWith(quote.repeat(3), start) ? quote.repeat(3) : quote;
    this.#at += mark.length;
    while (!this.#text.startsWith(mark, this.#at)) {
      if (this.#at >= this.#text.length) throw new Error('the text ends within a string');
      this.#at += quote === '"' && this.#text[this.#at] === '\\' ? 2 : 1;
    }
    this.#at += mark.length;
    // Up to two quotes may stand right before the closing mark.
    while (mark.length === 3 && this.#text[this.#at] === quote) this.#at++;
    return this.#text.slice(start, this.#at);
  }

  #take(pattern: RegExp): string {
    pattern.lastIndex = this.#at;
    const found = pattern.exec(this.#text)?.[0] ?? '';
    this.#at += found.length;
    return found;
  }
}
