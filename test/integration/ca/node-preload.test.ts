/** The preload in real Node children: fetch, http, https and upgrades go through the proxy, and nothing else changes. */
import { writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import { type AddressInfo, createServer as createNetServer } from 'node:net';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { LeafIssuer } from '../../../src/ca/leaf.ts';
import { writeNodePreload } from '../../../src/ca/node-preload.ts';
import { newCa, type Run, run, startTlsOrigin, type TlsOrigin, temporaryDirectory } from './fixture.ts';
import { startTunnelProxy, type TunnelProxy } from './tunnel-proxy.ts';

const KEY = 'SEKRET-marker-preload';
const temporary = temporaryDirectory('alterd preload-');
let origin: TlsOrigin;
let plain: Server;
let plainPort: number;
let proxy: TunnelProxy;
let env: NodeJS.ProcessEnv;

beforeAll(async () => {
  const ca = newCa(temporary.dir);
  const issuer = new LeafIssuer(ca);
  // The child asks for one name; loopback is where the proxy leads every name.
  origin = await startTlsOrigin(
    (host) => issuer.contextFor(host, 0),
    () => 'api.test.example',
  );
  plain = createServer((req, res) => res.end(`plain ${req.method} ${req.url}`));
  await new Promise<void>((resolve) => plain.listen(0, '127.0.0.1', resolve));
  plainPort = (plain.address() as AddressInfo).port;
  proxy = await startTunnelProxy(`agent:${KEY}`, origin.port);
  const url = `http://agent:${KEY}@127.0.0.1:${proxy.port}`;
  env = {
    HTTPS_PROXY: url,
    http_proxy: url,
    NO_PROXY: 'direct.example,localhost',
    NODE_EXTRA_CA_CERTS: ca.caFile,
    NODE_OPTIONS: `--require "${writeNodePreload(temporary.dir)}"`,
  };
});

beforeEach(() => {
  proxy.seen.length = 0;
});

afterAll(async () => {
  await proxy.close();
  await origin.close();
  await new Promise((resolve) => plain.close(resolve));
  temporary.remove();
});

const node = (script: string, more: NodeJS.ProcessEnv = {}, kind = 'commonjs'): Promise<Run> =>
  run(process.execPath, [`--input-type=${kind}`, '-e', script], { ...env, ...more });

const COLLECT = `const collect = (res) => { let body = ''; res.on('data', (c) => (body += c)).on('end', () => console.log(res.statusCode, body)); };`;
const HTTPS_CASES: readonly (readonly [string, string])[] = [
  ['fetch', `fetch('https://api.test.example/a?b=1').then(async (r) => console.log(r.status, await r.text()));`],
  ['https.get', `${COLLECT} require('https').get('https://api.test.example/a?b=1', collect);`],
  [
    'https.request with an agent of its own',
    `${COLLECT} const https = require('https'); https.request({ host: 'api.test.example', path: '/a?b=1', agent: new https.Agent({ keepAlive: false }) }, collect).end();`,
  ],
  [
    'https.request without an agent',
    `${COLLECT} require('https').get({ host: 'api.test.example', path: '/a?b=1', agent: false }, collect);`,
  ],
  [
    'a subclass of https.Agent that wraps createConnection',
    `${COLLECT} const https = require('https');
     class Wrapping extends https.Agent { createConnection(o, cb) { const s = super.createConnection(o, cb); if (s) cb(null, s); return s; } }
     https.get('https://api.test.example/a?b=1', { agent: new Wrapping() }, collect);`,
  ],
];

describe('a Node program under the preload', () => {
  test.each(HTTPS_CASES)('reaches an https host through the tunnel: %s', async (_name, script) => {
    const result = await node(script);
    expect(result).toEqual({ code: 0, stdout: '200 origin GET /a?b=1\n', stderr: '' });
    expect(proxy.seen).toEqual(['CONNECT api.test.example:443']);
  });

  test('reaches it from an ES module with a named import', async () => {
    const script = `import { get } from 'node:https'; get('https://api.test.example/a', (r) => { r.resume(); console.log(r.statusCode); });`;
    expect(await node(script, {}, 'module')).toEqual({ code: 0, stdout: '200\n', stderr: '' });
    expect(proxy.seen).toEqual(['CONNECT api.test.example:443']);
  });

  test('sends a POST body by fetch and by https.request', async () => {
    const script = `${COLLECT} fetch('https://api.test.example/f', { method: 'POST', body: 'x'.repeat(1e5) }).then((r) => r.text()).then((t) => {
      console.log(t); const req = require('https').request('https://api.test.example/h', { method: 'POST' }, collect); req.end('y'.repeat(1e5)); });`;
    expect((await node(script)).stdout).toBe('origin POST /f\n200 origin POST /h\n');
  });

  test('keeps one tunnel for several requests of a keep-alive agent', async () => {
    // The turn between: undici frees a socket only after the body's end has been delivered.
    const script = `const get = () => fetch('https://api.test.example/k').then((r) => r.text()).then((t) => new Promise((next) => setImmediate(next, t)));
      get().then(get).then(get).then(console.log);`;
    expect((await node(script)).stdout).toBe('origin GET /k\n');
    expect(proxy.seen).toEqual(['CONNECT api.test.example:443']);
  });

  test('upgrades over https as a WebSocket client does', async () => {
    const script = `const req = require('https').request({ host: 'api.test.example', port: 443, headers: { Connection: 'Upgrade', Upgrade: 'echo' } });
      req.on('upgrade', (res, socket) => { socket.write('ping'); socket.once('data', (d) => { console.log(res.statusCode, String(d)); socket.destroy(); }); }).end();`;
    expect((await node(script)).stdout).toBe('101 ping\n');
    expect(proxy.seen).toEqual(['CONNECT api.test.example:443']);
  });

  test('sends plain http in absolute form, by fetch and by http.get', async () => {
    const target = `http://127.0.0.1:${plainPort}/p`;
    const script = `${COLLECT} fetch('${target}').then(async (r) => { console.log(r.status, await r.text(), r.headers.get('x-via')); require('http').get('${target}', collect); });`;
    expect((await node(script)).stdout).toBe('200 plain GET /p tunnel-proxy\n200 plain GET /p\n');
    expect(proxy.seen).toEqual([`GET ${target} host=127.0.0.1:${plainPort}`, `GET ${target} host=127.0.0.1:${plainPort}`]);
  });

  test('rewrites a plain request whose head was rendered early', async () => {
    const target = `http://127.0.0.1:${plainPort}/early`;
    const script = `${COLLECT} require('http').request('${target}', { headers: ['Host', '127.0.0.1:${plainPort}', 'X-A', 'b'] }, collect).end();`;
    expect((await node(script)).stdout).toBe('200 plain GET /early\n');
    expect(proxy.seen).toEqual([`GET ${target} host=127.0.0.1:${plainPort}`]);
  });

  test.each(['127.0.0.1', `127.0.0.1:PORT`, '*', '.0.0.1, 127.0.0.1', '127.0.0.1 other'])(
    'goes direct where NO_PROXY says so: %s',
    async (list) => {
      const target = `http://127.0.0.1:${plainPort}/d`;
      const script = `${COLLECT} fetch('${target}').then(async (r) => { console.log(r.status, await r.text()); require('http').get('${target}', collect); });`;
      const result = await node(script, { NO_PROXY: list.replace('PORT', String(plainPort)) });
      expect(result.stdout).toBe('200 plain GET /d\n200 plain GET /d\n');
      expect(proxy.seen).toEqual([]);
    },
  );

  test.each([
    [
      'fetch',
      `fetch('https://api.test.example/').catch((e) => console.log(e.name, e.cause && e.cause.code));`,
      'TypeError ERR_PROXY_TUNNEL\n',
    ],
    [
      'https',
      `require('https').get('https://api.test.example/').on('error', (e) => console.log(e.name, e.code));`,
      'Error ERR_PROXY_TUNNEL\n',
    ],
  ])('fails the request, never going direct, when the proxy refuses: %s', async (_name, script, stdout) => {
    const wrong = `http://agent:wrong@127.0.0.1:${proxy.port}`;
    expect(await node(script, { HTTPS_PROXY: wrong })).toEqual({ code: 0, stdout, stderr: '' });
    expect(proxy.seen).toEqual(['denied CONNECT api.test.example:443']);
  });

  test('fails the request when the proxy closes without an answer', async () => {
    const silent = createNetServer((socket) => socket.destroy());
    await new Promise<void>((resolve) => silent.listen(0, '127.0.0.1', resolve));
    const url = `http://agent:x@127.0.0.1:${(silent.address() as AddressInfo).port}`;
    const script = `require('https').get('https://api.test.example/').on('error', (e) => console.log(typeof e.code));`;
    const result = await node(script, { HTTPS_PROXY: url });
    await new Promise((resolve) => silent.close(resolve));
    expect(result).toEqual({ code: 0, stdout: 'string\n', stderr: '' });
  });

  test('still refuses a host whose certificate has another name', async () => {
    const script = `fetch('https://other.example/').catch((e) => console.log(e.cause.code));`;
    expect((await node(script)).stdout).toBe('ERR_TLS_CERT_ALTNAME_INVALID\n');
  });

  test('leaves a program alone that speaks to a proxy by itself', async () => {
    const script = `require('http').request({ host: '127.0.0.1', port: PROXY_PORT, method: 'CONNECT', path: 'api.test.example:443', headers: { 'Proxy-Authorization': 'Basic ' + Buffer.from('agent:${KEY}').toString('base64') } })
      .on('connect', (res, socket) => { console.log(res.statusCode); socket.destroy(); }).end();`;
    expect((await node(script.replace('PROXY_PORT', String(proxy.port)))).stdout).toBe('200\n');
    expect(proxy.seen).toEqual(['CONNECT api.test.example:443']);
  });

  test('works in a worker thread', async () => {
    const worker = join(temporary.dir, 'worker.cjs');
    writeFileSync(worker, `fetch('https://api.test.example/w').then((r) => r.text()).then((t) => console.log(t));`);
    expect((await node(`new (require('worker_threads').Worker)(${JSON.stringify(worker)});`)).stdout).toBe('origin GET /w\n');
    expect(proxy.seen).toEqual(['CONNECT api.test.example:443']);
  });
});

describe('the preload changes nothing', () => {
  test.each([
    ['without proxy variables', { HTTPS_PROXY: '', http_proxy: '' }],
    ['with a proxy URL that is no URL', { HTTPS_PROXY: 'nonsense', http_proxy: 'http://' }],
    ['with a proxy of another kind', { HTTPS_PROXY: 'socks5://127.0.0.1:1', http_proxy: 'socks5://127.0.0.1:1' }],
  ])('%s', async (_name, more) => {
    const script = `${COLLECT} require('http').get('http://127.0.0.1:${plainPort}/x', collect);`;
    expect(await node(script, more)).toEqual({ code: 0, stdout: '200 plain GET /x\n', stderr: '' });
    expect(proxy.seen).toEqual([]);
  });

  test('in a program that uses no network: no output, exit code kept', async () => {
    expect(await node('process.exitCode = 7;')).toEqual({ code: 7, stdout: '', stderr: '' });
  });

  test('when globals that it needs are gone', async () => {
    const sabotage = join(temporary.dir, 'sabotage.cjs');
    writeFileSync(sabotage, `delete globalThis.fetch; delete globalThis.Response; require('http').Agent = null;`);
    const result = await node(`console.log('fine');`, { NODE_OPTIONS: `--require "${sabotage}" ${env.NODE_OPTIONS}` });
    expect(result).toEqual({ code: 0, stdout: 'fine\n', stderr: '' });
  });
});
