/**
 * A credentials file for Google's libraries that leads to the daemon's own endpoint and there to a placeholder. It holds no secret, only
 * what the libraries insist on: a pool, a token to exchange and where to exchange it.
 */
import { join } from 'node:path';
import { ensureOwnDirectory, readOwnFile, replaceFile } from '../ca/own-file.ts';

const POOL = '//iam.googleapis.com/projects/0/locations/global/workloadIdentityPools/alterd/providers/alterd';

/** The file, written when it is not there yet; null when this user may not write it. */
export function writeGoogleCredentials(dir: string): string | null {
  const subject = join(dir, 'google-subject');
  const document = {
    type: 'external_account',
    audience: POOL,
    subject_token_type: 'urn:ietf:params:oauth:token-type:jwt',
    token_url: 'https://alterd.internal/google/token',
    credential_source: { file: subject },
  };
  try {
    ensureOwnDirectory(dir);
    put(subject, 'a placeholder of alterd\n');
    return put(join(dir, 'google-credentials.json'), `${JSON.stringify(document, null, 2)}\n`);
  } catch {
    return null;
  }
}

function put(file: string, text: string): string {
  if (readOwnFile(file)?.toString() !== text) replaceFile(file, text, 0o644);
  return file;
}
