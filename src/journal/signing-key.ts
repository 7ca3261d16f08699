/**
 * The key that signs checkpoints: made once for an installation, kept as a private file sealed by the master key.
 * A key that is there and does not open is an error, never a new key: a new one would quietly disown what the old one signed.
 */
import { createPrivateKey, createPublicKey, generateKeyPairSync, type KeyObject } from 'node:crypto';
import { createPrivateFile, readPrivateFile } from '../crypto/private-file.ts';
import type { SealContext } from '../crypto/seal.ts';

export interface SigningKey {
  readonly privateKey: KeyObject;
  readonly publicKey: KeyObject;
  /** True when this call made it. */
  readonly made: boolean;
}

/** What seals it: the master key. */
export interface KeySealer {
  seal(plaintext: Uint8Array, context: SealContext): Buffer;
  open(sealed: Uint8Array, context: SealContext): Buffer;
}

/** Where the sealed bytes belong. */
export const SIGNING_KEY_SEAL: SealContext = { table: 'audit_signing_key', rowId: 'ed25519', version: 1 };

/** The key of an installation; made when there is none. @throws AlterError vault_unavailable */
export function openSigningKey(path: string, sealer: KeySealer): SigningKey {
  const sealed = readPrivateFile(path);
  if (sealed !== undefined) return fromDer(sealer.open(sealed, SIGNING_KEY_SEAL), false);
  const der = generateKeyPairSync('ed25519').privateKey.export({ type: 'pkcs8', format: 'der' });
  if (!createPrivateFile(path, sealer.seal(der, SIGNING_KEY_SEAL))) return openSigningKey(path, sealer);
  return fromDer(der, true);
}

function fromDer(der: Buffer, made: boolean): SigningKey {
  const privateKey = createPrivateKey({ key: der, format: 'der', type: 'pkcs8' });
  der.fill(0);
  return { privateKey, publicKey: createPublicKey(privateKey), made };
}

/** PEM (SubjectPublicKeyInfo), as `openssl` takes it. */
export const publicPemOf = (key: KeyObject): string =>
  (key.type === 'public' ? key : createPublicKey(key)).export({ type: 'spki', format: 'pem' }).toString();
