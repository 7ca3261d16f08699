/**
 * A provider with OAuth on loopback and a whole daemon in front of it: `auth.acme.test` hands out tokens that it remembers, and
 * `api.acme.test` takes only those that are good now. Both are real HTTPS; what they did is counted.
 */
import { once } from 'node:events';
import { request as httpRequest } from 'node:http';
import { connect as dial } from 'node:net';
import { connect as connectTls } from 'node:tls';
import { startTestDaemon, type TestDaemon } from './daemon.ts';
import { type Answer, startOrigin, type TestOrigin } from './origin.ts';
import { makePki, type TestPki } from './pki.ts';

export const API = 'api.acme.test';
export const AUTH = 'auth.acme.test';
export const CLIENT_SECRET = 'SEKRET-marker-client-5d01';

export interface TokenBehaviour {
  /** Of new tokens, in seconds. */
  expiresIn: number;
  /** New tokens have ended when they are made. */
  isEnded: boolean;
  isRotating: boolean;
  /** Answers in place of the token endpoint; true when it did. */
  intercept:
    | ((
        parameters: URLSearchParams,
        respond: (status: number, body: string, headers?: Record<string, string>) => void,
      ) => boolean | Promise<boolean>)
    | null;
  /** Whose account consents. */
  account: string;
  scope?: string;
}

export interface OAuthStage {
  readonly pki: TestPki;
  readonly origin: TestOrigin;
  readonly daemon: TestDaemon;
  readonly behaviour: TokenBehaviour;
  /** Calls of the token endpoint by grant type. */
  readonly calls: string[];
  readonly revoked: string[];
  /** Makes every access token that is out there bad. */
  spoil(): void;
  readonly goodTokens: ReadonlySet<string>;
  connect(more?: Record<string, unknown>): Promise<Connected>;
  /** As the browser: the code and state of a consent. */
  consent(authorizeUrl: string): { state: string; code: string };
  agent(name: string): Promise<{ ask(path: string, options?: AskOptions): Promise<Asked> }>;
  stop(): Promise<void>;
}

export interface Connected {
  readonly grant_id: string;
  readonly account_id: string;
  readonly account_name: string;
  readonly scopes: string[];
  readonly reconnected: boolean;
}

export interface AskOptions {
  readonly method?: string;
  readonly body?: string;
  readonly headers?: Record<string, string>;
}

export interface Asked {
  readonly status: number;
  readonly headers: Readonly<Record<string, unknown>>;
  readonly body: string;
}

export const providerToml = (more = ''): string => `slug = "acme"
name = "Acme"
kind = "oauth"
evidence = "general"
hosts = ["${API}"]
[oauth]
authorize_url = "https://${AUTH}/authorize"
token_url = "https://${AUTH}/token"
revoke_url = "https://${AUTH}/revoke"
account = { url = "https://${API}/me", id = "/id", name = "/login" }
default_scopes = ["read"]
${more === '' ? 'refresh = "rotating"' : more}
`;

