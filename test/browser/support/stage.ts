/** Everything that a consent needs, each on its own origin: a daemon with its page, an authorization server, an application, and an API behind alterd. */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { ProxyAgent, request } from 'undici';
import { startProvider } from '../../e2e/support/provider.ts';
import { startTestDaemon, type TestDaemon } from '../../helpers/daemon.ts';
import { freePort } from '../../helpers/free-port.ts';
import { makePki } from '../../helpers/pki.ts';
import { type Application, startApplication } from './application.ts';
import {
  type AuthorizationServer,
  CLIENT_ID,
  CLIENT_SECRET,
  ISSUER_HOST,
  startAuthorizationServer,
} from './authorization-server.ts';
import type { Session } from './widget.ts';

export const API_HOST = 'api.files.test';

const PROVIDER = `slug = "files"
name = "Files"
kind = "oauth"
hosts = ["${API_HOST}"]
evidence = "documented"
docs_url = "https://files.test/docs"
[oauth]
issuer = "https://${ISSUER_HOST}"
authorize_url = "https://${ISSUER_HOST}/auth"
token_url = "https://${ISSUER_HOST}/token"
client_auth = "body"
pkce = "required"
refresh = "rotating"
default_scopes = ["openid", "offline_access", "files.read", "files.write"]
authorize_params = { prompt = "consent" }
account = { id = "id_token:/sub", name = "id_token:/sub" }
[[oauth.scopes]]
name = "openid"
label = "Know who you are"
required = true
[[oauth.scopes]]
name = "offline_access"
label = "Keep working while you are away"
required = true
[[oauth.scopes]]
name = "files.read"
label = "Read your files"
[[oauth.scopes]]
name = "files.write"
label = "Change and delete your files"
`;

export interface Stage {
  readonly daemon: TestDaemon;
  readonly application: Application;
  readonly authorization: AuthorizationServer;
  /** One GET of the API by an agent through alterd; answers the `Authorization` that the API got. */
  call(proxyUrl: string): Promise<string | undefined>;
  /** For the browser: which host is on which port. */
  readonly hosts: Readonly<Record<string, number>>;
  session(body?: object): Promise<Session>;
  close(): Promise<void>;
}

export async function startStage(): Promise<Stage> {
  const pki = makePki();
  const [application, api, port] = await Promise.all([startApplication(), startProvider(pki), freePort()]);
  const authorization = await startAuthorizationServer(pki, [`http://127.0.0.1:${port}/oauth/callback`]);
  const daemon = await startTestDaemon({
    flags: {
      'connect.listen': `127.0.0.1:${port}`,
      'upstream.ca_file': pki.caFile,
      'upstream.resolve': `${ISSUER_HOST}:443=127.0.0.1:${authorization.port},${API_HOST}:443=127.0.0.1:${api.port}`,
    },
  });
  mkdirSync(daemon.paths.providersDir, { recursive: true });
  writeFileSync(join(daemon.paths.providersDir, 'files.toml'), PROVIDER, { mode: 0o600 });
  await daemon.api('POST', '/v1/reload', {});
  await daemon.api('POST', '/v1/provider-clients', { provider: 'files', client_id: CLIENT_ID, client_secret: CLIENT_SECRET });
  return {
    daemon,
    application,
    authorization,
    call: async (proxyUrl) => {
      const through = new ProxyAgent({ uri: proxyUrl, requestTls: { ca: readFileSync(daemon.paths.caFile) } });
      const { statusCode, body } = await request(`https://${API_HOST}/files`, { dispatcher: through });
      const text = await body.text();
      await through.close();
      if (statusCode !== 200) throw new Error(`the call was answered ${statusCode}: ${text}`);
      return api.at(API_HOST).at(-1)?.headers.authorization;
    },
    hosts: { [ISSUER_HOST]: authorization.port },
    session: (body = {}) =>
      daemon.api<Session>('POST', '/v1/connect/sessions', {
        allowed_providers: ['files'],
        allowed_origin: application.origin,
        return_url: `${application.origin}/?kept=1`,
        allow_private: true,
        ...body,
      }),
    close: async () => {
      await daemon.stop();
      await Promise.all([authorization.close(), application.close(), api.close()]);
    },
  };
}
