/** Hosts that nobody configured: a blind pipe or a refusal, and addresses that nobody reaches through the proxy. */
import { connect as connectTls } from 'node:tls';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Rig, type RigAgent, readAnswer, readRequest, startRawOrigin, startRig, Wire } from './rig.ts';

const OTHER = 'other.example.test';
let rig: Rig;
let agent: RigAgent;
const other = await startRawOrigin(null);
beforeAll(async () => {
  rig = await startRig(
    `allow_private = ["${OTHER}:443", "${OTHER}:80", "closed.example.test:443"]\n[limits]\ntunnels_per_agent = 3\n`,
    {
      [`${OTHER}:443`]: `127.0.0.1:${other.port}`,
      [`${OTHER}:80`]: `127.0.0.1:${other.port}`,
      'private.example.test:443': `127.0.0.1:${other.port}`,
      'metadata.example.test:443': '169.254.169.254:443',
      'closed.example.test:443': '127.0.0.1:1',
    },
  );
  agent = await rig.agent();
});
afterAll(async () => {
  await rig.stop();
  other.close();
});

async function row(mine: RigAgent, wanted: Record<string, unknown>): Promise<void> {
  await expect.poll(async () => (await mine.rows())[0], { interval: 20 }).toMatchObject(wanted);
}

/** CONNECT that may be refused. */
async function ask(authority: string, mine = agent): Promise<Wire> {
  const client = await mine.dial();
  client.write(`CONNECT ${authority} HTTP/1.1\r\nHost: ${authority}\r\nProxy-Authorization: ${mine.authorization}\r\n\r\n`);
  return client;
}

describe('a blind tunnel', () => {
  it('carries any bytes both ways, half-close included, and its row has their number', async () => {
    const mine = await rig.agent();
    const client = await mine.connect(`${OTHER}:443`);
    client.write('SSH-2.0-anything\r\n\0\xff');
    const origin = await other.next();
    expect((await origin.take(20)).toString('latin1')).toBe('SSH-2.0-anything\r\n\0\xff');
    client.socket.end();
    await origin.over();
    origin.write('said after the end of the other side');
    expect((await client.take(36)).toString()).toBe('said after the end of the other side');
    origin.socket.end();
    await client.over();
    await row(mine, { kind: 'tunnel', action: 'tunnel.opened', outcome: 'success', bytes_out: 20, bytes_in: 36, host: OTHER });
  });

  it('takes bytes that came with CONNECT', async () => {
    const client = await agent.dial();
    client.write(`CONNECT ${OTHER}:443 HTTP/1.1\r\nProxy-Authorization: ${agent.authorization}\r\n\r\nearly`);
    const origin = await other.next();
    expect((await origin.take(5)).toString()).toBe('early');
    expect(await client.until('\r\n\r\n')).toContain('200');
    client.socket.destroy();
    await origin.over();
  });

  it('leaves TLS to the two ends', async () => {
    const secure = await startRawOrigin(rig.pki);
    const client = await agent.connect(`${OTHER}:443`);
    const carried = connectTls({ socket: client.socket, servername: OTHER, ca: rig.pki.ca.certPem });
    const wire = new Wire(carried);
    const origin = await other.next();
    // The first bytes are the client's own hello, not one of ours.
    expect((await origin.take(3))[0]).toBe(0x16);
    origin.socket.destroy();
    await wire.over();
    secure.close();
  });

  it.each(['agent', 'origin'] as const)('is cut on both sides when the %s breaks off', async (who) => {
    const client = await agent.connect(`${OTHER}:443`);
    client.write('x');
    const origin = await other.next();
    (who === 'agent' ? client : origin).socket.resetAndDestroy();
    await (who === 'agent' ? origin : client).over();
  });

  it('holds a fast side back and loses nothing', async () => {
    const client = await agent.connect(`${OTHER}:443`);
    client.write('x');
    const origin = await other.next();
    await origin.take(1);
    const block = Buffer.from(Uint8Array.from({ length: 4_000_037 }, (_, i) => i % 241));
    for (const [from, to] of [
      [client, origin],
      [origin, client],
    ] as const) {
      to.socket.pause();
      from.write(block);
      to.socket.resume();
      expect((await to.take(block.length)).equals(block)).toBe(true);
    }
    client.socket.destroy();
    await origin.over();
  });

  it('ends when the key of its agent ends', async () => {
    const mine = await rig.agent();
    const client = await mine.connect(`${OTHER}:443`);
    client.write('x');
    const origin = await other.next();
    await rig.daemon.api('DELETE', `/v1/agents/${mine.name}`);
    await Promise.all([client.over(), origin.over()]);
  });

  it('counts: the fourth of an agent is refused, and a place is free again when one ends', async () => {
    const mine = await rig.agent();
    const open = [];
    for (let i = 0; i < 3; i++) open.push(await mine.connect(`${OTHER}:443`));
    const refused = await readAnswer(await ask(`${OTHER}:443`, mine));
    expect(refused).toMatchObject({ status: 503 });
    expect(refused.header('retry-after')).toBe('1');
    open[0]?.socket.resetAndDestroy();
    await expect
      .poll(async () => (await (await ask(`${OTHER}:443`, mine)).until('\r\n\r\n')).slice(9, 12), { interval: 20 })
      .toBe('200');
  });
});

