/**
 * A request's body that is read whole because its hash has to be known before its head can leave. Small ones stay in memory; what is longer
 * goes to a file that is encrypted with a key of this one body, and that has no name any more once it is open.
 * Must never leave a byte of a body on a disk in the clear.
 */
import { type Cipher, createCipheriv, createDecipheriv, createHash, randomBytes } from 'node:crypto';
import { closeSync, constants, openSync, read, unlinkSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { AlterError } from '../domain/errors.ts';
import { HeaderKind } from './header-kinds.ts';
import { BodyAborted, withoutExpect } from './held-body.ts';
import { blockOf } from './http1/serialize.ts';
import type { AgentBody, AgentReply, AgentRequest, BodySink } from './message.ts';

const MEMORY_BYTES = 1024 * 1024;
/** What an agent may make the daemon write to the disk with one request. */
export const MAX_SPOOLED_BYTES = 256 * 1024 * 1024;
const READ_BYTES = 64 * 1024;

/** The encrypted file behind a body. */
class SpoolFile {
  readonly #fd: number;
  readonly #key = randomBytes(32);
  readonly #iv = randomBytes(16);
  readonly #cipher: Cipher;
  #isOpen = true;

  constructor() {
    const path = join(tmpdir(), `alterd-body-${randomBytes(12).toString('hex')}`);
    this.#fd = openSync(path, constants.O_RDWR | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW, 0o600);
    unlinkSync(path);
    // SECURITY: a disk keeps what was deleted. Nothing but this object knows the key. A file that somebody changed decrypts to
    // another body, whose hash is not the one that was signed: the origin refuses it.
    this.#cipher = createCipheriv('aes-256-ctr', this.#key, this.#iv);
  }

  write(slice: Buffer): void {
    const sealed = this.#cipher.update(slice);
    for (let at = 0; at < sealed.length; ) at += writeSync(this.#fd, sealed, at);
  }

  /** Calls `take` with each piece in order until it answers false, then waits for `next`. */
  reader(take: (piece: Buffer) => boolean, done: (error: Error | null) => void): { next: () => void } {
    const decipher = createDecipheriv('aes-256-ctr', this.#key, this.#iv);
    let position = 0;
    const next = (): void => {
      if (!this.#isOpen) return;
      const buffer = Buffer.allocUnsafe(READ_BYTES);
      read(this.#fd, buffer, 0, READ_BYTES, position, (error, count) => {
        if (!this.#isOpen) return;
        if (error !== null || count === 0) {
          done(error);
          return;
        }
        position += count;
        if (take(decipher.update(buffer.subarray(0, count)))) next();
      });
    };
    return { next };
  }

  close(): void {
    if (!this.#isOpen) return;
    this.#isOpen = false;
    closeSync(this.#fd);
    this.#key.fill(0);
  }
}

export class SpooledBody implements AgentBody {
  readonly complete = true;
  /** Hex, of the whole body. */
  readonly sha256: string;
  readonly #memory: readonly Buffer[];
  readonly #file: SpoolFile | null;
  readonly #trailers: readonly string[];
  #resume: (() => void) | null = null;

  constructor(sha256: string, memory: readonly Buffer[], file: SpoolFile | null, trailers: readonly string[]) {
    this.sha256 = sha256;
    this.#memory = memory;
    this.#file = file;
    this.#trailers = trailers;
  }

  attach(sink: BodySink): void {
    for (const part of this.#memory) sink.write(part, false);
    const finish = (): void => {
      sink.end(this.#trailers);
      sink.flush();
    };
    if (this.#file === null) {
      finish();
      return;
    }
    const take = (piece: Buffer): boolean => {
      const goesOn = sink.write(piece, false);
      sink.flush();
      this.#resume = goesOn ? null : reader.next;
      return goesOn;
    };
    const reader = this.#file.reader(take, (error) => (error === null ? finish() : sink.abort()));
    reader.next();
  }

  pause(): void {}

  resume(): void {
    const resume = this.#resume;
    this.#resume = null;
    resume?.();
  }

  dispose(): void {
    this.#file?.close();
  }
}

class Spool implements BodySink {
  readonly #done: (body: SpooledBody) => void;
  readonly #failed: (cause: Error) => void;
  readonly #hash = createHash('sha256');
  readonly #memory: Buffer[] = [];
  #file: SpoolFile | null = null;
  #bytes = 0;
  #isOver = false;

  constructor(done: (body: SpooledBody) => void, failed: (cause: Error) => void) {
    this.#done = done;
    this.#failed = failed;
  }

  write(slice: Buffer, shared: boolean): boolean {
    if (this.#isOver) return true;
    this.#bytes += slice.length;
    if (this.#bytes > MAX_SPOOLED_BYTES) this.#giveUp(tooLong(`is longer than ${MAX_SPOOLED_BYTES} bytes`));
    else this.#keep(slice, shared);
    return true;
  }

  #keep(slice: Buffer, shared: boolean): void {
    this.#hash.update(slice);
    if (this.#bytes <= MEMORY_BYTES) {
      this.#memory.push(shared ? Buffer.from(slice) : slice);
      return;
    }
    try {
      this.#file ??= new SpoolFile();
      this.#file.write(slice);
    } catch (thrown) {
      this.#giveUp(tooLong(`there is no room to hold it (${(thrown as NodeJS.ErrnoException).code ?? 'unknown'})`));
    }
  }

  flush(): void {}

  end(trailers: readonly string[]): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#done(new SpooledBody(this.#hash.digest('hex'), this.#memory, this.#file, trailers));
  }

  abort(): void {
    this.#giveUp(new BodyAborted('the agent left before its body was complete'));
  }

  #giveUp(cause: Error): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#memory.length = 0;
    this.#file?.close();
    this.#failed(cause);
  }
}

const tooLong = (reason: string): AlterError =>
  new AlterError('request_too_large', {
    reason: `its body has to be hashed to sign it, and ${reason}; a client that hashes it itself (X-Amz-Content-Sha256) can send it`,
    proxy_status: 413,
  });

/**
 * The same request with its body read and hashed.
 * @throws AlterError request_too_large; BodyAborted
 */
export async function spoolBody(
  request: AgentRequest,
  reply: AgentReply,
): Promise<AgentRequest & { readonly body: SpooledBody }> {
  if (request.framing.kind === 'length' && request.framing.length > MAX_SPOOLED_BYTES)
    throw tooLong(`is longer than ${MAX_SPOOLED_BYTES} bytes`);
  const expects = (request.present & (1 << HeaderKind.expect)) !== 0;
  // The agent waits for the word to send its body, which the origin can't give before it has the request.
  if (expects) reply.informational(100, blockOf([]));
  const body = await new Promise<SpooledBody>((resolve, reject) => request.body.attach(new Spool(resolve, reject)));
  return { ...(expects ? withoutExpect(request) : request), body };
}
