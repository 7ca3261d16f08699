/**
 * Calls of the daemon's own over HTTPS, through the same gate as everything else it dials: resolved once, vetted, the vetted address
 * dialled, the certificate checked for the name. Must never follow a redirect, which could lead past the gate.
 */
import { request as httpRequest, type IncomingMessage } from 'node:http';
import { AlterError } from '../../domain/errors.ts';
import { parseAuthority } from '../../domain/host.ts';
import type { HttpsAnswer, HttpsCall, HttpsRequest } from '../../domain/https-call.ts';
import type { DataPlane } from '../data-plane.ts';

const MAX_BODY_BYTES = 1024 * 1024;
const TIMEOUT_MS = 10_000;

/** `plane` is read at each call: a reload changes resolver and dialer. */
export function httpsCallOf(plane: Pick<DataPlane, 'resolver' | 'dialer'>): HttpsCall {
  return async (request) => {
    const url = new URL(request.url);
    if (url.protocol !== 'https:') throw new AlterError('upstream_untrusted', { host: url.hostname, reason: 'it is not https' });
    const destination = parseAuthority(url.host, 'https', 443);
    const addresses = await plane.resolver.resolve(destination, null);
    const { socket } = await plane.dialer.connectSecure(destination, addresses, { alpn: ['http/1.1'], session: null });
    try {
      return await exchange(request, url, socket);
    } catch (cause) {
      if (cause instanceof AlterError) throw cause;
      const code = (cause as NodeJS.ErrnoException).code ?? 'no valid answer';
      throw new AlterError('upstream_protocol', { host: url.hostname, reason: code }, { cause });
    } finally {
      socket.destroy();
    }
  };
}

type Connection = Awaited<ReturnType<DataPlane['dialer']['connectSecure']>>['socket'];

function exchange({ method, headers, body }: HttpsRequest, url: URL, socket: Connection): Promise<HttpsAnswer> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => {
      reject(new AlterError('upstream_timeout', { host: url.hostname, reason: `no answer within ${TIMEOUT_MS} ms` }));
      socket.destroy();
    }, TIMEOUT_MS);
    const settle = <T>(end: (value: T) => void, value: T): void => {
      clearTimeout(timer);
      end(value);
    };
    const outgoing = httpRequest(
      {
        createConnection: () => socket,
        method,
        path: `${url.pathname}${url.search}`,
        headers: {
          ...headers,
          host: url.host,
          connection: 'close',
          ...(body === null ? {} : { 'content-length': body.byteLength }),
        },
      },
      (response) => {
        readAll(response).then(
          (bytes) => settle(resolve, { status: response.statusCode ?? 0, headers: flat(response.headers), body: bytes }),
          (error: unknown) => settle(reject, error),
        );
      },
    );
    outgoing.once('error', (error) => settle(reject, error));
    outgoing.end(body ?? undefined);
  });
}

/** SECURITY: bounded, or whoever answers could fill the daemon's memory. */
async function readAll(response: IncomingMessage): Promise<Buffer> {
  const parts: Buffer[] = [];
  let bytes = 0;
  for await (const part of response as AsyncIterable<Buffer>) {
    bytes += part.length;
    if (bytes > MAX_BODY_BYTES) throw Object.assign(new Error('too large'), { code: `more than ${MAX_BODY_BYTES} bytes` });
    parts.push(part);
  }
  return Buffer.concat(parts);
}

const flat = (headers: IncomingMessage['headers']): Record<string, string> =>
  Object.fromEntries(
    Object.entries(headers).flatMap(([name, value]) =>
      value === undefined ? [] : [[name, Array.isArray(value) ? value.join(', ') : value]],
    ),
  );
