/** S-33 … S-50: messages that two parsers read differently, headers that say what they should not, origins that answer nonsense. */
import { type ClientHttp2Session, connect as connectHttp2 } from 'node:http2';
import type { TLSSocket } from 'node:tls';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { END_HEADERS, END_STREAM, type Frame, fields, frame, framesOf, PREFACE, TYPE } from './support/h2-bytes.ts';
import {
  BEARER,
  EVIL,
  expectRefusal,
  GOOD,
  SECRET,
  startWall,
  until,
  valuesOf,
  type Wall,
  type WallAgent,
} from './support/wall.ts';
import { type RawOrigin, readAnswer, readRequest, startRawOrigin, type Wire } from './support/wire.ts';

const RAW = 'raw.good.test';
let raw: RawOrigin;
let wall: Wall;
let bot: WallAgent;

beforeAll(async () => {
  wall = await startWall();
  raw = await startRawOrigin(wall.pki);
  const { configFile } = wall.daemon.paths;
  const { readFileSync, writeFileSync } = await import('node:fs');
  writeFileSync(
    configFile,
    readFileSync(configFile, 'utf8').replace('resolve = {', `resolve = { "${RAW}:443" = "127.0.0.1:${raw.port}",`),
  );
  await wall.daemon.running.reload();
  bot = await wall.agent({ hosts: [GOOD, RAW] });
});
afterAll(async () => {
  await raw.close();
  await wall.stop();
});

const arrivals = (): number => wall.good.arrivals.length;
const last = () => wall.good.arrivals.at(-1)!;

/** Bytes inside a tunnel to the granted host, and everything that came back. */
async function inTunnel(bytes: string | Buffer): Promise<Wire> {
  const wire = await bot.open();
  wire.write(bytes);
  return wire;
}

it('guard: the credential reaches the granted host, body and all', async () => {
  expect((await bot.ask('/', { method: 'POST', body: 'hello' })).status).toBe(200);
  expect([last().body.toString(), valuesOf(last().rawHeaders, 'authorization')]).toEqual(['hello', [BEARER]]);
});

const POST = `POST /a HTTP/1.1\r\nHost: ${GOOD}\r\n`;
const INNER = `GET /inner HTTP/1.1\r\nHost: ${GOOD}\r\n\r\n`;

it.each([
  ['length and chunked', `${POST}Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n${INNER}`],
  ['chunked and length', `${POST}Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n${INNER}`],
  ['two different lengths', `${POST}Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello${INNER}`],
  ['two equal lengths', `${POST}Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello`],
  ['a list of lengths', `${POST}Content-Length: 5, 5\r\n\r\nhello`],
  ['a signed length', `${POST}Content-Length: +5\r\n\r\nhello`],
  ['a negative length', `${POST}Content-Length: -5\r\n\r\nhello`],
  ['a hexadecimal length', `${POST}Content-Length: 0x5\r\n\r\nhello`],
  ['a length with a fraction', `${POST}Content-Length: 5.0\r\n\r\nhello`],
  ['an empty length', `${POST}Content-Length: \r\n\r\n`],
  ['a length over 2^63', `${POST}Content-Length: 9223372036854775808\r\n\r\nhello`],
  ['chunked, identity', `${POST}Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n`],
  ['identity, chunked', `${POST}Transfer-Encoding: identity, chunked\r\n\r\n0\r\n\r\n`],
  ['xchunked', `${POST}Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n`],
  ['gzip, chunked', `${POST}Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n`],
  ['chunked twice', `${POST}Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`],
  ['a quoted chunked', `${POST}Transfer-Encoding: "chunked"\r\n\r\n0\r\n\r\n`],
  ['chunked behind a tab and a letter', `${POST}Transfer-Encoding:\t\vchunked\r\n\r\n0\r\n\r\n`],
  ['a folded chunked', `${POST}Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n`],
  ['a space before the colon', `${POST}Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n`],
  ['chunked in HTTP/1.0', `POST /a HTTP/1.0\r\nHost: ${GOOD}\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`],
  ['a chunk size that is none', `${POST}Transfer-Encoding: chunked\r\n\r\nzz\r\nhello\r\n0\r\n\r\n`],
  ['a chunk size with a sign', `${POST}Transfer-Encoding: chunked\r\n\r\n+5\r\nhello\r\n0\r\n\r\n`],
  ['a chunk size with 0x', `${POST}Transfer-Encoding: chunked\r\n\r\n0x5\r\nhello\r\n0\r\n\r\n`],
  ['a chunk size that overflows', `${POST}Transfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\nhello\r\n0\r\n\r\n`],
  ['a chunk longer than it says', `${POST}Transfer-Encoding: chunked\r\n\r\n3\r\nhello\r\n0\r\n\r\n`],
  ['a chunk line with a bare LF', `${POST}Transfer-Encoding: chunked\r\n\r\n5\nhello\r\n0\r\n\r\n`],
])('S-33 %s is 400, the socket closes, nothing behind it is read', async (_what, bytes) => {
  const inner = wall.good.arrivals.filter((each) => each.url === '/inner').length;
  const wire = await inTunnel(bytes);
  const answer = await readAnswer(wire);
  expectRefusal(answer, 400, 'malformed_request');
  expect(await wire.rest()).toBe('');
  await wall.row({ error: 'malformed_request', status: 400, agent: bot.name });
  expect(wall.good.arrivals.filter((each) => each.url === '/inner').length).toBe(inner);
});

