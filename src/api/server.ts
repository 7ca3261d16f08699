/**
 * Serves the API on a Unix socket that only its owner can open. The app is loaded with the first request: its libraries
 * cost about 100 ms that the start of a daemon should not wait for.
 * SECURITY: there is no TCP listener for the API, and a socket on which something answers is never taken over.
 */
import { chmodSync, lstatSync, unlinkSync } from 'node:fs';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { connect } from 'node:net';
import { AlterError } from '../domain/errors.ts';
import type { ApiDeps } from './deps.ts';

/** Answers one request of the socket. */
export type ApiListener = (request: IncomingMessage, response: ServerResponse) => Promise<void> | void;

export interface ApiServer {
  readonly socketPath: string;
  /** Stops taking requests, ends live tails, and removes the socket. */
  close(): Promise<void>;
}

/** The app over these rooms, built when it is first asked something. */
export function deferredApi(deps: ApiDeps): ApiListener {
  let loading: Promise<ApiListener> | undefined;
  return async (request, response) => {
    loading ??= loadApi(deps);
    await (await loading)(request, response);
  };
}

async function loadApi(deps: ApiDeps): Promise<ApiListener> {
  const [{ createApi }, { getRequestListener }] = await Promise.all([import('./app.ts'), import('@hono/node-server')]);
  const app = createApi(deps);
  return getRequestListener((request, env) => app.fetch(request, env), { overrideGlobalObjects: false });
}

/** @throws AlterError conflict when something answers on the socket, or the path is no socket */
export async function serveApi(listener: ApiListener, socketPath: string): Promise<ApiServer> {
  const server = createServer((request, response) => {
    Promise.resolve(listener(request, response)).catch(() => response.destroy());
  });
  try {
    await listen(server, socketPath);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EADDRINUSE') throw error;
    await removeStale(socketPath);
    await listen(server, socketPath);
  }
  return {
    socketPath,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

function listen(server: Server, socketPath: string): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    // SECURITY: bind happens inside listen(), so the socket is never open to others, not even for a moment.
    const before = process.umask(0o177);
    try {
      server.listen(socketPath, () => {
        server.off('error', reject);
        chmodSync(socketPath, 0o600);
        resolve();
      });
    } finally {
      process.umask(before);
    }
  });
}

async function removeStale(socketPath: string): Promise<void> {
  if (!lstatSync(socketPath).isSocket()) {
    throw new AlterError('conflict', {
      reason: `${socketPath} exists and is no socket`,
      hint: 'Move it away, then start again.',
    });
  }
  if (await isAnswered(socketPath)) {
    throw new AlterError('conflict', {
      reason: `another daemon answers on ${socketPath}`,
      hint: '`alterd status` says more about it; use --home DIR for a second installation.',
    });
  }
  unlinkSync(socketPath);
}

function isAnswered(socketPath: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(socketPath);
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
    // Only a refusal proves that nobody is there: a full backlog or a missing permission does not.
    socket.once('error', (error: NodeJS.ErrnoException) => resolve(error.code !== 'ECONNREFUSED' && error.code !== 'ENOENT'));
  });
}
