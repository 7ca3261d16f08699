/**
 * Which host a call is from: its signature over the whole request, its clock, its nonce, and its standing, in this order. Nothing is
 * learned by somebody who has no key: an unknown host and a wrong signature look the same, and only the right signature uses up a nonce.
 */
import type { KeyObject } from 'node:crypto';
import { isSignatureRight, readClaim, SKEW_MS, verifyingKey } from '../crypto/request-signing.ts';
import { AlterError } from '../domain/errors.ts';
import type { FleetHost } from '../domain/fleet-host.ts';
import type { NonceBook } from './nonce-book.ts';

export interface AuthenticatorOptions {
  readonly hosts: { byId(id: string): FleetHost | undefined; noteSeen(id: string): void };
  readonly nonces: NonceBook;
  /** @throws AlterError vault_unavailable while what is known may be older than the database */
  readonly requireFresh?: (() => void) | undefined;
  readonly now?: (() => number) | undefined;
}

export interface SignedCall {
  readonly method: string;
  /** As in the request line. */
  readonly target: string;
  readonly header: (name: string) => string | undefined;
  readonly body: Uint8Array;
}

export class HostAuthenticator {
  readonly #options: AuthenticatorOptions;
  readonly #now: () => number;
  /** Parsing a key costs more than verifying with it. */
  readonly #keys = new WeakMap<FleetHost, KeyObject>();

  constructor(options: AuthenticatorOptions) {
    this.#options = options;
    this.#now = options.now ?? Date.now;
  }

  /** The calling host. @throws AlterError host_unauthenticated, clock_skewed, host_inactive, vault_unavailable */
  async authenticate({ method, target, header, body }: SignedCall): Promise<FleetHost> {
    const claim = readClaim(header);
    if (claim === null) throw new AlterError('host_unauthenticated', { host_error: 'unsigned' });
    const { keyId, timestamp, nonce, signature } = claim;
    const host = this.#options.hosts.byId(keyId);
    const key = host === undefined ? undefined : this.#keyOf(host);
    if (host === undefined || key === undefined || !isSignatureRight(key, { method, target, timestamp, nonce, body }, signature))
      throw new AlterError('host_unauthenticated', { host_error: 'signature' });
    const skewMs = timestamp - this.#now();
    if (Math.abs(skewMs) > SKEW_MS) throw new AlterError('clock_skewed', { skew_ms: skewMs, allowed_ms: SKEW_MS });
    if (!(await this.#options.nonces.use(host.id, nonce, timestamp)))
      throw new AlterError('host_unauthenticated', { host_error: 'replayed' });
    // SECURITY: what can't be checked against the database any more may have been revoked there.
    this.#options.requireFresh?.();
    // SECURITY: asked after the nonce was awaited: what was revoked meanwhile is refused.
    const { status } = this.#options.hosts.byId(host.id) ?? { status: 'revoked' as const };
    if (status !== 'active') throw new AlterError('host_inactive', { host: host.name, host_status: status });
    this.#options.hosts.noteSeen(host.id);
    return host;
  }

  #keyOf(host: FleetHost): KeyObject | undefined {
    const known = this.#keys.get(host);
    if (known !== undefined || host.signingKey === null) return known;
    const key = verifyingKey(host.signingKey);
    if (key !== undefined) this.#keys.set(host, key);
    return key;
  }
}
