// http-mitm-proxy as it is, setting one header. It makes its own CA in the run's directory. Measured only where it is installed.
import { readFileSync } from 'node:fs';
import { Agent } from 'node:https';
import { join } from 'node:path';
import { Proxy as MitmProxy } from 'http-mitm-proxy';

const { BENCH_PORT, BENCH_ORIGIN_CA, BENCH_DIR, BENCH_TOKEN } = process.env;
const proxy = new MitmProxy();
proxy.onError(() => {});
proxy.onRequest((context, next) => {
  const options = context.proxyToServerRequestOptions;
  // Nobody resolves the names of the run.
  options.servername = options.host;
  options.host = '127.0.0.1';
  options.headers.authorization = `Bearer ${BENCH_TOKEN}`;
  next();
});
proxy.listen({
  host: '127.0.0.1',
  port: Number(BENCH_PORT),
  sslCaDir: join(BENCH_DIR, 'ca'),
  keepAlive: true,
  httpsAgent: new Agent({ keepAlive: true, maxFreeSockets: 1024, ca: readFileSync(BENCH_ORIGIN_CA) }),
});
