/** S-01 … S-20: which host a request is for. One destination decides; whatever disagrees with it is refused. */
import { readdirSync, readFileSync } from 'node:fs';
import fc from 'fast-check';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { loadConfig } from '../../src/config/load.ts';
import {
  BEARER,
  EVIL,
  expectRefusal,
  GOOD,
  namesIn,
  RIVAL,
  RIVAL_SECRET,
  SECRET,
  startWall,
  valuesOf,
  type Wall,
  type WallAgent,
} from './support/wall.ts';
import { readAnswer, Wire } from './support/wire.ts';

const IDN = 'xn--bcher-kva.test';
let wall: Wall;
let bot: WallAgent;

beforeAll(async () => {
  wall = await startWall({
    config: 'egress = "refuse"',
    trapped: [
      '203.0.113.5:443',
      `${GOOD}:8443`,
      'auth.openai.com:443',
      'a.b.wild.test:443',
      'wild.test:443',
      'xwild.test:443',
      'wild.test.evil.test:443',
    ],
  });
  bot = await wall.agent();
});
afterAll(() => wall.stop());

const arrivals = (): number => wall.good.arrivals.length;

it('guard: the credential reaches the granted host, and the row says so', async () => {
  const answer = await bot.ask('/user');
  expect(answer.status).toBe(200);
  expect(valuesOf(wall.good.arrivals.at(-1)!.rawHeaders, 'authorization')).toEqual([BEARER]);
  await wall.row({ host: GOOD, decision: 'allow', outcome: 'success', status: 200, grant_id: bot.grantId });
});

it('S-01 Host of the granted host inside a tunnel to another one is 421', async () => {
  const answer = await bot.ask('/', { connect: `${RIVAL}:443`, sni: RIVAL, host: GOOD });
  expectRefusal(answer, 421, 'misdirected_request');
  await wall.row({ host: RIVAL, error: 'misdirected_request', status: 421, decision: 'deny' });
  expect(wall.rival.arrivals).toEqual([]);
  const refused = await bot.connect(`${EVIL}:443`);
  expectRefusal(refused.answer, 403, 'destination_refused', 'egress_refused');
  await wall.row({ host: EVIL, error: 'destination_refused', policy_error: 'egress_refused' });
  await wall.expectNoLeak(answer.body);
});

it('S-01 where hosts without a grant are tunnelled, the bytes travel without a credential', async () => {
  const open = await startWall({ config: `allow_private = ["${EVIL}:443"]` });
  const agent = await open.agent();
  const { answer, wire } = await agent.connect(`${EVIL}:443`);
  expect(answer.status).toBe(200);
  wire.write(`GET / HTTP/1.1\r\nHost: ${GOOD}\r\n\r\n`);
  while (!open.evil.heard().includes('\r\n\r\n')) await new Promise((resolve) => setTimeout(resolve, 5));
  expect(open.evil.heard()).toBe(`GET / HTTP/1.1\r\nHost: ${GOOD}\r\n\r\n`);
  wire.socket.destroy();
  await open.row({ host: EVIL, kind: 'tunnel', action: 'tunnel.opened', decision: 'allow' });
  await open.expectNoLeak(open.evil.heard());
  await open.stop();
});

it('S-02 another Host inside a tunnel to the granted host is 421 and not rewritten', async () => {
  const before = arrivals();
  expectRefusal(await bot.ask('/', { host: EVIL }), 421, 'misdirected_request');
  await wall.row({ host: GOOD, error: 'misdirected_request', status: 421 });
  expect(arrivals()).toBe(before);
});

it('S-03 an SNI other than the tunnel is 421, and no leaf is made for it', async () => {
  const before = arrivals();
  const secure = await bot.tls({ sni: EVIL });
  expect(namesIn(secure.getPeerCertificate())).toBe(`DNS:${GOOD}`);
  const wire = new Wire(secure);
  wire.write(`GET / HTTP/1.1\r\nHost: ${GOOD}\r\n\r\n`);
  expectRefusal(await readAnswer(wire), 421, 'misdirected_request');
  await wall.row({ host: GOOD, error: 'misdirected_request' });
  expect(arrivals()).toBe(before);
  expect((await bot.ask('/', { sni: null })).status).toBe(200);
});