it.each([
  ['bare LF throughout', `GET / HTTP/1.1\nHost: ${GOOD}\n\n`],
  ['a bare LF in the head', `GET / HTTP/1.1\r\nHost: ${GOOD}\nX: y\r\n\r\n`],
  ['a bare CR', `GET / HTTP/1.1\r\nHost: ${GOOD}\rX: y\r\n\r\n`],
  ['a folded field', `GET / HTTP/1.1\r\nHost: ${GOOD}\r\nX: a\r\n b\r\n\r\n`],
  ['a space before a colon', `GET / HTTP/1.1\r\nHost : ${GOOD}\r\n\r\n`],
  ['an empty name', `GET / HTTP/1.1\r\nHost: ${GOOD}\r\n: x\r\n\r\n`],
  ['a name of odd bytes', `GET / HTTP/1.1\r\nHost: ${GOOD}\r\nX\xff: y\r\n\r\n`],
  ['a NUL', `GET / HTTP/1.1\r\nHost: ${GOOD}\r\nX: a\0b\r\n\r\n`],
  ['a version of the future', `GET / HTTP/1.2\r\nHost: ${GOOD}\r\n\r\n`],
  ['another version', `GET / HTTP/2.0\r\nHost: ${GOOD}\r\n\r\n`],
  ['no version', `GET /\r\nHost: ${GOOD} HTTP/1.1\r\n\r\n`],
  ['two spaces', `GET  / HTTP/1.1\r\nHost: ${GOOD}\r\n\r\n`],
  ['no Host', 'GET / HTTP/1.1\r\n\r\n'],
])('S-34 %s is 400', async (_what, bytes) => {
  const before = arrivals();
  const wire = await inTunnel(bytes);
  expectRefusal(await readAnswer(wire), 400, 'malformed_request');
  expect(await wire.rest()).toBe('');
  await wall.row({ error: 'malformed_request', status: 400, agent: bot.name });
  expect(arrivals()).toBe(before);
});