export async function startOAuthStage(
  options: { toml?: string; home?: string; resolve?: Record<string, string>; flags?: Record<string, string> } = {},
): Promise<OAuthStage> {
  const pki = makePki();
  const behaviour: TokenBehaviour = { expiresIn: 3600, isEnded: false, isRotating: true, intercept: null, account: 'ada' };
  const calls: string[] = [];
  const revoked: string[] = [];
  const goodAccess = new Map<string, string>();
  const goodRefresh = new Map<string, string>();
  const challenges = new Map<string, string>();
  let count = 0;
  const mint = (account: string): Record<string, unknown> => {
    const n = ++count;
    const access = `SEKRET-marker-access-${n}-${Math.random().toString(36).slice(2)}`;
    const refresh = `SEKRET-marker-refresh-${n}-${Math.random().toString(36).slice(2)}`;
    goodAccess.set(access, account);
    goodRefresh.set(refresh, account);
    return {
      access_token: access,
      refresh_token: refresh,
      token_type: 'bearer',
      ...(behaviour.isEnded ? { expires_at: Date.now() - 1 } : { expires_in: behaviour.expiresIn }),
      ...(behaviour.scope === undefined ? {} : { scope: behaviour.scope }),
    };
  };
  const token: Answer = async (_request, response, body) => {
    const parameters = new URLSearchParams(body.toString());
    const grantType = parameters.get('grant_type') ?? '';
    calls.push(grantType);
    const respond = (status: number, text: string, headers: Record<string, string> = {}): void => {
      response.writeHead(status, { 'content-type': 'application/json', ...headers });
      response.end(text);
    };
    if ((await behaviour.intercept?.(parameters, respond)) === true) return;
    const refuse = (error: string): void => respond(400, JSON.stringify({ error, error_description: 'SEKRET-marker-described' }));
    if (parameters.get('client_secret') !== CLIENT_SECRET) return refuse('invalid_client');
    if (grantType === 'authorization_code') {
      const code = parameters.get('code') ?? '';
      const verifier = parameters.get('code_verifier') ?? '';
      const { createHash } = await import('node:crypto');
      if (challenges.get(code) !== createHash('sha256').update(verifier).digest('base64url')) return refuse('invalid_grant');
      challenges.delete(code);
      return respond(200, JSON.stringify(mint(behaviour.account)));
    }
    if (grantType === 'refresh_token') {
      const refresh = parameters.get('refresh_token') ?? '';
      const account = goodRefresh.get(refresh);
      if (account === undefined) return refuse('invalid_grant');
      if (behaviour.isRotating) goodRefresh.delete(refresh);
      return respond(200, JSON.stringify(mint(account)));
    }
    return respond(200, JSON.stringify(mint('machine')));
  };
  const api: Answer = (request, response, body) => {
    const bearer = /^Bearer (.*)$/.exec(request.headers.authorization ?? '')?.[1] ?? '';
    const account = goodAccess.get(bearer);
    response.setHeader('content-type', 'application/json');
    if (account === undefined) {
      response.writeHead(401, { 'www-authenticate': 'Bearer error="invalid_token"' });
      response.end(JSON.stringify({ message: 'bad credentials' }));
    } else if (request.url === '/me') response.end(JSON.stringify({ id: `id-${account}`, login: account }));
    else if (request.url === '/echo')
      response.end(
        JSON.stringify({ token: bearer, refresh: [...goodRefresh].flatMap(([token, of]) => (of === account ? [token] : [])) }),
      );
    else if (request.url === '/forbidden') {
      response.writeHead(403, { 'www-authenticate': 'Bearer error="insufficient_scope", scope="write"' });
      response.end('{}');
    } else response.end(JSON.stringify({ account, method: request.method, body: body.toString() }));
  };
  const origin = await startOrigin(pki, {
    answer: (request, response, body) => {
      const { servername } = request.socket as unknown as { servername: string };
      if (servername !== AUTH) return api(request, response, body);
      if (request.url === '/token') return token(request, response, body);
      if (request.url === '/revoke') revoked.push(new URLSearchParams(body.toString()).get('token') ?? '');
      response.end('{}');
    },
  });
  const routes = { [`${API}:443`]: `127.0.0.1:${origin.port}`, [`${AUTH}:443`]: `127.0.0.1:${origin.port}`, ...options.resolve };
  const table = Object.entries(routes).map(([from, to]) => `"${from}" = "${to}"`);
  const daemon = await startTestDaemon({
    config: `[upstream]\nca_file = "${pki.caFile}"\nresolve = { ${table.join(', ')} }\n`,
    ...(options.flags === undefined ? {} : { flags: options.flags }),
  });
  await daemon.api('POST', '/v1/providers', { toml: options.toml ?? providerToml() });
  await daemon.api('POST', '/v1/provider-clients', { provider: 'acme', client_id: 'client-1', client_secret: CLIENT_SECRET });
  const stage: OAuthStage = {
    pki,
    origin,
    daemon,
    behaviour,
    calls,
    revoked,
    spoil: () => goodAccess.clear(),
    get goodTokens() {
      return new Set([...goodAccess.keys(), ...goodRefresh.keys()]);
    },
    consent: (authorizeUrl) => {
      const { searchParams } = new URL(authorizeUrl);
      if (searchParams.get('code_challenge_method') !== 'S256') throw new Error(`no S256 in ${authorizeUrl}`);
      const code = `code-${++count}`;
      challenges.set(code, searchParams.get('code_challenge') ?? '');
      return { state: searchParams.get('state') ?? '', code };
    },
    connect: async (more = {}) => {
      const begun = await daemon.api<{ authorize_url: string }>('POST', '/v1/connect/begin', {
        provider: 'acme',
        redirect_uri: 'http://127.0.0.1:1/callback',
        allow_private: true,
        ...more,
      });
      return daemon.api<Connected>('POST', '/v1/connect/complete', stage.consent(begun.authorize_url));
    },
    agent: async (name) => {
      const { authorization } = await daemon.agent(name);
      return { ask: (path, ask) => askHost(daemon, authorization, API, path, ask) };
    },
    stop: async () => {
      await daemon.stop();
      await origin.close();
    },
  };
  return stage;
}

/** One request to a host in a tunnel of its own. */
export async function askHost(
  daemon: TestDaemon,
  authorization: string,
  host: string,
  path: string,
  options: AskOptions = {},
): Promise<Asked> {
  const socket = dial(daemon.port, '127.0.0.1');
  socket.write(`CONNECT ${host}:443 HTTP/1.1\r\nHost: ${host}:443\r\nProxy-Authorization: ${authorization}\r\n\r\n`);
  await once(socket, 'data');
  const tls = connectTls({ socket, servername: host, ca: daemon.running.ca().pem });
  await once(tls, 'secureConnect');
  return new Promise((resolve, reject) => {
    const outgoing = httpRequest(
      {
        createConnection: () => tls,
        method: options.method ?? 'GET',
        path,
        headers: {
          host,
          connection: 'close',
          ...options.headers,
          ...(options.body === undefined ? {} : { 'content-length': Buffer.byteLength(options.body) }),
        },
      },
      (response) => {
        let body = '';
        response.setEncoding('utf8').on('data', (text: string) => (body += text));
        response.on('end', () => resolve({ status: response.statusCode ?? 0, headers: response.headers, body }));
        response.on('error', reject);
      },
    );
    outgoing.on('error', reject);
    outgoing.end(options.body);
  });
}
