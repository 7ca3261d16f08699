/**
 * The files of an installation that the master key seals, besides the vault and the journal, and how they move to another one: each is
 * replaced whole, so that a crash leaves it sealed by the one key or by the other.
 */
import { join } from 'node:path';
import { AUTHORITY_SEAL, authorityFiles } from '../ca/authority.ts';
import { replaceFile } from '../ca/own-file.ts';
import type { Paths } from '../config/paths.ts';
import type { KeyRing } from '../crypto/key-ring.ts';
import { readPrivateFile } from '../crypto/private-file.ts';
import type { SealContext } from '../crypto/seal.ts';
import { SIGNING_KEY_SEAL } from '../journal/signing-key.ts';
import { HOST_KEYS_SEAL, hostKeyFiles } from '../vault-client/host-keys.ts';

export type SealedFilePaths = Pick<Paths, 'stateDir' | 'caDir'>;

interface SealedFile {
  readonly path: string;
  readonly context: SealContext;
}

/** SECURITY: one left out would be lost with the key of before. */
function sealedFiles({ stateDir, caDir }: SealedFilePaths): SealedFile[] {
  // Of a host that was enrolled once; they stay for when it is again.
  const host = hostKeyFiles(stateDir);
  return [
    { path: authorityFiles(caDir).key, context: AUTHORITY_SEAL },
    { path: signingKeyFile(stateDir), context: SIGNING_KEY_SEAL },
    { path: host.current, context: HOST_KEYS_SEAL },
    { path: host.next, context: HOST_KEYS_SEAL },
  ];
}

export const signingKeyFile = (stateDir: string): string => join(stateDir, 'audit.key');

/**
 * Seals each file that is there by the key in force. Answers the paths of those that were not.
 * @throws AlterError vault_unavailable, forbidden; then some are moved and the others not
 */
export function* resealFiles(paths: SealedFilePaths, ring: KeyRing): Generator<string> {
  for (const { path, context } of sealedFiles(paths)) {
    const sealed = readPrivateFile(path);
    const resealed = sealed && ring.reseal(sealed, context);
    if (!resealed) continue;
    replaceFile(path, resealed, 0o600);
    yield path;
  }
}
