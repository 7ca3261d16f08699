/**
 * How a host signs what it asks of a central vault: one canonical text for each request, signed with Ed25519. The text is the request as
 * it travels, so that no part of it can be changed, cut or sent again as another. Pure but for the signature itself; keeps no key.
 */
import { createHash, createPublicKey, type KeyObject, randomBytes, sign, verify } from 'node:crypto';

/** Lower-case, as Node gives header names. */
export const SIGNING_HEADERS = {
  keyId: 'alter-key-id',
  timestamp: 'alter-timestamp',
  nonce: 'alter-nonce',
  signature: 'alter-signature',
} as const;
/** The vault's clock, in each of its answers: epoch milliseconds. */
export const TIME_HEADER = 'alter-time';

/** How far the clocks of host and vault may be apart. */
export const SKEW_MS = 60_000;

const VERSION_LINE = 'ALTER-REQUEST-V1';
const SCHEME = 'v1=';
const NONCE_BYTES = 16;
const NONCE = /^[A-Za-z0-9_-]{22}$/;
const TIMESTAMP = /^[1-9]\d{0,14}$/;
const SIGNATURE = /^v1=[A-Za-z0-9_-]{86}$/;
/** Everything of a SubjectPublicKeyInfo of Ed25519 before the key itself. */
const SPKI_HEAD = Buffer.from('302a300506032b6570032100', 'hex');
const KEY_BYTES = 32;

export interface SignedParts {
  /** Upper-case. */
  readonly method: string;
  /** Path and query as they stand in the request line. */
  readonly target: string;
  readonly timestamp: number;
  readonly nonce: string;
  readonly body: Uint8Array;
}

/** What a request says of its own signature; null where a header is missing or has another shape. */
export interface SignatureClaim {
  readonly keyId: string;
  readonly timestamp: number;
  readonly nonce: string;
  readonly signature: string;
}

/** The text that is signed. No part can hold a line break: the request line would not have been read. */
export function signingText({ method, target, timestamp, nonce, body }: SignedParts): string {
  const digest = createHash('sha256').update(body).digest('hex');
  return [VERSION_LINE, method, target, String(timestamp), nonce, digest].join('\n');
}

export const mintNonce = (): string => randomBytes(NONCE_BYTES).toString('base64url');

export function signRequest(privateKey: KeyObject, parts: SignedParts): string {
  return SCHEME + sign(null, Buffer.from(signingText(parts)), privateKey).toString('base64url');
}

/** The headers of a signed request. */
export function signedHeaders(keyId: string, privateKey: KeyObject, parts: SignedParts): Record<string, string> {
  return {
    [SIGNING_HEADERS.keyId]: keyId,
    [SIGNING_HEADERS.timestamp]: String(parts.timestamp),
    [SIGNING_HEADERS.nonce]: parts.nonce,
    [SIGNING_HEADERS.signature]: signRequest(privateKey, parts),
  };
}

/** @param header the value of a header by its lower-case name */
export function readClaim(header: (name: string) => string | undefined): SignatureClaim | null {
  const keyId = header(SIGNING_HEADERS.keyId);
  const timestamp = header(SIGNING_HEADERS.timestamp);
  const nonce = header(SIGNING_HEADERS.nonce);
  const signature = header(SIGNING_HEADERS.signature);
  if (keyId === undefined || timestamp === undefined || nonce === undefined || signature === undefined) return null;
  // SECURITY: one way to write each part, or a captured request could be sent again under another nonce of the same bytes.
  if (!TIMESTAMP.test(timestamp) || !NONCE.test(nonce) || !SIGNATURE.test(signature)) return null;
  return { keyId, timestamp: Number(timestamp), nonce, signature };
}

export function isSignatureRight(publicKey: KeyObject, parts: SignedParts, signature: string): boolean {
  return verify(null, Buffer.from(signingText(parts)), publicKey, Buffer.from(signature.slice(SCHEME.length), 'base64url'));
}

/** A raw Ed25519 public key, base64url; undefined for anything else. */
export function verifyingKey(raw: string): KeyObject | undefined {
  const bytes = Buffer.from(raw, 'base64url');
  if (bytes.length !== KEY_BYTES || bytes.toString('base64url') !== raw) return undefined;
  try {
    return createPublicKey({ key: Buffer.concat([SPKI_HEAD, bytes]), format: 'der', type: 'spki' });
  } catch {
    return undefined;
  }
}

/** The public half of an Ed25519 private key, raw, base64url. */
export const rawPublicKey = (privateKey: KeyObject): string =>
  createPublicKey(privateKey).export({ type: 'spki', format: 'der' }).subarray(-KEY_BYTES).toString('base64url');
