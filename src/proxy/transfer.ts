/**
 * Moves one admitted request to the origin and its answer back: bodies stream both ways with backpressure, an abort on one
 * side becomes an abort on the other. Knows nothing of grants or rules; it is given finished heads.
 */
import { AlterError } from '../domain/errors.ts';
import type { BodyRewriter } from '../injection/signer.ts';
import type { BodyEvents, ScrubbedBody } from '../scrub/body.ts';
import type { AnswerGuard } from './answer-guard.ts';
import type { BodyCapture, BodyTap } from './body-capture.ts';
import { findHeader, HeaderKind } from './header-kinds.ts';
import { type Framing, NO_BODY } from './http1/framing.ts';
import type { ResponseHead } from './http1/head.ts';
import type { AgentReply, AgentRequest, BodySink } from './message.ts';
import { answerBlock, answerHeaders, outgoingTrailers } from './outgoing.ts';
import { KeptBody, mayRepeat, RefusalGate, type Renewal } from './renewal.ts';
import { SignedBody } from './signed-body.ts';
import type { UpstreamPool } from './upstream/pool.ts';
import type { ResponseSink, UpstreamRequest, UpstreamStream } from './upstream/upstream.ts';

export interface TransferResult {
  readonly outcome: 'success' | 'provider_error' | 'client_abort';
  /** Status that the agent got; null when it got none. */
  readonly status: number | null;
  /** What went wrong, for the row and, when the answer had not begun, for the refusal. */
  readonly error: AlterError | null;
  readonly bytesIn: number;
  readonly bytesOut: number;
}

export interface TransferPlan {
  readonly outgoing: UpstreamRequest;
  readonly pool: UpstreamPool;
  readonly wantsHttp2: boolean;
  /** Lower-case names that were injected: no trailer may repeat them. */
  readonly injectedNames: ReadonlySet<string>;
  /** The request carries a credential: the provider's 401 is annotated. */
  readonly credentialed: boolean;
  /** Keeps the credential out of the answer; null when no grant is involved. */
  readonly guard: AnswerGuard | null;
  /** Signs the body as it passes; null where it passes as it is. */
  readonly rewriter: BodyRewriter | null;
  /** Keeps the beginning of the bodies; null where the grant asks for none. */
  readonly capture: BodyCapture | null;
  /** For a connected account: what to try once more with after a 401. */
  readonly renewal?: Renewal | null;
  /** Called for a 101 to an upgrade request; answers false when it was not asked for or is not valid. */
  readonly onSwitch: ((head: ResponseHead, rest: Buffer | null, stream: UpstreamStream, headers: string[]) => boolean) | null;
}

const NOTHING: readonly string[] = [];
/** Tells the agent that it is the stored credential which the provider refused. */
const UNAUTHORIZED: readonly string[] = ['Alter-Error', 'provider_unauthorized'];

/** Tells the agent that the account has to consent to more (RFC 6750 3.1). */
const INSUFFICIENT_SCOPE: readonly string[] = ['Alter-Error', 'scope_reauth_required'];

/** What a provider's refusal of the credential means to the agent. */
function annotationOf(head: ResponseHead): readonly string[] {
  if (head.status === 401) return UNAUTHORIZED;
  if (head.status !== 403) return NOTHING;
  return /\berror\s*=\s*"?insufficient_scope\b/i.test(findHeader(head.headers, 'www-authenticate') ?? '')
    ? INSUFFICIENT_SCOPE
    : NOTHING;
}

const NO_LENGTH: readonly string[] = ['Content-Length', '0'];

/** An empty answer whose origin needed no length to say so (HTTP/2): an HTTP/1 agent would wait for a body. */
function lacksLength(method: string, head: ResponseHead, framing: Framing): boolean {
  if (framing.kind !== 'none' || (head.present & (1 << HeaderKind.contentLength)) !== 0) return false;
  return method !== 'HEAD' && head.status !== 204 && head.status !== 304;
}

export class Transfer implements BodySink, ResponseSink, BodyEvents {
  readonly #request: AgentRequest;
  readonly #reply: AgentReply;
  #plan: TransferPlan;
  #stream: UpstreamStream | null = null;
  #settle: ((result: TransferResult) => void) | null = null;
  #status: number | null = null;
  #bytesIn = 0;
  #bytesOut = 0;
  #switched = false;
  /** The answer's body where it is searched; null where it passes as it is. */
  #body: ScrubbedBody | null = null;
  /** Collects the answer's body behind the search. */
  #tap: BodyTap | null = null;
  #trailers: readonly string[] = NOTHING;
  /** A copy of the request's body; null when the request is not sent twice whatever is answered. */
  #kept: KeptBody | null = null;

