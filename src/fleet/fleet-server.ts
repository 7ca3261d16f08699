/**
 * The listener that hosts reach: TLS 1.3, the routes of the table, each call of a host authenticated over its whole bytes before anything
 * is done for it. What is not in the table does not exist; every failure is problem+json. It knows nothing of what routes do.
 */
import { randomBytes } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { createServer, type Server } from 'node:https';
import type { TLSSocket } from 'node:tls';
import { TIME_HEADER } from '../crypto/request-signing.ts';
import { AlterError, problemOf, toAlterError } from '../domain/errors.ts';
import type { FleetDeps } from './deps.ts';
import type { FleetMeter } from './fleet-meter.ts';
import { HostAuthenticator } from './host-authenticator.ts';
import { parseBody, parseQuery, readBytes } from './input.ts';
import { NonceBook } from './nonce-book.ts';
import { RefusalLog } from './refusal-log.ts';
import type { FleetAnswer, FleetRoute, HostCall } from './route.ts';

export interface TlsMaterial {
  readonly cert: string;
  readonly key: string;
}

export interface FleetServerOptions extends FleetDeps {
  readonly routes: readonly FleetRoute[];
  readonly listen: { readonly host: string; readonly port: number };
  readonly tls: TlsMaterial;
  readonly meter: FleetMeter;
}

export interface FleetServer {
  readonly host: string;
  readonly port: number;
  /** From now on new connections see this certificate. */
  renew(tls: TlsMaterial): void;
  close(): Promise<void>;
}

const HEAD_MS = 10_000;
const REQUEST_MS = 30_000;
/** Longer than hosts keep a connection, so that it is they who close. */
const IDLE_MS = 75_000;
const MAX_HEAD_BYTES = 16_384;
const DRAIN_MS = 2_000;

/** @throws AlterError conflict when the address can't be taken */
export async function serveFleet(options: FleetServerOptions): Promise<FleetServer> {
  const nonces = new NonceBook(options.vault, options.now);
  const { vault, now } = options;
  const authenticator = new HostAuthenticator({ hosts: vault.hosts, nonces, requireFresh: () => vault.requireFresh(), now });
  const dispatch = dispatcher(options, authenticator);
  const server = createServer(
    {
      ...{ ...options.tls, minVersion: 'TLSv1.3', maxHeaderSize: MAX_HEAD_BYTES },
      ...{ headersTimeout: HEAD_MS, requestTimeout: REQUEST_MS, keepAliveTimeout: IDLE_MS, handshakeTimeout: HEAD_MS },
    },
    (request, response) => void dispatch(request, response),
  );
  // A handshake that fails is the business of whoever tried.
  server.on('tlsClientError', () => {});
  const { host, port } = await listen(server, options.listen);
  return {
    host,
    port,
    renew: (tls) => server.setSecureContext({ ...tls, minVersion: 'TLSv1.3' }),
    close: async () => {
      nonces.close();
      await closeServer(server);
    },
  };
}

type Dispatch = (request: IncomingMessage, response: ServerResponse) => Promise<void>;

