/** S-21 … S-32: where the bytes go. Every address is judged when it is dialled, by what it is and not by what it is called. */
import { execFile, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { connect } from 'node:net';
import { networkInterfaces } from 'node:os';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { destinationOf } from '../../src/domain/destination.ts';
import { type LookUp, Resolver } from '../../src/proxy/egress/resolver.ts';
import { Dialer } from '../../src/proxy/upstream/dial.ts';
import {
  BEARER,
  EVIL,
  expectRefusal,
  GOOD,
  startTrap,
  startWall,
  type Trap,
  valuesOf,
  type Wall,
  type WallAgent,
} from './support/wall.ts';
import { readAnswer } from './support/wire.ts';

let wall: Wall;
let bot: WallAgent;
/** No grant at all, on a daemon that tunnels what no grant covers. */
let free: WallAgent;

beforeAll(async () => {
  wall = await startWall();
  bot = await wall.agent();
  free = await wall.agent(null);
});
afterAll(() => wall.stop());

it('guard: the credential reaches the granted host, whose private address the grant allows', async () => {
  expect((await bot.ask('/')).status).toBe(200);
  expect(valuesOf(wall.good.arrivals.at(-1)!.rawHeaders, 'authorization')).toEqual([BEARER]);
});

it.each([
  '0.0.0.0',
  '0.1.2.3',
  '10.0.0.1',
  '100.64.0.1',
  '100.100.100.200',
  '127.0.0.1',
  '127.255.255.254',
  '169.254.169.254',
  '169.254.170.2',
  '172.16.0.1',
  '172.31.255.255',
  '192.0.0.192',
  '192.168.1.1',
  '198.18.0.1',
  '224.0.0.1',
  '240.0.0.1',
  '255.255.255.255',
  '[::]',
  '[::1]',
  '[fe80::1]',
  '[fc00::1]',
  '[fd00:ec2::254]',
  '[ff02::1]',
])('S-21 %s is not dialled for a host without a grant', async (address) => {
  const { answer } = await free.connect(`${address}:443`);
  expectRefusal(answer, 403, 'destination_refused', 'address_not_allowed');
  await wall.row({
    agent: free.name,
    host: address.replace(/[[\]]/g, ''),
    error: 'destination_refused',
    outcome: 'refused',
    status: 403,
  });
});

it('S-21 a granted name that leads to a private address needs the word of the grant; metadata needs more than that', async () => {
  const plain = await wall.agent({ allow_private: false });
  expectRefusal(await plain.ask('/'), 403, 'destination_refused', 'address_not_allowed');
  await wall.row({ agent: plain.name, host: GOOD, error: 'destination_refused', outcome: 'refused' });
  const bold = await wall.agent({ hosts: ['169.254.169.254'], allow_private: true });
  const answer = await bold.ask('/latest/meta-data/', { connect: '169.254.169.254:443', sni: null, host: '169.254.169.254' });
  expectRefusal(answer, 403, 'destination_refused', 'address_not_allowed');
  await wall.row({ agent: bold.name, host: '169.254.169.254', error: 'destination_refused', outcome: 'refused' });
});

it.each([
  '[::ffff:169.254.169.254]',
  '[::ffff:127.0.0.1]',
  '[::ffff:7f00:1]',
  '[::127.0.0.1]',
  '[2002:7f00:1::]',
  '[2002:a9fe:a9fe::1]',
  '[64:ff9b::a9fe:a9fe]',
  '[64:ff9b::10.0.0.1]',
  '[64:ff9b:1::a9fe:a9fe]',
  '[2001:0:a9fe:a9fe::1]',
  '[::ffff:0:127.0.0.1]',
])('S-22 %s is judged by the IPv4 address inside', async (address) => {
  expectRefusal((await free.connect(`${address}:80`)).answer, 403, 'destination_refused', 'address_not_allowed');
  await wall.row({ agent: free.name, port: 80, error: 'destination_refused', outcome: 'refused' });
});

/** The product’s resolver and dialer over a look-up that keeps count. */
function resolverOf(answers: readonly (readonly string[])[]): { resolver: Resolver; asked: () => number } {
  let count = 0;
  const lookup: LookUp = async () =>
    (answers[Math.min(count++, answers.length - 1)] as string[]).map((address) => ({ address, family: 4 }));
  return { resolver: new Resolver({ overrides: new Map(), allowPrivate: [], ownPorts: () => [], lookup }), asked: () => count };
}
const named = (port: number) => destinationOf('http', 'name.good.test', port, 0);

it('S-23 one forbidden address among several refuses the name', async () => {
  for (const answer of [
    ['203.0.113.5', '10.0.0.1'],
    ['10.0.0.1', '203.0.113.5'],
    ['203.0.113.5', '169.254.169.254'],
  ])
    await expect(resolverOf([answer]).resolver.resolve(named(443), false)).rejects.toMatchObject({ code: 'destination_refused' });
  await expect(resolverOf([['203.0.113.5', '169.254.169.254']]).resolver.resolve(named(443), true)).rejects.toMatchObject({
    code: 'destination_refused',
  });
});

it('S-24 a name is resolved once for a dial, and the vetted address is what is dialled', async () => {
  const trap = await startTrap();
  const { resolver, asked } = resolverOf([['127.0.0.1'], ['169.254.169.254']]);
  const dialer = new Dialer({ extraCa: null, proxy: null, connectMs: 2000, handshakeMs: 2000 });
  const vetted = await resolver.resolve(named(trap.port), true);
  const { socket } = await dialer.connectPlain(named(trap.port), vetted);
  expect(socket.remoteAddress).toBe('127.0.0.1');
  expect(asked()).toBe(1);
  await expect(resolver.resolve(named(trap.port), true)).rejects.toMatchObject({ code: 'destination_refused' });
  socket.destroy();
  await trap.close();
});

it('S-25 when the first of several vetted addresses refuses, the next is tried', async () => {
  const trap = await startTrap();
  const dialer = new Dialer({ extraCa: null, proxy: null, connectMs: 2000, handshakeMs: 2000 });
  const { resolver } = resolverOf([['127.0.0.9', '127.0.0.1']]);
  const { socket } = await dialer.connectPlain(named(trap.port), await resolver.resolve(named(trap.port), true));
  expect(socket.remoteAddress).toBe('127.0.0.1');
  socket.destroy();
  await trap.close();
});

describe('with a name server of ours', () => {
  const stage = fileURLToPath(new URL('support/dns-stage.mts', import.meta.url));
  const canRun = spawnSync('unshare', ['-mn', 'ip', 'link', 'set', 'lo', 'up']).status === 0;
  let seen: Record<string, unknown> = {};
  beforeAll(async () => {
    if (!canRun) {
      console.log('not possible here: network and mount namespaces; the resolver alone was tried');
      return;
    }
    const { stdout } = await promisify(execFile)('unshare', [
      '-mn',
      process.execPath,
      '--import',
      import.meta.resolve('tsx'),
      stage,
    ]);
    seen = JSON.parse(stdout.trim().split('\n').at(-1) as string) as Record<string, unknown>;
  });

  it('S-23 the daemon refuses a name with one private address', () => {
    if (canRun) expect(seen.mixed).toBe('403 destination_refused address_not_allowed');
  });
  it('S-24 the daemon asks once for a request, and refuses a name that came to lead to loopback', () => {
    if (!canRun) return;
    expect(seen.steady).toBe('200');
    expect((seen.flip as unknown[]).slice(0, 3)).toEqual(['200', 1, '403 destination_refused address_not_allowed']);
    expect(seen.loopbackContacts).toBe(0);
  });
  it('S-25 the daemon reaches a name of which one address is silent', () => {
    if (canRun) expect(seen.two).toEqual(['200', '200']);
  });
  it('S-29 nothing is looked up for a host that is refused', () => {
    if (canRun) expect(seen.refused).toEqual({ status: 403, questions: 0 });
  });
});

describe('own listeners', () => {
  let inner: Wall;
  beforeAll(async () => {
    inner = await startWall({
      config: 'allow_private = ["127.0.0.0/8", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "::/0"]',
    });
  });
  afterAll(() => inner.stop());

  it('S-26 the proxy does not dial itself, whatever its address is called', async () => {
    const agent = await inner.agent(null);
    const own = Object.values(networkInterfaces()).flatMap(
      (list) => list?.filter((i) => i.family === 'IPv4').map((i) => i.address) ?? [],
    );
    for (const host of new Set(['127.0.0.1', '127.0.0.2', '127.1', '[::1]', '[::ffff:127.0.0.1]', ...own])) {
      const { answer } = await agent.connect(`${host}:${inner.daemon.port}`);
      expectRefusal(answer, 403, 'destination_refused', 'own_listener');
      await inner.row({ agent: agent.name, port: inner.daemon.port, error: 'destination_refused', outcome: 'refused' });
    }
    const answer = await agent.send(
      `GET http://127.0.0.1:${inner.daemon.port}/ HTTP/1.1\r\nHost: 127.0.0.1:${inner.daemon.port}\r\n@\r\n\r\n`,
    );
    expectRefusal(answer, 403, 'destination_refused', 'own_listener');
  });

  it('S-26 the operator’s API has no TCP listener to reach', () => {
    expect(inner.daemon.paths.apiSocket).toMatch(/\.sock$/);
    const facts = inner.daemon.running.facts();
    expect(Object.keys(facts.proxy).toSorted()).toEqual(['tcp', 'unix']);
  });
});

it('S-27 a redirect is passed on and never followed', async () => {
  const { answer } = wall.good;
  wall.good.answer = (_request, response) => {
    response.writeHead(302, { location: `https://${EVIL}/steal` });
    response.end();
  };
  const contacts = wall.evil.contacts();
  const got = await bot.ask('/moved');
  wall.good.answer = answer;
  expect([got.status, got.header('location')]).toEqual([302, `https://${EVIL}/steal`]);
  await wall.row({ agent: bot.name, path: '/moved', status: 302, outcome: 'success' });
  expect(wall.evil.contacts()).toBe(contacts);
  await wall.expectNoLeak(got.body, got.headers.join('\n'));
});

describe('opaque tunnels', () => {
  it.each([
    ['SSH', 'SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n', null],
    ['SMTP', 'EHLO client.test\r\n', null],
    ['bytes that are no text', '\x00\x01\x02\x03', null],
    ['an SSLv2 hello', '\x80\x2e\x01\x03\x01', null],
    ['HTTP/2 without TLS', 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', 400],
  ])('S-30 %s inside a tunnel to a granted host is refused', async (_what, bytes, status) => {
    const before = wall.good.arrivals.length;
    const { wire } = await bot.connect(`${GOOD}:443`);
    wire.write(bytes);
    if (status === null) {
      await wire.closed;
      expect(wire.waiting).toBe('');
      await wall.row({ agent: bot.name, error: 'destination_refused', policy_error: 'opaque_tunnel', outcome: 'refused' });
    } else {
      expectRefusal(await readAnswer(wire), status, 'malformed_request');
      await wire.closed;
      await wall.row({ agent: bot.name, error: 'malformed_request', outcome: 'refused' });
    }
    expect(wall.good.arrivals.length).toBe(before);
  });

  it('S-30 a hello whose outer name is another (as with ECH) is 421', async () => {
    expectRefusal(await bot.ask('/', { sni: 'public.ech.test' }), 421, 'misdirected_request');
    await wall.row({ agent: bot.name, error: 'misdirected_request' });
  });

  it('S-30 a tunnel in which the server would speak first is closed', async () => {
    const slow = await startWall({ tables: '[timeouts]\ntls_handshake_ms = 200' });
    const { wire } = await (await slow.agent()).connect(`${GOOD}:443`);
    await wire.closed;
    await slow.stop();
  });
});

it('S-31 Alt-Svc does not reach the agent', async () => {
  const { answer } = wall.good;
  wall.good.answer = (_request, response) => {
    response.writeHead(200, { 'alt-svc': 'h3=":443"; ma=86400', 'x-kept': '1' });
    response.end('ok');
  };
  const got = await bot.ask('/');
  wall.good.answer = answer;
  expect([got.status, got.header('alt-svc'), got.header('x-kept')]).toEqual([200, undefined, '1']);
});

let outside: Trap;
beforeAll(async () => {
  outside = await startTrap();
});
afterAll(() => outside.close());

it.fails('S-32 a program that goes around the proxy is stopped', async () => {
  const direct = connect(outside.port, '127.0.0.1');
  const reached = await Promise.race([once(direct, 'connect').then(() => true), once(direct, 'error').then(() => false)]);
  direct.destroy();
  expect(reached).toBe(false);
});
