/**
 * When keys and credentials were last used: noted in memory on the request path, written to the store in batches.
 * Losing the last few in a crash is fine; making a request wait for them is not.
 */
import type { LastUse } from '../store/rows.ts';

const FLUSH_AFTER_MS = 30_000;

export class LastUses {
  readonly #write: (uses: readonly LastUse[]) => Promise<void>;
  readonly #latest = new Map<string, LastUse>();
  readonly #unwritten = new Set<string>();
  #timer: NodeJS.Timeout | undefined;

  constructor(write: (uses: readonly LastUse[]) => Promise<void>) {
    this.#write = write;
  }

  note(of: LastUse['of'], id: string, at: number): void {
    const name = `${of}:${id}`;
    this.#latest.set(name, { of, id, at });
    this.#unwritten.add(name);
    this.#timer ??= setTimeout(() => void this.flush(), FLUSH_AFTER_MS).unref();
  }

  /** The later of what is stored and what was noted. */
  latest(of: LastUse['of'], id: string, stored: number | null): number | null {
    const noted = this.#latest.get(`${of}:${id}`)?.at;
    return noted === undefined ? stored : Math.max(noted, stored ?? 0);
  }

  async flush(): Promise<void> {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    const names = [...this.#unwritten];
    if (names.length === 0) return;
    this.#unwritten.clear();
    try {
      await this.#write(names.flatMap((name) => this.#latest.get(name) ?? []));
    } catch {
      // The next use of anything tries again; a full disk is told by what matters more (the journal, the next change).
      for (const name of names) this.#unwritten.add(name);
    }
  }
}
