/**
 * The master key as a systemd credential (`LoadCredentialEncrypted=masterkey:…`). systemd owns the file; alterd only reads it
 * and never creates one.
 */
import { accessSync, constants } from 'node:fs';
import { isAbsolute, join } from 'node:path';
import { AlterError } from '../domain/errors.ts';
import { parseKey } from './key-text.ts';
import { readPrivateFile } from './private-file.ts';

const HINT =
  'Add `LoadCredentialEncrypted=masterkey:/etc/credstore.encrypted/alterd-masterkey` to the unit (`head -c 32 /dev/urandom | systemd-creds encrypt --name=masterkey - /etc/credstore.encrypted/alterd-masterkey`).';

export type CredentialName = 'masterkey' | 'masterkey-next';

/** Path of the credential when systemd passed one. */
export function systemdCredentialPath(environment: NodeJS.ProcessEnv, name: CredentialName = 'masterkey'): string | undefined {
  const directory = environment.CREDENTIALS_DIRECTORY;
  if (directory === undefined || !isAbsolute(directory)) return undefined;
  const path = join(directory, name);
  try {
    accessSync(path, constants.F_OK);
    return path;
  } catch {
    return undefined;
  }
}

/** @throws AlterError vault_unavailable */
export function readCredentialFile(environment: NodeJS.ProcessEnv): Buffer {
  const key = readCredential(environment, 'masterkey');
  if (key === undefined)
    throw new AlterError('vault_unavailable', { reason: 'systemd passed no credential named "masterkey"' }, { hint: HINT });
  return key;
}

/** The next key, when the unit passes one. @throws AlterError vault_unavailable */
export const readNextCredential = (environment: NodeJS.ProcessEnv): Buffer | undefined =>
  readCredential(environment, 'masterkey-next');

function readCredential(environment: NodeJS.ProcessEnv, name: CredentialName): Buffer | undefined {
  const path = systemdCredentialPath(environment, name);
  // systemd writes 0400 as root or as the service user, and 0440 where an ACL carries the user's right.
  const bytes = path && readPrivateFile(path, { forbiddenMode: 0o337, owners: [process.geteuid?.() ?? 0, 0] });
  return bytes ? parseKey(bytes, `the systemd credential "${name}"`) : undefined;
}