it('S-04 an absolute URI that disagrees with Host is 400', async () => {
  const evil = wall.evil.contacts();
  const answer = await bot.send(`GET http://${GOOD}/x HTTP/1.1\r\nHost: ${EVIL}\r\n@\r\n\r\n`);
  expectRefusal(answer, 400, 'malformed_request');
  await wall.row({ error: 'malformed_request', host: GOOD, status: 400 });
  const inside = await bot.ask(`https://${EVIL}/x`);
  expectRefusal(inside, 421, 'misdirected_request');
  await wall.row({ error: 'misdirected_request', host: GOOD });
  expect(wall.evil.contacts()).toBe(evil);
});

it.each([
  ['CONNECT', `CONNECT ${GOOD}@${EVIL}:443 HTTP/1.1\r\nHost: ${GOOD}\r\n@\r\n\r\n`],
  ['an absolute URI', `GET http://${GOOD}:80@${EVIL}/ HTTP/1.1\r\nHost: ${EVIL}\r\n@\r\n\r\n`],
  ['Host', `GET http://${GOOD}/ HTTP/1.1\r\nHost: ${GOOD}:x@${EVIL}\r\n@\r\n\r\n`],
])('S-05 userinfo in %s is 400', async (_where, text) => {
  const evil = wall.evil.contacts();
  expectRefusal(await bot.send(text), 400, 'malformed_request');
  await wall.row({ error: 'malformed_request', status: 400 });
  expect(wall.evil.contacts()).toBe(evil);
});

it.each([
  ['two Host fields', [`Host: ${GOOD}`]],
  ['a folded one', [' evil.test']],
  ['a second one with another value', [`host: ${EVIL}`]],
])('S-06 %s are 400', async (_what, headers) => {
  const before = arrivals();
  expectRefusal(await bot.ask('/', { headers }), 400, 'malformed_request');
  await wall.row({ error: 'malformed_request', status: 400 });
  expect(arrivals()).toBe(before);
});

it.each([`${GOOD}, ${EVIL}`, `${GOOD} ${EVIL}`, `${GOOD},`, ''])('S-06 a list or gap in Host (%j) is 400', async (host) => {
  const before = arrivals();
  expectRefusal(await bot.ask('/', { host }), 400, 'malformed_request');
  await wall.row({ error: 'malformed_request' });
  expect(arrivals()).toBe(before);
});

it('S-07 one trailing dot is the same host, for grants and refusals alike; two are 400', async () => {
  const before = arrivals();
  expect((await bot.ask('/', { connect: `${GOOD}.:443`, host: `${GOOD}.` })).status).toBe(200);
  await wall.row({ host: GOOD, outcome: 'success' });
  expect(arrivals()).toBe(before + 1);
  expectRefusal((await bot.connect(`${EVIL}.:443`)).answer, 403, 'destination_refused', 'egress_refused');
  await wall.row({ host: EVIL, error: 'destination_refused', agent: bot.name });
  expectRefusal((await bot.connect(`${GOOD}..:443`)).answer, 400, 'malformed_request');
  await wall.row({ error: 'malformed_request', method: 'CONNECT' });
});

it('S-08 letter case changes nothing', async () => {
  expect((await bot.ask('/', { connect: 'API.Good.TEST:443', sni: 'Api.Good.Test', host: 'aPI.gOOD.tEST' })).status).toBe(200);
  await wall.row({ host: GOOD, outcome: 'success', grant_id: bot.grantId });
  expect(valuesOf(wall.good.arrivals.at(-1)!.rawHeaders, 'host')).toEqual([GOOD]);
  expectRefusal((await bot.connect('EVIL.Test:443')).answer, 403, 'destination_refused');
  await wall.row({ host: EVIL, error: 'destination_refused' });
});

it.each(['[evil.test]', `[${GOOD}]`, '[127.0.0.1]', '[::1'])(
  'S-09 brackets around what is no IPv6 address (%s) are 400',
  async (host) => {
    expectRefusal((await bot.connect(`${host}:443`)).answer, 400, 'malformed_request');
    await wall.row({ error: 'malformed_request', method: 'CONNECT', status: 400 });
  },
);

it('S-10 a zone id in an address is 400', async () => {
  expectRefusal((await bot.connect(`[::ffff:1.2.3.4%x.${GOOD}]:443`)).answer, 400, 'malformed_request');
  await wall.row({ error: 'malformed_request', method: 'CONNECT', status: 400 });
});

