/**
 * One more try with a newer token, when the provider answers 401 to a connected account. The 401 is held back while the vault asks for
 * the token; it goes on to the agent as it came when there is none.
 * SECURITY: only for methods that may be repeated, and only when the whole body is still here; a second time never (S-48, S-103).
 */
import type { AlterError } from '../domain/errors.ts';
import type { AnswerGuard } from './answer-guard.ts';
import type { Framing } from './http1/framing.ts';
import type { ResponseHead } from './http1/head.ts';
import type { AgentRequest } from './message.ts';
import type { ResponseSink, UpstreamRequest } from './upstream/upstream.ts';

/** The same request with newer material. */
export interface RenewedRequest {
  readonly outgoing: UpstreamRequest;
  readonly guard: AnswerGuard | null;
}

/** Answers null when there is nothing newer to try with. Never throws. */
export type Renewal = () => Promise<RenewedRequest | null>;

const KEPT_MAX_BYTES = 64 * 1024;
const REPEATABLE: ReadonlySet<string> = new Set(['GET', 'HEAD', 'OPTIONS', 'PUT', 'DELETE']);

/** By its method and the length that it announces. */
export const mayRepeat = ({ method, framing }: AgentRequest): boolean =>
  REPEATABLE.has(method) && (framing.kind === 'none' || (framing.kind === 'length' && framing.length <= KEPT_MAX_BYTES));

/** A copy of a request's body, for a second try. */
export class KeptBody {
  readonly #parts: Buffer[] = [];
  #bytes = 0;
  #ended = false;

  add(slice: Buffer): void {
    this.#bytes += slice.length;
    if (this.#bytes <= KEPT_MAX_BYTES) this.#parts.push(Buffer.from(slice));
  }

  end(trailers: readonly string[]): void {
    this.#ended = trailers.length === 0 && this.#bytes <= KEPT_MAX_BYTES;
  }

  /** The body in one piece; null while it is not all here. */
  get whole(): Buffer | null {
    return this.#ended ? Buffer.concat(this.#parts) : null;
  }
}

export interface GateEvents {
  /** True when the request may go out once more just now. */
  mayTryAgain(): boolean;
  /** Asks for something newer and sends it; false when there is none. `isOver`: the refused answer needs its socket no more. */
  tryAgain(isOver: () => boolean): Promise<boolean>;
  resume(): void;
}

/** Stands between origin and exchange for the first try, and holds a 401 back. */
export class RefusalGate implements ResponseSink {
  readonly #inner: ResponseSink;
  readonly #events: GateEvents;
  /** What arrived of the refusal meanwhile, to be told again in order; null while nothing is held. */
  #held: (() => void)[] | null = null;
  #ended = false;
  #dropped = false;

  constructor(inner: ResponseSink, events: GateEvents) {
    this.#inner = inner;
    this.#events = events;
  }

  get isOver(): boolean {
    return this.#dropped || this.#inner.isOver;
  }

  onHead(head: ResponseHead, framing: Framing): void {
    if (this.#dropped) return;
    if (head.status !== 401 || !this.#events.mayTryAgain()) {
      this.#inner.onHead(head, framing);
      return;
    }
    this.#held = [() => this.#inner.onHead(head, framing)];
    void this.#events
      .tryAgain(() => this.#ended)
      .then((isSent) => {
        const held = this.#held ?? [];
        this.#held = null;
        // The agent may have left, or been cut off, while the vault was asking.
        this.#dropped = isSent || this.#inner.isOver;
        if (this.#dropped) return;
        for (const tell of held) tell();
        if (!this.#ended) this.#events.resume();
      });
  }

  onInformational(head: ResponseHead): void {
    this.#pass(() => this.#inner.onInformational(head));
  }

  onBody(slice: Buffer, shared: boolean): boolean {
    if (this.#dropped) return true;
    if (this.#held === null) return this.#inner.onBody(slice, shared);
    const copy = Buffer.from(slice);
    this.#held.push(() => void this.#inner.onBody(copy, false));
    return false;
  }

  onBodyEnd(trailers: readonly string[]): void {
    this.#ended = true;
    this.#pass(() => this.#inner.onBodyEnd(trailers));
  }

  onFlush(): void {
    this.#pass(() => this.#inner.onFlush());
  }

  onFail(error: AlterError): void {
    this.#ended = true;
    this.#pass(() => this.#inner.onFail(error));
  }

  onWritable(): void {
    if (!this.#dropped) this.#inner.onWritable();
  }

  onSwitch(head: ResponseHead, rest: Buffer | null): boolean {
    return !this.#dropped && this.#held === null && this.#inner.onSwitch(head, rest);
  }

  #pass(tell: () => void): void {
    if (this.#dropped) return;
    if (this.#held === null) tell();
    else this.#held.push(tell);
  }
}
