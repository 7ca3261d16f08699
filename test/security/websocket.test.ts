/** S-110 … S-112, S-114, S-115: upgrades that are none, pipes that nobody asked for, and pipes that outlive their welcome. */
import { createHash } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { BEARER, expectRefusal, startWall, until, valuesOf, type Wall, type WallAgent } from './support/wall.ts';
import { type RawOrigin, type RawRequest, readAnswer, readRequest, startRawOrigin, type Wire } from './support/wire.ts';

const WS = 'ws.good.test';
const KEY = 'dGhlIHNhbXBsZSBub25jZQ==';
const ACCEPT = createHash('sha1').update(`${KEY}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest('base64');
const SWITCH = `HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: ${ACCEPT}\r\n\r\n`;
const HANDSHAKE = [
  'Connection: keep-alive, Upgrade',
  'Upgrade: websocket',
  'Sec-WebSocket-Version: 13',
  `Sec-WebSocket-Key: ${KEY}`,
];

let wall: Wall;
let origin: RawOrigin;

/** A wall whose WS host is served by hand. */
async function wallWithSockets(tables = ''): Promise<Wall> {
  const made = await startWall();
  const { configFile } = made.daemon.paths;
  writeFileSync(
    configFile,
    readFileSync(configFile, 'utf8').replace('resolve = {', `resolve = { "${WS}:443" = "127.0.0.1:${origin.port}",`) + tables,
  );
  await made.daemon.running.reload();
  return made;
}

beforeAll(async () => {
  // Its certificates must be those that the wall trusts, so the origin is made with the wall's own authority.
  const first = await startWall();
  origin = await startRawOrigin(first.pki);
  const { configFile } = first.daemon.paths;
  writeFileSync(
    configFile,
    readFileSync(configFile, 'utf8').replace('resolve = {', `resolve = { "${WS}:443" = "127.0.0.1:${origin.port}",`),
  );
  await first.daemon.running.reload();
  wall = first;
});
afterAll(async () => {
  await origin.close();
  await wall.stop();
});

const agent = (grant: Record<string, unknown> = {}): Promise<WallAgent> => wall.agent({ hosts: [WS], ...grant });

async function ask(bot: WallAgent, headers: readonly string[], target = '/chat'): Promise<Wire> {
  const wire = await bot.open({ connect: `${WS}:443`, sni: WS });
  wire.write([`GET ${target} HTTP/1.1`, `Host: ${WS}`, ...headers, '', ''].join('\r\n'));
  return wire;
}

/** Both ends of an open WebSocket, and what the origin got. */
async function join(bot: WallAgent): Promise<{ client: Wire; server: Wire; request: RawRequest }> {
  const client = await ask(bot, HANDSHAKE);
  const server = await origin.next();
  const request = await readRequest(server, true);
  server.write(SWITCH);
  expect((await readAnswer(client)).status).toBe(101);
  return { client, server, request };
}

/** Both ends hang up. */
function hangUp(...wires: Wire[]): void {
  for (const wire of wires) wire.socket.destroy();
}

it('guard: a WebSocket opens with the credential, and bytes go both ways', async () => {
  const bot = await agent();
  const { client, server, request } = await join(bot);
  expect(valuesOf(request.headers, 'authorization')).toEqual([BEARER]);
  client.write('ping');
  expect((await server.take(4)).toString()).toBe('ping');
  server.write('pong');
  expect((await client.take(4)).toString()).toBe('pong');
  hangUp(client, server);
  await wall.row({ agent: bot.name, status: 101, outcome: 'success', path: '/chat' });
});

it.each([
  ['no Connection token', ['Connection: keep-alive', ...HANDSHAKE.slice(1)]],
  ['a token that only contains the word', ['Connection: keep-alive, NotUpgrade', ...HANDSHAKE.slice(1)]],
  ['no Upgrade', [HANDSHAKE[0] as string, ...HANDSHAKE.slice(2)]],
  ['another version', [...HANDSHAKE.slice(0, 2), 'Sec-WebSocket-Version: 8', HANDSHAKE[3] as string]],
  ['no key', HANDSHAKE.slice(0, 3)],
  ['h2c', ['Connection: Upgrade, HTTP2-Settings', 'Upgrade: h2c', 'HTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA']],
  ['two protocols', ['Connection: Upgrade', 'Upgrade: websocket, h2c', ...HANDSHAKE.slice(2)]],
])('S-110 %s is a plain request, without any upgrade', async (_what, headers) => {
  const bot = await agent();
  const client = await ask(bot, headers);
  const server = await origin.next();
  const request = await readRequest(server);
  expect(valuesOf(request.headers, 'upgrade')).toEqual([]);
  expect(valuesOf(request.headers, 'http2-settings')).toEqual([]);
  expect(valuesOf(request.headers, 'connection').filter((value) => /upgrade|http2/i.test(value))).toEqual([]);
  server.write('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok');
  expect((await readAnswer(client)).status).toBe(200);
  client.socket.destroy();
  await wall.row({ agent: bot.name, status: 200, outcome: 'success' });
});

it.each([
  ['a 101 to a plain request', [], SWITCH],
  ['a 101 without an accept', HANDSHAKE, 'HTTP/1.1 101 X\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n'],
  ['a wrong accept', HANDSHAKE, SWITCH.replace(ACCEPT, 'AAAAAAAAAAAAAAAAAAAAAAAAAAA=')],
  ['another protocol', HANDSHAKE, SWITCH.replace('Upgrade: websocket', 'Upgrade: h2c')],
  ['no Connection', HANDSHAKE, SWITCH.replace('Connection: Upgrade\r\n', '')],
])('S-111 %s is a 502 and no pipe', async (_what, headers, answer) => {
  const bot = await agent();
  const client = await ask(bot, headers);
  const server = await origin.next();
  await readRequest(server, true);
  server.write(`${answer}through the pipe`);
  expectRefusal(await readAnswer(client), 502, 'upstream_protocol');
  client.write('GET /next HTTP/1.1\r\n\r\n');
  await server.closed;
  expect(server.waiting).toBe('');
  expect(client.waiting).not.toContain('through the pipe');
  client.socket.destroy();
  await wall.row({ agent: bot.name, error: 'upstream_protocol', status: 502, outcome: 'provider_error' });
});

it('S-112 an upgrade is ruled on and audited like any request', async () => {
  const bot = await agent({ paths: ['/allowed/**'], methods: ['GET'] });
  const client = await ask(bot, HANDSHAKE, '/blocked');
  expectRefusal(await readAnswer(client), 403, 'policy_violation', 'path_not_allowed');
  await wall.row({ agent: bot.name, path: '/blocked', error: 'policy_violation', policy_error: 'path_not_allowed' });
  const poster = await agent({ methods: ['POST'] });
  expectRefusal(await readAnswer(await ask(poster, HANDSHAKE)), 403, 'policy_violation', 'method_not_allowed');
  await wall.row({ agent: poster.name, error: 'policy_violation' });
  // Opened ahead, while the client's handshake ran; nothing was said on them.
  for (const wire of [await origin.next(), await origin.next()]) expect(wire.waiting).toBe('');
});

const FRAMES: readonly [string, Buffer][] = [
  ['a fragment', Buffer.from([0x01, 0x85, 1, 2, 3, 4, 105, 103, 111, 104, 110])],
  ['reserved bits', Buffer.from([0xf1, 0x80, 1, 2, 3, 4])],
  ['a compressed frame', Buffer.from([0xc1, 0x81, 1, 2, 3, 4, 0])],
  ['a control frame of 200 bytes', Buffer.concat([Buffer.from([0x89, 0xfe, 0, 200, 1, 2, 3, 4]), Buffer.alloc(200)])],
  ['an unmasked frame', Buffer.from([0x81, 0x02, 0x68, 0x69])],
  ['a frame of 2^62 bytes', Buffer.from([0x82, 0xff, 0x40, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4])],
];

it('S-114 frames are not looked at: the pipe is pure, both ways, and the row counts its bytes', async () => {
  const bot = await agent({ audit_bodies: 'both' });
  const { client, server } = await join(bot);
  const all = Buffer.concat(FRAMES.map(([, bytes]) => bytes));
  for (const [what, bytes] of FRAMES) {
    client.write(bytes);
    expect([what, (await server.take(bytes.length)).toString('hex')]).toEqual([what, bytes.toString('hex')]);
    server.write(bytes);
    expect([what, (await client.take(bytes.length)).toString('hex')]).toEqual([what, bytes.toString('hex')]);
  }
  hangUp(client, server);
  const row = await wall.row({ agent: bot.name, status: 101, outcome: 'success', bytes_in: all.length, bytes_out: all.length });
  expect(row).toMatchObject({ bodies: null, body_dropped: null });
});

it.fails('S-114 a rule about frames', async () => {
  const bot = await agent();
  const made = wall.daemon.api('POST', '/v1/grants', {
    credential: 'demo',
    agent: bot.name,
    hosts: [WS],
    frames: { max_bytes: 1024 },
  });
  await expect(made).resolves.toBeDefined();
});

describe('life time', () => {
  it('S-115 an idle WebSocket is ended, one with traffic is not', async () => {
    const brief = await wallWithSockets('\n[timeouts]\nclient_idle_ms = 600\n');
    // The origin's certificate is of another authority here: trust that one.
    const text = readFileSync(brief.daemon.paths.configFile, 'utf8').replace(brief.pki.caFile, wall.pki.caFile);
    writeFileSync(brief.daemon.paths.configFile, text);
    await brief.daemon.running.reload();
    const bot = await brief.agent({ hosts: [WS] });
    const busy = await join(bot);
    const idle = await join(bot);
    let open = true;
    void idle.client.closed.then(() => (open = false));
    await until(async () => {
      busy.client.write('x');
      await busy.server.take(1);
      return !open;
    }, 6_000);
    await idle.server.closed;
    expect(busy.client.ended).toBe(false);
    hangUp(busy.client, busy.server);
    await brief.stop();
  });

  it('S-115 an open WebSocket does not hold up the end of the daemon', async () => {
    const ending = await startWall({ tables: '[timeouts]\ndrain_ms = 300' });
    const text = readFileSync(ending.daemon.paths.configFile, 'utf8')
      .replace(ending.pki.caFile, wall.pki.caFile)
      .replace('resolve = {', `resolve = { "${WS}:443" = "127.0.0.1:${origin.port}",`);
    writeFileSync(ending.daemon.paths.configFile, text);
    await ending.daemon.running.reload();
    const { client, server } = await join(await ending.agent({ hosts: [WS] }));
    const started = Date.now();
    await ending.stop();
    expect(Date.now() - started).toBeLessThan(5_000);
    await Promise.all([client.closed, server.closed]);
  });
});
