/**
 * Sealing: AES-256-GCM over one row at a time, and data keys that are themselves sealed by the master key.
 * A sealed value is bound to its table, row and version, so a row can't be swapped for another or for its own past.
 * Keys stay KeyObjects (outside the JavaScript heap); this file must never export raw key bytes but into a wrap.
 */
import { createCipheriv, createDecipheriv, createSecretKey, type KeyObject, randomBytes } from 'node:crypto';
import { AlterError } from '../domain/errors.ts';

const FORMAT = 1;
const NONCE_BYTES = 12;
const TAG_BYTES = 16;
const KEY_BYTES = 32;

/** Where a sealed value belongs; opening it anywhere else fails. Invariant: no part contains `|`. */
export interface SealContext {
  readonly table: string;
  readonly rowId: string;
  readonly version: number;
}

function associatedData(context: SealContext): Buffer {
  if (context.table.includes('|') || context.rowId.includes('|')) throw new TypeError('a seal context must not contain "|"');
  return Buffer.from(`${context.table}|${context.rowId}|${context.version}`, 'utf8');
}

/** Seals bytes: format byte, random 96-bit nonce, tag, ciphertext. One key is good for 2^32 seals; rotate long before. */
export function sealBytes(key: KeyObject, plaintext: Uint8Array, context: SealContext): Buffer {
  const nonce = randomBytes(NONCE_BYTES);
  const cipher = createCipheriv('aes-256-gcm', key, nonce, { authTagLength: TAG_BYTES });
  cipher.setAAD(associatedData(context));
  const body = Buffer.concat([cipher.update(plaintext), cipher.final()]);
  return Buffer.concat([Buffer.of(FORMAT), nonce, cipher.getAuthTag(), body]);
}

/**
 * Opens what sealBytes made for the same key and context. The caller zeroes the answer when it is done.
 * @throws AlterError vault_unavailable
 */
export function openBytes(key: KeyObject, sealed: Uint8Array, context: SealContext): Buffer {
  try {
    if (sealed.length < 1 + NONCE_BYTES + TAG_BYTES || sealed[0] !== FORMAT) throw new Error('not a sealed value');
    const decipher = createDecipheriv('aes-256-gcm', key, sealed.subarray(1, 1 + NONCE_BYTES), { authTagLength: TAG_BYTES });
    decipher.setAAD(associatedData(context));
    decipher.setAuthTag(sealed.subarray(1 + NONCE_BYTES, 1 + NONCE_BYTES + TAG_BYTES));
    const head = decipher.update(sealed.subarray(1 + NONCE_BYTES + TAG_BYTES));
    try {
      // SECURITY: nothing decrypted may be used before final() has checked the tag.
      return Buffer.concat([head, decipher.final()]);
    } finally {
      head.fill(0);
    }
  } catch (cause) {
    throw new AlterError(
      'vault_unavailable',
      { reason: `a sealed row of ${context.table} does not open with this key; it was changed, moved or sealed by another key` },
      { cause, hint: 'Restore the database and its master key from the same backup; `alterd doctor` says more.' },
    );
  }
}

/** A key from raw bytes; the bytes are zeroed. */
export function keyFromBytes(bytes: Buffer): KeyObject {
  if (bytes.length !== KEY_BYTES) throw new TypeError(`a key has ${KEY_BYTES} bytes`);
  const key = createSecretKey(bytes);
  bytes.fill(0);
  return key;
}

/** A new random 256-bit key. */
export function mintKey(): KeyObject {
  return keyFromBytes(randomBytes(KEY_BYTES));
}

const wrapContext = (id: string): SealContext => ({ table: 'data_keys', rowId: id, version: 1 });

/** Seals a data key under a wrapping key. */
export function wrapKey(wrapping: KeyObject, id: string, key: KeyObject): Buffer {
  const bytes = key.export();
  try {
    return sealBytes(wrapping, bytes, wrapContext(id));
  } finally {
    bytes.fill(0);
  }
}

/**
 * Opens a data key that wrapKey sealed under the same id.
 * @throws AlterError vault_unavailable
 */
export function unwrapKey(wrapping: KeyObject, id: string, wrapped: Uint8Array): KeyObject {
  return keyFromBytes(openBytes(wrapping, wrapped, wrapContext(id)));
}
