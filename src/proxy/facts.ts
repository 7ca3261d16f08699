/**
 * Step 1 of the line: what the request says, checked for contradictions. Everything later works on these values and on the
 * route's destination, never again on raw heads.
 */
import { type Destination, defaultPort } from '../domain/destination.ts';
import { AlterError } from '../domain/errors.ts';
import { parseAuthority } from '../domain/host.ts';
import type { Selectors } from '../domain/selectors.ts';
import { parseTarget, type RequestTarget } from '../policy/path.ts';
import { parseSelectors } from '../policy/selectors.ts';
import { findHeader, HeaderKind } from './header-kinds.ts';
import type { AgentRequest } from './message.ts';
import type { Route } from './route.ts';

export interface Facts {
  readonly method: string;
  readonly target: RequestTarget;
  readonly selectors: Selectors;
  readonly traceId: string | null;
  readonly parentSpanId: string | null;
}

const ABSOLUTE = /^https?:\/\/([^/?#]*)(.*)$/i;

/** @throws AlterError malformed_request, misdirected_request, method_refused, request_too_large */
export function readFacts(request: AgentRequest, route: Route): Facts {
  const method = request.method;
  // SECURITY: TRACE echoes the injected credential back (S-43).
  if (method === 'TRACE' || method === 'TRACK') throw new AlterError('method_refused', { method });
  const target = parseTarget(originForm(request, route));
  checkAuthority(request.host, route.destination, route);
  const trace =
    (request.present & (1 << HeaderKind.traceparent)) === 0 ? null : parseTraceparent(findHeader(request.headers, 'traceparent'));
  return {
    method,
    target,
    selectors: parseSelectors(request.headers, route.caller.label),
    traceId: trace?.traceId ?? null,
    parentSpanId: trace?.parentId ?? null,
  };
}

/** Inside a tunnel RFC 9112 3.2.2 allows the absolute form too; it must name the tunnel's destination (S-04, S-53). */
function originForm(request: AgentRequest, route: Route): string {
  const raw = request.target;
  const first = raw.charCodeAt(0);
  if (first === 47 || raw === '*') return raw;
  const match = ABSOLUTE.exec(raw);
  if (match === null) throw new AlterError('malformed_request', { reason: 'the request target is neither a path nor a URL' });
  checkAuthority(match[1] as string, route.destination, route);
  const rest = match[2] as string;
  return rest === '' ? '/' : rest.startsWith('?') ? `/${rest}` : rest;
}

/**
 * SECURITY: credential and bytes follow the route's destination; a request that names another host is refused, because one
 * of the two would be the wrong one (S-01, S-02, S-20).
 */
function checkAuthority(raw: string | null, destination: Destination, route: Route): void {
  if (raw === null || raw === destination.authority) return;
  const named = parseAuthority(raw, destination.scheme, defaultPort(destination.scheme));
  if (named.origin === destination.origin) return;
  if (!route.tunnelled) throw new AlterError('malformed_request', { reason: 'the Host header and the URL name different hosts' });
  throw new AlterError('misdirected_request', { host: named.authority, destination: destination.authority });
}

function parseTraceparent(value: string | null): { traceId: string; parentId: string } | null {
  const match = value === null ? null : /^[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}$/.exec(value);
  return match === null ? null : { traceId: match[1] as string, parentId: match[2] as string };
}
