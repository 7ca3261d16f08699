/**
 * Opens sockets to origins: to a vetted address only, verified against the destination's name, through an upstream proxy
 * when one is configured. Verification can't be switched off here or anywhere else.
 */
import { connect as connectTcp, type LookupFunction, type Socket } from 'node:net';
import {
  type ConnectionOptions,
  checkServerIdentity,
  connect as connectTls,
  createSecureContext,
  type DetailedPeerCertificate,
  type PeerCertificate,
  rootCertificates,
  type SecureContext,
  type SecureContextOptions,
  type TLSSocket,
} from 'node:tls';
import type { Destination } from '../../domain/destination.ts';
import { AlterError } from '../../domain/errors.ts';
import type { Secret } from '../../domain/secret.ts';
import type { ClientIdentity } from '../../injection/client-identity.ts';
import type { VettedAddress } from '../egress/resolver.ts';
import type { RevocationLists } from './revocation.ts';

export interface UpstreamProxy {
  readonly scheme: 'http' | 'https';
  readonly host: string;
  readonly port: number;
  /** `user:password`, or null. */
  readonly auth: Secret | null;
  /** Marks our own CONNECT, so that a chain which leads back to us is noticed. */
  readonly loopNonce: string;
}

export interface DialOptions {
  /** PEM of extra CAs, or null for the built-in roots alone. */
  readonly extraCa: string | null;
  /** Lists that certificates of origins are held against, or null. */
  readonly revocations?: RevocationLists | null;
  readonly proxy: UpstreamProxy | null;
  readonly connectMs: number;
  readonly handshakeMs: number;
}

/** Reads into one buffer for all sockets; the callback must be done with the bytes when it returns. */
export interface SharedRead {
  readonly buffer: Uint8Array;
  callback(bytes: number, buffer: Uint8Array): boolean;
}

const UNTRUSTED =
  /^(CERT_|CRL_|UNABLE_TO_|DEPTH_ZERO|SELF_SIGNED|ERR_TLS_CERT_ALTNAME|HOSTNAME_MISMATCH|INVALID_PURPOSE|INVALID_CA|PATH_LENGTH)/;

export class Dialer {
  readonly #options: DialOptions;
  #context: SecureContext | null = null;
  /** One for each client certificate, for as long as somebody uses it. */
  readonly #identified = new WeakMap<ClientIdentity, SecureContext>();

  constructor(options: DialOptions) {
    this.#options = options;
  }