it('S-35 of two pipelined requests each is ruled on and audited alone', async () => {
  const reader = await wall.agent({ methods: ['GET'] });
  const wire = await reader.open();
  wire.write(
    `GET /first HTTP/1.1\r\nHost: ${GOOD}\r\n\r\nDELETE /second HTTP/1.1\r\nHost: ${GOOD}\r\n\r\nGET /third HTTP/1.1\r\nHost: ${GOOD}\r\n\r\n`,
  );
  expect((await readAnswer(wire)).status).toBe(200);
  expectRefusal(await readAnswer(wire), 403, 'policy_violation', 'method_not_allowed');
  expect((await readAnswer(wire)).status).toBe(200);
  await wall.row({ agent: reader.name, path: '/first', outcome: 'success' });
  await wall.row({ agent: reader.name, path: '/second', error: 'policy_violation', policy_error: 'method_not_allowed' });
  await wall.row({ agent: reader.name, path: '/third', outcome: 'success' });
  expect(wall.good.arrivals.filter((each) => each.url === '/second')).toEqual([]);
});

it.each(['GET', 'HEAD', 'OPTIONS', 'DELETE'])(
  'S-36 a body on %s is a body at the origin too, never a request',
  async (method) => {
    const before = arrivals();
    expect((await bot.ask('/outer', { method, body: INNER })).status).toBe(200);
    await wall.row({ agent: bot.name, path: '/outer', method, outcome: 'success' });
    expect(wall.good.arrivals.slice(before).map(({ url, body }) => [url, body.toString()])).toEqual([['/outer', INNER]]);
  },
);

it('S-37 chunk extensions are dropped, and no trailer authenticates or frames', async () => {
  const wire = await bot.open({ connect: `${RAW}:443`, sni: RAW });
  const trailers = 'Authorization: Bearer mine\r\nHost: evil.test\r\nAUTHORIZATION_: x\r\nX-Checksum: 7\r\n';
  wire.write(
    `POST / HTTP/1.1\r\nHost: ${RAW}\r\nTransfer-Encoding: chunked\r\nTrailer: X-Checksum\r\n\r\n5;ext="a\\"b"\r\nhello\r\n0\r\n${trailers}\r\n`,
  );
  const origin = await raw.next();
  const request = await readRequest(origin);
  expect(request.body).toBe('hello');
  expect(request.trailers).toEqual(['X-Checksum', '7']);
  expect(valuesOf(request.headers, 'authorization')).toEqual([BEARER]);
  origin.write('HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n');
  expect((await readAnswer(wire)).status).toBe(200);
  for (const bytes of [
    `5;${'x'.repeat(300)}\r\nhello\r\n0\r\n\r\n`,
    '5;=\r\nhello\r\n0\r\n\r\n',
    '0\r\nContent-Length: 5\r\n\r\n',
  ]) {
    const odd = await inTunnel(`${POST}Transfer-Encoding: chunked\r\n\r\n${bytes}`);
    expectRefusal(await readAnswer(odd), 400, 'malformed_request');
    await wall.row({ agent: bot.name, error: 'malformed_request' });
  }
});

it.each([
  ['trailers that are none', '0\r\nno trailer\r\n\r\n'],
  ['a chunk size that is none', 'xyz\r\n'],
  ['a chunk that is longer than its size', '5\r\nhello world\r\n'],
])('S-37 what comes behind %s is read over, and holds up nobody', async (_what, end) => {
  const before = arrivals();
  const head = `${POST}Transfer-Encoding: chunked\r\n\r\n`;
  const size = (bytes: number): string => `${bytes.toString(16).padStart(4, '0')}\r\n`;
  // Just one TLS record: what is behind it is read in the same turn, while the refusal is still being recorded.
  const fill = 16_384 - head.length - size(0).length - 2 - end.length;
  const wire = await inTunnel(`${head}${size(fill)}${'a'.repeat(fill)}\r\n${end}${INNER}${INNER}`);
  expect(await wire.rest()).toMatch(/^HTTP\/1\.1 400 (?:(?!HTTP\/1\.1).)*$/s);
  expect((await bot.ask('/alive')).status).toBe(200);
  expect(wall.good.arrivals.slice(before).map(({ url }) => url)).toEqual(['/alive']);
});