it.each(['127.1', '0x7f.0.0.1', '2130706433', '0177.0.0.1', '0x7f000001', '127.0.1', '127.0.0.1.'])(
  'S-11 %s is the loopback address that it spells, and blocked as such',
  async (host) => {
    const open = await tunnelling();
    const agent = await open.agent(null);
    expectRefusal((await agent.connect(`${host}:443`)).answer, 403, 'destination_refused', 'address_not_allowed');
    await open.row({ host: '127.0.0.1', error: 'destination_refused', outcome: 'refused', status: 403 });
  },
);

let shared: Wall | null = null;
/** One more daemon, with the default for hosts that no grant covers. */
async function tunnelling(): Promise<Wall> {
  shared ??= await startWall();
  return shared;
}
afterAll(() => shared?.stop());

it('S-12 a raw international name is 400; its A-label is one name, for grants and refusals', async () => {
  for (const raw of ['b\xc3\xbccher.test', '\xef\xbd\x87ood.test', 'xn--api-.good.test', 'xn--a.test']) {
    expectRefusal((await bot.connect(`${raw}:443`)).answer, 400, 'malformed_request');
    await wall.row({ error: 'malformed_request', status: 400 });
  }
  expectRefusal((await bot.connect(`${IDN}:443`)).answer, 403, 'destination_refused');
  await wall.row({ host: IDN, error: 'destination_refused' });
  const agent = await wall.agent({ hosts: ['bücher.test'] });
  const { grant } = await wall.daemon.api<{ grant: { hosts: unknown } }>('GET', `/v1/grants/${agent.grantId}`);
  expect(JSON.stringify(grant)).toContain(IDN);
});

it.each(['%00', '\0', '\x01', '_', '\t', '*', '$', ';', '\x7f'])('S-13 %j in a host is 400', async (odd) => {
  const answer = await bot.send(`CONNECT ${GOOD}${odd}.${EVIL}:443 HTTP/1.1\r\nHost: ${GOOD}\r\n@\r\n\r\n`);
  expectRefusal(answer, 400, 'malformed_request');
  await wall.row({ error: 'malformed_request', status: 400 });
});

it('S-14 a wildcard is one whole label', async () => {
  const agent = await wall.agent({ hosts: ['*.wild.test'] });
  for (const host of ['wild.test', 'a.b.wild.test', 'xwild.test', 'wild.test.evil.test']) {
    expectRefusal((await agent.connect(`${host}:443`)).answer, 403, 'destination_refused', 'egress_refused');
    await wall.row({ host, error: 'destination_refused' });
  }
  const { answer } = await agent.connect('a.wild.test:443');
  expect(answer.status).toBe(200);
  for (const pattern of ['*', '*.com', '*.test', '*.co.uk', 'a*.wild.test', '*.*.wild.test', 'a.*.test', '*.10'])
    await expect(wall.agent({ hosts: [pattern] }), pattern).rejects.toMatchObject({ problem: { error: 'invalid_input' } });
});

it('S-15 another port of the same host gets no credential', async () => {
  const answer = await bot.ask('/', { connect: `${GOOD}:8443`, host: `${GOOD}:8443` });
  expectRefusal(answer, 403, 'grant_not_found');
  await wall.row({ host: GOOD, port: 8443, error: 'grant_not_found' });
  expect(wall.evil.heard()).toBe('');
});

it('S-16 nothing is injected over plain HTTP', async () => {
  const evil = wall.evil.contacts();
  const answer = await bot.send(`GET http://${GOOD}/ HTTP/1.1\r\nHost: ${GOOD}\r\n@\r\n\r\n`);
  expectRefusal(answer, 403, 'policy_violation', 'plaintext_injection');
  await wall.row({ host: GOOD, scheme: 'http', error: 'policy_violation', policy_error: 'plaintext_injection' });
  const { wire } = await bot.connect(`${GOOD}:443`);
  wire.write(`GET / HTTP/1.1\r\nHost: ${GOOD}:443\r\n\r\n`);
  expect((await readAnswer(wire)).status).toBe(403);
  expect(wall.evil.contacts()).toBe(evil);
});

