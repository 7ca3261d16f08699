/** The page listener over real sockets with a consent port of the tests: what reaches the routes, and what does not. */
import { type IncomingHttpHeaders, request } from 'node:http';
import { parseProvider } from '../../../src/config/provider.ts';
import type { ConnectSessionRequest } from '../../../src/vault/connect-session-request.ts';
import { ConnectSessions } from '../../../src/vault/connect-sessions.ts';
import type { ConnectFlows, RedirectRequest } from '../../../src/vault/oauth/connect-flows.ts';
import { connectActions } from '../../../src/web/connect-actions.ts';
import { type PageServer, servePages } from '../../../src/web/server.ts';

export interface PageAnswer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly text: string;
}

export interface PageRig {
  readonly server: PageServer;
  readonly sessions: ConnectSessions;
  /** Moves the time of sessions and pages. */
  readonly clock: { now: number };
  readonly begun: RedirectRequest[];
  readonly cancelled: string[];
  readonly events: string[];
  token(change?: Partial<ConnectSessionRequest>): Promise<string>;
  send(method: string, path: string, headers?: Readonly<Record<string, string>>, body?: string): Promise<PageAnswer>;
  /** As the page's own script asks. */
  ask<T = Record<string, never>>(action: string, body: unknown): Promise<{ status: number; body: T }>;
  close(): Promise<void>;
}

export const REQUEST: ConnectSessionRequest = {
  providers: ['files'],
  requiredScopes: {},
  allowedOrigin: 'https://app.example.test',
  returnUrl: null,
  maxLifetimeMs: 86_400_000,
  defaultLifetimeMs: 3_600_000,
  agent: 'bot',
  label: null,
  methods: null,
  paths: null,
  fields: {},
  allowPrivate: false,
  grantId: null,
  user: null,
  metadata: {},
};

const provider = (slug: string) =>
  parseProvider(
    `slug = "${slug}"
name = "${slug}"
kind = "oauth"
hosts = ["api.${slug}.test"]
evidence = "documented"
docs_url = "https://${slug}.test/docs"
[oauth]
authorize_url = "https://${slug}.test/authorize"
token_url = "https://${slug}.test/token"
default_scopes = ["read", "write"]
[[oauth.scopes]]
name = "read"
label = "Read what is there"
required = true
[[oauth.scopes]]
name = "write"
label = "Change what is there"
`,
    `${slug}.toml`,
  );

/** Has an account of every provider. */
export const KNOWN = { id: 'u-1', name: 'ann@people.test' };
export const NOW = Date.UTC(2031, 0, 1);

export async function startPages(
  complete: ConnectFlows['complete'] = () => Promise.reject(new Error('nobody consents here')),
): Promise<PageRig> {
  const clock = { now: NOW };
  const events: string[] = [];
  const begun: RedirectRequest[] = [];
  const cancelled: string[] = [];
  const sessions = new ConnectSessions({
    audit: {
      open: () => Promise.reject(new Error('no exchange here')),
      record: (opening, closing) => {
        events.push(`${opening.action} ${closing.error ?? 'ok'}`);
        return Promise.resolve('req_1');
      },
    },
    findAgent: (name) => ({ name, status: 'active' }),
    now: () => clock.now,
  });
  const nobody = () => Promise.reject(new Error('no device here'));
  const flows: ConnectFlows = {
    begin: (request) => {
      begun.push(request);
      const n = begun.length;
      const authorizeUrl = `https://provider.test/authorize?state=state-${n}`;
      return Promise.resolve({ flowId: `flow-${n}`, providerId: request.provider, authorizeUrl, expiresAt: NOW + 600_000 });
    },
    complete,
    beginDevice: nobody,
    pollDevice: nobody,
    connectWith: nobody,
    knownAccount: ({ user }) => (user === KNOWN.id ? { name: KNOWN.name, scopes: ['read'] } : null),
    approveKnown: (request) =>
      Promise.resolve({
        grantId: 'g-known',
        providerId: request.provider,
        label: '',
        accountId: '17',
        accountName: KNOWN.name,
        scopes: ['read'],
        reconnected: false,
      }),
    cancel: (flowId) => void cancelled.push(flowId),
  };
  const providers = { find: (slug: string) => (slug === 'files' || slug === 'mail' ? provider(slug) : undefined) };
  const onFault = (): void => {};
  const server = await servePages({
    listen: { host: '127.0.0.1', port: 0 },
    publicUrl: null,
    tls: null,
    onFault,
    actions: (origin) => connectActions({ sessions, flows, providers, origin, onFault, now: () => clock.now }),
  });
  const { hostname, port, host, origin } = new URL(server.origin);
  const send: PageRig['send'] = (method, path, headers = {}, body = '') =>
    new Promise((resolve, reject) => {
      const asked = request({ host: hostname, port, method, path, headers: { host, ...headers }, agent: false }, (response) => {
        const parts: Buffer[] = [];
        response.on('data', (part: Buffer) => parts.push(part));
        response.on('end', () =>
          resolve({ status: response.statusCode ?? 0, headers: response.headers, text: Buffer.concat(parts).toString() }),
        );
      });
      asked.on('error', reject);
      asked.end(body);
    });
  return {
    server,
    sessions,
    clock,
    begun,
    cancelled,
    events,
    token: async (change = {}) => (await sessions.create({ ...REQUEST, ...change })).token.reveal(),
    send,
    ask: async (action, body) => {
      const headers = { origin, 'content-type': 'application/json', 'sec-fetch-site': 'same-origin' };
      const answer = await send('POST', `/sdk/oauth/connect/${action}`, headers, JSON.stringify(body));
      return { status: answer.status, body: JSON.parse(answer.text) };
    },
    close: () => server.close(),
  };
}
