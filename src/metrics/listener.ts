/**
 * The optional listener for metrics: loopback TCP, `GET /metrics`, what its owner adds of the same kind, and nothing else whatsoever.
 * SECURITY: pages in a browser can reach loopback ports. A request that names another host (DNS rebinding) or comes from a page
 * is refused, and what is served holds counts alone.
 */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { METRICS_TYPE } from './scrape.ts';

const MAX_SOCKETS = 16;
const HEAD_MS = 5_000;

/** Another thing that is asked of a process by what watches over it. */
export interface Page {
  readonly status: number;
  readonly body: object;
}

/** By path. */
export type Pages = Readonly<Record<string, () => Page | Promise<Page>>>;

export interface MetricsListener {
  readonly host: string;
  readonly port: number;
  close(): Promise<void>;
}

/** @throws the system's error when the address can't be taken */
export function listenForMetrics(
  address: { host: string; port: number },
  scrape: () => Promise<string>,
  pages: Pages = {},
): Promise<MetricsListener> {
  const server = createServer({ requestTimeout: HEAD_MS, headersTimeout: HEAD_MS, maxHeaderSize: 8192 }, (request, response) => {
    void answer(request, response, allowed, scrape, pages);
  });
  server.maxConnections = MAX_SOCKETS;
  const allowed = new Set<string>();
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(address.port, address.host, () => {
      server.off('error', reject);
      const { address: host, port } = server.address() as { address: string; port: number };
      const bracketed = host.includes(':') ? `[${host}]` : host;
      for (const name of [bracketed, 'localhost']) allowed.add(`${name}:${port}`);
      resolve({
        host,
        port,
        close: () =>
          new Promise((done) => {
            server.close(() => done());
            server.closeAllConnections();
          }),
      });
    });
  });
}

async function answer(
  request: IncomingMessage,
  response: ServerResponse,
  allowed: ReadonlySet<string>,
  scrape: () => Promise<string>,
  pages: Pages,
): Promise<void> {
  const refuse = (status: number, text: string): void => {
    response.writeHead(status, { 'content-type': 'text/plain', connection: 'close' }).end(`${text}\n`);
  };
  const { host, origin } = request.headers;
  if (!allowed.has((host ?? '').toLowerCase())) return refuse(421, 'This host is not served here.');
  if (origin !== undefined || request.headers['sec-fetch-site'] !== undefined) return refuse(403, 'Web pages are refused.');
  const page = Object.hasOwn(pages, request.url ?? '') ? pages[request.url ?? ''] : undefined;
  if (request.url !== '/metrics' && page === undefined) return refuse(404, 'Only /metrics is here.');
  if (request.method !== 'GET') return refuse(405, 'Only GET is served.');
  try {
    if (page !== undefined) {
      const { status, body } = await page();
      response.writeHead(status, { 'content-type': 'application/json', 'cache-control': 'no-store' }).end(JSON.stringify(body));
      return;
    }
    const text = await scrape();
    response.writeHead(200, { 'content-type': METRICS_TYPE, 'cache-control': 'no-store' }).end(text);
  } catch {
    refuse(503, 'The metrics can not be read now.');
  }
}
