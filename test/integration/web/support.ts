/** The page listener over real sockets with a consent port of the tests: what reaches the routes, and what does not. */
import { type IncomingHttpHeaders, request } from 'node:http';
import type { ConnectRequest } from '../../../src/vault/connect-request.ts';
import { ConnectSessions } from '../../../src/vault/connect-sessions.ts';
import { connectActions } from '../../../src/web/connect-actions.ts';
import type { ConsentPort, NewConsent } from '../../../src/web/consent-port.ts';
import { type PageServer, servePages } from '../../../src/web/server.ts';

export interface PageAnswer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly text: string;
}

export interface PageRig {
  readonly server: PageServer;
  readonly sessions: ConnectSessions;
  readonly begun: NewConsent[];
  readonly events: string[];
  token(change?: Partial<ConnectRequest>): Promise<string>;
  send(method: string, path: string, headers?: Readonly<Record<string, string>>, body?: string): Promise<PageAnswer>;
  /** As the page's own script asks. */
  ask<T = Record<string, never>>(action: string, body: unknown): Promise<{ status: number; body: T }>;
  close(): Promise<void>;
}

export const REQUEST: ConnectRequest = {
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
  hosts: null,
  metadata: {},
};

export const NOW = Date.UTC(2031, 0, 1);

export async function startPages(
  complete: ConsentPort['complete'] = () => Promise.reject(new Error('nobody consents here')),
): Promise<PageRig> {
  const events: string[] = [];
  const begun: NewConsent[] = [];
  const sessions = new ConnectSessions({
    audit: {
      open: () => Promise.reject(new Error('no exchange here')),
      record: (opening, closing) => {
        events.push(`${opening.action} ${closing.error ?? 'ok'}`);
        return Promise.resolve('req_1');
      },
    },
    findAgent: (name) => ({ id: 'a-1', name }),
    now: () => NOW,
  });
  const consents: ConsentPort = {
    describe: (id, required) => ({
      id,
      name: id,
      scopes: ['read', 'write'].map((scope) => ({
        id: scope,
        words: scope,
        required: scope === 'read' || required.includes(scope),
        selected: true,
      })),
    }),
    begin: (consent) => {
      begun.push(consent);
      return Promise.resolve({
        authorizationUrl: `https://provider.test/authorize?state=state-${begun.length}`,
        state: `state-${begun.length}`,
      });
    },
    complete,
  };
  const onFault = (): void => {};
  const server = await servePages({
    listen: { host: '127.0.0.1', port: 0 },
    publicUrl: null,
    tls: null,
    onFault,
    actions: (origin) => connectActions({ sessions, consents, origin, onFault, now: () => NOW }),
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
    begun,
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