  constructor(request: AgentRequest, reply: AgentReply, plan: TransferPlan) {
    this.#request = request;
    this.#reply = reply;
    this.#plan = plan;
  }

  /** Begins; `done` is called once when the exchange is over, however it ended. */
  run(done: (result: TransferResult) => void): void {
    this.#settle = done;
    this.#reply.onAbort = () => this.#onAgentGone();
    this.#reply.onDrain = () => {
      if (this.#body === null || this.#body.resume()) this.#stream?.resume();
    };
    const { renewal } = this.#plan;
    if (!renewal || !mayRepeat(this.#request)) {
      this.#send(this);
      return;
    }
    if (this.#request.framing.kind !== 'none') this.#kept = new KeptBody();
    const gate = new RefusalGate(this, {
      mayTryAgain: () => this.#settle !== null && (this.#kept === null || this.#kept.whole !== null),
      tryAgain: (isOver) => this.#tryAgain(renewal, isOver),
      resume: () => this.#stream?.resume(),
    });
    this.#send(gate);
  }

  #send(sink: ResponseSink): void {
    let sent: UpstreamStream | Promise<UpstreamStream>;
    try {
      sent = this.#plan.pool.send(this.#plan.outgoing, sink, this.#plan.wantsHttp2);
    } catch (thrown) {
      this.#fail(thrown);
      return;
    }
    if (sent instanceof Promise) sent.then((stream) => this.#attach(stream)).catch((thrown: unknown) => this.#fail(thrown));
    else this.#attach(sent);
  }

  /** The second and last try. */
  async #tryAgain(renewal: Renewal, isFirstOver: () => boolean): Promise<boolean> {
    const renewed = await renewal();
    if (renewed === null || this.#settle === null) return false;
    // A socket whose answer was complete may serve another exchange by now.
    if (!isFirstOver()) this.#stream?.abort();
    this.#stream = null;
    this.#plan = { ...this.#plan, outgoing: renewed.outgoing, guard: renewed.guard, renewal: null };
    this.#send(this);
    return true;
  }

  /** How often the credential was found in the answer. */
  get scrubbed(): number {
    return this.#plan.guard?.count ?? 0;
  }

  get isOver(): boolean {
    return this.#settle === null;
  }

  /** Ends the exchange from our side: a refusal when the answer has not begun, else a cut. */
  cut(error: AlterError): void {
    this.#fail(error);
  }

  #attach(stream: UpstreamStream): void {
    if (this.#settle === null) {
      stream.abort(); // the agent left while the socket was being opened
      return;
    }
    this.#stream = stream;
    if (this.#request.framing.kind === 'none') return;
    const kept = this.#kept?.whole;
    if (kept) {
      // The second try: the agent's body was read to its end for the first one.
      stream.write(kept, false);
      stream.end(NOTHING);
      stream.flush();
      return;
    }
    const { rewriter, capture } = this.#plan;
    const sink = rewriter === null ? this : new SignedBody(this, rewriter, (error) => this.#fail(error));
    this.#request.body.attach(capture === null ? sink : capture.tapRequest(sink));
    // The head must not wait for a body that waits for an answer: Expect, and streams that the origin begins.
    stream.flush();
  }

  // The request's body on its way out.

  write(slice: Buffer, shared: boolean): boolean {
    this.#bytesOut += slice.length;
    this.#kept?.add(slice);
    return this.#stream?.write(slice, shared) ?? true;
  }

  flush(): void {
    this.#stream?.flush();
  }

  end(trailers: readonly string[]): void {
    this.#kept?.end(trailers);
    this.#stream?.end(trailers.length === 0 ? trailers : outgoingTrailers(trailers, this.#plan.injectedNames));
  }

  abort(): void {
    this.#onAgentGone();
  }

  onWritable(): void {
    this.#request.body.resume();
  }

  // The answer on its way back.

  onInformational(from: ResponseHead): void {
    const head = this.#plan.guard?.head(from) ?? from;
    if (head.status === 100 || head.status === 103)
      this.#reply.informational(head.status, answerBlock(head, NO_BODY, false, NOTHING));
  }

  onHead(from: ResponseHead, fromFraming: Framing): void {
    let head = from;
    let framing = fromFraming;
    const { guard } = this.#plan;
    if (guard !== null) {
      try {
        ({ head, framing, body: this.#body } = guard.open(guard.head(from), fromFraming, this));
      } catch (thrown) {
        this.#fail(thrown);
        return;
      }
    }
    const { capture } = this.#plan;
    if (capture !== null && framing.kind !== 'none') this.#tap = capture.tapAnswer(head, guard, this.#body !== null);
    this.#status = head.status;
    const extra = this.#plan.credentialed ? annotationOf(from) : NOTHING;
    // RFC 9110 8.6: a 204 has no Content-Length. Elsewhere it is true, or what a HEAD or a 304 says of the body that it leaves out.
    const block = answerBlock(
      head,
      framing,
      head.status !== 204,
      lacksLength(this.#request.method, head, framing) ? [...extra, ...NO_LENGTH] : extra,
    );
    this.#reply.head(head.status, head.reason, block, framing);
  }

  onBody(slice: Buffer, shared: boolean): boolean {
    // SECURITY: an answer that was refused goes on arriving over HTTP/2, and must not join the refusal.
    if (this.#settle === null) return true;
    this.#bytesIn += slice.length;
    return this.#body === null ? this.#reply.write(slice, shared) : this.#body.write(slice, shared);
  }

  onBodyEnd(trailers: readonly string[]): void {
    if (this.#settle === null) return;
    this.#trailers = trailers.length === 0 ? trailers : outgoingTrailers(trailers, this.#plan.injectedNames);
    if (this.#body === null) this.onEnd();
    else this.#body.end();
    // What is still being decoded no longer needs the socket, which may serve another exchange by now.
    if (this.#settle !== null) this.#stream = null;
  }

  onFlush(): void {
    if (this.#switched) return;
    if (this.#body === null || this.#settle === null) this.#reply.flush();
    else this.#body.flush();
  }

  // The searched body on its way to the agent.

  onClean(slice: Buffer, shared: boolean): boolean {
    this.#tap?.add(slice);
    return this.#reply.write(slice, shared);
  }

  onCleanFlush(): void {
    this.#reply.flush();
  }

  onDrain(): void {
    this.#stream?.resume();
  }

  onEnd(): void {
    const settle = this.#take();
    if (settle === null) return;
    this.#reply.onAbort = null;
    this.#reply.onDrain = null;
    this.#reply.end(this.#plan.guard?.trailers(this.#trailers) ?? this.#trailers);
    settle(this.#result('success', null));
  }

  onRefused(reason: string): void {
    this.#fail(new AlterError('upstream_protocol', { host: this.#plan.pool.host, reason }));
  }

  onFail(error: AlterError): void {
    this.#fail(error);
  }

  onSwitch(from: ResponseHead, rest: Buffer | null): boolean {
    const head = this.#plan.guard?.head(from) ?? from;
    const stream = this.#stream;
    // SECURITY: a 101 that nobody asked for would turn the socket into a pipe that no rule sees (S-111).
    if (this.#plan.onSwitch === null || stream === null) return false;
    const headers = answerHeaders(head, { kind: 'none' }, false);
    if (!this.#plan.onSwitch(head, rest, stream, headers)) return false;
    this.#switched = true;
    const settle = this.#take();
    this.#status = 101;
    settle?.(this.#result('success', null));
    return true;
  }

  #onAgentGone(): void {
    const settle = this.#take();
    if (settle === null) return;
    this.#body?.destroy();
    this.#stream?.abort();
    settle(this.#result('client_abort', null));
  }

  #fail(thrown: unknown): void {
    const settle = this.#take();
    if (settle === null) return;
    this.#reply.onAbort = null;
    this.#reply.onDrain = null;
    const error = thrown instanceof AlterError ? thrown : new AlterError('internal_error', {}, { cause: thrown });
    this.#body?.destroy();
    this.#stream?.abort();
    if (this.#reply.started) this.#reply.abort();
    settle(this.#result('provider_error', error));
  }

  #take(): ((result: TransferResult) => void) | null {
    const settle = this.#settle;
    this.#settle = null;
    return settle;
  }

  #result(outcome: TransferResult['outcome'], error: AlterError | null): TransferResult {
    return { outcome, status: this.#status, error, bytesIn: this.#bytesIn, bytesOut: this.#bytesOut };
  }
}
