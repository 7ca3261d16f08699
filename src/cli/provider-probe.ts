/**
 * One request through the running daemon, as an agent would send it, and what its answer says about the stored credential.
 * It holds a session key and never the credential; it follows no redirect and sends nothing twice.
 */
import { request as httpRequest } from 'node:http';
import { isIP, type Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';
import { AlterError } from '../domain/errors.ts';

export interface ProbeTarget {
  /** `HOST` or `HOST:PORT`, https. */
  readonly host: string;
  readonly path: string;
  /** Sent as they are: a placeholder where the grant wants one. */
  readonly headers: Readonly<Record<string, string>>;
}

export interface ProbeAnswer {
  readonly status: number;
  /** The code of alterd's own refusal; null when the provider answered. */
  readonly alterError: string | null;
  /** Detail and hint of a refusal; empty when the provider answered: its text is not for here. */
  readonly refusal: { readonly detail?: string; readonly hint?: string };
}

export interface Verdict {
  readonly verdict: 'pass' | 'fail' | 'unclear';
  readonly because: string;
  readonly next: string | null;
}

const WAIT_MS = 30_000;
const MAX_REFUSAL_BYTES = 64 * 1024;

/** @throws AlterError vault_unavailable when the proxy or the provider does not answer */
export async function sendProbe(proxyUrl: string, caPem: string, target: ProbeTarget): Promise<ProbeAnswer> {
  const socket = await openTunnel(new URL(proxyUrl), target.host);
  try {
    return await askThrough(socket, caPem, target);
  } finally {
    socket.destroy();
  }
}

const authorityOf = (host: string): string => (/:\d+$/.test(host) ? host : `${host}:443`);

function openTunnel(proxy: URL, host: string): Promise<Socket> {
  const user = `${decodeURIComponent(proxy.username)}:${decodeURIComponent(proxy.password)}`;
  return new Promise((resolve, reject) => {
    const connect = httpRequest({
      host: proxy.hostname.replace(/^\[|\]$/g, ''),
      port: Number(proxy.port),
      method: 'CONNECT',
      path: authorityOf(host),
      agent: false,
      timeout: WAIT_MS,
      headers: { host: authorityOf(host), 'proxy-authorization': `Basic ${Buffer.from(user).toString('base64')}` },
    });
    connect.once('connect', (response, socket) => {
      if (response.statusCode === 200) resolve(socket);
      else {
        socket.destroy();
        reject(silent(`the proxy answered ${response.statusCode} to CONNECT ${host}`));
      }
    });
    connect.once('timeout', () => connect.destroy(new Error('timeout')));
    connect.once('error', (error) => reject(silent(`the proxy does not answer (${codeOf(error)})`)));
    connect.end();
  });
}

function askThrough(socket: Socket, ca: string, { host, path, headers }: ProbeTarget): Promise<ProbeAnswer> {
  return new Promise((resolve, reject) => {
    const name = host.replace(/:\d+$/, '').replace(/^\[|\]$/g, '');
    const secure = connectTls({ socket, ca, host: name, servername: isIP(name) === 0 ? name : '', ALPNProtocols: ['http/1.1'] });
    const request = httpRequest({
      createConnection: () => secure,
      method: 'GET',
      path,
      timeout: WAIT_MS,
      headers: { host, accept: 'application/json', 'user-agent': 'alterd-provider-test', ...headers },
    });
    request.once('timeout', () => request.destroy(new Error('timeout')));
    request.once('error', (error) => reject(silent(`no answer came from ${host} (${codeOf(error)})`)));
    request.once('response', (response) => {
      const alterError = response.headers['alter-error'];
      const isRefusal = typeof alterError === 'string' && alterError !== 'provider_unauthorized';
      const parts: Buffer[] = [];
      let size = 0;
      response.on('data', (part: Buffer) => {
        size += part.length;
        if (isRefusal && size <= MAX_REFUSAL_BYTES) parts.push(part);
      });
      response.once('error', (error) => reject(silent(`the answer of ${host} broke off (${codeOf(error)})`)));
      response.once('end', () =>
        resolve({
          status: response.statusCode ?? 0,
          alterError: isRefusal ? alterError : null,
          refusal: isRefusal ? readRefusal(Buffer.concat(parts).toString('utf8')) : {},
        }),
      );
    });
    request.end();
  });
}

function readRefusal(text: string): ProbeAnswer['refusal'] {
  try {
    const { detail, hint } = JSON.parse(text) as { detail?: unknown; hint?: unknown };
    return {
      ...(typeof detail === 'string' ? { detail } : {}),
      ...(typeof hint === 'string' ? { hint } : {}),
    };
  } catch {
    return {};
  }
}

const codeOf = (error: Error): string => (error as NodeJS.ErrnoException).code ?? error.message;

const silent = (reason: string): AlterError =>
  new AlterError('conflict', { reason }, { hint: 'See the daemon and its listeners: `alterd status`. Its log: `alterd logs`.' });

/** What the answer says about the credential, in words. */
export function verdictOf(provider: string, answer: ProbeAnswer): Verdict {
  const { status, alterError, refusal } = answer;
  if (alterError !== null)
    return {
      verdict: 'fail',
      because: `alterd refused the request (${alterError}): ${refusal.detail ?? 'no reason was given'}`,
      next: refusal.hint ?? 'See why: `alterd audit list`.',
    };
  if (status >= 200 && status < 300)
    return { verdict: 'pass', because: `${provider} accepted the credential (${status})`, next: null };
  if (status === 401)
    return {
      verdict: 'fail',
      because: `${provider} did not accept the credential (401): it is wrong, has ended or was revoked there`,
      next: 'Store a good one: `alterd secret rotate NAME`.',
    };
  if (status === 403)
    return {
      verdict: 'fail',
      because: `${provider} knows the credential or not, and does not let it do this (403)`,
      next: 'See what it may do at the provider, or try another path: --path /PATH.',
    };
  if (status === 429)
    return { verdict: 'unclear', because: `${provider} takes no more requests at the moment (429)`, next: 'Try again later.' };
  if (status >= 500)
    return { verdict: 'unclear', because: `${provider} is in trouble itself (${status})`, next: 'Try again later.' };
  return {
    verdict: 'unclear',
    because: `${provider} answered ${status}, which says nothing about the credential`,
    next: 'Try a path that exists: --path /PATH.',
  };
}
