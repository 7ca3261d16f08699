/**
 * The local CA: one P-256 key per installation that signs the leaves which agents see. It is made once, sealed at rest, and
 * never enters an operating-system trust store by itself. The private key must never leave this module in any form.
 */
import { createPrivateKey, createPublicKey, generateKeyPairSync, type KeyObject, X509Certificate } from 'node:crypto';
import { rmSync } from 'node:fs';
import { isIP } from 'node:net';
import { join } from 'node:path';
import { AlterError } from '../domain/errors.ts';
import {
  addressBytes,
  addressSubtree,
  certificatePem,
  distinguishedName,
  dnsSubtree,
  EXTENSION,
  ecdsaSigner,
  keyIdOf,
  signCertificate,
} from './certificate.ts';
import { createFile, ensureOwnDirectory, readOwnFile, replaceFile } from './own-file.ts';

const DAY_MS = 86_400_000;
const CA_LIFE_MS = 3650 * DAY_MS;
/** Where the sealed record belongs: sealed bytes of any other place do not open as a CA. */
export const AUTHORITY_SEAL = { table: 'local_ca', rowId: 'authority', version: 1 } as const;
const HOST_NAME = /^(?=.{1,253}$)[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?)*$/;

/** What seals the private key at rest; the daemon's master key is one. The context binds the sealed bytes to their place. */
export interface KeySealer {
  seal(plaintext: Uint8Array, context: SealPlace): Buffer;
  open(sealed: Uint8Array, context: SealPlace): Buffer;
}

interface SealPlace {
  readonly table: string;
  readonly rowId: string;
  readonly version: number;
}

export interface AuthorityOptions {
  readonly sealKey: KeySealer;
  /** DNS subtrees (`example.com` covers its subdomains) and address literals that the CA may sign for; absent or empty: any. */
  readonly nameConstraints?: readonly string[];
  /** Epoch milliseconds. */
  readonly now?: number;
}

/** The sealed record: everything the CA is, in one file, so that no crash can leave a key and a certificate that disagree. */
interface SealedAuthority {
  readonly version: 1;
  readonly certificate: string;
  readonly subject: string;
  readonly privateKey: string;
  readonly nameConstraints: readonly string[];
}

/** File names inside the CA's directory. Only the key file is secret. */
export const authorityFiles = (dir: string) => ({
  key: join(dir, 'ca.key'),
  certificate: join(dir, 'ca.crt'),
  previous: join(dir, 'ca-previous.crt'),
});

/** The authority as bytes, for whoever keeps it elsewhere than in a directory; they hold the private key. */
export function mintAuthorityRecord(name: string, now = Date.now()): Buffer {
  return Buffer.from(JSON.stringify(mintAuthority({ name, now })));
}

/** @throws AlterError vault_unavailable */
export function authorityFromRecord(bytes: Buffer, caFile: string): LocalCa {
  try {
    const record = JSON.parse(bytes.toString('utf8')) as SealedAuthority;
    return new LocalCa(record, privateKeyOf(record), caFile, null);
  } catch (cause) {
    throw new AlterError('vault_unavailable', { reason: 'the record of its authority is damaged' }, { cause });
  }
}

const privateKeyOf = (record: SealedAuthority): KeyObject =>
  createPrivateKey({ key: Buffer.from(record.privateKey, 'base64'), format: 'der', type: 'pkcs8' });

/** A loaded CA. Invariant: nothing that it has or answers is the private key. */
export class LocalCa {
  readonly certPem: string;
  readonly certDer: Buffer;
  /** The common name. */
  readonly subject: string;
  /** The whole distinguished name, DER: the issuer of every leaf. */
  readonly subjectDer: Buffer;
  /** SHA-1 key identifier, 20 bytes. */
  readonly keyId: Buffer;
  /** Epoch milliseconds. */
  readonly notBefore: number;
  /** Epoch milliseconds. */
  readonly notAfter: number;
  /** `AA:BB:…`, as `openssl x509 -fingerprint -sha256` prints it. */
  readonly fingerprintSha256: string;
  readonly nameConstraints: readonly string[];
  readonly caFile: string;
  /** The certificate before the last rotation, while it is kept for clients that started under it. */
  readonly previousPem: string | null;
  readonly #sign: (tbs: Buffer) => Buffer;

