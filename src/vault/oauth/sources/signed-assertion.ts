/** Short-lived assertions signed by a private key of the operator: RS256 for PKCS #8 or PKCS #1 keys, ES256 for P-256. */
import { createPrivateKey, type KeyObject, randomUUID, sign } from 'node:crypto';
import type { Secret } from '../../../domain/secret.ts';
import { TokenFailure } from '../token-answer.ts';

/** @throws TokenFailure setup when it is no private key */
export function privateKeyOf(pem: Secret): KeyObject {
  try {
    return createPrivateKey(pem.reveal());
  } catch {
    // SECURITY: the cause quotes nothing today, but it is the only text here that OpenSSL writes.
    throw new TokenFailure('setup', 'unusable_private_key');
  }
}

/** A compact JWS. */
export function signAssertion(key: KeyObject, claims: Readonly<Record<string, unknown>>, keyId?: string): string {
  const isEc = key.asymmetricKeyType === 'ec';
  const header = { alg: isEc ? 'ES256' : 'RS256', typ: 'JWT', ...(keyId === undefined ? {} : { kid: keyId }) };
  const encode = (part: object): string => Buffer.from(JSON.stringify(part), 'utf8').toString('base64url');
  const input = `${encode(header)}.${encode({ jti: randomUUID(), ...claims })}`;
  const signature = sign('sha256', Buffer.from(input), isEc ? { key, dsaEncoding: 'ieee-p1363' } : key);
  return `${input}.${signature.toString('base64url')}`;
}
