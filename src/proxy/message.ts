/**
 * One request and its answer as the exchange sees them, whatever protocol the agent speaks. HTTP/1 and HTTP/2 each
 * implement these; the exchange never touches a socket. Bodies are pushed as slices, with backpressure by return value.
 */
import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import type { HeaderKind } from './header-kinds.ts';
import type { Framing } from './http1/framing.ts';
import type { HeaderBlock } from './http1/serialize.ts';
import type { SocketReader } from './socket-reader.ts';

/** Takes a body as it arrives. */
export interface BodySink {
  /** `shared`: the slice is overwritten after the call. Answers false when the sender should pause until drained. */
  write(slice: Buffer, shared: boolean): boolean;
  /** The sender's current read is over: whatever was collected should go out. */
  flush(): void;
  end(trailers: readonly string[]): void;
  /** The sender is gone before the body was complete. */
  abort(): void;
}

export interface AgentBody {
  /** Starts delivery; what arrived earlier is delivered first, synchronously. */
  attach(sink: BodySink): void;
  pause(): void;
  resume(): void;
  readonly complete: boolean;
  /** Gives back what a body that was held outside memory takes up; called when the exchange is over. */
  dispose?(): void;
}

export interface AgentRequest {
  readonly protocol: 'HTTP/1.0' | 'HTTP/1.1' | 'HTTP/2';
  readonly method: string;
  /** Origin-form: path and query exactly as sent. */
  readonly target: string;
  /** Flat name/value list, as sent; without pseudo-headers. */
  readonly headers: readonly string[];
  readonly kinds: readonly HeaderKind[];
  /** Bit `1 << kind` for each kind that is there. */
  readonly present: number;
  /** `Host` or `:authority`; null when absent (HTTP/1.0). */
  readonly host: string | null;
  readonly framing: Framing;
  /** Lower-case protocol of a valid HTTP/1.1 upgrade request, else null. */
  readonly upgrade: string | null;
  readonly body: AgentBody;
}

export interface AgentReply {
  /** A final head was sent: an error can only abort now. */
  readonly started: boolean;
  /** The agent can take trailers and chunked framing. */
  readonly streams: boolean;
  informational(status: number, fields: HeaderBlock): void;
  /** `framing.kind === 'close'` means unknown length; the implementation chooses how to delimit it. */
  head(status: number, reason: string, fields: HeaderBlock, framing: Framing): void;
  write(slice: Buffer, shared: boolean): boolean;
  flush(): void;
  end(trailers: readonly string[]): void;
  /** Tells the agent that the answer is cut: reset or close without a proper end. */
  abort(): void;
  /** For CONNECT: the agent's socket, no longer read by anyone, and the bytes that it sent already. */
  detach(): { stream: Duplex; rest: Buffer | null };
  /** After a 101: the agent's socket with the reader of its bytes, and the bytes that it sent already. */
  switchOver(): { socket: Socket; reader: SocketReader; rest: Buffer | null };
  /** Set by the exchange. */
  onDrain: (() => void) | null;
  /** The agent left before the answer was complete. Set by the exchange. */
  onAbort: (() => void) | null;
}
