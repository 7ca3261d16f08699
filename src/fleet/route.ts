/**
 * One route of the fleet API as data: what it takes, what it answers, who may call it, and what does the work. The listener serves the
 * table of them and the OpenAPI document is written from it, so neither can say what the other does not do.
 */
import type { IncomingHttpHeaders, ServerResponse } from 'node:http';
import type { z } from 'zod';
import type { ErrorCode } from '../domain/errors.ts';
import type { FleetHost } from '../domain/fleet-host.ts';

export interface FleetCall<B, Q> {
  readonly body: B;
  readonly query: Q;
  readonly headers: IncomingHttpHeaders;
  /** Of the caller. */
  readonly peer: string;
}

/** A call of a host that was authenticated. */
export interface HostCall<B, Q> extends FleetCall<B, Q> {
  readonly host: FleetHost;
}

export type FleetAnswer =
  | { readonly status: number; readonly body?: object | undefined; readonly headers?: Readonly<Record<string, string>> }
  /** Goes on answering by itself; the listener has written nothing. */
  | { readonly stream: (response: ServerResponse) => void };

export interface DescribedAnswer {
  readonly description: string;
  /** Absent: no body. */
  readonly schema?: z.ZodType;
  /** Left out: application/json. */
  readonly type?: string;
}

interface RouteShape<B extends z.ZodType | undefined, Q extends z.ZodType | undefined> {
  readonly method: 'GET' | 'POST';
  readonly path: `/${string}`;
  readonly summary: string;
  readonly description?: string;
  readonly query?: Q;
  readonly body?: B;
  /** Left out: 1 MiB. */
  readonly maxBodyBytes?: number;
  readonly answers: Readonly<Record<number, DescribedAnswer>>;
  /** Besides those that each route may answer. */
  readonly errors: readonly ErrorCode[];
}

type In<S> = S extends z.ZodType ? z.output<S> : undefined;

/** A route as the listener knows it: its types are checked where it is made. */
export interface FleetRoute extends RouteShape<z.ZodType | undefined, z.ZodType | undefined> {
  readonly signed: boolean;
  readonly answer: (call: HostCall<never, never>) => FleetAnswer | Promise<FleetAnswer>;
}

/** A route for hosts alone. */
export const hostRoute = <B extends z.ZodType | undefined = undefined, Q extends z.ZodType | undefined = undefined>(
  route: RouteShape<B, Q> & { readonly answer: (call: HostCall<In<B>, In<Q>>) => FleetAnswer | Promise<FleetAnswer> },
): FleetRoute => ({ ...route, signed: true }) as FleetRoute;

/** A route for whoever reaches the listener. */
export const openRoute = <B extends z.ZodType | undefined = undefined, Q extends z.ZodType | undefined = undefined>(
  route: RouteShape<B, Q> & { readonly answer: (call: FleetCall<In<B>, In<Q>>) => FleetAnswer | Promise<FleetAnswer> },
): FleetRoute => ({ ...route, signed: false }) as FleetRoute;
