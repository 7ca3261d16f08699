/** A tiny forward proxy for tests: CONNECT and absolute-form, Basic credentials required, and a record of what it saw. */
import { createServer, request as httpRequest, type Server } from 'node:http';
import { type AddressInfo, connect } from 'node:net';

export interface TunnelProxy {
  readonly port: number;
  /** `CONNECT host:port` or `GET http://…`, with `denied ` before it when the credentials were missing or wrong. */
  readonly seen: string[];
  close(): Promise<void>;
}

/** Every name leads to `originPort` on loopback, whatever port was asked for. */
export async function startTunnelProxy(credentials: string, originPort: number): Promise<TunnelProxy> {
  const seen: string[] = [];
  const wanted = `Basic ${Buffer.from(credentials).toString('base64')}`;
  const sockets = new Set<{ destroy(): void }>();
  const server: Server = createServer((req, res) => {
    const known = req.headers['proxy-authorization'] === wanted;
    seen.push(`${known ? '' : 'denied '}${req.method} ${req.url} host=${req.headers.host}`);
    if (!known) {
      res.writeHead(407, { 'Proxy-Authenticate': 'Basic realm="test"' }).end();
      return;
    }
    const url = new URL(req.url ?? '');
    const upstream = httpRequest(
      { host: '127.0.0.1', port: Number(url.port || 80), path: url.pathname, agent: false },
      (answer) => {
        res.writeHead(answer.statusCode ?? 502, { 'x-via': 'tunnel-proxy' });
        answer.pipe(res);
      },
    );
    upstream.on('error', () => res.destroy());
    req.pipe(upstream);
  });
  server.on('connect', (req, socket, head) => {
    socket.on('error', () => undefined);
    const known = req.headers['proxy-authorization'] === wanted;
    seen.push(`${known ? '' : 'denied '}CONNECT ${req.url}`);
    if (!known) {
      socket.end(
        'HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic realm="test"\r\nContent-Length: 0\r\n\r\n',
      );
      return;
    }
    const upstream = connect(originPort, '127.0.0.1', () => {
      socket.write('HTTP/1.1 200 Connection established\r\n\r\n');
      upstream.write(head);
      upstream.pipe(socket);
      socket.pipe(upstream);
    });
    sockets.add(upstream);
    upstream.on('error', () => socket.destroy());
  });
  server.on('connection', (socket) => sockets.add(socket));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    port: (server.address() as AddressInfo).port,
    seen,
    close: () =>
      new Promise((resolve) => {
        for (const socket of sockets) socket.destroy();
        server.close(() => resolve());
      }),
  };
}
