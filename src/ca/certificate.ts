/**
 * Certificate: the X.509 v3 pieces that the local CA and its leaves share, and the one place where a certificate is signed.
 * P-256 with SHA-256 throughout. It must never see a key of another kind, and never parse a certificate.
 */
import { createHash, type KeyObject, randomBytes, sign } from 'node:crypto';
import { isIPv4 } from 'node:net';
import { bitString, explicit, implicit, integer, octetString, oid, sequence, setOf, TRUE, time, tlv, utf8String } from './der.ts';

/** ecdsa-with-SHA256, without parameters (RFC 5758 3.2). */
const ECDSA_SHA256 = sequence(oid('1.2.840.10045.4.3.2'));
const VERSION_3 = explicit(0, integer(Buffer.of(2)));
const OID_COMMON_NAME = oid('2.5.4.3');
const OID_ORGANIZATION = oid('2.5.4.10');

/** The organization in every subject that alterd makes. */
export const ORGANIZATION = 'alterd';
/** X.520's upper bound for a common name; strict clients refuse longer ones. */
export const MAX_COMMON_NAME_LENGTH = 64;

export interface CertificateFields {
  readonly issuer: Buffer;
  readonly subject: Buffer;
  readonly notBefore: number;
  readonly notAfter: number;
  /** SubjectPublicKeyInfo, DER. */
  readonly publicKey: Buffer;
  readonly extensions: readonly Buffer[];
}

/** A distinguished name of organization and, when given, common name. */
export function distinguishedName(commonName: string | null): Buffer {
  const organization = setOf(sequence(OID_ORGANIZATION, utf8String(ORGANIZATION)));
  return commonName === null
    ? sequence(organization)
    : sequence(organization, setOf(sequence(OID_COMMON_NAME, utf8String(commonName))));
}

/** One extension; `critical` says that a client which does not know it must refuse the certificate. */
export function extension(id: Buffer, critical: boolean, value: Buffer): Buffer {
  return critical ? sequence(id, TRUE, octetString(value)) : sequence(id, octetString(value));
}

/** Key identifier of RFC 5280 4.2.1.2 (1): SHA-1 over the bits of the public key. An identifier, not a protection. */
export function keyIdOf(publicKey: KeyObject): Buffer {
  const spki = publicKey.export({ type: 'spki', format: 'der' });
  // The uncompressed point of a P-256 key is the last 65 bytes of its SubjectPublicKeyInfo.
  return createHash('sha1').update(spki.subarray(-65)).digest();
}

/** Bytes of an IPv4 or IPv6 literal, 4 or 16 of them. The literal must be canonical already. */
export function addressBytes(literal: string): Buffer {
  if (isIPv4(literal)) return Buffer.from(literal.split('.').map(Number));
  const [head = '', tail] = literal.split('::');
  const groups = (part: string): number[] => {
    if (part === '') return [];
    return part.split(':').flatMap((group) => {
      if (!group.includes('.')) return [Number.parseInt(group, 16)];
      const [a = 0, b = 0, c = 0, d = 0] = group.split('.').map(Number);
      return [(a << 8) | b, (c << 8) | d];
    });
  };
  const before = groups(head);
  const after = tail === undefined ? [] : groups(tail);
  const words = [...before, ...new Array<number>(8 - before.length - after.length).fill(0), ...after];
  return Buffer.from(words.flatMap((word) => [word >> 8, word & 0xff]));
}

/** 16 random bytes, positive and of fixed length, so that no two certificates of a CA share a serial number. */
function serialNumber(): Buffer {
  const bytes = randomBytes(16);
  bytes[0] = (bytes[0]! & 0x3f) | 0x40;
  return bytes;
}

/** Encodes and signs a certificate: DER. `signTbs` answers an ECDSA/SHA-256 signature in DER form. */
export function signCertificate(fields: CertificateFields, signTbs: (tbs: Buffer) => Buffer): Buffer {
  const tbs = sequence(
    VERSION_3,
    integer(serialNumber()),
    ECDSA_SHA256,
    fields.issuer,
    sequence(time(fields.notBefore), time(fields.notAfter)),
    fields.subject,
    fields.publicKey,
    explicit(3, sequence(...fields.extensions)),
  );
  return sequence(tbs, ECDSA_SHA256, bitString(signTbs(tbs)));
}

/** Signs with a P-256 private key, in the form that {@link signCertificate} wants. */
export const ecdsaSigner =
  (privateKey: KeyObject) =>
  (tbs: Buffer): Buffer =>
    sign('sha256', tbs, privateKey);

/** PEM armour of a certificate. */
export function certificatePem(der: Buffer): string {
  const lines = der.toString('base64').match(/.{1,64}/g) ?? [];
  return `-----BEGIN CERTIFICATE-----\n${lines.join('\n')}\n-----END CERTIFICATE-----\n`;
}

export const EXTENSION = {
  subjectKeyId: (keyId: Buffer): Buffer => extension(oid('2.5.29.14'), false, octetString(keyId)),
  authorityKeyId: (keyId: Buffer): Buffer => extension(oid('2.5.29.35'), false, sequence(implicit(0, keyId))),
  /** keyCertSign and cRLSign. */
  caKeyUsage: extension(oid('2.5.29.15'), true, bitString(Buffer.of(0x06), 1)),
  /** CA:TRUE, pathlen:0: this CA signs leaves only. */
  caConstraints: extension(oid('2.5.29.19'), true, sequence(TRUE, integer(Buffer.of(0)))),
  /** digitalSignature alone: keyEncipherment means nothing for an EC key and strict clients say so. */
  leafKeyUsage: extension(oid('2.5.29.15'), true, bitString(Buffer.of(0x80), 7)),
  leafConstraints: extension(oid('2.5.29.19'), true, sequence()),
  serverAuth: extension(oid('2.5.29.37'), false, sequence(oid('1.3.6.1.5.5.7.3.1'))),
  /** Exactly one name: the host itself, never a wildcard. */
  subjectAltName: (host: string, family: 0 | 4 | 6): Buffer =>
    extension(
      oid('2.5.29.17'),
      false,
      sequence(family === 0 ? implicit(2, Buffer.from(host, 'latin1')) : implicit(7, addressBytes(host))),
    ),
  /** Every name of a server of our own. */
  subjectAltNames: (names: readonly { readonly host: string; readonly family: 0 | 4 | 6 }[]): Buffer =>
    extension(
      oid('2.5.29.17'),
      false,
      sequence(
        ...names.map(({ host, family }) =>
          family === 0 ? implicit(2, Buffer.from(host, 'latin1')) : implicit(7, addressBytes(host)),
        ),
      ),
    ),
  /** Permitted and excluded subtrees, each already encoded as GeneralName. */
  nameConstraints: (permitted: readonly Buffer[], excluded: readonly Buffer[]): Buffer => {
    const subtrees = (names: readonly Buffer[]) => names.map((name) => sequence(name));
    return extension(
      oid('2.5.29.30'),
      true,
      sequence(
        ...(permitted.length > 0 ? [explicit(0, ...subtrees(permitted))] : []),
        ...(excluded.length > 0 ? [explicit(1, ...subtrees(excluded))] : []),
      ),
    );
  },
} as const;

/** GeneralNames for name constraints: a DNS subtree, or an address with its mask. */
export const dnsSubtree = (name: string): Buffer => implicit(2, Buffer.from(name, 'latin1'));
export const addressSubtree = (address: Buffer, mask: Buffer): Buffer => tlv(0x87, address, mask);
