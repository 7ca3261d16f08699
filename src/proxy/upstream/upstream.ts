/** What a forwarder needs of an origin, whatever protocol the origin speaks. */
import type { Socket } from 'node:net';
import type { AlterError } from '../../domain/errors.ts';
import type { Framing } from '../http1/framing.ts';
import type { ResponseHead } from '../http1/head.ts';

export interface UpstreamRequest {
  readonly method: string;
  readonly target: string;
  /** The value for Host or :authority. */
  readonly authority: string;
  readonly scheme: 'http' | 'https';
  /** Fields to send, without Host and framing. */
  readonly headers: readonly string[];
  /** Complete HTTP/1.1 head of the same request. */
  readonly headText: string;
  readonly framing: Framing;
}

/** Takes the answer as it arrives. After onFail nothing follows. */
export interface ResponseSink {
  /** The agent left: what was not sent yet must not be. */
  readonly isOver: boolean;
  onInformational(head: ResponseHead): void;
  onHead(head: ResponseHead, framing: Framing): void;
  /** Answers false when the origin should pause. */
  onBody(slice: Buffer, shared: boolean): boolean;
  onBodyEnd(trailers: readonly string[]): void;
  onFlush(): void;
  onFail(error: AlterError): void;
  /** The origin can take more of the request's body. */
  onWritable(): void;
  /** A 101 arrived; answers false when none was asked for. `rest` came behind the head. */
  onSwitch(head: ResponseHead, rest: Buffer | null): boolean;
}

/** One request under way at an origin. */
export interface UpstreamStream {
  write(slice: Buffer, shared: boolean): boolean;
  flush(): void;
  end(trailers: readonly string[]): void;
  pause(): void;
  resume(): void;
  abort(): void;
  /** Leaves HTTP after a 101; null when the protocol can't. */
  takeOver(raw: RawSink): Socket | null;
}

/** Takes the raw bytes of a socket that was switched to another protocol. */
export interface RawSink {
  /** Answers false to pause reading. */
  onBytes(chunk: Buffer, shared: boolean): boolean;
  onEnd(): void;
  onClose(): void;
}
