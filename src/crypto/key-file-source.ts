/**
 * The master key as a file, mode 0600, owned by the user that runs alterd, outside the directory of the database.
 * It is created once, durably, before anything is sealed with it; an existing file is only ever replaced by the next key beside it.
 */
import { randomBytes } from 'node:crypto';
import { renameSync, unlinkSync } from 'node:fs';
import { dirname } from 'node:path';
import { AlterError } from '../domain/errors.ts';
import { formatKey, parseKey } from './key-text.ts';
import { createPrivateFile, ensurePrivateDirectory, readPrivateFile, syncDirectory } from './private-file.ts';

/** @throws AlterError vault_unavailable */
export function readOrCreateKeyFile(path: string, mayCreate: boolean): Buffer {
  const existing = readPrivateFile(path);
  if (existing !== undefined) return parseKey(existing, `the key file ${path}`);
  if (!mayCreate) {
    throw new AlterError(
      'vault_unavailable',
      { reason: `the key file ${path} is missing` },
      {
        hint:
          'Restore it from a backup; for one more replica of a central vault, copy it from a replica that runs. ' +
          'Without it the secrets in the database can not be read by anyone.',
      },
    );
  }
  ensurePrivateDirectory(dirname(path));
  const bytes = randomBytes(32);
  const text = Buffer.from(`${formatKey(bytes)}\n`, 'latin1');
  bytes.fill(0);
  createPrivateFile(path, text);
  text.fill(0);
  // Read back through the checks: when another process won the race its key counts, and a disk that lied is noticed now.
  const written = readPrivateFile(path);
  if (written === undefined) throw new AlterError('vault_unavailable', { reason: `the key file ${path} vanished` });
  return parseKey(written, `the key file ${path}`);
}

/** Where the next key waits during a rotation. */
export const nextKeyFile = (path: string): string => `${path}.next`;

/** @throws AlterError vault_unavailable */
export function readNextKeyFile(path: string): Buffer | undefined {
  const written = readPrivateFile(nextKeyFile(path));
  return written && parseKey(written, `the key file ${nextKeyFile(path)}`);
}

/** The next key takes the place of the one of before, which is gone then. In one step: a crash leaves the one or the other. */
export function promoteKeyFile(path: string): void {
  renameSync(nextKeyFile(path), path);
  syncDirectory(dirname(path));
}

/** Forgets a key that waits. */
export function dropNextKeyFile(path: string): void {
  unlinkSync(nextKeyFile(path));
  syncDirectory(dirname(path));
}
