/** Steps through DER values one after the other. It knows tags and lengths, never what they mean; anything that does not fit throws. */

export class DerReader {
  readonly #bytes: Buffer;
  #at = 0;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  get isAtEnd(): boolean {
    return this.#at >= this.#bytes.length;
  }

  /** Tag of the next value; -1 at the end. */
  peek(): number {
    return this.#bytes[this.#at] ?? -1;
  }

  /** The contents of the next value, which must have this tag. */
  take(tag: number): Buffer {
    if (this.peek() !== tag) throw new Error('is not in the form of RFC 5280');
    const { start, end } = this.#bounds();
    this.#at = end;
    return this.#bytes.subarray(start, end);
  }

  enter(tag: number): DerReader {
    return new DerReader(this.take(tag));
  }

  skip(): void {
    this.#at = this.#bounds().end;
  }

  /** The next value with its tag and length, without stepping over it. */
  peekWhole(): Buffer {
    return this.#bytes.subarray(this.#at, this.#bounds().end);
  }

  #bounds(): { start: number; end: number } {
    const first = this.#bytes[this.#at + 1] ?? 0x80;
    const width = first < 0x80 ? 0 : first - 0x80;
    const start = this.#at + 2 + width;
    if (first === 0x80 || width > 4 || start > this.#bytes.length) throw new Error('is not in the form of RFC 5280');
    const length = width === 0 ? first : this.#bytes.readUIntBE(this.#at + 2, width);
    if (start + length > this.#bytes.length) throw new Error('ends too early');
    return { start, end: start + length };
  }
}