function dispatcher(options: FleetServerOptions, authenticator: HostAuthenticator): Dispatch {
  const { vault, now = Date.now, meter } = options;
  const table = new Map(options.routes.map((route) => [`${route.method} ${route.path}`, route]));
  const paths = new Set(options.routes.map(({ path }) => path));
  const refusals = new RefusalLog(options.audit, now);

  const answerOf = async (request: IncomingMessage, url: URL): Promise<FleetAnswer> => {
    const route = table.get(`${request.method} ${url.pathname}`);
    if (route === undefined) throw missing(request, url, paths);
    // SECURITY: only a browser sends Origin; no page may drive this API.
    if (request.headers.origin !== undefined) throw new AlterError('forbidden', { reason: 'requests of web pages are refused' });
    const bytes = await readBytes(request, route.maxBodyBytes);
    const peer = (request.socket as TLSSocket).remoteAddress ?? 'unknown';
    const header = (name: string): string | undefined => {
      const value = request.headers[name];
      return typeof value === 'string' ? value : undefined;
    };
    const target = request.url ?? '';
    // SECURITY: a replica that has lost sight of its database would lend, and prolong, what has ended meanwhile; another one may know.
    if (route.signed && !vault.isFresh)
      throw new AlterError('vault_unavailable', { reason: 'this replica has not heard of its database for some seconds' });
    // SECURITY: before the body is even parsed: what is not signed by a host is not looked into.
    const host = route.signed
      ? await authenticator.authenticate({ method: route.method, target, header, body: bytes })
      : undefined;
    const body = parseBody(route.body, bytes);
    const query = parseQuery(route.query, url.searchParams);
    return route.answer({ host, body, query, headers: request.headers, peer } as unknown as HostCall<never, never>);
  };

  return async (request, response) => {
    const startedAt = performance.now();
    const url = urlOf(request);
    response.setHeader(TIME_HEADER, String(now()));
    response.setHeader('cache-control', 'no-store');
    let isStream = false;
    response.once('close', () => {
      const route = paths.has(url.pathname as `/${string}`) ? url.pathname : 'other';
      meter.observe(route, response.statusCode, (performance.now() - startedAt) / 1000, isStream);
    });
    try {
      const answer = await answerOf(request, url);
      isStream = 'stream' in answer;
      if ('stream' in answer) answer.stream(response);
      else send(response, answer);
    } catch (thrown) {
      const error = toAlterError(thrown);
      meter.refuse(error.code);
      if (NOTED.has(error.code)) {
        const named = vault.hosts.byId(String(request.headers['alter-key-id'] ?? ''));
        refusals.note(error, { path: url.pathname, peer: request.socket.remoteAddress ?? 'unknown', host: named });
      }
      refuse(request, response, error, options.onFault);
    }
  };
}

/** What somebody tried who may not. */
const NOTED: ReadonlySet<string> = new Set(['host_unauthenticated', 'clock_skewed', 'host_inactive', 'enrolment_refused']);

function urlOf(request: IncomingMessage): URL {
  try {
    return new URL(request.url ?? '/', 'https://vault');
  } catch {
    return new URL('https://vault/%00');
  }
}

function missing(request: IncomingMessage, url: URL, paths: ReadonlySet<string>): AlterError {
  if (paths.has(url.pathname)) return new AlterError('method_refused', { method: request.method ?? '' });
  return new AlterError('not_found', { what: 'resource', name: url.pathname.slice(0, 128) });
}

function send(response: ServerResponse, { status, body, headers }: Exclude<FleetAnswer, { stream: unknown }>): void {
  const text = body === undefined ? undefined : Buffer.from(JSON.stringify(body));
  response.writeHead(status, {
    ...(text === undefined ? {} : { 'content-type': 'application/json', 'content-length': text.length }),
    ...headers,
  });
  response.end(text);
}

function refuse(request: IncomingMessage, response: ServerResponse, error: AlterError, onFault: FleetDeps['onFault']): void {
  const requestId = error.code === 'internal_error' ? `fleet_${randomBytes(9).toString('base64url')}` : null;
  if (requestId !== null) onFault(error.cause ?? error, requestId);
  if (response.headersSent) return void response.destroy();
  const text = Buffer.from(JSON.stringify(problemOf(error, error.apiStatus, requestId)));
  response.writeHead(error.apiStatus, {
    'content-type': 'application/problem+json',
    'content-length': text.length,
    'alter-error': error.code,
    ...(error.retryAfterSeconds === undefined ? {} : { 'retry-after': String(error.retryAfterSeconds) }),
    // What is left of a body that was too long is not read.
    ...(request.complete ? {} : { connection: 'close' }),
  });
  response.end(text);
}

function listen(server: Server, { host, port }: { host: string; port: number }): Promise<{ host: string; port: number }> {
  return new Promise((resolve, reject) => {
    server.once('error', (cause: NodeJS.ErrnoException) => {
      const reason =
        cause.code === 'EADDRINUSE'
          ? `something else listens on ${host}:${port}`
          : `${host}:${port} can't be listened on (${cause.code})`;
      reject(
        new AlterError(
          'conflict',
          { reason, hint: 'Choose another address: vault_server.listen in the configuration.' },
          { cause },
        ),
      );
    });
    server.listen(port, host, () => {
      const bound = server.address() as { address: string; port: number };
      resolve({ host: bound.address, port: bound.port });
    });
  });
}

async function closeServer(server: Server): Promise<void> {
  const closed = new Promise<void>((resolve) => server.close(() => resolve()));
  server.closeIdleConnections();
  const timer = setTimeout(() => server.closeAllConnections(), DRAIN_MS);
  await closed;
  clearTimeout(timer);
}