it.each(['close, Authorization', 'Authorization', 'x-foo, AUTHORIZATION,keep-alive'])(
  'S-38 Connection: %s strips the client’s header and never ours',
  async (connection) => {
    const answer = await bot.ask('/', {
      headers: [`Connection: ${connection}`, 'Authorization: Bearer mine', 'X-Foo: 1', 'X-Kept: 1'],
    });
    expect(answer.status).toBe(200);
    expect(valuesOf(last().rawHeaders, 'authorization')).toEqual([BEARER]);
    expect(valuesOf(last().rawHeaders, 'x-kept')).toEqual(['1']);
    expect(valuesOf(last().rawHeaders, 'x-foo')).toEqual(/foo/.test(connection) ? [] : ['1']);
  },
);

it('S-39 every spelling of the injected header goes, and ours is there once', async () => {
  const headers = ['authorization: a', 'AUTHORIZATION: b', 'Authorization_: c', '_authorization: d', 'Authorization-: e'];
  expect((await bot.ask('/', { headers })).status).toBe(200);
  expect(valuesOf(last().rawHeaders, 'authorization')).toEqual([BEARER]);
  expect(last().rawHeaders.filter((name, i) => i % 2 === 0 && /authorization/i.test(name))).toHaveLength(1);
  await wall.row({ agent: bot.name, replaced: true, outcome: 'success' });
  await wall.daemon.api('POST', '/v1/secrets', {
    name: 'apikey',
    provider: 'custom-header',
    fields: { token: SECRET },
    inject: [{ in: 'header', name: 'X-Api-Key', template: '{token}' }],
  });
  const keyed = await wall.agent({ credential: 'apikey' });
  expect((await keyed.ask('/', { headers: ['X_API_KEY: a', 'x.api.key: b', 'x-api_key: c', 'X-API-KEY: d'] })).status).toBe(200);
  expect(last().rawHeaders.filter((name, i) => i % 2 === 0 && /api.?key/i.test(name))).toHaveLength(1);
  expect(valuesOf(last().rawHeaders, 'x-api-key')).toEqual([SECRET]);
});

it('S-40 a credential with a line break or a control byte is never stored', async () => {
  for (const token of [`${SECRET}\r\nX-Evil: y`, `${SECRET}\n`, `${SECRET}\0`, `${SECRET}\x7f`, `\r${SECRET}`]) {
    const stored = wall.daemon.api('POST', '/v1/secrets', { name: 'broken', provider: 'bearer', fields: { token } });
    const problem = await stored.then(
      () => null,
      (error: { problem: unknown }) => error.problem,
    );
    expect(problem).toMatchObject({ error: 'invalid_input' });
    expect(JSON.stringify(problem)).not.toContain(SECRET);
  }
});

it('S-41 the key of the agent never reaches an origin, over h1 in the tunnel or in absolute form', async () => {
  const headers = [`Proxy-Authorization: ${bot.authorization}`, 'Proxy-Connection: keep-alive', 'Proxy-Authenticate: x'];
  expect((await bot.ask('/', { headers })).status).toBe(200);
  expect(last().rawHeaders.filter((name, i) => i % 2 === 0 && /^proxy-/i.test(name))).toEqual([]);
  expect(JSON.stringify(last().rawHeaders)).not.toContain(bot.key);
});

it.each([
  ['X-HTTP-Method-Override: DELETE', '/'],
  ['X-Method-Override: delete', '/'],
  ['X_HTTP_METHOD_OVERRIDE: DELETE', '/'],
  ['X-HTTP-Method: GET, DELETE', '/'],
  ['X-Nothing: 1', '/?_method=DELETE'],
  ['X-Nothing: 1', '/?a=b&%5Fmethod=%44ELETE'],
])('S-42 %s on %s counts as the method that it asks for', async (header, target) => {
  const poster = await wall.agent({ methods: ['GET', 'POST'] });
  const before = arrivals();
  expectRefusal(
    await poster.ask(target, { method: 'POST', headers: [header], body: 'x' }),
    403,
    'policy_violation',
    'method_not_allowed',
  );
  await wall.row({ agent: poster.name, error: 'policy_violation', policy_error: 'method_not_allowed' });
  expect(arrivals()).toBe(before);
  expect((await poster.ask('/', { method: 'POST', headers: ['X-HTTP-Method-Override: GET'] })).status).toBe(200);
});

