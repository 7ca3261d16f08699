/**
 * An authorization server with its own login and consent screens: oidc-provider over TLS on loopback, with one confidential client whose
 * redirect URI is the daemon's. Every login name is an account.
 */
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import type { TestPki } from '../../helpers/pki.ts';

export const ISSUER_HOST = 'accounts.provider.test';
export const CLIENT_ID = 'alterd-of-the-tests';
export const CLIENT_SECRET = 'SEKRET-marker-oauth-client-0123456789abcdef';

export interface AuthorizationServer {
  readonly port: number;
  readonly issuer: string;
  /** Requests of the token endpoint, to know whether one was made. */
  readonly tokenRequests: () => number;
  close(): Promise<void>;
}

interface OidcProvider {
  callback(): (request: unknown, response: unknown) => void;
  on(event: string, listener: (...args: unknown[]) => void): void;
  proxy: boolean;
}

/** @param redirectUris where it may send people back to: they are registered before the server runs, as at any provider. */
export async function startAuthorizationServer(pki: TestPki, redirectUris: readonly string[]): Promise<AuthorizationServer> {
  const server = createServer({ SNICallback: (name, done) => done(null, pki.contextFor(name)) });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  const issuer = `https://${ISSUER_HOST}`;
  // The package has no types of its own.
  const name: string = 'oidc-provider';
  const { default: Provider } = (await import(name)) as { default: new (issuer: string, configuration: unknown) => OidcProvider };
  const provider = new Provider(issuer, {
    clients: [
      {
        client_id: CLIENT_ID,
        client_secret: CLIENT_SECRET,
        redirect_uris: [...redirectUris],
        response_types: ['code'],
        grant_types: ['authorization_code', 'refresh_token'],
        token_endpoint_auth_method: 'client_secret_post',
        application_type: redirectUris.every((each) => each.startsWith('https:')) ? 'web' : 'native',
      },
    ],
    scopes: ['openid', 'offline_access', 'profile', 'email', 'files.read', 'files.write'],
    claims: { openid: ['sub'], profile: ['name'], email: ['email'] },
    findAccount: (_context: unknown, id: string) => ({
      accountId: id,
      claims: () => ({ sub: id, name: `Person ${id}`, email: `${id}@people.test` }),
    }),
    cookies: { keys: ['cookie key of the tests'] },
    pkce: { required: () => true },
    issueRefreshToken: () => true,
    ttl: {
      AccessToken: 3600,
      Grant: 86_400,
      Session: 86_400,
      Interaction: 600,
      RefreshToken: 86_400,
      AuthorizationCode: 60,
      IdToken: 3600,
    },
  });
  let tokenRequests = 0;
  const listener = provider.callback();
  server.on('request', (request, response) => {
    if (request.url === '/token') tokenRequests += 1;
    listener(request, response);
  });
  return {
    port,
    issuer,
    tokenRequests: () => tokenRequests,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}
