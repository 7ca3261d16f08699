/**
 * Where requests of one tunnel (or one absolute-form request) go and on whose behalf: fixed before the first of them is read.
 */
import type { Destination } from '../domain/destination.ts';
import type { Grant } from '../domain/grant.ts';
import type { Caller } from './caller.ts';
import type { UpstreamPool } from './upstream/pool.ts';

export interface Route {
  readonly caller: Caller;
  readonly destination: Destination;
  /** True inside a CONNECT tunnel: then every request must name the tunnel's destination. */
  readonly tunnelled: boolean;
  /** SNI of the client's TLS, canonical; null without TLS or without SNI. */
  readonly sni: string | null;
  /** The pool of the last request: nearly always that of the next. */
  lastPool: { readonly grant: Grant | null; readonly pool: UpstreamPool } | null;
}

/** The name that the daemon answers itself, inside intercepted TLS: never resolved or dialled. */
export const INTERNAL_HOST = 'alterd.internal';

/** The answer to an accepted CONNECT. */
export const ESTABLISHED = 'HTTP/1.1 200 Connection Established\r\n\r\n';
