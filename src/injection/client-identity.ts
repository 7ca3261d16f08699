/**
 * A TLS client certificate with its key, checked before it is used. Must never put a byte of either into a message.
 */
import { createPrivateKey, X509Certificate } from 'node:crypto';
import type { Secret } from '../domain/secret.ts';

export interface ClientIdentity {
  /** Names credential and version: sockets of different identities are never the same. */
  readonly tag: string;
  /** PEM, the leaf first. */
  readonly certificate: Secret;
  readonly key: Secret;
}

/** What is wrong with the pair, for people; null when nothing is. */
export function identityProblem(certificate: string, key: string): string | null {
  let leaf: X509Certificate;
  try {
    leaf = new X509Certificate(certificate);
  } catch {
    return 'the certificate is not a certificate in PEM';
  }
  try {
    return leaf.checkPrivateKey(createPrivateKey(key)) ? null : 'the private key is not that of the certificate';
  } catch {
    return 'the private key is not a key in PEM without a passphrase';
  }
}
