/** The written forms of a 256-bit key: 32 raw bytes, 64 hex digits or base64; alterd itself writes base64url and a newline. */
import { AlterError } from '../domain/errors.ts';

/** The text that alterd writes for a key. The caller zeroes `bytes`. */
export const formatKey = (bytes: Buffer): string => bytes.toString('base64url');

/**
 * The 32 bytes of a written key; zeroes what it was given.
 * @throws AlterError vault_unavailable
 */
export function parseKey(written: Buffer, where: string): Buffer {
  const key = written.length === 32 ? Buffer.from(written) : parseText(written.toString('latin1').trim());
  written.fill(0);
  if (key === undefined || key.length !== 32 || key.every((byte) => byte === key[0])) {
    throw new AlterError(
      'vault_unavailable',
      { reason: `${where} does not hold a 256-bit key` },
      { hint: 'Restore it from a backup. A new key (`openssl rand -base64 32`) can open nothing that exists.' },
    );
  }
  return key;
}

function parseText(text: string): Buffer | undefined {
  if (/^[0-9a-fA-F]{64}$/.test(text)) return Buffer.from(text, 'hex');
  if (/^[A-Za-z0-9+/_-]{43}=?$/.test(text)) return Buffer.from(text, 'base64url');
  return undefined;
}
