/**
 * A secret value that refuses to print, serialise or concatenate itself.
 * Everything that carries a provider credential, a key or a password in memory carries it as a Secret;
 * only the injection and sealing code call reveal(). It must never grow a method that renders the value for people.
 */
import { inspect } from 'node:util';

const MARK = '[secret]';

export class Secret {
  readonly #value: string;

  constructor(value: string) {
    this.#value = value;
  }

  /** The plain value. SECURITY: call this only to inject, seal, hash or compare; never to log or answer. */
  reveal(): string {
    return this.#value;
  }

  /** Length in UTF-16 units; lets a caller validate without revealing. */
  get length(): number {
    return this.#value.length;
  }

  // SECURITY: the three renderings below are what stands between a stray log line and the secret.
  toString(): string {
    return MARK;
  }

  toJSON(): string {
    return MARK;
  }

  [inspect.custom](): string {
    return MARK;
  }
}
