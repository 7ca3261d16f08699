/**
 * http-proxy as an oracle: the same well-formed request through it and through the daemon gives the same request at the origin,
 * but for differences that have a name here. Traffic without a grant, so that nothing is injected.
 */
import { createServer, type Server } from 'node:http';
import { type AddressInfo, connect } from 'node:net';
import fc from 'fast-check';
import httpProxy from 'http-proxy';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { type RawRequest, type Rig, type RigAgent, readRequest, startRawOrigin, startRig, Wire } from './rig.ts';

const TARGET = 'other.example.test';
const origin = await startRawOrigin(null);
const proxy = httpProxy.createProxyServer({ target: `http://127.0.0.1:${origin.port}` });
let rig: Rig;
let agent: RigAgent;
let oracle: Server;

beforeAll(async () => {
  rig = await startRig(`allow_private = ["${TARGET}:80"]\n`, { [`${TARGET}:80`]: `127.0.0.1:${origin.port}` });
  agent = await rig.agent();
  proxy.on('error', () => {});
  oracle = createServer((request, response) => proxy.web(request, response));
  await new Promise<void>((resolve) => oracle.listen(0, '127.0.0.1', resolve));
});
afterAll(async () => {
  oracle.close();
  oracle.closeAllConnections();
  proxy.close();
  origin.close();
  await rig.stop();
});

interface Shape {
  readonly method: string;
  readonly path: string;
  readonly fields: readonly (readonly [string, string])[];
  readonly body: string;
  readonly chunked: boolean;
}

function textOf(shape: Shape, target: string, extra: string): string {
  const fields = shape.fields.map(([name, value]) => `${name}: ${value}\r\n`).join('');
  const size = Buffer.byteLength(shape.body, 'latin1');
  const framing = shape.chunked ? 'Transfer-Encoding: chunked\r\n' : size > 0 ? `Content-Length: ${size}\r\n` : '';
  const half = size >> 1;
  const pieces = [shape.body.slice(0, half), shape.body.slice(half)].filter((piece) => piece !== '');
  const body = shape.chunked
    ? `${pieces.map((piece) => `${piece.length.toString(16)}\r\n${piece}\r\n`).join('')}0\r\n\r\n`
    : shape.body;
  return `${shape.method} ${target} HTTP/1.1\r\nHost: ${TARGET}\r\n${extra}${fields}${framing}\r\n${body}`;
}

/** What arrived, with the named differences taken out. */
function normal(request: RawRequest): unknown {
  const fields = new Map<string, string>();
  for (let i = 0; i < request.headers.length; i += 2) {
    // 1. Case: http-proxy writes names in lower case. 2. Duplicates: it joins them; we keep each where it was.
    const name = (request.headers[i] as string).toLowerCase();
    const before = fields.get(name);
    fields.set(name, before === undefined ? (request.headers[i + 1] as string) : `${before}, ${request.headers[i + 1]}`);
  }
  // 3. It asks the origin to close; we keep the socket. 4. We say that a POST without a body has none.
  fields.delete('connection');
  if (fields.get('content-length') === '0') fields.delete('content-length');
  // 5. Order: Host is our first field, the framing our last.
  return { line: request.line, body: request.body, fields: [...fields].sort(([a], [b]) => (a < b ? -1 : 1)) };
}

async function arrived(port: number, text: string): Promise<RawRequest> {
  const client = new Wire(connect(port, '127.0.0.1'));
  client.write(text);
  const wire = await origin.next();
  const request = await readRequest(wire);
  wire.write('HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n');
  await client.until('\r\n\r\n');
  client.socket.destroy();
  await wire.over();
  return request;
}

// 6. `//` at the start and dot segments: http-proxy rewrites them, we pass them on (tested elsewhere). Names that hop are out too.
const name = fc.constantFrom('X-A', 'x-b', 'Accept', 'ACCEPT-LANGUAGE', 'Range', 'If-None-Match', 'X-Empty', 'Cache-Control');
const value = fc.stringMatching(/^[!-~\xa1-\xff]([ -~\xa1-\xff]{0,15}[!-~])?$/);
const shape: fc.Arbitrary<Shape> = fc.record({
  method: fc.constantFrom('GET', 'POST', 'PUT', 'DELETE', 'PATCH', 'OPTIONS', 'PROPFIND'),
  path: fc
    .stringMatching(/^\/([a-z0-9%~_-]{1,8}\/?){0,3}(\?[a-z0-9=&%+./~-]{0,20})?$/)
    .filter((p) => !/%(?![0-9a-f]{2})|%[01][0-9a-f]|%7f|\/\//.test(p)),
  fields: fc.array(fc.tuple(name, value), { maxLength: 6 }),
  body: fc.stringMatching(/^[\x00-\xff]{0,60}$/),
  chunked: fc.boolean(),
});

it('any well-formed request arrives alike through both', { timeout: 60_000 }, async () => {
  await fc.assert(
    fc.asyncProperty(shape, async (wanted) => {
      // 7. http-proxy sends a chunked DELETE or OPTIONS without its framing, and a chunked GET as one: those are left out.
      fc.pre(!(wanted.chunked && /GET|DELETE|OPTIONS/.test(wanted.method)));
      const extra = `Proxy-Authorization: ${agent.authorization}\r\n`;
      const ours = await arrived(rig.daemon.port, textOf(wanted, `http://${TARGET}${wanted.path}`, extra));
      const theirs = await arrived((oracle.address() as AddressInfo).port, textOf(wanted, wanted.path, ''));
      expect(normal(ours)).toEqual(normal(theirs));
    }),
    { numRuns: 80 },
  );
});

it('where it does what a proxy must not do, the daemon does not', async () => {
  const request: Shape = { method: 'GET', path: '/', fields: [], body: '', chunked: false };
  const secret = `Proxy-Authorization: ${agent.authorization}\r\nConnection: X-Hop\r\nX-Hop: 1\r\n`;
  const ours = await arrived(rig.daemon.port, textOf(request, `http://${TARGET}//a/../b`, secret));
  const theirs = await arrived((oracle.address() as AddressInfo).port, textOf(request, '//a/../b', secret));
  expect(ours.line).toBe('GET //a/../b HTTP/1.1');
  expect(theirs.line).not.toBe(ours.line);
  expect(ours.headers).toEqual(['Host', TARGET]);
  for (const name of ['proxy-authorization', 'x-hop']) expect(theirs.headers.map((text) => text.toLowerCase())).toContain(name);
});
