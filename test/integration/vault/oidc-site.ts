/** A certified OpenID provider on loopback over TLS, an API that takes its tokens, and a browser that clicks through its pages. */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { request } from 'node:https';
import type { AddressInfo } from 'node:net';
import { createServer as createTlsServer, type TLSSocket } from 'node:tls';
import type { TestPki } from '../../helpers/pki.ts';

export const ISSUER_HOST = 'id.oidc.test';
export const API_HOST = 'api.oidc.test';
export const ISSUER = `https://${ISSUER_HOST}`;
export const SECRET = 'SEKRET-marker-oidc-client-secret-0123456789';

/** As much of oidc-provider as is used here; it brings no types. */
interface OpenIdProvider {
  callback(): (request: IncomingMessage, response: ServerResponse) => void;
  interactionDetails(request: IncomingMessage, response: ServerResponse): Promise<{ prompt: { name: string } }>;
  interactionFinished(request: IncomingMessage, response: ServerResponse, result: object): Promise<void>;
  readonly AccessToken: { find(token: string): Promise<{ accountId?: string; clientId?: string } | undefined> };
  readonly Grant: new (fields: object) => { addOIDCScope(scope: string): void; save(): Promise<string> };
  on(event: string, listener: (...parts: unknown[]) => void): void;
}

export interface OidcSite {
  readonly port: number;
  /** Names of what the provider did. */
  readonly events: string[];
  /** Accounts that the API saw. */
  readonly callers: (string | undefined)[];
  /** Clicks from this address to the end; answers where it leads away to. */
  browse(url: string): Promise<string>;
  close(): Promise<void>;
}

export async function startOidcSite(pki: TestPki, accessTokenS: number): Promise<OidcSite> {
  const { default: Provider } = (await import('oidc-provider' as string)) as {
    default: new (issuer: string, options: object) => OpenIdProvider;
  };
  const provider = new Provider(ISSUER, optionsOf(accessTokenS));
  const events: string[] = [];
  const callers: (string | undefined)[] = [];
  for (const name of ['grant.success', 'grant.error', 'grant.revoked', 'refresh_token.consumed', 'server_error'])
    provider.on(name, () => events.push(name));
  const pages = provider.callback();
  const http = createServer((incoming, response) => {
    const { servername } = incoming.socket as TLSSocket & { servername: string };
    if (servername === API_HOST) void answerApi(provider, incoming, response, callers);
    else if (incoming.url?.startsWith('/interaction/') === true)
      void provider
        .interactionDetails(incoming, response)
        .then(({ prompt }) =>
          provider.interactionFinished(
            incoming,
            response,
            prompt.name === 'login' ? { login: { accountId: 'ada' } } : { consent: {} },
          ),
        );
    else pages(incoming, response);
  });
  const sockets = new Set<TLSSocket>();
  const tls = createTlsServer(
    { ALPNProtocols: ['http/1.1'], SNICallback: (name, done) => done(null, pki.contextFor(name)) },
    (socket) => {
      sockets.add(socket);
      socket.on('close', () => sockets.delete(socket));
      socket.on('error', () => {});
      http.emit('connection', socket);
    },
  );
  await new Promise<void>((resolve) => tls.listen(0, '127.0.0.1', resolve));
  const { port } = tls.address() as AddressInfo;
  return {
    port,
    events,
    callers,
    browse: (url) => browse(url, port, pki.ca.certPem),
    close: () =>
      new Promise((resolve) => {
        for (const socket of sockets) socket.destroy();
        tls.close(() => resolve());
      }),
  };
}

