/**
 * What waits to be posted to one receiver: bounded, in order, tried a few times. Nobody ever waits for it, and it must never keep the daemon alive.
 * SECURITY: errors name the host alone: the rest of the URL may be a secret, and an answer is somebody else's text.
 */
import { type AlterError, toAlterError } from '../domain/errors.ts';
import type { HttpsCall } from '../domain/https-call.ts';
import type { NoticeStatus } from '../domain/notice-status.ts';
import type { Notice } from './notice.ts';
import type { NoticeTarget } from './targets.ts';

const MAX_QUEUED = 256;
const PAUSES_MS = [500, 2_000, 8_000] as const;
const MAX_PAUSE_MS = 30_000;

export type OnTrouble = (fields: object, message: string) => void;

export class Outbox {
  /** A reload may replace it; what waits goes to the new one. */
  target: NoticeTarget;
  readonly #call: HttpsCall;
  readonly #onTrouble: OnTrouble;
  readonly #queue: Notice[] = [];
  readonly #closing = new AbortController();
  #running = false;
  #delivered = 0;
  #failed = 0;
  #error: string | null = null;
  #deliveredAt: number | null = null;

  constructor(target: NoticeTarget, call: HttpsCall, onTrouble: OnTrouble) {
    this.target = target;
    this.#call = call;
    this.#onTrouble = onTrouble;
  }

  get status(): NoticeStatus {
    return {
      name: this.target.name,
      host: this.target.host,
      queued: this.#queue.length + (this.#running ? 1 : 0),
      delivered: this.#delivered,
      failed: this.#failed,
      error: this.#error,
      deliveredAt: this.#deliveredAt,
    };
  }

  push(notice: Notice): void {
    if (this.#closing.signal.aborted) return;
    // The oldest says the least: what it is about is over first.
    if (this.#queue.length >= MAX_QUEUED) {
      this.#queue.shift();
      this.#failed++;
    }
    this.#queue.push(notice);
    if (!this.#running) void this.#run();
  }

  close(): void {
    this.#queue.length = 0;
    this.#closing.abort();
  }

  async #run(): Promise<void> {
    this.#running = true;
    for (let next = this.#queue.shift(); next !== undefined; next = this.#queue.shift()) this.#note(await this.#deliver(next));
    this.#running = false;
  }

  /** Answers what kept it from being delivered; null when it was. Never throws. */
  async #deliver(notice: Notice): Promise<string | null> {
    for (let attempt = 0; ; attempt++) {
      const { problem, isFinal, retryAfterS } = await this.#post(notice);
      if (problem === null || this.#closing.signal.aborted) return problem;
      const pause = PAUSES_MS[attempt];
      if (isFinal || pause === undefined) return problem;
      await this.#pause(Math.min(MAX_PAUSE_MS, Math.max(pause, (retryAfterS ?? 0) * 1_000)));
    }
  }

  async #post(notice: Notice): Promise<{ problem: string | null; isFinal: boolean; retryAfterS: number | null }> {
    try {
      const { status, retryAfterS } = await this.#call({
        ...this.target.request(notice, Date.now()),
        signal: this.#closing.signal,
      });
      if (status >= 200 && status <= 299) return { problem: null, isFinal: true, retryAfterS: null };
      const mayPass = status >= 500 || status === 429 || status === 408;
      return { problem: `the receiver answered ${status}`, isFinal: !mayPass, retryAfterS };
    } catch (thrown) {
      const error: AlterError = toAlterError(thrown);
      return { problem: error.message, isFinal: error.code === 'destination_refused', retryAfterS: null };
    }
  }

  #pause(ms: number): Promise<void> {
    const { signal } = this.#closing;
    return new Promise((resolve) => {
      const end = (): void => {
        clearTimeout(timer);
        signal.removeEventListener('abort', end);
        resolve();
      };
      const timer = setTimeout(end, ms);
      timer.unref();
      signal.addEventListener('abort', end);
    });
  }

  #note(problem: string | null): void {
    if (this.#closing.signal.aborted) return;
    const { name, host } = this.target;
    if (problem === null) {
      if (this.#error !== null) this.#onTrouble({ notice: name, host }, 'notices are delivered again');
      this.#delivered++;
      this.#deliveredAt = Date.now();
    } else {
      this.#failed++;
      if (this.#error === null) this.#onTrouble({ notice: name, host, error: problem }, 'a notice could not be delivered');
    }
    this.#error = problem;
  }
}
