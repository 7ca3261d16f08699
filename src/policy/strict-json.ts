/**
 * JSON as every parser reads it, or not at all. Parsers differ on members that are there twice (first, last, both), and some
 * match names without letter case, so a document with such members says different things to a rule and to an origin (S-57, S-90).
 * Must never repair anything.
 */

export type Json = null | boolean | number | string | readonly Json[] | JsonObject;
export interface JsonObject {
  readonly [name: string]: Json;
}

const MAX_DEPTH = 64;
const STRING = /"(?:[^"\\\x00-\x1f]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*"/y;
const NUMBER = /-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?/y;
const SPACE = /[ \t\r\n]*/y;

/** What is wrong with a document; never holds a value of it. */
export class JsonProblem extends Error {}

/** Reads one document. @throws JsonProblem */
export function parseStrictJson(text: string): Json {
  const reader = new Reader(text);
  const value = reader.value(0);
  if (!reader.isAtEnd()) throw new JsonProblem('there is text behind the JSON document');
  return value;
}

class Reader {
  readonly #text: string;
  #at = 0;

  constructor(text: string) {
    this.#text = text;
  }

  isAtEnd(): boolean {
    this.#take(SPACE);
    return this.#at === this.#text.length;
  }

  value(depth: number): Json {
    if (depth > MAX_DEPTH) throw new JsonProblem('the JSON document is nested too deeply');
    this.#take(SPACE);
    switch (this.#text[this.#at]) {
      case '{':
        return this.#object(depth);
      case '[':
        return this.#array(depth);
      case '"':
        return this.#string();
      case 't':
        return this.#word('true', true);
      case 'f':
        return this.#word('false', false);
      case 'n':
        return this.#word('null', null);
      default: {
        const number = this.#take(NUMBER);
        if (number === '') throw new JsonProblem('it is not JSON');
        return Number(number);
      }
    }
  }

  #object(depth: number): JsonObject {
    const members: Record<string, Json> = Object.create(null) as Record<string, Json>;
    const seen = new Set<string>();
    this.#at++;
    if (this.#next('}')) return members;
    do {
      this.#take(SPACE);
      const name = this.#string();
      const folded = name.toLowerCase();
      // SECURITY: the rule would read one of the two, and the origin the other.
      if (seen.has(folded)) throw new JsonProblem('a member of a JSON object is there twice');
      seen.add(folded);
      if (!this.#next(':')) throw new JsonProblem('it is not JSON');
      members[name] = this.value(depth + 1);
    } while (this.#next(','));
    if (!this.#next('}')) throw new JsonProblem('it is not JSON');
    return members;
  }

  #array(depth: number): Json[] {
    const items: Json[] = [];
    this.#at++;
    if (this.#next(']')) return items;
    do items.push(this.value(depth + 1));
    while (this.#next(','));
    if (!this.#next(']')) throw new JsonProblem('it is not JSON');
    return items;
  }

  #string(): string {
    const raw = this.#take(STRING);
    if (raw === '') throw new JsonProblem('it is not JSON');
    return raw.includes('\\') ? (JSON.parse(raw) as string) : raw.slice(1, -1);
  }

  #word<T extends Json>(word: string, value: T): T {
    if (!this.#text.startsWith(word, this.#at)) throw new JsonProblem('it is not JSON');
    this.#at += word.length;
    return value;
  }

  #next(character: string): boolean {
    this.#take(SPACE);
    if (this.#text[this.#at] !== character) return false;
    this.#at++;
    return true;
  }

  #take(pattern: RegExp): string {
    pattern.lastIndex = this.#at;
    const found = pattern.exec(this.#text)?.[0] ?? '';
    this.#at += found.length;
    return found;
  }
}

export const isJsonObject = (value: Json | undefined): value is JsonObject =>
  typeof value === 'object' && value !== null && !Array.isArray(value);
