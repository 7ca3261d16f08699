/**
 * Reads answers off a socket by hand: what the self-test looks at must not have passed through the parser that it tests.
 * It trusts nothing to come: every wait has an end.
 */
import type { Socket } from 'node:net';
import { CheckFailure } from './check.ts';

const WAIT_MS = 10_000;

export interface Answer {
  readonly status: number;
  /** Names and values, as they came. */
  readonly headers: readonly (readonly [string, string])[];
  readonly body: Buffer;
  header(name: string): string | undefined;
  /** Everything in one text, to search. */
  readonly text: string;
}

export class AnswerReader {
  readonly #socket: Socket;
  #bytes: Buffer = Buffer.alloc(0);
  #isOver = false;
  #wake: (() => void) | null = null;

  constructor(socket: Socket) {
    this.#socket = socket;
    const finish = (): void => {
      this.#isOver = true;
      this.#wake?.();
    };
    socket.on('error', finish);
    socket.on('end', finish);
    socket.on('close', finish);
    socket.on('data', (chunk: Buffer) => {
      this.#bytes = Buffer.concat([this.#bytes, chunk]);
      this.#wake?.();
    });
  }

  /** The next answer. @throws CheckFailure when none comes in time, or the socket ends before */
  async next(method = 'GET'): Promise<Answer> {
    for (;;) {
      const head = await this.#upTo('\r\n\r\n');
      const [line = '', ...lines] = head.toString('latin1').split('\r\n');
      const status = Number(/^HTTP\/1\.1 (\d{3})/.exec(line)?.[1] ?? Number.NaN);
      if (Number.isNaN(status)) throw new CheckFailure(`the answer is no HTTP: ${JSON.stringify(line.slice(0, 60))}`);
      const headers = lines
        .filter((each) => each !== '')
        .map((each) => [each.slice(0, each.indexOf(':')), each.slice(each.indexOf(':') + 1).trim()] as const);
      const header = (name: string): string | undefined => headers.find(([each]) => each.toLowerCase() === name)?.[1];
      if (status === 100) continue;
      const body = hasNoBody(status, method) ? Buffer.alloc(0) : await this.#body(header);
      return { status, headers, body, header, text: `${head.toString('latin1')}${body.toString('latin1')}` };
    }
  }

  /** Everything until the other side ends the socket. @throws CheckFailure when it does not */
  async rest(): Promise<Buffer> {
    await this.ended();
    return this.#bytes;
  }

  /** Resolves when the other side ends the socket. @throws CheckFailure when it does not */
  async ended(): Promise<void> {
    while (!this.#isOver) await this.#more();
  }

  async #body(header: (name: string) => string | undefined): Promise<Buffer> {
    if (/chunked/i.test(header('transfer-encoding') ?? '')) {
      const parts: Buffer[] = [];
      for (;;) {
        const size = Number.parseInt((await this.#upTo('\r\n')).toString('latin1'), 16);
        if (Number.isNaN(size)) throw new CheckFailure('the answer has a broken chunk');
        if (size === 0) {
          while ((await this.#upTo('\r\n')).length > 2);
          return Buffer.concat(parts);
        }
        parts.push((await this.#take(size + 2)).subarray(0, size));
      }
    }
    const length = header('content-length');
    if (length !== undefined) return this.#take(Number(length));
    while (!this.#isOver) await this.#more();
    return this.#take(this.#bytes.length);
  }

  async #upTo(end: string): Promise<Buffer> {
    while (!this.#bytes.includes(end)) await this.#moreOrFail();
    return this.#take(this.#bytes.indexOf(end) + end.length);
  }

  async #take(count: number): Promise<Buffer> {
    while (this.#bytes.length < count) await this.#moreOrFail();
    const taken = this.#bytes.subarray(0, count);
    this.#bytes = this.#bytes.subarray(count);
    return taken;
  }

  async #moreOrFail(): Promise<void> {
    if (this.#isOver) throw new CheckFailure('the proxy closed the connection without an answer');
    await this.#more();
  }

  #more(): Promise<void> {
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        this.#wake = null;
        this.#socket.destroy();
        reject(new CheckFailure(`nothing came within ${WAIT_MS / 1000} s`));
      }, WAIT_MS);
      this.#wake = () => {
        clearTimeout(timer);
        this.#wake = null;
        resolve();
      };
    });
  }
}

const hasNoBody = (status: number, method: string): boolean =>
  method === 'HEAD' || (method === 'CONNECT' && status === 200) || status === 101 || status === 204 || status === 304;
