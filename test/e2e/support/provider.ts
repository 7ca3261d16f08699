/**
 * A provider on loopback: one TLS server that plays any number of hosts, each with its own certificate and its own answers.
 * It keeps what arrived. Only the origin's side of a test may know a secret.
 */
import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import { createServer } from 'node:https';
import type { AddressInfo, Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import type { TestPki } from '../../helpers/pki.ts';

export interface Arrival {
  readonly host: string;
  readonly method: string;
  readonly url: string;
  readonly headers: IncomingMessage['headers'];
  readonly rawHeaders: readonly string[];
}

export type Site = (request: IncomingMessage, response: ServerResponse) => void | Promise<void>;
export type UpgradeSite = (request: IncomingMessage, socket: Duplex, head: Buffer) => void;

export interface Provider {
  readonly port: number;
  readonly arrivals: Arrival[];
  /** Answers by host name. Replace one to change what happens from now on. */
  readonly sites: Record<string, Site>;
  readonly upgrades: Record<string, UpgradeSite>;
  /** Arrivals of one host. */
  at(host: string): Arrival[];
  close(): Promise<void>;
}

export interface ProviderOptions {
  readonly sites?: Record<string, Site>;
  readonly upgrades?: Record<string, UpgradeSite>;
  readonly listen?: string;
  /** Shows this host's certificate to clients that send no name, as for an address. */
  readonly withoutName?: string;
}

export async function startProvider(pki: TestPki, options: ProviderOptions = {}): Promise<Provider> {
  const arrivals: Arrival[] = [];
  const sockets = new Set<Socket>();
  const sites = options.sites ?? {};
  const upgrades = options.upgrades ?? {};
  const server: Server = createServer(
    { SNICallback: (name, done) => done(null, pki.contextFor(name)), requestTimeout: 0, keepAliveTimeout: 60_000 },
    (request, response) => {
      const host = arrive(arrivals, request);
      request.on('error', () => {});
      response.on('error', () => {});
      const site = sites[host];
      if (site === undefined) answerJson(response, 200, { ok: true, method: request.method, url: request.url });
      else void site(request, response);
    },
  );
  server.on('upgrade', (request, socket, head) => {
    const site = upgrades[arrive(arrivals, request)];
    if (site === undefined) socket.destroy();
    else site(request, socket, head);
  });
  if (options.withoutName !== undefined)
    (server as unknown as { _sharedCreds: unknown })._sharedCreds = pki.contextFor(options.withoutName);
  // Node's own server closes a TLS socket ("HPE_PAUSED") when more of a request arrives while it thinks that the answer before is
  // not flushed. It thinks so above this mark.
  server.on('secureConnection', (socket) => {
    (socket as unknown as { _writableState: { highWaterMark: number } })._writableState.highWaterMark = 16 * 1024 * 1024;
  });
  server.on('connection', (socket) => {
    sockets.add(socket);
    socket.on('close', () => sockets.delete(socket));
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(0, options.listen ?? '127.0.0.1', resolve);
  });
  return {
    port: (server.address() as AddressInfo).port,
    arrivals,
    sites,
    upgrades,
    at: (host) => arrivals.filter((arrival) => arrival.host === host),
    close: () =>
      new Promise((resolve) => {
        for (const socket of sockets) socket.destroy();
        server.close(() => resolve());
      }),
  };
}

function arrive(arrivals: Arrival[], request: IncomingMessage): string {
  const { method = '', url = '', headers, rawHeaders } = request;
  const host = (headers.host ?? '').replace(/:\d+$/, '');
  arrivals.push({ host, method, url, headers, rawHeaders });
  return host;
}

export function answerJson(response: ServerResponse, status: number, value: unknown): void {
  const body = JSON.stringify(value);
  response.writeHead(status, { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) });
  response.end(body);
}

export async function readBody(request: IncomingMessage): Promise<Buffer> {
  const parts: Buffer[] = [];
  for await (const part of request) parts.push(part as Buffer);
  return Buffer.concat(parts);
}

/** The configuration that maps hosts to providers on loopback and trusts their CA. */
export function configFor(pki: TestPki, ports: Readonly<Record<string, number>>, more = ''): string {
  const resolve = Object.entries(ports).map(([host, port]) => `"${host}" = "127.0.0.1:${port}"`);
  return `${more}\n[upstream]\nca_file = "${pki.caFile}"\nresolve = { ${resolve.join(', ')} }\n`;
}
