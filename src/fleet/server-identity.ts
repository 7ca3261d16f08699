/**
 * The certificate that hosts see: a leaf of the vault's own authority for each of its public names, or the operator's own files. The
 * authority comes along in the chain, so that a host finds there what it was told the fingerprint of.
 * The leaf's key lives in this process only and must never be written.
 */
import { generateKeyPairSync, type KeyObject, X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createSecureContext } from 'node:tls';
import type { LocalCa } from '../ca/authority.ts';
import {
  certificatePem,
  distinguishedName,
  EXTENSION,
  keyIdOf,
  MAX_COMMON_NAME_LENGTH,
  signCertificate,
} from '../ca/certificate.ts';
import { AlterError } from '../domain/errors.ts';
import type { TlsMaterial } from './fleet-server.ts';

const HOUR_MS = 3_600_000;
const LIFE_MS = 7 * 24 * HOUR_MS;
/** How often a running vault takes a new one. */
export const RENEW_EVERY_MS = 24 * HOUR_MS;

export interface PublicName {
  readonly host: string;
  readonly family: 0 | 4 | 6;
}

export interface ServerIdentity {
  /** `AA:BB:…` of the certificate that hosts pin. */
  readonly fingerprint: string;
  readonly tls: () => TlsMaterial;
}

/** Leaves of the vault's own authority. */
export function ownIdentity(ca: LocalCa, names: readonly PublicName[], now: () => number = Date.now): ServerIdentity {
  const pair: { publicKey: KeyObject; privateKey: KeyObject } = generateKeyPairSync('ec', { namedCurve: 'prime256v1' });
  const key = pair.privateKey.export({ type: 'pkcs8', format: 'pem' }) as string;
  const first = names[0]?.host ?? '';
  const mint = (): string => {
    const at = now();
    const der = signCertificate(
      {
        issuer: ca.subjectDer,
        subject: distinguishedName(first.length <= MAX_COMMON_NAME_LENGTH ? first : null),
        notBefore: Math.max(at - HOUR_MS, ca.notBefore),
        notAfter: Math.min(at + LIFE_MS, ca.notAfter),
        publicKey: pair.publicKey.export({ type: 'spki', format: 'der' }),
        extensions: [
          EXTENSION.leafConstraints,
          EXTENSION.leafKeyUsage,
          EXTENSION.serverAuth,
          EXTENSION.subjectKeyId(keyIdOf(pair.publicKey)),
          EXTENSION.authorityKeyId(ca.keyId),
          EXTENSION.subjectAltNames(names),
        ],
      },
      (tbs) => ca.signTbs(tbs),
    );
    return certificatePem(der);
  };
  return { fingerprint: ca.fingerprintSha256, tls: () => ({ key, cert: mint() + ca.certPem }) };
}

export interface CertificateFiles {
  readonly certFile: string;
  readonly keyFile: string;
  /** The authority, when the chain does not end with it. */
  readonly caFile: string | null;
}

/** The operator's own; read again with each renewal. @throws AlterError invalid_input */
export function filesIdentity(files: CertificateFiles): ServerIdentity {
  const read = (): { readonly tls: TlsMaterial; readonly root: X509Certificate } => {
    const chain =
      textOf('vault_server.tls_cert_file', files.certFile) +
      (files.caFile === null ? '' : `\n${textOf('vault_server.tls_ca_file', files.caFile)}`);
    const tls = { cert: chain, key: textOf('vault_server.tls_key_file', files.keyFile) };
    try {
      createSecureContext(tls);
      const root = new X509Certificate(chain.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g)?.at(-1) ?? '');
      return { tls, root };
    } catch (cause) {
      throw invalid('vault_server.tls_cert_file and vault_server.tls_key_file do not hold a certificate with its key', cause);
    }
  };
  const { root } = read();
  // SECURITY: hosts trust what the fingerprint names. A certificate that somebody else signed would make that somebody the judge.
  if (!root.checkIssued(root))
    throw invalid(
      'vault_server.tls_cert_file does not end with an authority that signed itself: name it in vault_server.tls_ca_file',
    );
  return { fingerprint: root.fingerprint256, tls: () => read().tls };
}

function textOf(key: string, path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (cause) {
    throw invalid(`${key}: ${path} can't be read (${(cause as NodeJS.ErrnoException).code})`, cause);
  }
}

const invalid = (problem: string, cause?: unknown): AlterError =>
  new AlterError('invalid_input', { problems: [problem] }, { cause });