it.each(['TRACE', 'TRACK'])('S-43 %s is 405 and never forwarded', async (method) => {
  const before = arrivals();
  expectRefusal(await bot.ask('/', { method, headers: ['Max-Forwards: 0'] }), 405, 'method_refused');
  await wall.row({ agent: bot.name, error: 'method_refused', status: 405 });
  expect(arrivals()).toBe(before);
});

it('S-44 nothing tells the origin who asked', async () => {
  const names = [
    'Forwarded',
    'Via',
    'X-Forwarded-For',
    'X-Forwarded-Host',
    'X-Forwarded-Proto',
    'X-Real-IP',
    'Client-IP',
    'True-Client-IP',
    'Alter-Reason',
    'X-Alter-Tool',
  ];
  expect((await bot.ask('/', { headers: names.map((name) => `${name}: 10.1.2.3`) })).status).toBe(200);
  const sent = last()
    .rawHeaders.filter((_name, i) => i % 2 === 0)
    .map((name) => name.toLowerCase());
  expect(sent.filter((name) => names.some((each) => each.toLowerCase() === name))).toEqual([]);
});

describe('late and large', () => {
  it('S-45 a refusal answers while ten megabytes are on their way, and they are never read as a request', async () => {
    const reader = await wall.agent({ methods: ['GET'] });
    const wire = await reader.open();
    const before = arrivals();
    wire.write(`POST /big HTTP/1.1\r\nHost: ${GOOD}\r\nContent-Length: ${10 * 1024 * 1024}\r\n\r\n`);
    const filler = Buffer.from(INNER.repeat(1000), 'latin1');
    for (let sent = 0; sent < 4 * 1024 * 1024; sent += filler.length) wire.socket.write(filler);
    expectRefusal(await readAnswer(wire), 403, 'policy_violation', 'method_not_allowed');
    expect(await wire.rest()).toBe('');
    await wall.row({ agent: reader.name, path: '/big', error: 'policy_violation' });
    expect((await reader.ask('/after')).status).toBe(200);
    expect(wall.good.arrivals.slice(before).map(({ url }) => url)).toEqual(['/after']);
  });

  it('S-45 Expect: 100-continue of a refused request gets the refusal, not a 100', async () => {
    const reader = await wall.agent({ methods: ['GET'] });
    const answer = await reader.ask('/', { method: 'POST', headers: ['Expect: 100-continue', 'Content-Length: 5'] });
    expectRefusal(answer, 403, 'policy_violation', 'method_not_allowed');
  });
});

