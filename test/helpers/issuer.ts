/**
 * An OpenID Connect issuer on loopback with TLS: `oidc-provider` with people, groups and keys that a test may change, and tokens signed
 * by those keys or by whatever else a test wants. Its log-in page asks nothing: it takes the person that X-Account names.
 */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { createServer as createTlsServer } from 'node:tls';
import { exportJWK, generateKeyPair, type JWK, SignJWT } from 'jose';
import type { TestPki } from './pki.ts';

export interface Person {
  readonly email: string;
  readonly name?: string;
  readonly groups?: readonly string[];
}

export interface TokenOptions {
  readonly claims?: Readonly<Record<string, unknown>>;
  /** Seconds from now. */
  readonly expiresIn?: number;
  readonly issuedAt?: number;
  readonly audience?: string | readonly string[];
  readonly issuer?: string;
  /** A key id that the issuer does not show. */
  readonly kid?: string;
}

export interface TestIssuer {
  readonly url: string;
  readonly host: string;
  readonly port: number;
  readonly clientId: string;
  /** By subject. */
  readonly people: Map<string, Person>;
  /** Paths that were asked for, in order. */
  readonly asked: string[];
  token(subject: string, options?: TokenOptions): Promise<string>;
  /** A new key in place of the old ones. */
  rotate(): Promise<void>;
  close(): Promise<void>;
}

/** What is used of the library, which has no types of its own. */
interface Provider {
  callback(): (request: IncomingMessage, response: ServerResponse) => void;
  interactionFinished(request: IncomingMessage, response: ServerResponse, result: object): Promise<void>;
  readonly Grant: new (of: object) => { addOIDCScope(scope: string): void; save(): Promise<string> };
}
interface Context {
  readonly oidc: {
    readonly provider: Provider;
    readonly client: { readonly clientId: string };
    readonly session: { readonly accountId: string };
  };
  body: string;
}

interface SigningKey {
  readonly kid: string;
  readonly privateKey: Awaited<ReturnType<typeof generateKeyPair>>['privateKey'];
  readonly jwk: JWK;
}

const SCOPES = 'openid email profile';

export async function startIssuer(pki: TestPki, host = 'login.good.test'): Promise<TestIssuer> {
  const { default: OidcProvider } = (await import('oidc-provider' as string)) as {
    default: new (url: string, config: object) => Provider;
  };
  const url = `https://${host}`;
  const clientId = 'alterd';
  const people = new Map<string, Person>();
  const asked: string[] = [];
  let count = 0;
  const mint = async (): Promise<SigningKey> => {
    const { privateKey } = await generateKeyPair('ES256', { extractable: true });
    const kid = `key-${++count}`;
    return { kid, privateKey, jwk: { ...(await exportJWK(privateKey)), kid, alg: 'ES256', use: 'sig' } };
  };
  let key = await mint();
  const build = (): Provider =>
    new OidcProvider(url, {
      clients: [
        {
          client_id: clientId,
          token_endpoint_auth_method: 'none',
          application_type: 'native',
          grant_types: ['authorization_code', 'urn:ietf:params:oauth:grant-type:device_code'],
          redirect_uris: ['http://127.0.0.1/callback'],
          id_token_signed_response_alg: 'ES256',
        },
      ],
      jwks: { keys: [key.jwk] },
      cookies: { keys: ['a cookie key of the tests'] },
      claims: { openid: ['sub'], email: ['email'], profile: ['name', 'groups'] },
      conformIdTokenClaims: false,
      pkce: { required: () => true },
      features: {
        devInteractions: { enabled: false },
        deviceFlow: {
          enabled: true,
          userCodeInputSource: (ctx: Context, form: string) => void (ctx.body = form),
          userCodeConfirmSource: (ctx: Context, form: string) => void (ctx.body = form),
          successSource: (ctx: Context) => void (ctx.body = 'done'),
        },
      },
      interactions: { url: (_ctx: unknown, interaction: { uid: string }) => `/interaction/${interaction.uid}` },
      loadExistingGrant: async ({ oidc }: Context) => {
        const grant = new oidc.provider.Grant({ clientId: oidc.client.clientId, accountId: oidc.session.accountId });
        grant.addOIDCScope(SCOPES);
        await grant.save();
        return grant;
      },
      findAccount: (_ctx: unknown, sub: string) => ({ accountId: sub, claims: () => ({ sub, ...people.get(sub) }) }),
    });
  let provider = build();
  const http = createServer((request, response) => {
    asked.push((request.url ?? '').split('?')[0] ?? '');
    if (!request.url?.startsWith('/interaction/')) return provider.callback()(request, response);
    const accountId = String(request.headers['x-account']);
    provider.interactionFinished(request, response, { login: { accountId }, consent: {} }).catch(() => response.destroy());
  });
  const server = createTlsServer({ SNICallback: (name, done) => done(null, pki.contextFor(name)) }, (socket) => {
    socket.on('error', () => {});
    http.emit('connection', socket);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url,
    host,
    port: (server.address() as AddressInfo).port,
    clientId,
    people,
    asked,
    token: (subject, options = {}) => {
      const now = Math.floor(Date.now() / 1000);
      const issuedAt = options.issuedAt ?? now;
      return new SignJWT({ ...people.get(subject), ...options.claims })
        .setProtectedHeader({ alg: 'ES256', kid: options.kid ?? key.kid })
        .setSubject(subject)
        .setIssuer(options.issuer ?? url)
        .setAudience([options.audience ?? clientId].flat())
        .setIssuedAt(issuedAt)
        .setExpirationTime(now + (options.expiresIn ?? 300))
        .sign(key.privateKey);
    },
    rotate: async () => {
      key = await mint();
      provider = build();
    },
    close: () =>
      new Promise((resolve) => {
        http.closeAllConnections();
        server.close(() => resolve());
      }),
  };
}
