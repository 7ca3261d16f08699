/**
 * The HttpsCall port over the data plane's own resolver and dialer: a name is resolved once, its addresses are judged, the judged one
 * is dialled, the certificate is verified. Bounded in time and in bytes. It must never follow a redirect (S-28).
 */
import { request as httpRequest, type IncomingMessage } from 'node:http';
import { connect, type Socket } from 'node:net';
import { isLoopback } from '../../config/address-reader.ts';
import type { Destination } from '../../domain/destination.ts';
import { AlterError } from '../../domain/errors.ts';
import { parseAuthority } from '../../domain/host.ts';
import type { HttpsAnswer, HttpsCall, HttpsRequest } from '../../domain/https-call.ts';
import type { Dialer } from '../upstream/dial.ts';
import type { Resolver, VettedAddress } from './resolver.ts';

const ANSWER_MAX_BYTES = 256 * 1024;
const ANSWER_WAIT_MS = 15_000;

/** What a call needs of the data plane; asked at each call, because a reload replaces it. */
export interface CallParts {
  readonly resolver: Pick<Resolver, 'resolve'>;
  readonly dialer: Pick<Dialer, 'connectSecure'>;
}

/** @param waitMs for the whole answer, once the socket is open */
export function httpsCaller(parts: () => CallParts, waitMs = ANSWER_WAIT_MS): HttpsCall {
  return async (request) => {
    const { resolver, dialer } = parts();
    const url = new URL(request.url);
    // SECURITY: a secret in a token request must never go out in the clear, whatever a file or a caller says.
    const isPlain = url.protocol === 'http:' && request.allowLoopbackHttp === true;
    if ((url.protocol !== 'https:' && !isPlain) || url.username !== '' || url.password !== '') throw needsHttps(url.hostname);
    const destination = isPlain ? parseAuthority(url.host, 'http', 80) : parseAuthority(url.host, 'https', 443);
    // SECURITY: the one gate in front of the dial (S-102): null would mean the exceptions of hosts without a grant, which hold too.
    const addresses = await resolver.resolve(destination, request.allowPrivate ? true : null);
    const socket = isPlain
      ? connectLoopback(destination, addresses)
      : (await dialer.connectSecure(destination, addresses, { alpn: ['http/1.1'], session: null })).socket;
    try {
      return await exchange(socket, destination, `${url.pathname}${url.search}`, request, waitMs);
    } finally {
      socket.destroy();
    }
  };
}

const needsHttps = (host: string): AlterError => new AlterError('destination_refused', { host, policy_error: 'https_required' });

/** The socket connects while the request is written to it; one that can't fails the exchange. */
function connectLoopback({ host }: Destination, addresses: readonly VettedAddress[]): Socket {
  const [first] = addresses;
  // SECURITY: a name that was this machine's when it was configured may lead elsewhere now.
  if (first === undefined || !addresses.every(({ ip, family }) => isLoopback({ host: ip, family }))) throw needsHttps(host);
  return connect({ host: first.ip, port: first.port });
}

function exchange(
  socket: Socket,
  destination: Destination,
  path: string,
  { method, headers, body, signal }: HttpsRequest,
  waitMs: number,
): Promise<HttpsAnswer> {
  const { host } = destination;
  return new Promise((resolve, reject) => {
    const timer = setTimeout(
      () => fail(new AlterError('upstream_timeout', { host, reason: `no answer within ${waitMs} ms` })),
      waitMs,
    );
    const fail = (error: AlterError): void => {
      clearTimeout(timer);
      outgoing.destroy();
      reject(error);
    };
    const lost = (cause: NodeJS.ErrnoException): void =>
      fail(
        cause instanceof AlterError
          ? cause
          : cause.code?.startsWith('HPE_')
            ? new AlterError('upstream_protocol', { host, reason: cause.code }, { cause })
            : new AlterError('upstream_unreachable', { host, reason: cause.code ?? 'the connection was closed' }, { cause }),
      );
    const outgoing = httpRequest(
      {
        // SECURITY: without an agent, or Node dials by itself: only the vetted socket may be used.
        createConnection: () => socket,
        method,
        path,
        ...(signal === undefined ? {} : { signal }),
        headers: {
          host: destination.authority,
          'user-agent': 'alterd',
          connection: 'close',
          ...(body === undefined ? {} : { 'content-length': body.length }),
          ...headers,
        },
      },
      (incoming) => {
        collect(incoming, host).then((bytes) => {
          clearTimeout(timer);
          resolve(answerOf(incoming, bytes));
        }, lost);
      },
    );
    outgoing.on('error', lost);
    outgoing.end(body);
  });
}

async function collect(incoming: IncomingMessage, host: string): Promise<Buffer> {
  const parts: Buffer[] = [];
  let bytes = 0;
  for await (const part of incoming as AsyncIterable<Buffer>) {
    bytes += part.length;
    if (bytes > ANSWER_MAX_BYTES) throw new AlterError('upstream_protocol', { host, reason: 'the answer is too long' });
    parts.push(part);
  }
  return Buffer.concat(parts);
}

function answerOf(incoming: IncomingMessage, body: Buffer): HttpsAnswer {
  const retryAfter = Number(incoming.headers['retry-after']);
  return {
    status: incoming.statusCode ?? 0,
    contentType: (incoming.headers['content-type'] ?? '').split(';')[0]!.trim().toLowerCase(),
    retryAfterS: Number.isInteger(retryAfter) && retryAfter >= 0 ? retryAfter : null,
    body,
  };
}
