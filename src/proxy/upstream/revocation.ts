/**
 * Lists of revoked certificates (RFC 5280 CRLs) that the operator names, and the one question to them: was a certificate of this chain
 * revoked? OpenSSL's own check is all or nothing: with one list it refuses every chain whose issuers have none. Here an issuer without a
 * list is not checked, and one with a list is held to it: a list that has ended refuses everything that its issuer signed. Nothing is fetched.
 */
import { type KeyObject, verify, X509Certificate } from 'node:crypto';
import type { DetailedPeerCertificate } from 'node:tls';
import { AlterError } from '../../domain/errors.ts';
import { DerReader } from './der-reader.ts';

interface RevocationList {
  readonly signed: Buffer;
  readonly signature: Buffer;
  readonly hash: string | null;
  readonly endsAt: number;
  /** Hex, without leading zeros. */
  readonly serials: ReadonlySet<string>;
}

/** Signature algorithms by the hex of their OID; null where the algorithm has its hash inside. */
const HASHES: Readonly<Record<string, string | null>> = {
  '2a864886f70d01010b': 'sha256',
  '2a864886f70d01010c': 'sha384',
  '2a864886f70d01010d': 'sha512',
  '2a8648ce3d040302': 'sha256',
  '2a8648ce3d040303': 'sha384',
  '2a8648ce3d040304': 'sha512',
  '2b6570': null,
  '2b6571': null,
};
const SEQUENCE = 0x30;
const UTC_TIME = 0x17;
const GENERALIZED_TIME = 0x18;
const EXTENSIONS = 0xa0;
const BOOLEAN = 0x01;
const MAX_CHAIN = 10;

export class RevocationLists {
  readonly #lists: readonly RevocationList[];
  /** By fingerprint of the issuer: the lists that its key signed. */
  readonly #byIssuer = new Map<string, readonly RevocationList[]>();

  private constructor(lists: readonly RevocationList[]) {
    this.#lists = lists;
  }

  /** Reads PEM text with one list or more. @throws AlterError invalid_input */
  static parse(pem: string, source: string): RevocationLists {
    const blocks = [...pem.matchAll(/-----BEGIN X509 CRL-----([A-Za-z0-9+/=\s]+)-----END X509 CRL-----/g)];
    const invalid = (reason: string, cause?: unknown): AlterError =>
      new AlterError('invalid_input', { problems: [`upstream.crl_file: ${source}: ${reason}`] }, { cause });
    if (blocks.length === 0) throw invalid('holds no list in PEM form (BEGIN X509 CRL)');
    return new RevocationLists(
      blocks.map((block, i) => {
        try {
          return parseList(Buffer.from(block[1] as string, 'base64'));
        } catch (cause) {
          throw invalid(`list ${i + 1}: ${(cause as Error).message}`, cause);
        }
      }),
    );
  }

  /** Why the chain must not be trusted, as OpenSSL would name it; null when nothing is known against it. */
  faultOf(leaf: DetailedPeerCertificate, now: number): string | null {
    let certificate = leaf;
    for (let depth = 0; depth < MAX_CHAIN; depth++) {
      const issuer = certificate.issuerCertificate as DetailedPeerCertificate | undefined;
      if (issuer?.raw === undefined) return null;
      const serial = withoutZeros(certificate.serialNumber.toLowerCase());
      for (const list of this.#listsOf(issuer)) {
        if (list.serials.has(serial)) return 'CERT_REVOKED';
        // SECURITY: an old list says nothing of what was revoked since; going on with it would be no check.
        if (list.endsAt < now) return 'CRL_HAS_EXPIRED';
      }
      if (issuer === certificate || issuer.raw.equals(certificate.raw)) return null;
      certificate = issuer;
    }
    return 'CERT_CHAIN_TOO_LONG';
  }

  #listsOf(issuer: DetailedPeerCertificate): readonly RevocationList[] {
    const known = this.#byIssuer.get(issuer.fingerprint256);
    if (known !== undefined) return known;
    const key = new X509Certificate(issuer.raw).publicKey;
    // SECURITY: matched by signature, not by name: anybody can write a list that bears the name of a CA.
    const signed = this.#lists.filter((list) => isSignedBy(list, key));
    if (this.#byIssuer.size > 256) this.#byIssuer.clear();
    this.#byIssuer.set(issuer.fingerprint256, signed);
    return signed;
  }
}

function isSignedBy({ hash, signed, signature }: RevocationList, key: KeyObject): boolean {
  try {
    return verify(hash, signed, key, signature);
  } catch {
    return false; // a key of another kind than the signature
  }
}

/** CertificateList of RFC 5280, 5.1. @throws Error in words for the operator */
function parseList(der: Buffer): RevocationList {
  const outer = new DerReader(der).enter(SEQUENCE);
  const signed = outer.peekWhole();
  const body = outer.enter(SEQUENCE);
  const oid = outer.enter(SEQUENCE).take(0x06).toString('hex');
  const hash = HASHES[oid];
  if (hash === undefined) throw new Error('is signed by an algorithm that is not known here');
  const signature = outer.take(0x03).subarray(1);
  if (body.peek() === 0x02) body.skip(); // version
  body.skip(); // algorithm, once more
  body.skip(); // issuer
  body.skip(); // thisUpdate
  if (body.peek() !== UTC_TIME && body.peek() !== GENERALIZED_TIME) throw new Error('does not say until when it holds');
  const endsAt = instantOf(body.peek(), body.take(body.peek()).toString('latin1'));
  const serials = new Set<string>();
  if (body.peek() === SEQUENCE) {
    const entries = body.enter(SEQUENCE);
    while (!entries.isAtEnd) serials.add(withoutZeros(entries.enter(SEQUENCE).take(0x02).toString('hex')));
  }
  if (body.peek() === EXTENSIONS) requirePlain(body.enter(EXTENSIONS).enter(SEQUENCE));
  return { signed, signature, hash, endsAt, serials };
}

/** SECURITY: a critical extension says that the list is only a part (a delta, one scope of several): taken for whole it would let revoked ones pass. */
function requirePlain(extensions: DerReader): void {
  while (!extensions.isAtEnd) {
    const extension = extensions.enter(SEQUENCE);
    extension.skip();
    if (extension.peek() === BOOLEAN && extension.take(BOOLEAN)[0] !== 0)
      throw new Error('is only a part of a list (a critical extension): give the whole one');
  }
}

function instantOf(tag: number, text: string): number {
  const match = /^(\d{2}|\d{4})(\d{2})(\d{2})(\d{2})(\d{2})(\d{2})Z$/.exec(text);
  if (match === null || (match[1] as string).length !== (tag === UTC_TIME ? 2 : 4))
    throw new Error('has a time that can not be read');
  const [year = 0, month = 0, day = 0, hour = 0, minute = 0, second = 0] = match.slice(1).map(Number);
  return Date.UTC(tag === UTC_TIME ? (year >= 50 ? 1900 : 2000) + year : year, month - 1, day, hour, minute, second);
}

const withoutZeros = (hex: string): string => hex.replace(/^0+(?=.)/, '');
