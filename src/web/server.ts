/**
 * The listener that browsers reach: pages, their three files, and what the page's script asks. Nothing of the Vault API is here, and no
 * request line is ever logged: a callback's query holds an authorization code.
 */
import { readFileSync } from 'node:fs';
import {
  createServer as createHttpServer,
  type IncomingMessage,
  type RequestListener,
  type Server,
  type ServerResponse,
} from 'node:http';
import { createServer as createHttpsServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { AlterError } from '../domain/errors.ts';
import { ownFile } from '../runtime/root.ts';
import { type Rebuff, readJsonBody, rebuffOf, SECURITY_HEADERS } from './guard.ts';
import { CALLBACK_PATH, CONNECT_PATH } from './paths.ts';

/** What an action answers: a status and a body without secrets. */
export interface ActionAnswer {
  readonly status: number;
  readonly body: Readonly<Record<string, unknown>>;
}

/** Something that the page's script asks for. Never throws for what a browser may send. */
export type Action = (input: Readonly<Record<string, unknown>>) => Promise<ActionAnswer>;

export interface PageServerOptions {
  readonly listen: { readonly host: string; readonly port: number };
  /** null: the address that is listened on. */
  readonly publicUrl: string | null;
  /** PEM texts; null for plain http, on loopback only. */
  readonly tls: { readonly cert: Buffer; readonly key: Buffer } | null;
  /** By path. They are told the origin, which is known only once the port is. */
  readonly actions: (origin: string) => Readonly<Record<string, Action>>;
  readonly onFault: (error: unknown) => void;
}

export interface PageServer {
  /** The only origin under which the pages answer. */
  readonly origin: string;
  close(): Promise<void>;
}

const MAX_SOCKETS = 256;

/** @throws AlterError conflict when the address can't be listened on */
export async function servePages(options: PageServerOptions): Promise<PageServer> {
  const files = loadFiles();
  let origin = '';
  let actions: Readonly<Record<string, Action>> = {};
  const listener: RequestListener = (request, response) => {
    answer(request, response, { origin, actions, files }).catch((thrown: unknown) => {
      options.onFault(thrown);
      if (response.headersSent) response.destroy();
      else sendJson(response, 500, { error: 'server_error', message: 'alterd failed in a way that it should not.' });
    });
  };
  const limits = {
    maxHeaderSize: 16 * 1024,
    headersTimeout: 10_000,
    requestTimeout: 20_000,
    keepAliveTimeout: 5_000,
    // Node looks for late requests only this often, and by default every half minute.
    connectionsCheckingInterval: 5_000,
  };
  const server: Server =
    options.tls === null
      ? createHttpServer(limits, listener)
      : createHttpsServer({ ...limits, ...options.tls, minVersion: 'TLSv1.2' }, listener);
  server.maxConnections = MAX_SOCKETS;
  await listen(server, options.listen);
  const bound = server.address() as AddressInfo;
  const authority = bound.family === 'IPv6' ? `[${bound.address}]:${bound.port}` : `${bound.address}:${bound.port}`;
  origin = new URL(options.publicUrl ?? `${options.tls === null ? 'http' : 'https'}://${authority}`).origin;
  actions = options.actions(origin);
  return {
    origin,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

interface Serving {
  readonly origin: string;
  readonly actions: Readonly<Record<string, Action>>;
  readonly files: ReadonlyMap<string, PageFile>;
}

async function answer(request: IncomingMessage, response: ServerResponse, serving: Serving): Promise<void> {
  const path = (request.url ?? '').split('?', 1)[0] ?? '';
  const action = Object.hasOwn(serving.actions, path) ? serving.actions[path] : undefined;
  const method = request.method ?? '';
  const rebuff = rebuffOf({ method, headers: request.headers, isScripted: action !== undefined }, serving.origin);
  if (rebuff !== undefined) return sendRebuff(response, rebuff);
  if (action === undefined) {
    const file = serving.files.get(path);
    if (file === undefined) return sendJson(response, 404, { error: 'not_found', message: 'There is no such page.' });
    response.writeHead(200, { ...SECURITY_HEADERS, 'content-type': file.type, 'content-length': file.bytes.length });
    response.end(method === 'HEAD' ? undefined : file.bytes);
    return;
  }
  const body = await readJsonBody(request);
  if (body === null) return sendJson(response, 400, { error: 'malformed_request', message: 'The body is no JSON object.' });
  const answered = await action(body);
  sendJson(response, answered.status, answered.body);
}

function sendRebuff(response: ServerResponse, { status, error, message }: Rebuff): void {
  // What may still arrive of a body is not read.
  response.setHeader('connection', 'close');
  sendJson(response, status, { error, message });
}

function sendJson(response: ServerResponse, status: number, body: Readonly<Record<string, unknown>>): void {
  response.writeHead(status, { ...SECURITY_HEADERS, 'content-type': 'application/json; charset=utf-8' });
  response.end(JSON.stringify(body));
}

interface PageFile {
  readonly type: string;
  readonly bytes: Buffer;
}

/** Read once, by name: no path of a request ever reaches the file system. */
function loadFiles(): ReadonlyMap<string, PageFile> {
  const file = (name: string, type: string): PageFile => ({
    type: `${type}; charset=utf-8`,
    // From the sources in any case: the build leaves these files where they are.
    bytes: readFileSync(ownFile(`src/web/page/${name}`)),
  });
  const page = file('connect.html', 'text/html');
  return new Map([
    [CONNECT_PATH, page],
    [CALLBACK_PATH, page],
    ['/page/connect.js', file('connect.js', 'text/javascript')],
    ['/page/views.js', file('views.js', 'text/javascript')],
    ['/page/elements.js', file('elements.js', 'text/javascript')],
    ['/page/connect.css', file('connect.css', 'text/css')],
    ['/page/mark.svg', file('mark.svg', 'image/svg+xml')],
  ]);
}

function listen(server: Server, { host, port }: { readonly host: string; readonly port: number }): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', (cause: NodeJS.ErrnoException) => {
      const reason =
        cause.code === 'EADDRINUSE'
          ? `something else listens on ${host}:${port}`
          : `${host}:${port} can't be listened on (${cause.code ?? 'unknown'})`;
      reject(
        new AlterError('conflict', { reason, hint: 'Choose another address: connect.listen in the configuration.' }, { cause }),
      );
    });
    server.listen({ host, port }, resolve);
  });
}