const optionsOf = (accessTokenS: number): object => ({
  clients: [
    {
      client_id: 'alterd-test',
      client_secret: SECRET,
      application_type: 'native',
      token_endpoint_auth_method: 'client_secret_post',
      redirect_uris: ['http://127.0.0.1/callback'],
      response_types: ['code'],
      grant_types: ['authorization_code', 'refresh_token', 'urn:ietf:params:oauth:grant-type:device_code', 'client_credentials'],
      scope: 'openid',
    },
  ],
  features: {
    devInteractions: { enabled: false },
    deviceFlow: { enabled: true },
    clientCredentials: { enabled: true },
    revocation: { enabled: true },
  },
  pkce: { required: () => true },
  rotateRefreshToken: true,
  issueRefreshToken: async () => true,
  interactions: { url: (_context: unknown, interaction: { uid: string }) => `/interaction/${interaction.uid}` },
  cookies: { keys: ['test'] },
  findAccount: async (_context: unknown, id: string) => ({ accountId: id, claims: async () => ({ sub: id }) }),
  loadExistingGrant: async (context: {
    oidc: { client: { clientId: string }; session: { accountId: string }; provider: OpenIdProvider };
  }) => {
    const { client, session, provider } = context.oidc;
    const grant = new provider.Grant({ clientId: client.clientId, accountId: session.accountId });
    grant.addOIDCScope('openid');
    await grant.save();
    return grant;
  },
  ttl: {
    AccessToken: accessTokenS,
    ClientCredentials: accessTokenS,
    RefreshToken: 3600,
    Grant: 3600,
    IdToken: 600,
    Session: 600,
    Interaction: 600,
    DeviceCode: 600,
  },
});

async function answerApi(
  provider: OpenIdProvider,
  incoming: IncomingMessage,
  response: ServerResponse,
  callers: (string | undefined)[],
): Promise<void> {
  const bearer = /^Bearer (.+)$/.exec(incoming.headers.authorization ?? '')?.[1] ?? '';
  const token = await provider.AccessToken.find(bearer);
  if (token !== undefined) callers.push(token.accountId);
  response.writeHead(token === undefined ? 401 : 200, { 'content-type': 'application/json' });
  response.end('{}');
}

interface Page {
  readonly status: number;
  readonly location: string | undefined;
  readonly text: string;
}

/** Follows redirects and submits the one form that each page has, with a cookie jar, until it ends or leaves the provider. */
async function browse(start: string, port: number, ca: string): Promise<string> {
  const jar = new Map<string, string>();
  let url = new URL(start);
  let form: string | undefined;
  for (let step = 0; step < 20; step++) {
    const page = await fetchPage(url, form, jar, port, ca);
    form = undefined;
    if (page.location !== undefined) {
      url = new URL(page.location, url);
      if (url.hostname !== ISSUER_HOST) return url.href;
      continue;
    }
    const action = /<form[^>]*action="([^"]+)"/.exec(page.text)?.[1];
    if (page.status !== 200) throw new Error(`${url.href} ${page.status}: ${page.text.replace(/<style>.*?<.style>/s, '')}`);
    if (action === undefined) return `${page.status}`;
    const inputs = page.text.matchAll(/<input[^>]*name="([^"]+)"[^>]*value="([^"]*)"/g);
    const fields = [...inputs].map((match): [string, string] => [match[1]!, match[2]!]);
    form = new URLSearchParams(fields).toString();
    url = new URL(action, url);
  }
  throw new Error('the pages go on for ever');
}

function fetchPage(url: URL, form: string | undefined, jar: Map<string, string>, port: number, ca: string): Promise<Page> {
  return new Promise((resolve, reject) => {
    const outgoing = request(
      {
        host: '127.0.0.1',
        port,
        servername: url.hostname,
        ca,
        agent: false,
        path: `${url.pathname}${url.search}`,
        method: form === undefined ? 'GET' : 'POST',
        headers: {
          host: url.host,
          accept: 'text/html',
          cookie: [...jar].map(([name, value]) => `${name}=${value}`).join('; '),
          ...(form === undefined
            ? {}
            : { 'content-type': 'application/x-www-form-urlencoded', 'content-length': Buffer.byteLength(form) }),
        },
      },
      (response) => {
        for (const cookie of response.headers['set-cookie'] ?? []) {
          const [, name, value] = /^([^=]+)=([^;]*)/.exec(cookie)!;
          jar.set(name!, value!);
        }
        let text = '';
        response.setEncoding('utf8').on('data', (part: string) => (text += part));
        response.on('end', () => resolve({ status: response.statusCode ?? 0, location: response.headers.location, text }));
      },
    );
    outgoing.on('error', reject);
    outgoing.end(form);
  });
}
