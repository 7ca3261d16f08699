/**
 * Leaf issuer: the certificate that an intercepted tunnel shows for its destination, and the TLS context that holds it.
 * One P-256 leaf key per process, in memory only; it must never be written, and a leaf must never name more than one host.
 */
import { generateKeyPairSync, type KeyObject } from 'node:crypto';
import { createSecureContext, type SecureContext } from 'node:tls';
import { AlterError } from '../domain/errors.ts';
import type { LocalCa } from './authority.ts';
import { certificatePem, distinguishedName, EXTENSION, keyIdOf, MAX_COMMON_NAME_LENGTH, signCertificate } from './certificate.ts';

const HOUR_MS = 3_600_000;
const LEAF_LIFE_MS = 7 * 24 * HOUR_MS;
/** About 22 KiB of native memory each. */
const MAX_CONTEXTS = 1000;

export interface LeafIssuerOptions {
  readonly maxContexts?: number;
  readonly lifeMs?: number;
  /** Epoch milliseconds; tests move it. */
  readonly now?: () => number;
}

interface CachedContext {
  readonly context: SecureContext;
  /** From here on the leaf is minted anew: two thirds of its life. */
  readonly renewAt: number;
}

/** Issues leaves of one CA. Make a new issuer when the CA is rotated. */
export class LeafIssuer {
  readonly #ca: LocalCa;
  readonly #contexts = new Map<string, CachedContext>();
  readonly #maxContexts: number;
  readonly #lifeMs: number;
  readonly #now: () => number;
  readonly #publicKey: Buffer;
  readonly #privateKeyPem: string;
  readonly #keyExtensions: readonly Buffer[];

  constructor(ca: LocalCa, options: LeafIssuerOptions = {}) {
    this.#ca = ca;
    this.#maxContexts = options.maxContexts ?? MAX_CONTEXTS;
    this.#lifeMs = options.lifeMs ?? LEAF_LIFE_MS;
    this.#now = options.now ?? Date.now;
    const pair: { publicKey: KeyObject; privateKey: KeyObject } = generateKeyPairSync('ec', { namedCurve: 'prime256v1' });
    this.#publicKey = pair.publicKey.export({ type: 'spki', format: 'der' });
    this.#privateKeyPem = pair.privateKey.export({ type: 'pkcs8', format: 'pem' }) as string;
    this.#keyExtensions = [
      EXTENSION.leafConstraints,
      EXTENSION.leafKeyUsage,
      EXTENSION.serverAuth,
      EXTENSION.subjectKeyId(keyIdOf(pair.publicKey)),
      // Required by Python's strict mode (the default from 3.13); the others do not care.
      EXTENSION.authorityKeyId(ca.keyId),
    ];
  }

  /** How many contexts are held now. */
  get size(): number {
    return this.#contexts.size;
  }

  /**
   * The TLS context for a canonical host (`family` as in Destination). Session tickets resume later tunnels to the same host;
   * each context has ticket keys of its own, so that no session resumes across hosts. ALPN is the caller's.
   * @throws AlterError destination_refused (the host is outside the CA's name constraints)
   */
  contextFor(host: string, family: 0 | 4 | 6): SecureContext {
    const now = this.#now();
    const cached = this.#contexts.get(host);
    if (cached !== undefined && now < cached.renewAt) {
      // Re-inserting keeps the map in order of use; the first key is the oldest.
      this.#contexts.delete(host);
      this.#contexts.set(host, cached);
      return cached.context;
    }
    if (!this.#ca.covers(host, family))
      throw new AlterError('destination_refused', { host, policy_error: 'outside_ca_name_constraints' });
    const context = this.#createContext(host, family, now);
    this.#contexts.delete(host);
    this.#contexts.set(host, { context, renewAt: now + (this.#lifeMs - HOUR_MS) * (2 / 3) });
    if (this.#contexts.size > this.#maxContexts) this.#contexts.delete(this.#contexts.keys().next().value as string);
    return context;
  }

  /** A new leaf for a host, DER. Whether the CA's name constraints cover it is for {@link contextFor} to say. */
  mintLeaf(host: string, family: 0 | 4 | 6, now: number = this.#now()): Buffer {
    // OpenSSL holds a common name that is an address against the CA's DNS constraints, so under constraints it goes without.
    const named = host.length <= MAX_COMMON_NAME_LENGTH && (family === 0 || this.#ca.nameConstraints.length === 0);
    return signCertificate(
      {
        issuer: this.#ca.subjectDer,
        subject: distinguishedName(named ? host : null),
        notBefore: Math.max(now - HOUR_MS, this.#ca.notBefore),
        notAfter: Math.min(now - HOUR_MS + this.#lifeMs, this.#ca.notAfter),
        publicKey: this.#publicKey,
        extensions: [...this.#keyExtensions, EXTENSION.subjectAltName(host, family)],
      },
      (tbs) => this.#ca.signTbs(tbs),
    );
  }

  /** Forgets every context. Tunnels that are open keep theirs until they end. */
  dispose(): void {
    this.#contexts.clear();
  }

  #createContext(host: string, family: 0 | 4 | 6, now: number): SecureContext {
    return createSecureContext({
      key: this.#privateKeyPem,
      // The leaf alone: every client has the CA already, and a root in the chain is only bytes.
      cert: certificatePem(this.mintLeaf(host, family, now)),
      // No roots: this side asks for no client certificate. Without this the first context costs 25 ms to parse Node's roots,
      // and each handshake searches them for an issuer of the leaf.
      ca: [],
      minVersion: 'TLSv1.2',
    });
  }
}
