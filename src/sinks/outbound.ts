/**
 * The only way out of the sinks: a name is resolved once, its addresses are judged like those of any destination, and the judged
 * ones are dialled. Certificates are verified for the name; nothing follows a redirect.
 */
import { type IncomingMessage, request } from 'node:http';
import type { Socket } from 'node:net';
import type { Destination } from '../domain/destination.ts';
import { Resolver, type VettedAddress } from '../proxy/egress/resolver.ts';
import { Dialer } from '../proxy/upstream/dial.ts';

const CONNECT_MS = 10_000;
const ANSWER_MS = 30_000;
const MAX_ANSWER_BYTES = 64 * 1024;

export interface OutboundOptions {
  readonly overrides: ReadonlyMap<string, { readonly host: string; readonly port: number }>;
  /** PEM of CAs besides the built-in ones. */
  readonly extraCa: string | null;
  /** Ports that alterd itself listens on. */
  readonly ownPorts: readonly number[];
}

export interface HttpAnswer {
  readonly status: number;
  readonly body: string;
}

export class Outbound {
  readonly #resolver: Resolver;
  readonly #dialer: Dialer;

  constructor({ overrides, extraCa, ownPorts }: OutboundOptions) {
    this.#resolver = new Resolver({ overrides, allowPrivate: [], ownPorts: () => ownPorts });
    this.#dialer = new Dialer({ extraCa, proxy: null, connectMs: CONNECT_MS, handshakeMs: CONNECT_MS });
  }

  /** @throws AlterError destination_refused, upstream_unreachable */
  resolve(destination: Destination, allowPrivate: boolean): Promise<VettedAddress[]> {
    // SECURITY: a sink is configured by the operator, but a name that it leads to is anybody's: it must not reach metadata or this machine unasked.
    return this.#resolver.resolve(destination, allowPrivate);
  }

  /** A connected socket, with TLS where the scheme says so. @throws AlterError destination_refused, upstream_* */
  async connect(destination: Destination, allowPrivate: boolean): Promise<Socket> {
    const addresses = await this.resolve(destination, allowPrivate);
    if (destination.scheme === 'http') return (await this.#dialer.connectPlain(destination, addresses)).socket;
    return (await this.#dialer.connectSecure(destination, addresses, { alpn: ['http/1.1'], session: null })).socket;
  }

  /** One POST on a connection of its own. @throws AlterError destination_refused, upstream_*; Error when no answer comes */
  async post(
    destination: Destination,
    allowPrivate: boolean,
    target: string,
    headers: Readonly<Record<string, string>>,
    body: Buffer,
  ): Promise<HttpAnswer> {
    const socket = await this.connect(destination, allowPrivate);
    return new Promise((resolve, reject) => {
      const sent = request({
        method: 'POST',
        path: target,
        headers: { ...headers, host: destination.authority, 'content-length': String(body.length), connection: 'close' },
        createConnection: () => socket,
        timeout: ANSWER_MS,
      });
      const fail = (reason: string): void => {
        socket.destroy();
        reject(new Error(reason));
      };
      sent.once('timeout', () => fail('no answer in time'));
      sent.once('error', (error) => fail(`the connection failed (${(error as NodeJS.ErrnoException).code ?? 'broken off'})`));
      sent.once('response', (response) => {
        readAnswer(response).then(
          (text) => resolve({ status: response.statusCode ?? 0, body: text }),
          () => fail('the answer broke off'),
        );
      });
      sent.end(body);
    });
  }
}

async function readAnswer(response: IncomingMessage): Promise<string> {
  const parts: Buffer[] = [];
  let bytes = 0;
  for await (const part of response as AsyncIterable<Buffer>) {
    bytes += part.length;
    if (bytes > MAX_ANSWER_BYTES) {
      response.destroy();
      break;
    }
    parts.push(part);
  }
  return Buffer.concat(parts).toString('utf8');
}
