/**
 * A request's body that is read whole before anything leaves, because a rule is about what is in it. Bounded: past the limit it is
 * given up, and the rule refuses. Afterwards it is a body like any other, which can be sent more than once.
 * Must never be used for a request that no rule on bodies is about: everything else streams.
 */
import { HeaderKind } from './header-kinds.ts';
import { blockOf } from './http1/serialize.ts';
import type { AgentBody, AgentReply, AgentRequest, BodySink } from './message.ts';

/** The agent left before its body was complete. */
export class BodyAborted extends Error {}

export class HeldBody implements AgentBody {
  readonly complete = true;
  readonly bytes: Buffer;
  readonly #trailers: readonly string[];

  constructor(bytes: Buffer, trailers: readonly string[]) {
    this.bytes = bytes;
    this.#trailers = trailers;
  }

  attach(sink: BodySink): void {
    if (this.bytes.length > 0) sink.write(this.bytes, false);
    sink.end(this.#trailers);
    sink.flush();
  }

  pause(): void {}

  resume(): void {}
}

class Collector implements BodySink {
  readonly #limitBytes: number;
  readonly #done: (held: HeldBody | null) => void;
  readonly #failed: (cause: Error) => void;
  #parts: Buffer[] = [];
  #bytes = 0;
  #over = false;

  constructor(limitBytes: number, done: (held: HeldBody | null) => void, failed: (cause: Error) => void) {
    this.#limitBytes = limitBytes;
    this.#done = done;
    this.#failed = failed;
  }

  write(slice: Buffer, shared: boolean): boolean {
    this.#bytes += slice.length;
    if (this.#over) return true;
    if (this.#bytes > this.#limitBytes) {
      this.#over = true;
      this.#parts = [];
      this.#done(null);
      return true;
    }
    this.#parts.push(shared ? Buffer.from(slice) : slice);
    return true;
  }

  flush(): void {}

  end(trailers: readonly string[]): void {
    if (!this.#over) this.#done(new HeldBody(Buffer.concat(this.#parts), trailers));
  }

  abort(): void {
    this.#failed(new BodyAborted('the agent left before its body was complete'));
  }
}

/**
 * The same request with its body held; null when the body is longer than the limit.
 * @throws BodyAborted
 */
export async function holdBody(request: AgentRequest, reply: AgentReply, limitBytes: number): Promise<HeldRequest | null> {
  const expects = (request.present & (1 << HeaderKind.expect)) !== 0;
  // The agent waits for the word to send its body, which the origin can't give before it has the request.
  if (expects && request.framing.kind !== 'none') reply.informational(100, blockOf([]));
  const body = await collect(request, limitBytes);
  return body === null ? null : { ...(expects ? withoutExpect(request) : request), body };
}

export type HeldRequest = AgentRequest & { readonly body: HeldBody };

function collect(request: AgentRequest, limitBytes: number): Promise<HeldBody | null> {
  if (request.framing.kind === 'none') return Promise.resolve(new HeldBody(Buffer.alloc(0), []));
  if (request.framing.kind === 'length' && request.framing.length > limitBytes) return Promise.resolve(null);
  return new Promise((resolve, reject) => request.body.attach(new Collector(limitBytes, resolve, reject)));
}

/** The request without its wish to be asked for the body, which was granted. */
export function withoutExpect(request: AgentRequest): AgentRequest {
  const kept = request.kinds.map((kind) => kind !== HeaderKind.expect);
  return {
    ...request,
    headers: request.headers.filter((_text, i) => kept[i >> 1]),
    kinds: request.kinds.filter((_kind, i) => kept[i]),
    present: request.present & ~(1 << HeaderKind.expect),
  };
}