  constructor(record: SealedAuthority, privateKey: KeyObject, caFile: string, previousPem: string | null) {
    const certificate = new X509Certificate(record.certificate);
    this.certPem = record.certificate;
    this.certDer = certificate.raw;
    this.subject = /^CN=(.*)$/m.exec(certificate.subject)?.[1] ?? '';
    this.subjectDer = Buffer.from(record.subject, 'base64');
    this.keyId = keyIdOf(certificate.publicKey);
    this.notBefore = Date.parse(certificate.validFrom);
    this.notAfter = Date.parse(certificate.validTo);
    this.fingerprintSha256 = certificate.fingerprint256;
    this.nameConstraints = record.nameConstraints;
    this.caFile = caFile;
    this.previousPem = previousPem;
    // SECURITY: the key lives in this closure only; with it an agent could forge any site for everyone who trusts the CA.
    this.#sign = ecdsaSigner(privateKey);
  }

  /** ECDSA/SHA-256 signature over a leaf's TBSCertificate. */
  signTbs(tbs: Buffer): Buffer {
    return this.#sign(tbs);
  }

  /** Whether clients will accept a leaf of this CA for the host: always, unless the CA is name-constrained. */
  covers(host: string, family: 0 | 4 | 6): boolean {
    if (this.nameConstraints.length === 0) return true;
    return this.nameConstraints.some((name) => host === name || (family === 0 && isIP(name) === 0 && host.endsWith(`.${name}`)));
  }
}

/** @throws AlterError invalid_input */
function canonicalConstraints(names: readonly string[]): string[] {
  const canonical = names.map((name) => name.toLowerCase().replace(/^\*?\./, ''));
  const problems = canonical
    .map((name, i) =>
      isIP(name) !== 0 || HOST_NAME.test(name) ? null : `${JSON.stringify(names[i])} is not a host name or address`,
    )
    .filter((problem) => problem !== null);
  if (problems.length > 0) throw new AlterError('invalid_input', { problems });
  return [...new Set(canonical)];
}

function constraintsExtension(names: readonly string[]): Buffer {
  const addresses = names.filter((name) => isIP(name) !== 0);
  const hosts = names.filter((name) => isIP(name) === 0);
  const permitted = [
    ...hosts.map(dnsSubtree),
    ...addresses.map((name) => addressSubtree(addressBytes(name), Buffer.alloc(addressBytes(name).length, 0xff))),
  ];
  // SECURITY: a constraint on one kind of name says nothing about the other kind, so the kind that is not listed is closed.
  const excluded = [
    ...(hosts.length === 0 ? [dnsSubtree('')] : []),
    ...(addresses.length === 0
      ? [addressSubtree(Buffer.alloc(4), Buffer.alloc(4)), addressSubtree(Buffer.alloc(16), Buffer.alloc(16))]
      : []),
  ];
  return EXTENSION.nameConstraints(permitted, excluded);
}

function mintAuthority(options: Omit<AuthorityOptions, 'sealKey'> & { readonly name?: string }): SealedAuthority {
  const now = options.now ?? Date.now();
  const nameConstraints = canonicalConstraints(options.nameConstraints ?? []);
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'prime256v1' });
  const keyId = keyIdOf(publicKey);
  // Unique per key: clients that find two CAs of one name try the wrong one first, and some give up there.
  const subject = distinguishedName(`${options.name ?? 'alterd local CA'} ${keyId.toString('hex').slice(0, 8)}`);
  const notBefore = now - DAY_MS;
  const der = signCertificate(
    {
      issuer: subject,
      subject,
      notBefore,
      notAfter: notBefore + CA_LIFE_MS,
      publicKey: publicKey.export({ type: 'spki', format: 'der' }),
      extensions: [
        EXTENSION.caConstraints,
        EXTENSION.caKeyUsage,
        EXTENSION.subjectKeyId(keyId),
        ...(nameConstraints.length > 0 ? [constraintsExtension(nameConstraints)] : []),
      ],
    },
    ecdsaSigner(privateKey),
  );
  return {
    version: 1,
    certificate: certificatePem(der),
    subject: subject.toString('base64'),
    privateKey: privateKey.export({ type: 'pkcs8', format: 'der' }).toString('base64'),
    nameConstraints,
  };
}

