/**
 * The two key pairs of this host: one to sign its requests, one that secrets are sealed to. In one private file, sealed by the master key
 * of the installation, so that a copied state directory is not the host. Private keys never leave this room but by a signature.
 */
import { createPrivateKey, generateKeyPairSync, type KeyObject } from 'node:crypto';
import { renameSync, unlinkSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { mintSealingKeys, type SealingKeyPair } from '../crypto/hpke.ts';
import { createPrivateFile, isMissing, readPrivateFile, syncDirectory } from '../crypto/private-file.ts';
import { rawPublicKey } from '../crypto/request-signing.ts';
import type { SealContext } from '../crypto/seal.ts';
import { AlterError } from '../domain/errors.ts';

export interface HostKeys {
  readonly signing: KeyObject;
  readonly sealing: SealingKeyPair;
  /** As they are told to the vault: base64url. */
  readonly publicSigning: string;
  readonly publicSealing: string;
}

/** The master key of the installation is one. */
export interface Sealer {
  seal(plaintext: Uint8Array, context: SealContext): Buffer;
  open(sealed: Uint8Array, context: SealContext): Buffer;
}

/** Where the sealed bytes belong. */
export const HOST_KEYS_SEAL: SealContext = { table: 'host_keys', rowId: 'host', version: 1 };

interface StoredKeys {
  readonly signing: string;
  readonly sealing: { readonly public: string; readonly private: string };
}

/** Where the keys are, and where new ones wait until the vault has taken them. */
export const hostKeyFiles = (stateDir: string): { readonly current: string; readonly next: string } => ({
  current: join(stateDir, 'host.key'),
  next: join(stateDir, 'host.next.key'),
});

/** Undefined when there are none. @throws AlterError vault_unavailable */
export function readHostKeys(path: string, sealer: Sealer): HostKeys | undefined {
  const sealed = readPrivateFile(path);
  if (sealed === undefined) return undefined;
  const plain = sealer.open(sealed, HOST_KEYS_SEAL);
  try {
    const stored = JSON.parse(plain.toString('utf8')) as StoredKeys;
    const signing = createPrivateKey({ key: Buffer.from(stored.signing, 'base64url'), format: 'der', type: 'pkcs8' });
    return keysOf(signing, {
      publicKey: Buffer.from(stored.sealing.public, 'base64url'),
      privateKey: Buffer.from(stored.sealing.private, 'base64url'),
    });
  } catch (cause) {
    throw new AlterError('vault_unavailable', { reason: `${path} does not hold the keys of a host` }, { cause, hint: HINT });
  } finally {
    plain.fill(0);
  }
}

/** The keys of the file; made when there is none. @throws AlterError vault_unavailable */
export function openHostKeys(path: string, sealer: Sealer): HostKeys {
  const known = readHostKeys(path, sealer);
  if (known !== undefined) return known;
  const { privateKey } = generateKeyPairSync('ed25519');
  const sealing = mintSealingKeys();
  const der = privateKey.export({ type: 'pkcs8', format: 'der' });
  const stored: StoredKeys = {
    signing: der.toString('base64url'),
    sealing: { public: sealing.publicKey.toString('base64url'), private: sealing.privateKey.toString('base64url') },
  };
  const plain = Buffer.from(JSON.stringify(stored));
  der.fill(0);
  try {
    // Two that begin at once end with the keys of one of them.
    if (!createPrivateFile(path, sealer.seal(plain, HOST_KEYS_SEAL))) return openHostKeys(path, sealer);
  } finally {
    plain.fill(0);
  }
  return keysOf(privateKey, sealing);
}

/** The waiting keys take the place of those in force. */
export function promoteKeys({ current, next }: { readonly current: string; readonly next: string }): void {
  renameSync(next, current);
  syncDirectory(dirname(current));
}

/** Forgets keys that were never used. */
export function dropKeys(path: string): void {
  try {
    unlinkSync(path);
  } catch (error) {
    if (!isMissing(error)) throw error;
  }
}

const keysOf = (signing: KeyObject, sealing: SealingKeyPair): HostKeys => ({
  signing,
  sealing,
  publicSigning: rawPublicKey(signing),
  publicSealing: sealing.publicKey.toString('base64url'),
});

const HINT = 'Get another token at the vault, `alterd vault host rekey NAME`; move the file away and enroll this host again.';
