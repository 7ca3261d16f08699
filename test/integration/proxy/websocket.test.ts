/** WebSocket through a whole daemon: the handshake is an exchange with a credential, what follows is a pipe. */
import { createHash } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { fieldOf, head, INJECTED, type Rig, type RigAgent, readAnswer, readRequest, startRig, type Wire } from './rig.ts';

let rig: Rig;
beforeAll(async () => {
  rig = await startRig();
});
afterAll(() => rig.stop());

const KEY = 'dGhlIHNhbXBsZSBub25jZQ==';
const ACCEPT = createHash('sha1').update(`${KEY}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest('base64');
const UPGRADE = [
  'Connection: keep-alive, Upgrade',
  'Upgrade: websocket',
  'Sec-WebSocket-Version: 13',
  `Sec-WebSocket-Key: ${KEY}`,
];
const SWITCH = `HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${ACCEPT}\r\nX-Of: origin\r\n\r\n`;
const OK = 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok';

async function asked(fields = UPGRADE, early = ''): Promise<{ agent: RigAgent; client: Wire; origin: Wire; headers: string[] }> {
  const agent = await rig.agent();
  const client = await agent.open();
  client.write(head('GET /ws', ...fields) + early);
  const origin = await rig.origin.next();
  const { headers } = await readRequest(origin);
  return { agent, client, origin, headers };
}

async function joined(): Promise<{ agent: RigAgent; client: Wire; origin: Wire }> {
  const all = await asked();
  all.origin.write(SWITCH);
  expect(await readAnswer(all.client)).toMatchObject({ status: 101 });
  return all;
}

describe('a handshake', () => {
  it('carries the credential and the fields of the protocol, and its answer comes back', async () => {
    const { client, origin, headers } = await asked([...UPGRADE, 'Sec-WebSocket-Protocol: chat', 'Authorization: mine']);
    expect(fieldOf(headers, 'authorization')).toBe(INJECTED);
    expect(fieldOf(headers, 'connection')).toBe('Upgrade');
    expect(fieldOf(headers, 'upgrade')).toBe('websocket');
    expect(fieldOf(headers, 'sec-websocket-key')).toBe(KEY);
    expect(fieldOf(headers, 'sec-websocket-protocol')).toBe('chat');
    origin.write(SWITCH);
    const answer = await readAnswer(client);
    expect(answer).toMatchObject({ status: 101, reason: 'Switching Protocols' });
    expect(answer.header('sec-websocket-accept')).toBe(ACCEPT);
    expect(answer.header('x-of')).toBe('origin');
    expect(answer.header('upgrade')).toBe('websocket');
    expect(answer.header('connection')).toBe('Upgrade');
  });

  it('carries the credential with Expect too', async () => {
    const { headers } = await asked([...UPGRADE, 'Expect: 100-continue']);
    expect(fieldOf(headers, 'authorization')).toBe(INJECTED);
  });

  it.each([
    ['no Connection', UPGRADE.slice(1)],
    ['a part of the token', ['Connection: Upgraded', ...UPGRADE.slice(1)]],
    ['no Upgrade', UPGRADE.filter((f) => !f.startsWith('Upgrade'))],
    ['h2c', ['Connection: Upgrade', 'Upgrade: h2c', ...UPGRADE.slice(2)]],
    ['another version', UPGRADE.map((f) => f.replace(': 13', ': 8'))],
    ['no key', UPGRADE.slice(0, 3)],
  ])('with %s is a plain request', async (_what, fields) => {
    const { client, origin, headers } = await asked(fields);
    expect(fieldOf(headers, 'upgrade')).toBeUndefined();
    expect(fieldOf(headers, 'connection')).toBeUndefined();
    origin.write(OK);
    expect(await readAnswer(client)).toMatchObject({ status: 200 });
  });

  it.each([
    ['a wrong accept', SWITCH.replace(ACCEPT, `${ACCEPT.slice(0, -2)}A=`)],
    ['no accept', SWITCH.replace(/Sec-WebSocket-Accept.*\r\n/, '')],
    ['another protocol', SWITCH.replace('Upgrade: websocket', 'Upgrade: h2c')],
    ['no Connection', SWITCH.replace('Connection: Upgrade\r\n', '')],
  ])('answered by a 101 with %s is a 502', async (_what, text) => {
    const { client, origin } = await asked();
    origin.write(`${text}bytes of a pipe`);
    const answer = await readAnswer(client);
    expect(answer).toMatchObject({ status: 502 });
    expect(answer.header('alter-error')).toBe('upstream_protocol');
    await origin.over();
  });

  it.each([
    ['401', 'HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Basic\r\nContent-Length: 2\r\n\r\nno', 'no'],
    ['302', 'HTTP/1.1 302 Found\r\nLocation: /x\r\nContent-Length: 0\r\n\r\n', ''],
    ['200 in chunks', 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n', 'ok'],
  ])('answered by %s passes it on, and the socket goes on with HTTP', async (_what, text, body) => {
    const { client, origin } = await asked();
    origin.write(text);
    expect(await readAnswer(client)).toMatchObject({ status: Number(text.split(' ')[1]), body });
    client.write(head('GET /next'));
    expect((await readRequest(origin)).line).toBe('GET /next HTTP/1.1');
    origin.write(OK);
    expect(await readAnswer(client)).toMatchObject({ status: 200 });
  });

  it('walks the same line: a rule refuses it', async () => {
    const agent = await rig.agent({ paths: ['/api/**'] });
    const client = await agent.open();
    client.write(head('GET /ws', ...UPGRADE));
    expect(await readAnswer(client)).toMatchObject({ status: 403 });
  });
});

describe('a pipe', () => {
  it('carries bytes both ways, those that came with the heads too', async () => {
    const { client, origin } = await asked(UPGRADE, 'early from the agent');
    origin.write(`${SWITCH}early from the origin`);
    expect(await readAnswer(client)).toMatchObject({ status: 101 });
    expect(await client.until('early from the origin')).toBe('early from the origin');
    expect(await origin.until('early from the agent')).toBe('early from the agent');
    for (let i = 0; i < 50; i++) {
      const frame = Buffer.from([0x82, 2, i, 0, 255]);
      client.write(frame);
      expect(await origin.take(5)).toEqual(frame);
      origin.write(frame);
      expect(await client.take(5)).toEqual(frame);
    }
  });

  it('holds a fast side back until the slow one has read, and loses nothing', async () => {
    const { client, origin } = await joined();
    const block = Buffer.from(Uint8Array.from({ length: 1_000_003 }, (_, i) => i % 251));
    for (const [from, to] of [
      [client, origin],
      [origin, client],
    ] as const) {
      to.socket.pause();
      for (let i = 0; i < 8; i++) from.write(block);
      to.socket.resume();
      for (let i = 0; i < 8; i++) expect((await to.take(block.length)).equals(block)).toBe(true);
    }
  });

  it.each(['end', 'destroy'] as const)('ends on both sides by %s of the agent, with a row of its bytes', async (how) => {
    const { agent, client, origin } = await joined();
    client.write('12345');
    origin.write('123');
    await origin.take(5);
    await client.take(3);
    client.socket[how]();
    await origin.over();
    origin.socket.end();
    await expect
      .poll(async () => (await agent.rows())[0], { interval: 20 })
      .toMatchObject({ path: '/ws', status: 101, outcome: 'success', bytes_out: 5, bytes_in: 3 });
  });

  it.each(['end', 'destroy'] as const)('ends on both sides by %s of the origin, after its last bytes', async (how) => {
    const { client, origin } = await joined();
    origin.write('last words');
    if (how === 'destroy') await client.take(10);
    origin.socket[how]();
    expect(await client.rest()).toBe(how === 'end' ? 'last words' : '');
  });

  it.each([
    ['its grant is revoked', (agent: RigAgent) => rig.daemon.api('POST', `/v1/grants/${agent.grantId}/revoke`)],
    ['its agent is removed', (agent: RigAgent) => rig.daemon.api('DELETE', `/v1/agents/${agent.name}`)],
  ])('ends when %s', async (_what, change) => {
    const { agent, client, origin } = await joined();
    await change(agent);
    await Promise.all([client.over(), origin.over()]);
  });
});
