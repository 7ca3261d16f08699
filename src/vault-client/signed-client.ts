/**
 * The HTTPS client of a host: TLS 1.3 to the vault's own authority and to no other, each request signed anew. A refusal of the vault
 * becomes the same AlterError again. It keeps no state but its connections.
 * SECURITY: system roots are not trusted here: whoever could get a certificate for the vault's name could else stand in its place.
 */
import type { KeyObject } from 'node:crypto';
import type { ClientRequest, IncomingMessage } from 'node:http';
import { Agent, request as httpsRequest } from 'node:https';
import { mintNonce, signedHeaders, TIME_HEADER } from '../crypto/request-signing.ts';
import { AlterError } from '../domain/errors.ts';
import { connectionError, refusalOf } from './vault-errors.ts';

export interface SignedClientOptions {
  /** Origin of the vault. */
  readonly url: string;
  /** PEM of its authority. */
  readonly ca: string;
  /** Null before the enrolment: then nothing is signed. */
  readonly identity: { readonly hostId: string; readonly signing: KeyObject } | null;
  readonly now?: (() => number) | undefined;
  /** How long the other end may be silent, but for streams once they began. */
  readonly timeoutMs?: number | undefined;
}

export interface CallOptions {
  readonly headers?: Readonly<Record<string, string>>;
  readonly signal?: AbortSignal;
}

export interface VaultAnswer<T> {
  readonly status: number;
  readonly headers: IncomingMessage['headers'];
  /** The vault's clock when it answered, epoch milliseconds. */
  readonly vaultTime: number | null;
  /** Undefined where there is no body. */
  readonly body: T;
}

interface Exchange {
  readonly request: ClientRequest;
  readonly response: IncomingMessage;
}

const TIMEOUT_MS = 10_000;
const MAX_ANSWER_BYTES = 64 * 1024 * 1024;
/** Shorter than the vault keeps an idle connection. */
const IDLE_MS = 60_000;

export class SignedClient {
  readonly url: string;
  readonly #options: SignedClientOptions;
  readonly #agent: Agent;
  readonly #now: () => number;

  constructor(options: SignedClientOptions) {
    this.url = options.url;
    this.#options = options;
    this.#now = options.now ?? Date.now;
    this.#agent = new Agent({
      ...{ ca: options.ca, minVersion: 'TLSv1.3', rejectUnauthorized: true },
      ...{ keepAlive: true, timeout: IDLE_MS, maxFreeSockets: 4 },
    });
  }

  /** One call; 304 is an answer. @throws AlterError whatever the vault answers, vault_unavailable, vault_untrusted */
  async call<T>(method: 'GET' | 'POST', target: string, body?: unknown, options: CallOptions = {}): Promise<VaultAnswer<T>> {
    const { response } = await this.#exchange(method, target, body, options);
    const text = await textOf(response, this.url);
    const { statusCode: status = 500, headers } = response;
    if (status >= 400) throw refusalOf(status, text);
    const time = Number(headers[TIME_HEADER]);
    return { status, headers, vaultTime: Number.isSafeInteger(time) ? time : null, body: parse<T>(text) };
  }

  /** An answer that goes on. @throws AlterError as call() */
  async stream(target: string, options: CallOptions = {}): Promise<IncomingMessage> {
    const { response, request } = await this.#exchange('GET', target, undefined, options);
    if ((response.statusCode ?? 500) >= 400) throw refusalOf(response.statusCode ?? 500, await textOf(response, this.url));
    // What follows has its own pace: a stream is silent for a while.
    request.setTimeout(0);
    return response;
  }

  close(): void {
    this.#agent.destroy();
  }

  async #exchange(method: 'GET' | 'POST', target: string, body: unknown, options: CallOptions): Promise<Exchange> {
    const payload = body === undefined ? Buffer.alloc(0) : Buffer.from(JSON.stringify(body));
    try {
      return await this.#send(method, target, payload, options);
    } catch (error) {
      // A connection that was kept was closed at the other end just then. The vault takes every call twice without harm.
      if (!(error instanceof StaleConnection)) throw error;
      return await this.#send(method, target, payload, options);
    }
  }

  #send(method: 'GET' | 'POST', target: string, payload: Buffer, options: CallOptions): Promise<Exchange> {
    const { identity } = this.#options;
    const parts = { method, target, timestamp: this.#now(), nonce: mintNonce(), body: payload };
    return new Promise((resolve, reject) => {
      const request = httpsRequest(new URL(target, this.url), {
        method,
        agent: this.#agent,
        timeout: this.#options.timeoutMs ?? TIMEOUT_MS,
        ...(options.signal === undefined ? {} : { signal: options.signal }),
        headers: {
          accept: 'application/json',
          ...(payload.length === 0 ? {} : { 'content-type': 'application/json' }),
          ...(method === 'POST' ? { 'content-length': payload.length } : {}),
          ...options.headers,
          ...(identity === null ? {} : signedHeaders(identity.hostId, identity.signing, parts)),
        },
      });
      request.once('timeout', () => {
        // Those that wait for the next call went the same way: each of them would take as long to find out.
        for (const socket of Object.values(this.#agent.freeSockets).flat()) socket?.destroy();
        request.destroy(Object.assign(new Error('timed out'), { code: 'ETIMEDOUT' }));
      });
      request.once('error', (error: NodeJS.ErrnoException) =>
        reject(
          request.reusedSocket && (error.code === 'ECONNRESET' || error.code === 'EPIPE')
            ? new StaleConnection()
            : connectionError(error, this.url),
        ),
      );
      // The time-out holds for the body too: a way that breaks behind the head is told by nobody.
      request.once('response', (response) => resolve({ request, response }));
      request.end(payload);
    });
  }
}

class StaleConnection extends AlterError<'vault_unavailable'> {
  constructor() {
    super('vault_unavailable', { reason: 'the connection ended' });
  }
}

async function textOf(response: IncomingMessage, url: string): Promise<string> {
  const parts: Buffer[] = [];
  let bytes = 0;
  try {
    for await (const part of response) {
      bytes += (part as Buffer).length;
      if (bytes > MAX_ANSWER_BYTES) throw new AlterError('vault_unavailable', { reason: 'its answer has no end' });
      parts.push(part as Buffer);
    }
  } catch (error) {
    throw connectionError(error, url);
  }
  return Buffer.concat(parts).toString('utf8');
}

function parse<T>(text: string): T {
  if (text === '') return undefined as T;
  try {
    return JSON.parse(text) as T;
  } catch (cause) {
    throw new AlterError('vault_unavailable', { reason: 'it gave an answer that is no JSON' }, { cause });
  }
}
