// mockttp as it is, passing everything on with one header set. Measured only where it is installed.
import { getLocal } from 'mockttp';

const { BENCH_PORT, BENCH_ORIGIN_PORT, BENCH_CA, BENCH_CA_KEY, BENCH_TOKEN } = process.env;
const server = getLocal({
  https: { keyPath: BENCH_CA_KEY, certPath: BENCH_CA, keyLength: 2048 },
  recordTraffic: false,
  http2: false,
});
await server.forAnyRequest().thenPassThrough({
  // Nobody resolves the names of the run.
  forwarding: { targetHost: `127.0.0.1:${BENCH_ORIGIN_PORT}`, updateHostHeader: false },
  transformRequest: { updateHeaders: { authorization: `Bearer ${BENCH_TOKEN}` } },
});
await server.start(Number(BENCH_PORT));
