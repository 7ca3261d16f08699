/**
 * Rows as JSON lines in a file, with `file.1`, `file.2`, … behind it. Synced before anything counts as delivered.
 * It must never write through a link, and never leave half a line before the next one.
 */
import {
  closeSync,
  constants,
  fdatasyncSync,
  fstatSync,
  ftruncateSync,
  openSync,
  readSync,
  renameSync,
  writeSync,
} from 'node:fs';
import type { FileSinkConfig } from '../config/sink.ts';
import type { Complaint, Sink, SinkItem } from './sink.ts';

const TAIL_BYTES = 64 * 1024;

export class FileSink implements Sink {
  readonly #config: FileSinkConfig;
  #fd: number | null = null;
  #size = 0;

  constructor(config: FileSinkConfig) {
    this.#config = config;
  }

  async deliver(items: readonly SinkItem[]): Promise<Complaint> {
    try {
      for (const { line } of items) {
        const bytes = Buffer.from(`${line}\n`, 'latin1');
        if (this.#fd !== null && this.#size > 0 && this.#size + bytes.length > this.#config.maxBytes) this.#rotate();
        const fd = this.#fd ?? this.#open();
        for (let done = 0; done < bytes.length; ) done += writeSync(fd, bytes, done, bytes.length - done, this.#size + done);
        this.#size += bytes.length;
      }
      if (this.#fd !== null) fdatasyncSync(this.#fd);
      return null;
    } catch (error) {
      // The next attempt opens it again, and takes off what this one left half done.
      this.close();
      throw error;
    }
  }

  close(): void {
    if (this.#fd !== null) closeSync(this.#fd);
    this.#fd = null;
  }

  #open(): number {
    // SECURITY: not through a link, or a planted one would let rows grow another file.
    const fd = openSync(
      this.#config.file,
      constants.O_RDWR | constants.O_CREAT | constants.O_NOFOLLOW | constants.O_NONBLOCK,
      0o600,
    );
    const stats = fstatSync(fd);
    if (!stats.isFile()) {
      closeSync(fd);
      throw new Error(`${this.#config.file} is no regular file`);
    }
    this.#fd = fd;
    this.#size = wholeLines(fd, stats.size);
    if (this.#size < stats.size) ftruncateSync(fd, this.#size);
    return fd;
  }

  #rotate(): void {
    const { file, keep } = this.#config;
    fdatasyncSync(this.#fd as number);
    this.close();
    for (let i = keep; i >= 1; i -= 1) {
      try {
        renameSync(i === 1 ? file : `${file}.${i - 1}`, `${file}.${i}`);
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
      }
    }
  }
}

/** Up to the end of the last line: a crash may have left a part of one. */
function wholeLines(fd: number, size: number): number {
  const bytes = Buffer.alloc(TAIL_BYTES);
  for (let end = size; end > 0; ) {
    const start = Math.max(0, end - TAIL_BYTES);
    const length = readSync(fd, bytes, 0, end - start, start);
    const newline = bytes.subarray(0, length).lastIndexOf(0x0a);
    if (newline >= 0) return start + newline + 1;
    end = start;
  }
  return 0;
}