describe('limits', () => {
  let small: Wall;
  beforeAll(async () => {
    small = await startWall({
      tables:
        '[timeouts]\nclient_head_ms = 300\nbody_idle_ms = 300\ntls_handshake_ms = 300\n[limits]\ntunnels_per_agent = 4\ntunnels = 6',
    });
  });
  afterAll(() => small.stop());

  it.each([['64 KiB and a byte of head', `GET / HTTP/1.1\r\nHost: ${GOOD}\r\nX: `, 65_537]])(
    'S-46 %s is 431',
    async (_what, start, size) => {
      const wire = await inTunnel(`${start}${'x'.repeat(size - start.length - 4)}\r\n\r\n`);
      expectRefusal(await readAnswer(wire), 431, 'request_too_large');
      await wall.row({ agent: bot.name, error: 'request_too_large', status: 431 });
      const fits = await inTunnel(`${start}${'x'.repeat(size - start.length - 5)}\r\n\r\n`);
      // Node's own limit at this origin is lower; what matters is that alterd took it.
      expect((await readAnswer(fits)).header('alter-error')).toBeUndefined();
    },
  );

  it('S-46 201 headers are 431, 200 are not', async () => {
    const many = (n: number): string[] => Array.from({ length: n }, (_none, i) => `X-${i}: 1`);
    expectRefusal(await bot.ask('/', { headers: many(200) }), 431, 'request_too_large');
    await wall.row({ agent: bot.name, error: 'request_too_large', status: 431 });
    expect((await bot.ask('/', { headers: many(199) })).status).toBe(200);
  });

  it('S-46 a slow head, a slow body and a silent tunnel are ended at their deadlines', async () => {
    const agent = await small.agent();
    const head = await agent.open();
    head.write('GET / HT');
    const body = await agent.open();
    body.write(`${POST}Content-Length: 5\r\n\r\nhe`);
    const { wire: silent } = await agent.connect(`${GOOD}:443`);
    const port = await agent.wire();
    port.write('CONN');
    await Promise.all([head.closed, body.closed, silent.closed, port.closed]);
    expect(small.good.arrivals).toEqual([]);
  });

  it('S-46 one tunnel too many is 503, for the agent and for all', async () => {
    await until(() => small.daemon.running.facts().tunnels === 0);
    const one = await small.agent();
    const two = await small.agent();
    const open = await Promise.all([1, 2, 3, 4].map(() => one.open()));
    expectRefusal((await one.connect(`${GOOD}:443`)).answer, 503, 'tunnel_limit');
    await small.row({ agent: one.name, error: 'tunnel_limit', status: 503 });
    const more = await Promise.all([1, 2].map(() => two.open()));
    expectRefusal((await two.connect(`${GOOD}:443`)).answer, 503, 'tunnel_limit');
    await small.row({ agent: two.name, error: 'tunnel_limit', status: 503 });
    for (const wire of [...open, ...more]) wire.socket.destroy();
    await until(() => small.daemon.running.facts().tunnels === 0);
    expect((await two.ask('/')).status).toBe(200);
  });
});

it.each([
  ['a status of 099', 'HTTP/1.1 099 X\r\n\r\n'],
  ['a status of 600', 'HTTP/1.1 600 X\r\n\r\n'],
  ['a control byte in a header', 'HTTP/1.1 200 OK\r\nX: a\x01b\r\nContent-Length: 0\r\n\r\n'],
  ['a bare LF', 'HTTP/1.1 200 OK\nContent-Length: 0\n\r\n\r\n'],
  ['both framings', 'HTTP/1.1 200 OK\r\nContent-Length: 0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n'],
  ['two lengths', 'HTTP/1.1 200 OK\r\nContent-Length: 0\r\nContent-Length: 1\r\n\r\n'],
  ['another protocol', '220 mail.evil.test ESMTP\r\n\r\n'],
  [
    'a hundred informational answers',
    `${'HTTP/1.1 103 Early Hints\r\n\r\n'.repeat(100)}HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n`,
  ],
  ['no end of head', `HTTP/1.1 200 OK\r\nX: ${'x'.repeat(70_000)}\r\n\r\n`],
])('S-47 an origin that answers with %s is a 502, and the daemon goes on', async (what, bytes) => {
  const wire = await bot.open({ connect: `${RAW}:443`, sni: RAW });
  wire.write(`GET /odd HTTP/1.1\r\nHost: ${RAW}\r\n\r\n`);
  const origin = await raw.next();
  await readRequest(origin);
  origin.write(bytes);
  let answer = await readAnswer(wire);
  while (/informational/.test(what) && answer.status === 103) answer = await readAnswer(wire);
  expectRefusal(answer, 502, 'upstream_protocol');
  await wall.row({ agent: bot.name, path: '/odd', error: 'upstream_protocol', status: 502, outcome: 'provider_error' });
  expect((await bot.ask('/')).status).toBe(200);
});