describe('a request for a host without a grant', () => {
  it('is forwarded as it is, with nothing added', async () => {
    const client = await agent.dial();
    const lines = `Host: ${OTHER}\r\nAuthorization: mine\r\nProxy-Authorization: ${agent.authorization}\r\n`;
    client.write(`GET http://${OTHER}/x?y HTTP/1.1\r\n${lines}\r\n`);
    const origin = await other.next();
    const request = await readRequest(origin);
    expect(request.line).toBe('GET /x?y HTTP/1.1');
    expect(request.headers).toEqual(['Host', OTHER, 'Authorization', 'mine']);
    origin.write('HTTP/1.1 401 No\r\nContent-Length: 0\r\n\r\n');
    const answer = await readAnswer(client);
    expect(answer).toMatchObject({ status: 401 });
    expect(answer.header('alter-error')).toBeUndefined();
  });
});

describe('an address that is not allowed is refused', () => {
  it.each([
    ['a private one by name', 'private.example.test:443', 'address_not_allowed'],
    ['a metadata service by name', 'metadata.example.test:443', 'address_not_allowed'],
    ['loopback', '127.0.0.1:9', 'address_not_allowed'],
    ['loopback in hexadecimal', '0x7f.1:9', 'address_not_allowed'],
    ['loopback as one number', '2130706433:9', 'address_not_allowed'],
    ['a mapped address', '[::ffff:127.0.0.1]:9', 'address_not_allowed'],
    ['IPv6 loopback', '[::1]:9', 'address_not_allowed'],
    ['a metadata service', '169.254.169.254:80', 'address_not_allowed'],
    ['an unspecified address', '0.0.0.0:80', 'address_not_allowed'],
  ])('%s', async (_what, authority, policyError) => {
    const answer = await readAnswer(await ask(authority));
    expect(answer).toMatchObject({ status: 403 });
    expect(answer.json()).toMatchObject({ error: 'destination_refused', policy_error: policyError });
    await row(agent, { outcome: 'refused', status: 403, error: 'destination_refused', policy_error: policyError });
  });

  it('also where a grant names it without allow_private', async () => {
    const mine = await rig.agent({ allow_private: false, hosts: ['private.example.test'], allow_plaintext: false });
    const client = await mine.open({ host: 'private.example.test' });
    client.write('GET / HTTP/1.1\r\nHost: private.example.test\r\n\r\n');
    const answer = await readAnswer(client);
    expect(answer).toMatchObject({ status: 403 });
    expect(answer.json()).toMatchObject({ policy_error: 'address_not_allowed' });
    await row(mine, {
      ...{ outcome: 'refused', decision: 'allow', error: 'destination_refused' },
      ...{ policy_error: 'address_not_allowed', grant_id: mine.grantId },
    });
  });

  it.each(['127.0.0.1', '[::ffff:127.0.0.1]'])("the proxy's own port on %s, even with allow_private", async (host) => {
    const hosts = [`http://${host}:${rig.daemon.port}`];
    const mine = await rig.agent({ hosts });
    const client = await mine.connect(`${host}:${rig.daemon.port}`);
    client.write(`GET / HTTP/1.1\r\nHost: ${host}:${rig.daemon.port}\r\n\r\n`);
    const answer = await readAnswer(client);
    expect(answer).toMatchObject({ status: 403 });
    expect(answer.json()).toMatchObject({ policy_error: 'own_listener' });
  });
});

it('an origin that does not answer is a 502 on CONNECT, and the socket can be used again', async () => {
  const client = await ask('closed.example.test:443');
  const answer = await readAnswer(client);
  expect(answer).toMatchObject({ status: 502 });
  expect(answer.header('alter-error')).toBe('upstream_unreachable');
  await row(agent, { outcome: 'provider_error', status: 502, error: 'upstream_unreachable' });
  client.write(`CONNECT ${OTHER}:443 HTTP/1.1\r\nProxy-Authorization: ${agent.authorization}\r\n\r\n`);
  expect(await client.until('\r\n\r\n')).toContain(' 200 ');
});

it('with egress = "refuse" a host without a grant is refused before anything is looked up', async () => {
  const strict = await startRig('egress = "refuse"\n');
  const mine = await strict.agent();
  const client = await mine.dial();
  client.write(`CONNECT ${OTHER}:443 HTTP/1.1\r\nProxy-Authorization: ${mine.authorization}\r\n\r\n`);
  const answer = await readAnswer(client);
  expect(answer).toMatchObject({ status: 403 });
  expect(answer.json()).toMatchObject({ policy_error: 'egress_refused' });
  client.write(`GET http://${OTHER}/ HTTP/1.1\r\nHost: ${OTHER}\r\nProxy-Authorization: ${mine.authorization}\r\n\r\n`);
  expect(await readAnswer(client)).toMatchObject({ status: 403 });
  await strict.stop();
});
