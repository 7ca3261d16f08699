/**
 * Where the browser comes back to: a listener on 127.0.0.1 for one answer (RFC 8252 7.3). It shows how it went and nothing else.
 * SECURITY: an answer with another state is refused and the right one is waited for: any page may send the browser here.
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { AlterError, toAlterError } from '../../domain/errors.ts';
import { outcomePage } from './outcome-page.ts';

export const CALLBACK_PATH = '/callback';

/** The query of the redirect as the API takes it. */
export type RedirectQuery = Readonly<Record<string, string>>;

export interface Loopback {
  readonly redirectUri: string;
  /**
   * Waits for the browser, lets `complete` do the rest, and tells the browser how it went.
   * @throws AlterError connect_failed when nobody came in time, and whatever `complete` throws
   */
  once<T>(state: string, waitMs: number, complete: (query: RedirectQuery) => Promise<T>): Promise<T>;
  close(): void;
}

/** @param port 0 for any; a fixed one where the provider knows exact addresses alone */
export async function listenOnLoopback(port: number): Promise<Loopback> {
  const server = createServer({ headersTimeout: 10_000, requestTimeout: 10_000, maxHeaderSize: 32_768 });
  await new Promise<void>((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) =>
      reject(
        new AlterError('conflict', {
          reason: `127.0.0.1:${port} can't be listened on (${error.code ?? 'unknown'})`,
          hint: 'Choose another --port, or --paste.',
        }),
      ),
    );
    server.listen(port, '127.0.0.1', resolve);
  });
  const { port: bound } = server.address() as AddressInfo;
  return {
    redirectUri: `http://127.0.0.1:${bound}${CALLBACK_PATH}`,
    once: (state, waitMs, complete) => waitOnce(server, bound, state, waitMs, complete),
    close: () => {
      server.close();
      server.closeAllConnections();
    },
  };
}

function waitOnce<T>(
  server: Server,
  port: number,
  state: string,
  waitMs: number,
  complete: (query: RedirectQuery) => Promise<T>,
): Promise<T> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(
      () => reject(new AlterError('connect_failed', { problem: 'expired', reason: 'nobody consented in time' })),
      waitMs,
    );
    let isTaken = false;
    server.on('request', (request: IncomingMessage, response: ServerResponse) => {
      const url = new URL(request.url ?? '/', `http://127.0.0.1:${port}`);
      // SECURITY: a name that leads here by DNS is no reason to talk to the page behind it.
      const isForUs = request.headers.host === `127.0.0.1:${port}` && request.method === 'GET' && url.pathname === CALLBACK_PATH;
      if (!isForUs || isTaken) return show(response, 404, 'missing');
      if (url.searchParams.get('state') !== state) return show(response, 400, 'state_mismatch');
      isTaken = true;
      clearTimeout(timer);
      complete(queryOf(url.searchParams)).then(
        (value) => {
          show(response, 200, 'connected');
          resolve(value);
        },
        (thrown: unknown) => {
          const { problem } = toAlterError(thrown).details as { problem?: string };
          show(response, 400, problem === 'consent_denied' ? 'consent_denied' : 'failed');
          reject(thrown);
        },
      );
    });
  });
}

const KNOWN = ['state', 'code', 'error', 'error_description', 'iss'];

/** What the API takes of a redirect's query; the rest is the provider's own. */
export const queryOf = (query: URLSearchParams): RedirectQuery =>
  Object.fromEntries(
    KNOWN.flatMap((name) => {
      const value = query.get(name);
      return value === null ? [] : [[name, value]];
    }),
  );

function show(response: ServerResponse, status: number, outcome: Parameters<typeof outcomePage>[0]): void {
  response.writeHead(status, {
    'content-type': 'text/html; charset=utf-8',
    'cache-control': 'no-store',
    'content-security-policy': "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'",
    'referrer-policy': 'no-referrer',
    'x-content-type-options': 'nosniff',
    connection: 'close',
  });
  response.end(outcomePage(outcome));
}