it('S-17 hosts in any order never see each other’s credential', async () => {
  const agent = await wall.agent();
  await wall.daemon.api('POST', '/v1/grants', { credential: 'rival', agent: agent.name, hosts: [RIVAL], allow_private: true });
  const wires = { [GOOD]: await agent.open(), [RIVAL]: await agent.open({ connect: `${RIVAL}:443`, sni: RIVAL }) };
  const good = wall.good.arrivals.length;
  const rival = wall.rival.arrivals.length;
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.tuple(fc.constantFrom(GOOD, RIVAL), fc.constantFrom(GOOD, RIVAL)), { maxLength: 12 }),
      async (steps) => {
        for (const [tunnel, host] of steps) {
          const wire = wires[tunnel] as Wire;
          wire.write(`GET /x HTTP/1.1\r\nHost: ${host}\r\n\r\n`);
          expect((await readAnswer(wire)).status).toBe(tunnel === host ? 200 : 421);
        }
      },
    ),
    { numRuns: 25 },
  );
  const sent = (list: readonly { rawHeaders: readonly string[] }[]): Set<string> =>
    new Set(list.flatMap((each) => valuesOf(each.rawHeaders, 'authorization')));
  for (const each of [BEARER]) expect(sent(wall.good.arrivals.slice(good))).toEqual(new Set([each]));
  expect(sent(wall.rival.arrivals.slice(rival))).toEqual(new Set([`Bearer ${RIVAL_SECRET}`]));
  await wall.row({ error: 'misdirected_request', host: RIVAL });
});

it('S-17 an injection for one host of a grant does not reach another host of it', async () => {
  const inject = [
    { in: 'header', name: 'X-Good', template: '{token}', hosts: [GOOD] },
    { in: 'header', name: 'X-Rival', template: '{token}', hosts: [RIVAL] },
  ];
  await wall.daemon.api('POST', '/v1/secrets', { name: 'two-hosts', provider: 'two-hosts', fields: { token: SECRET }, inject });
  const agent = await wall.agent({ credential: 'two-hosts', hosts: [GOOD, RIVAL] });
  for (const host of [GOOD, RIVAL, GOOD]) {
    expect((await agent.ask('/', { connect: `${host}:443`, sni: host, host })).status).toBe(200);
    const { rawHeaders } = (host === GOOD ? wall.good : wall.rival).arrivals.at(-1)!;
    expect([valuesOf(rawHeaders, 'x-good'), valuesOf(rawHeaders, 'x-rival')]).toEqual(
      host === GOOD ? [[SECRET], []] : [[], [SECRET]],
    );
  }
});

it('S-18 a provider of the catalogue covers its API host and no sibling of it', async () => {
  await wall.daemon.api('POST', '/v1/secrets', {
    name: 'openai',
    provider: 'openai',
    fields: { token: 'sk-SEKRET-openai-marker' },
  });
  const agent = await wall.agent({ provider: 'openai', credential: 'openai', hosts: undefined });
  const { answer } = await agent.connect('auth.openai.com:443');
  expectRefusal(answer, 403, 'destination_refused', 'egress_refused');
  await wall.row({ host: 'auth.openai.com', error: 'destination_refused' });
  await expect(wall.agent({ provider: 'openai', credential: 'openai', hosts: ['auth.openai.com'] })).rejects.toMatchObject({
    problem: { error: 'invalid_input' },
  });
  for (const file of readdirSync('config/providers').filter((name) => name.endsWith('.toml')))
    expect(/^hosts = .*"\*\./m.test(readFileSync(`config/providers/${file}`, 'utf8')), file).toBe(false);
});

it('S-19 the origin gets Host without the default port', async () => {
  expect((await bot.ask('/', { host: `${GOOD}:443` })).status).toBe(200);
  expect(valuesOf(wall.good.arrivals.at(-1)!.rawHeaders, 'host')).toEqual([GOOD]);
  expect(wall.good.arrivals.at(-1)!.servername).toBe(GOOD);
  await wall.row({ host: GOOD, outcome: 'success' });
});

it('S-20 an address never matches the grant of a name', async () => {
  const agent = await wall.agent();
  expectRefusal((await agent.connect('203.0.113.5:443')).answer, 403, 'destination_refused', 'egress_refused');
  await wall.row({ host: '203.0.113.5', error: 'destination_refused' });
  await wall.agent({ credential: 'rival', hosts: ['203.0.113.5'] });
  const answer = await agent.ask('/', { connect: '203.0.113.5:443', sni: null, host: GOOD });
  expectRefusal(answer, 421, 'misdirected_request');
  await wall.row({ host: '203.0.113.5', error: 'misdirected_request', status: 421 });
  await wall.expectNoLeak(answer.body);
});

it('S-76 a listener beyond loopback is a wrong configuration', () => {
  for (const address of ['0.0.0.0:4780', '[::]:4780', '192.0.2.1:4780', 'localhost:4780'])
    expect(() => loadConfig({ file: '/nonexistent', env: {}, flags: { 'listen.tcp': address } }), address).toThrow(
      /loopback|address/,
    );
});
