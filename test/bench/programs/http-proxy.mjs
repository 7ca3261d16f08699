// The baseline: http-proxy 1.18.1 behind the least front that makes a forward proxy of it (CONNECT, TLS with leaves of the
// built LeafIssuer), setting one header. It identifies nobody, decides nothing and records nothing. Measured only.
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { Agent } from 'node:https';
import { createServer as createTcpServer } from 'node:net';
import { join } from 'node:path';
import { TLSSocket } from 'node:tls';
import httpProxy from 'http-proxy';
import { initAuthority, loadAuthority } from '../../../dist/ca/authority.js';
import { LeafIssuer } from '../../../dist/ca/leaf.js';

const { BENCH_PORT, BENCH_ORIGIN_PORT, BENCH_ORIGIN_CA, BENCH_DIR, BENCH_TOKEN } = process.env;
const sealKey = { seal: (plain) => Buffer.from(plain), open: (sealed) => Buffer.from(sealed) };

function authority() {
  const dir = join(BENCH_DIR, 'ca');
  try {
    return loadAuthority(dir, { sealKey });
  } catch {
    return initAuthority(dir, { sealKey });
  }
}

const issuer = new LeafIssuer(authority());
const agent = new Agent({ keepAlive: true, maxFreeSockets: 2048, ca: readFileSync(BENCH_ORIGIN_CA) });
const proxy = httpProxy.createProxyServer({ agent });
proxy.on('error', (_error, _request, response) => response.destroy());

const server = createServer({ keepAliveTimeout: 120_000, requestTimeout: 0 }, (request, response) => {
  proxy.web(request, response, {
    target: { protocol: 'https:', host: '127.0.0.1', hostname: '127.0.0.1', port: BENCH_ORIGIN_PORT },
    headers: { authorization: `Bearer ${BENCH_TOKEN}` },
  });
});

createTcpServer({ noDelay: true }, (client) => {
  client.on('error', () => {});
  client.once('data', (head) => {
    const host = head.latin1Slice(8, head.indexOf(':'));
    client.pause();
    client.write('HTTP/1.1 200 Connection Established\r\n\r\n');
    const socket = new TLSSocket(client, {
      isServer: true,
      secureContext: issuer.contextFor(host, 0),
      ALPNProtocols: ['http/1.1'],
    });
    socket.on('error', () => {});
    server.emit('connection', socket);
  });
}).listen({ port: Number(BENCH_PORT), host: '127.0.0.1', backlog: 4096 });
