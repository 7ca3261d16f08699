/** What the load generator is asked and what it answers. Plain values: they cross between processes. */

/** How a target is reached: not at all, through CONNECT, or as the server that it plays. */
export interface Via {
  readonly mode: 'direct' | 'connect' | 'front';
  /** On 127.0.0.1. */
  readonly port: number;
  /** Value of Proxy-Authorization. */
  readonly authorization: string | null;
}

export type JobKind = 'check' | 'closed' | 'rate' | 'newconn' | 'sse' | 'idle' | 'hosts' | 'h2';

export interface Job {
  readonly kind: JobKind;
  readonly via: Via;
  /** Certificates that the client trusts. */
  readonly caFile: string;
  readonly originPort: number;
  readonly path: string;
  readonly connections: number;
  readonly seconds: number;
  readonly warmMs: number;
  /** `rate`: requests a second. */
  readonly rate?: number;
  /** Body to send, as a POST. */
  readonly bodyBytes?: number;
  /** `idle`: how many connections to hold, step by step. */
  readonly steps?: readonly number[];
  /** `hosts`: how many. */
  readonly hosts?: number;
  /** Processes whose CPU time and memory are taken at the edges of the window. */
  readonly watch: readonly number[];
}

export interface JobResult {
  readonly requests: number;
  readonly errors: number;
  readonly firstError: string | null;
  readonly seconds: number;
  /** Body bytes of answers. */
  readonly bytes: number;
  readonly p50Us: number;
  readonly p99Us: number;
  /** CPU of the watched processes in the window. */
  readonly cpuUs: number;
  /** `check`: bodies that came. `idle`: resident bytes at each step. `sse`: first bytes. */
  readonly texts: readonly string[];
  readonly numbers: readonly number[];
}
