/**
 * The API's client over the Unix socket. A refusal of the daemon becomes the same AlterError again, with its code, details
 * and hint; a daemon that does not answer is vault_unavailable. Nothing is retried.
 */
import type { ClientRequest, IncomingMessage } from 'node:http';
import { AlterError, ERRORS, type ErrorCode, type ErrorDetails } from '../domain/errors.ts';

type Method = 'GET' | 'POST' | 'DELETE';
export type Query = Readonly<Record<string, string | number | boolean | undefined>>;

export interface ApiClient {
  readonly socketPath: string;
  /** The answer's body. @throws AlterError whatever the daemon answers, vault_unavailable */
  read<T>(path: string, query?: Query): Promise<T>;
  send<T>(path: string, body?: unknown): Promise<T>;
  remove(path: string, query?: Query): Promise<void>;
  /** Text as it comes, for exports. */
  stream(path: string, query?: Query): AsyncIterable<Buffer>;
  /**
   * One value for each line, until the daemon or the caller ends it. Resolves when the daemon listens: nothing from then on is
   * missed. Blank lines are heartbeats and are left out.
   */
  lines<T>(path: string, query?: Query): Promise<AsyncIterable<T>>;
}

/** A client of the daemon that listens there; connects with each call. */
export function openClient(socketPath: string): ApiClient {
  const call = async <T>(method: Method, path: string, body?: unknown): Promise<T> => {
    const response = await exchange(socketPath, method, path, body);
    const text = Buffer.concat(await collect(response, socketPath)).toString('utf8');
    return (text === '' ? undefined : parse(text)) as T;
  };
  return {
    socketPath,
    read: (path, query) => call('GET', withQuery(path, query)),
    send: (path, body) => call('POST', path, body ?? {}),
    remove: (path, query) => call('DELETE', withQuery(path, query)),
    stream: (path, query) => chunks(socketPath, withQuery(path, query)),
    lines: async (path, query) => lines(await exchange(socketPath, 'GET', withQuery(path, query)), socketPath),
  };
}

/** A path with each part escaped: `apiPath('agents', name)`. */
export const apiPath = (...parts: readonly string[]): string => `/v1/${parts.map(encodeURIComponent).join('/')}`;

function withQuery(path: string, query: Query = {}): string {
  const given = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) if (value !== undefined) given.set(name, String(value));
  return given.size === 0 ? path : `${path}?${given}`;
}

async function exchange(socketPath: string, method: Method, path: string, body?: unknown): Promise<IncomingMessage> {
  // Loaded with the first call: help and completion need no HTTP.
  const { request: httpRequest } = await import('node:http');
  return new Promise((resolve, reject) => {
    const payload = body === undefined ? undefined : JSON.stringify(body);
    const request: ClientRequest = httpRequest({
      socketPath,
      method,
      path,
      agent: false,
      headers: {
        host: 'alterd',
        accept: 'application/json',
        ...(payload === undefined ? {} : { 'content-type': 'application/json', 'content-length': Buffer.byteLength(payload) }),
      },
    });
    request.once('error', (error) => reject(unreachable(error, socketPath)));
    request.once('response', (response) => {
      if ((response.statusCode ?? 500) < 400) resolve(response);
      else refusalOf(response, socketPath).then(reject, reject);
    });
    request.end(payload);
  });
}

async function collect(response: IncomingMessage, socketPath: string): Promise<Buffer[]> {
  const parts: Buffer[] = [];
  try {
    for await (const part of response) parts.push(part as Buffer);
  } catch (error) {
    throw unreachable(error, socketPath);
  }
  return parts;
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new AlterError('vault_unavailable', { reason: 'the daemon gave an answer that is no JSON' }, { cause });
  }
}

async function refusalOf(response: IncomingMessage, socketPath: string): Promise<AlterError> {
  const text = Buffer.concat(await collect(response, socketPath)).toString('utf8');
  const { type, title, status, detail, error, hint, request_id, ...details } = parse(text) as Record<string, unknown>;
  if (typeof error !== 'string' || !Object.hasOwn(ERRORS, error)) {
    return new AlterError('vault_unavailable', {
      reason: `the daemon answered ${response.statusCode} (${String(error ?? title ?? type)})`,
    });
  }
  const all = { ...details, ...(request_id === undefined ? {} : { request_id }), ...(hint === undefined ? {} : { hint }) };
  return new AlterError(error as ErrorCode, all as unknown as ErrorDetails<ErrorCode>, typeof hint === 'string' ? { hint } : {});
}

function unreachable(cause: unknown, socketPath: string): AlterError {
  const code = (cause as NodeJS.ErrnoException).code ?? 'unknown';
  if (code === 'EACCES' || code === 'EPERM') {
    return new AlterError(
      'forbidden',
      { reason: `this user may not use the daemon's socket ${socketPath}` },
      { cause, hint: 'Use the user that runs the daemon, for example `sudo -u alterd alterd …`.' },
    );
  }
  if (code === 'ENOENT' || code === 'ECONNREFUSED') {
    return new AlterError(
      'vault_unavailable',
      { reason: `no daemon answers on ${socketPath}` },
      { cause, hint: 'Start it with `alterd start` (in a source checkout: `npm start`), or name its directory with --home.' },
    );
  }
  return new AlterError('vault_unavailable', { reason: `the daemon went away (${code})` }, { cause });
}

async function* chunks(socketPath: string, path: string): AsyncGenerator<Buffer> {
  const response = await exchange(socketPath, 'GET', path);
  try {
    for await (const part of response) yield part as Buffer;
  } catch (error) {
    throw unreachable(error, socketPath);
  } finally {
    response.destroy();
  }
}

async function* lines<T>(response: IncomingMessage, socketPath: string): AsyncGenerator<T> {
  let rest = '';
  try {
    for await (const part of response.setEncoding('utf8')) {
      const whole = (rest + (part as string)).split('\n');
      rest = whole.pop() ?? '';
      for (const line of whole) if (line !== '') yield parse(line) as T;
    }
  } catch (error) {
    throw error instanceof AlterError ? error : unreachable(error, socketPath);
  } finally {
    response.destroy();
  }
}