  /** Roots: those built into Node, plus the configured ones. Made at the first use: parsing takes some milliseconds. */
  get #secureContext(): SecureContext {
    this.#context ??= createSecureContext(this.#trust);
    return this.#context;
  }

  get #trust(): SecureContextOptions {
    const extra = this.#options.extraCa;
    return extra === null ? { minVersion: 'TLSv1.2' } : { ca: [...rootCertificates, extra], minVersion: 'TLSv1.2' };
  }

  /** The same roots, with the certificate that the origin asks for. */
  #contextFor(identity: ClientIdentity | null): SecureContext {
    if (identity === null) return this.#secureContext;
    let context = this.#identified.get(identity);
    if (context === undefined) {
      context = createSecureContext({ ...this.#trust, cert: identity.certificate.reveal(), key: identity.key.reveal() });
      this.#identified.set(identity, context);
    }
    return context;
  }

  /**
   * A connected plain socket. `onread` only without an upstream proxy.
   * @throws AlterError upstream_unreachable, upstream_timeout
   */
  async connectPlain(
    destination: Destination,
    addresses: readonly VettedAddress[],
    onread?: SharedRead,
  ): Promise<{ socket: Socket; shared: boolean }> {
    if (this.#options.proxy !== null)
      return { socket: await this.#throughProxy(destination, this.#options.proxy), shared: false };
    const socket = connectTcp({
      ...target(addresses),
      noDelay: true,
      allowHalfOpen: true,
      ...(onread ? { onread } : {}),
    } as Parameters<typeof connectTcp>[0] & object);
    await opened(socket, 'connect', destination, this.#options.connectMs);
    return { socket, shared: onread !== undefined };
  }

  /**
   * A TLS socket whose certificate was verified for the destination's host.
   * @param options.session ticket of an earlier one to the same origin
   * @param options.identity the client certificate to show
   * @throws AlterError upstream_unreachable, upstream_untrusted, upstream_timeout
   */
  async connectSecure(
    destination: Destination,
    addresses: readonly VettedAddress[],
    options: { alpn: string[]; session: Buffer | null; identity?: ClientIdentity | null; onread?: SharedRead },
  ): Promise<{ socket: TLSSocket; shared: boolean }> {
    const proxy = this.#options.proxy;
    const base: ConnectionOptions = {
      secureContext: this.#contextFor(options.identity ?? null),
      // RFC 6066 3: no SNI for address literals; then the certificate must name the address.
      ...(destination.family === 0 ? { servername: destination.host } : {}),
      ALPNProtocols: options.alpn,
      // SECURITY: said outright, because NODE_TLS_REJECT_UNAUTHORIZED in the environment changes the default (S-83).
      rejectUnauthorized: true,
      checkServerIdentity: (_host: string, cert: PeerCertificate) =>
        verifyIdentity(destination.host, cert) ?? revocationOf(this.#options.revocations ?? null, cert),
      ...(options.session === null ? {} : { session: options.session }),
    };
    if (proxy !== null) {
      const carrier = await this.#throughProxy(destination, proxy);
      const socket = connectTls({ ...base, socket: carrier });
      await opened(socket, 'secureConnect', destination, this.#options.handshakeMs);
      return { socket, shared: false };
    }
    const socket = connectTls({
      ...base,
      ...target(addresses),
      noDelay: true,
      allowHalfOpen: true,
      ...(options.onread ? { onread: options.onread } : {}),
    } as ConnectionOptions);
    await opened(socket, 'secureConnect', destination, this.#options.connectMs + this.#options.handshakeMs);
    return { socket, shared: options.onread !== undefined };
  }

  async #throughProxy(destination: Destination, proxy: UpstreamProxy): Promise<Socket> {
    const where = { host: proxy.host, port: proxy.port, noDelay: true };
    const socket =
      proxy.scheme === 'http'
        ? connectTcp(where)
        : connectTls({ ...where, servername: proxy.host, secureContext: this.#secureContext, rejectUnauthorized: true });
    await opened(socket, proxy.scheme === 'http' ? 'connect' : 'secureConnect', destination, this.#options.connectMs);
    const host = destination.family === 6 ? `[${destination.host}]` : destination.host;
    const authority = `${host}:${destination.port}`;
    const auth =
      proxy.auth === null ? '' : `Proxy-Authorization: Basic ${Buffer.from(proxy.auth.reveal()).toString('base64')}\r\n`;
    socket.write(`CONNECT ${authority} HTTP/1.1\r\nHost: ${authority}\r\n${auth}Alter-Hop: ${proxy.loopNonce}\r\n\r\n`);
    await connectAnswer(socket, destination, this.#options.connectMs);
    return socket;
  }
}

/** One address is dialled as it is; of several, Node's happy eyeballs takes the first that answers, from this list only (S-24, S-25). */
function target(addresses: readonly VettedAddress[]): object {
  const first = addresses[0] as VettedAddress;
  if (addresses.length === 1) return { host: first.ip, port: first.port };
  const list = addresses.map((a) => ({ address: a.ip, family: a.family }));
  const lookup: LookupFunction = (_host, _options, callback) => callback(null, list);
  return { host: 'vetted.invalid', port: first.port, lookup, autoSelectFamily: true, autoSelectFamilyAttemptTimeout: 300 };
}

/** SECURITY: a certificate without a subject alternative name is no proof, though Node would fall back to its CN. */
function verifyIdentity(host: string, cert: PeerCertificate): Error | undefined {
  if (cert.subjectaltname === undefined) {
    const error: NodeJS.ErrnoException = new Error('the certificate names no host (no subjectAltName)');
    error.code = 'ERR_TLS_CERT_ALTNAME_INVALID';
    return error;
  }
  return checkServerIdentity(host, cert);
}

/** Node asks with the whole chain; a resumed session is not asked again, and belongs to a pool that ends with its settings. */
function revocationOf(lists: RevocationLists | null, cert: PeerCertificate): Error | undefined {
  const fault = lists?.faultOf(cert as DetailedPeerCertificate, Date.now()) ?? null;
  return fault === null
    ? undefined
    : Object.assign(new Error('a certificate of the chain is revoked, or that is not known'), { code: fault });
}

function opened(socket: Socket, event: 'connect' | 'secureConnect', destination: Destination, timeoutMs: number): Promise<void> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => {
      socket.destroy();
      fail(new AlterError('upstream_timeout', { host: destination.host, reason: `no connection within ${timeoutMs} ms` }));
    }, timeoutMs);
    const fail = (error: Error): void => {
      clearTimeout(timer);
      socket.off('error', onError);
      socket.off('close', onClose);
      socket.on('error', () => {});
      reject(error);
    };
    const onError = (error: Error): void => fail(dialError(destination, error));
    const onClose = (): void => fail(dialError(destination, new Error('closed during the handshake')));
    socket.once('error', onError);
    socket.once('close', onClose);
    socket.once(event, () => {
      clearTimeout(timer);
      socket.off('error', onError);
      socket.off('close', onClose);
      resolve();
    });
  });
}

function dialError(destination: Destination, cause: Error): AlterError {
  const code = (cause as NodeJS.ErrnoException).code ?? '';
  if (UNTRUSTED.test(code)) return new AlterError('upstream_untrusted', { host: destination.host, reason: code }, { cause });
  const errors = (cause as AggregateError).errors as NodeJS.ErrnoException[] | undefined;
  const why = code || errors?.map((e) => e.code).join(', ') || 'the connection was closed';
  return new AlterError('upstream_unreachable', { host: destination.host, reason: why }, { cause });
}

/** True when a handshake failed only because the origin speaks none of the protocols that were offered. */
export function isAlpnRefusal(error: unknown): boolean {
  const cause = error instanceof AlterError ? (error.cause as NodeJS.ErrnoException | undefined) : undefined;
  return cause?.code === 'ERR_SSL_TLSV1_ALERT_NO_APPLICATION_PROTOCOL';
}

/** Waits for the upstream proxy's answer to CONNECT; its head is at most 16 KiB and nothing may follow it. */
function connectAnswer(socket: Socket, destination: Destination, timeoutMs: number): Promise<void> {
  return new Promise((resolve, reject) => {
    let seen = Buffer.alloc(0);
    const finish = (error: AlterError | null): void => {
      clearTimeout(timer);
      socket.off('data', onData);
      socket.off('error', onFail);
      socket.off('close', onFail);
      if (error === null) {
        socket.pause();
        resolve();
        return;
      }
      socket.on('error', () => {});
      socket.destroy();
      reject(error);
    };
    const unreachable = (reason: string): AlterError =>
      new AlterError('upstream_unreachable', { host: destination.host, reason });
    const timer = setTimeout(
      () => finish(new AlterError('upstream_timeout', { host: destination.host, reason: 'the upstream proxy did not answer' })),
      timeoutMs,
    );
    const onFail = (): void => finish(unreachable('the upstream proxy closed the connection'));
    const onData = (chunk: Buffer): void => {
      seen = Buffer.concat([seen, chunk]);
      const end = seen.indexOf('\r\n\r\n');
      if (end === -1) {
        if (seen.length > 16_384) finish(unreachable('the upstream proxy sent no answer to CONNECT'));
        return;
      }
      const status = /^HTTP\/1\.[01] (\d{3})/.exec(seen.toString('latin1', 0, 16))?.[1];
      if (status === '508') finish(new AlterError('loop_detected', { host: destination.host }));
      else if (status !== '200') finish(unreachable(`the upstream proxy answered ${status ?? 'garbage'} to CONNECT`));
      else if (end + 4 !== seen.length) finish(unreachable('the upstream proxy sent bytes of its own'));
      else finish(null);
    };
    socket.on('data', onData);
    socket.once('error', onFail);
    socket.once('close', onFail);
  });
}