it('S-48 a POST on a socket that the origin closed meanwhile arrives once or is a 502', async () => {
  const agent = await wall.agent({ hosts: [RAW] });
  const wire = await agent.open({ connect: `${RAW}:443`, sni: RAW });
  wire.write(`GET /one HTTP/1.1\r\nHost: ${RAW}\r\n\r\n`);
  const origin = await raw.next();
  await readRequest(origin);
  origin.write('HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n');
  expect((await readAnswer(wire)).status).toBe(200);
  // The origin takes the request, and goes away without a word.
  wire.write(`POST /pay HTTP/1.1\r\nHost: ${RAW}\r\nContent-Length: 2\r\n\r\n42`);
  expect((await readRequest(origin)).line).toContain('/pay');
  const others = raw.wires.length;
  origin.socket.destroy();
  expectRefusal(await readAnswer(wire), 502, 'upstream_unreachable');
  await wall.row({ agent: agent.name, path: '/pay', error: 'upstream_unreachable', outcome: 'provider_error' });
  expect(raw.wires.length).toBe(others);
});

describe('HTTP/2', () => {
  const sockets: TLSSocket[] = [];
  afterEach(() => {
    for (const socket of sockets.splice(0)) socket.destroy();
  });
  /** Frames that come back from a session in which this block was sent on stream 1. */
  async function speak(list: readonly (readonly [string, string])[], body?: Buffer): Promise<(frames: Frame[]) => Promise<void>> {
    const secure = await bot.tls({ alpn: ['h2'] });
    sockets.push(secure);
    let bytes = Buffer.alloc(0);
    secure.on('data', (chunk: Buffer) => (bytes = Buffer.concat([bytes, chunk])));
    secure.on('error', () => {});
    const flags = END_HEADERS | (body === undefined ? END_STREAM : 0);
    secure.write(
      Buffer.concat([
        PREFACE,
        frame(TYPE.settings, 0, 0),
        frame(TYPE.headers, flags, 1, fields(list)),
        ...(body === undefined ? [] : [frame(TYPE.data, END_STREAM, 1, body)]),
      ]),
    );
    return async (frames) => {
      await until(() => {
        const all = framesOf(bytes).frames;
        frames.splice(0, frames.length, ...all);
        return (
          secure.destroyed ||
          all.some(
            (each) =>
              each.type === TYPE.goaway ||
              (each.stream === 1 && (each.type === TYPE.rstStream || (each.flags & END_STREAM) !== 0)),
          )
        );
      });
    };
  }
  const request = (...more: (readonly [string, string])[]): (readonly [string, string])[] => [
    [':method', 'POST'],
    [':scheme', 'https'],
    [':path', '/h2'],
    [':authority', GOOD],
    ...more,
  ];
  /** `reset` when the stream or the session was ended, else `answered`. */
  async function outcomeOf(list: readonly (readonly [string, string])[], body?: Buffer): Promise<string> {
    const frames: Frame[] = [];
    await (await speak(list, body))(frames);
    return frames.some((each) => each.stream === 1 && each.type === TYPE.headers) ? 'answered' : 'reset';
  }

  it('guard: a request by hand arrives with the credential', async () => {
    const before = arrivals();
    expect(await outcomeOf(request(['content-length', '2']), Buffer.from('hi'))).toBe('answered');
    expect(
      wall.good.arrivals
        .slice(before)
        .map(({ url, body, rawHeaders }) => [url, body.toString(), valuesOf(rawHeaders, 'authorization')]),
    ).toEqual([['/h2', 'hi', [BEARER]]]);
  });

  it.each([
    ['host of another', request(['host', EVIL])],
    ['two hosts', request(['host', GOOD], ['host', GOOD])],
    ['a length that is not that of the body', request(['content-length', '40'])],
    ['two lengths', request(['content-length', '2'], ['content-length', '3'])],
    ['a signed length', request(['content-length', '+2'])],
    ['an upper-case name', request(['X-Upper', 'a'])],
    ['connection', request(['connection', 'close'])],
    ['transfer-encoding', request(['transfer-encoding', 'chunked'])],
    [
      'CRLF in the path',
      [
        [':method', 'POST'],
        [':scheme', 'https'],
        [':path', '/a HTTP/1.1\r\nX: y'],
        [':authority', GOOD],
      ],
    ],
    [
      'CRLF in the method',
      [
        [':method', 'GET / HTTP/1.1\r\nX: y\r\n'],
        [':scheme', 'https'],
        [':path', '/'],
        [':authority', GOOD],
      ],
    ],
    [
      'two paths',
      [
        [':method', 'POST'],
        [':scheme', 'https'],
        [':path', '/a'],
        [':path', '/b'],
        [':authority', GOOD],
      ],
    ],
    [
      'no path',
      [
        [':method', 'POST'],
        [':scheme', 'https'],
        [':authority', GOOD],
      ],
    ],
    [
      'userinfo in the authority',
      [
        [':method', 'POST'],
        [':scheme', 'https'],
        [':path', '/'],
        [':authority', `x@${GOOD}`],
      ],
    ],
  ] as [string, (readonly [string, string])[]][])('S-49 %s never becomes a request at the origin', async (_what, list) => {
    const before = arrivals();
    const outcome = await outcomeOf(list, Buffer.from('hi'));
    if (outcome === 'answered') await wall.row({ agent: bot.name, decision: 'deny', protocol: 'HTTP/2' });
    expect(wall.good.arrivals.slice(before).map(({ rawHeaders, url }) => [url, rawHeaders])).toEqual([]);
    expect((await bot.ask('/')).status).toBe(200);
  });

  it.each([
    ['CRLF in a value', ['x', 'a\r\nx-evil: 1']],
    ['a NUL in a value', ['x', 'a\0b']],
    ['CRLF in a name', ['x\r\nx-evil', 'a']],
  ] as [string, [string, string]][])('S-49 a field with %s does not travel', async (_what, field) => {
    const before = arrivals();
    await outcomeOf(request(field), Buffer.from('hi'));
    for (const { url, rawHeaders } of wall.good.arrivals.slice(before)) {
      expect(url).toBe('/h2');
      expect(rawHeaders.filter((name) => /^x$|evil/i.test(name))).toEqual([]);
    }
  });

  it('S-49 HTTP/2 without TLS is refused on the proxy port and in a tunnel', async () => {
    const wire = await bot.wire();
    wire.write('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n');
    expectRefusal(await readAnswer(wire), 400, 'malformed_request');
    await wall.row({ error: 'malformed_request', status: 400 });
    const { wire: inner } = await bot.connect(`${GOOD}:443`);
    inner.write('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n');
    expectRefusal(await readAnswer(inner), 400, 'malformed_request');
    await wall.row({ error: 'malformed_request', agent: bot.name });
  });

  it('S-50 a stream for another host on the same tunnel is 421', async () => {
    const contacts = wall.evil.contacts();
    const secure = await bot.tls({ alpn: ['h2'] });
    const session: ClientHttp2Session = connectHttp2(`https://${GOOD}`, { createConnection: () => secure });
    const ask = (authority: string) =>
      new Promise<unknown>((resolve) => {
        const stream = session.request({ ':path': '/', ':authority': authority });
        stream.on('response', (headers) => resolve([headers[':status'], headers['alter-error']]));
        stream.on('error', () => resolve('reset'));
        stream.resume();
      });
    expect(await ask(GOOD)).toEqual([200, undefined]);
    expect(await ask(EVIL)).toEqual([421, 'misdirected_request']);
    await wall.row({ agent: bot.name, error: 'misdirected_request', protocol: 'HTTP/2', host: GOOD });
    session.destroy();
    expect(wall.evil.contacts()).toBe(contacts);
  });
});

it('nothing of all this showed the secret', async () => {
  await wall.expectNoLeak();
});
