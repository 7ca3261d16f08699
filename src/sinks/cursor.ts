/** How far a sink has come, kept on disk: replaced as a whole, so that a crash leaves the old place or the new one. */
import { closeSync, constants, fsyncSync, mkdirSync, openSync, renameSync, writeSync } from 'node:fs';
import { dirname } from 'node:path';
import { readPrivateFile } from '../crypto/private-file.ts';

export interface Cursor {
  /** The last row that was delivered. */
  readonly n: number;
  /** The row of the last checkpoint that was delivered. */
  readonly checkpoint: number;
}

/** Beyond any row. */
export const NO_ROW = 2 ** 52;

/** Where a sink's place is kept. */
export interface Place {
  /** Whoever receives the rows knows it: it is asked again after each failure. */
  readonly isElsewhere: boolean;
  /** Undefined when nothing was ever delivered. */
  read(): Cursor | undefined | Promise<Cursor>;
  write(cursor: Cursor): void;
}

export class CursorFile implements Place {
  readonly isElsewhere = false;
  readonly #path: string;

  constructor(path: string) {
    this.#path = path;
  }

  /** Undefined when nothing was ever delivered. @throws AlterError vault_unavailable when the file is not private; Error when it is damaged */
  read(): Cursor | undefined {
    const bytes = readPrivateFile(this.#path);
    if (bytes === undefined) return undefined;
    const match = /^(\d{1,15}) (\d{1,15})\n$/.exec(bytes.toString('latin1'));
    if (match === null) throw new Error(`${this.#path} is damaged: remove it, and the sink begins anew`);
    return { n: Number(match[1]), checkpoint: Number(match[2]) };
  }

  write({ n, checkpoint }: Cursor): void {
    mkdirSync(dirname(this.#path), { recursive: true, mode: 0o700 });
    const draft = `${this.#path}.new`;
    const fd = openSync(draft, constants.O_WRONLY | constants.O_CREAT | constants.O_TRUNC | constants.O_NOFOLLOW, 0o600);
    try {
      writeSync(fd, `${n} ${checkpoint}\n`);
      fsyncSync(fd);
    } finally {
      closeSync(fd);
    }
    renameSync(draft, this.#path);
  }
}
