/** Signs a person in by a code that a browser enters, and answers the handle. */
import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import type { LoginAnswer, StartedLogin } from '../../src/api/login.ts';
import type { TestDaemon } from './daemon.ts';
import type { TestIssuer } from './issuer.ts';
import type { TestPki } from './pki.ts';

const BROWSER = fileURLToPath(new URL('./browser.mjs', import.meta.url));

export async function signIn(daemon: TestDaemon, issuer: TestIssuer, pki: TestPki, subject: string): Promise<string> {
  const { login_id: id, verification_uri_complete: url } = await daemon.api<StartedLogin>('POST', '/v1/login', {});
  await promisify(execFile)(process.execPath, [BROWSER, String(url)], {
    env: { ISSUER_PORT: String(issuer.port), ISSUER_CA: pki.caFile, ACCOUNT: subject },
  });
  for (;;) {
    const answer = await daemon.api<LoginAnswer>('POST', `/v1/login/${id}`, {});
    if (answer.user_session !== undefined) return answer.user_session;
  }
}