function sealRecord(record: SealedAuthority, sealKey: KeySealer): Buffer {
  const plain = Buffer.from(JSON.stringify(record));
  try {
    return sealKey.seal(plain, AUTHORITY_SEAL);
  } finally {
    plain.fill(0);
  }
}

function openRecord(dir: string, sealKey: KeySealer): SealedAuthority {
  const sealed = readOwnFile(authorityFiles(dir).key, { secret: true });
  if (sealed === null) throw new AlterError('not_found', { what: 'local CA', name: dir }, { hint: 'Create one: `alterd init`.' });
  let plain: Buffer;
  try {
    plain = sealKey.open(sealed, AUTHORITY_SEAL);
  } catch (cause) {
    throw new AlterError(
      'vault_unavailable',
      { reason: 'the key of the local CA does not open with this master key' },
      { cause },
    );
  }
  try {
    const record = JSON.parse(plain.toString('utf8')) as SealedAuthority;
    if (record.version !== 1) throw new Error('unknown version');
    return record;
  } catch (cause) {
    throw new AlterError('vault_unavailable', { reason: 'the file of the local CA is damaged' }, { cause });
  } finally {
    plain.fill(0);
  }
}

function loadedFrom(dir: string, record: SealedAuthority): LocalCa {
  const files = authorityFiles(dir);
  const privateKey = privateKeyOf(record);
  const certificate = new X509Certificate(record.certificate);
  if (!certificate.ca || !certificate.verify(createPublicKey(privateKey))) {
    throw new AlterError('vault_unavailable', { reason: "the local CA's key and certificate do not belong together" });
  }
  // The public copy is only a copy: whatever became of it, clients get the certificate that matches the key.
  if (readOwnFile(files.certificate)?.toString() !== record.certificate)
    replaceFile(files.certificate, record.certificate, 0o644);
  const previous = readOwnFile(files.previous)?.toString() ?? null;
  return new LocalCa(record, privateKey, files.certificate, previous === record.certificate ? null : previous);
}

/**
 * Makes the CA of an installation in `dir`.
 * @throws AlterError conflict (there is one already), forbidden (a planted link, a directory open to others), invalid_input
 */
export function initAuthority(dir: string, options: AuthorityOptions): LocalCa {
  ensureOwnDirectory(dir);
  const files = authorityFiles(dir);
  const record = mintAuthority(options);
  createFile(files.key, sealRecord(record, options.sealKey), 0o600);
  return loadedFrom(dir, record);
}

/**
 * Loads the CA of an installation and mends its public copy.
 * @throws AlterError not_found, forbidden, vault_unavailable
 */
export function loadAuthority(dir: string, options: Pick<AuthorityOptions, 'sealKey'>): LocalCa {
  const record = openRecord(dir, options.sealKey);
  ensureOwnDirectory(dir);
  return loadedFrom(dir, record);
}

/**
 * Replaces the CA by a new one. The old certificate stays beside it (and in bundles), so that a program started now also
 * accepts the leaves of a daemon that still signs with the old key; a program that started before needs a restart once the
 * daemon has changed over. The old key is gone. Name constraints carry over unless new ones are given.
 * @throws AlterError not_found, forbidden, vault_unavailable, invalid_input
 */
export function rotateAuthority(dir: string, options: AuthorityOptions): LocalCa {
  const old = openRecord(dir, options.sealKey);
  ensureOwnDirectory(dir);
  const files = authorityFiles(dir);
  const record = mintAuthority({ ...options, nameConstraints: options.nameConstraints ?? old.nameConstraints });
  // In this order a crash leaves the old CA whole: a previous certificate equal to the current one is ignored.
  replaceFile(files.previous, old.certificate, 0o644);
  replaceFile(files.key, sealRecord(record, options.sealKey), 0o600);
  return loadedFrom(dir, record);
}

/**
 * Forgets the certificate of before the last rotation; false when there was none.
 * @throws AlterError forbidden
 */
export function forgetPreviousAuthority(dir: string): boolean {
  ensureOwnDirectory(dir);
  const { previous } = authorityFiles(dir);
  if (readOwnFile(previous) === null) return false;
  rmSync(previous);
  return true;
}
