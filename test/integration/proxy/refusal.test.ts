/** What is refused, in which words, and that nothing of it reaches an origin: each refusal has a row. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { HOST, head, type Rig, type RigAgent, readAnswer, readRequest, startRig, type Wire } from './rig.ts';

let rig: Rig;
let agent: RigAgent;
beforeAll(async () => {
  rig = await startRig('[limits]\nhead_bytes = 16384\nheaders = 60\n[timeouts]\ntls_handshake_ms = 1000\n');
  agent = await rig.agent();
});
afterAll(() => rig.stop());

/** The newest row of this refusal. */
async function expectRow(wanted: Record<string, unknown>): Promise<void> {
  const newest = async (): Promise<unknown> => {
    const query = 'outcome=refused&limit=1';
    return (await rig.daemon.api<{ entries: unknown[] }>('GET', `/v1/audit?${query}`)).entries[0];
  };
  await expect.poll(newest, { interval: 20 }).toMatchObject(wanted);
}

async function expectClosed(wire: Wire): Promise<void> {
  expect(await wire.rest()).toBe('');
}

const malformed: readonly (readonly [string, string])[] = [
  ['a bare LF', `GET / HTTP/1.1\nHost: ${HOST}\n\n`],
  ['no Host', 'GET / HTTP/1.1\r\n\r\n'],
  ['two Host fields', head('GET /', `Host: ${HOST}`)],
  ['a space before a colon', head('GET /', 'X : y')],
  ['a folded field', head('GET /', 'X: a', ' b')],
  ['a NUL in a field', head('GET /', 'X: a\0b')],
  ['a raw byte in the path', head('GET /\xe9')],
  ['a fragment', head('GET /a#b')],
  ['two lengths', head('POST /', 'Content-Length: 1', 'Content-Length: 1')],
  ['a length and chunks', head('POST /', 'Content-Length: 1', 'Transfer-Encoding: chunked')],
  ['another transfer coding', head('POST /', 'Transfer-Encoding: gzip, chunked')],
  ['the preface of HTTP/2', 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'],
  ['an unknown version', `GET / HTTP/1.9\r\nHost: ${HOST}\r\n\r\n`],
  ['CONNECT inside the tunnel', `CONNECT ${HOST}:443 HTTP/1.1\r\nHost: ${HOST}\r\n\r\n`],
  ['empty lines without end', '\r\n'.repeat(50)],
];

describe('inside a tunnel', () => {
  it.each(malformed)('%s is 400 with a row', async (_what, text) => {
    const client = await agent.open();
    client.write(text);
    const answer = await readAnswer(client);
    expect(answer).toMatchObject({ status: 400 });
    expect(answer.header('alter-error')).toBe('malformed_request');
    expect(answer.json()).toMatchObject({ error: 'malformed_request', type: 'urn:alter:error:malformed_request' });
    await expectRow({ request_id: answer.header('alter-request-id'), status: 400, error: 'malformed_request', host: HOST });
  });

  it('what follows a malformed request is not read', async () => {
    const client = await agent.open();
    client.write(head('POST /', 'Content-Length: 1', 'Content-Length: 1') + head('GET /next'));
    const answer = await readAnswer(client);
    expect(answer.header('connection')).toBe('close');
    await expectClosed(client);
  });

  it.each([
    ['too long', head('GET /', `X: ${'a'.repeat(17_000)}`)],
    ['too long and without an end', `GET / HTTP/1.1\r\nX: ${'a'.repeat(17_000)}`],
    ['of too many fields', head('GET /', ...Array.from({ length: 61 }, (_, i) => `X-${i}: y`))],
  ])('a head that is %s is 431 and the end', async (_what, text) => {
    const client = await agent.open();
    client.write(text);
    expect(await readAnswer(client)).toMatchObject({ status: 431 });
    await expectClosed(client);
    await expectRow({ status: 431, error: 'request_too_large' });
  });

  it('TRACE is 405', async () => {
    const client = await agent.open();
    client.write(head('TRACE /'));
    expect(await readAnswer(client)).toMatchObject({ status: 405 });
    await expectRow({ status: 405, error: 'method_refused', method: 'TRACE' });
  });

  it.each([
    ['Host', `GET / HTTP/1.1\r\nHost: evil.test\r\n\r\n`],
    ['the port of Host', `GET / HTTP/1.1\r\nHost: ${HOST}:8443\r\n\r\n`],
    ['an absolute target', head('GET https://evil.test/')],
    ['the scheme of an absolute target', head('GET http://evil.test/')],
  ])('another name in %s is 421, and the socket lives on', async (_what, text) => {
    const client = await (await rig.agent()).open();
    client.write(text);
    const answer = await readAnswer(client);
    expect(answer).toMatchObject({ status: 421 });
    await expectRow({ request_id: answer.header('alter-request-id'), status: 421, error: 'misdirected_request' });
    client.write(head('GET /fine'));
    const origin = await rig.origin.next();
    await readRequest(origin);
    origin.write('HTTP/1.1 204 No Content\r\n\r\n');
    expect(await readAnswer(client)).toMatchObject({ status: 204 });
  });

  it('another SNI is 421', async () => {
    const client = await agent.open({ servername: 'evil.test' });
    client.write(head('GET /'));
    expect(await readAnswer(client)).toMatchObject({ status: 421 });
  });

  it('the same host in another spelling is the same host', async () => {
    const client = await (await rig.agent()).open({ host: 'API.Example.TEST.', servername: HOST });
    client.write('GET / HTTP/1.1\r\nHost: Api.Example.Test.:443\r\n\r\n');
    const origin = await rig.origin.next();
    expect((await readRequest(origin)).headers.slice(0, 2)).toEqual(['Host', HOST]);
    origin.write('HTTP/1.1 204 No Content\r\n\r\n');
    expect(await readAnswer(client)).toMatchObject({ status: 204 });
  });

  it.each([
    ['SSH', 'SSH-2.0-OpenSSH_9.2\r\n'],
    ['bytes', '\x00\x01\x02'],
    ['lower case', 'hello\r\n'],
  ])('%s is opaque: closed, with a row', async (_what, text) => {
    const client = await agent.connect();
    client.write(text);
    await expectClosed(client);
    await expectRow({ action: 'tunnel.refused', policy_error: 'opaque_tunnel', host: HOST });
  });

  it('silence is closed at the deadline of the handshake', async () => {
    await expectClosed(await agent.connect());
  });
});

describe('at the proxy port', () => {
  const basic = (): string => `Proxy-Authorization: ${agent.authorization}\r\n`;

  it.each([
    ['CONNECT', `CONNECT ${HOST}:443 HTTP/1.1\r\nHost: ${HOST}:443\r\n`],
    ['an absolute target', `GET http://plain.example.test/ HTTP/1.1\r\nHost: plain.example.test\r\n`],
  ])('%s without a key is 407, and the socket can be used with one', async (_what, text) => {
    const client = await agent.dial();
    for (const wrong of ['', 'Proxy-Authorization: Basic bm86bm8=\r\n', 'Proxy-Authorization: Negotiate x\r\n']) {
      client.write(`${text}${wrong}\r\n`);
      const answer = await readAnswer(client);
      expect(answer).toMatchObject({ status: 407 });
      expect(answer.header('proxy-authenticate')).toMatch(/^Basic /);
    }
    client.write(`CONNECT ${HOST}:443 HTTP/1.1\r\n${basic()}\r\n`);
    expect(await client.until('\r\n\r\n')).toBe('HTTP/1.1 200 Connection Established\r\n\r\n');
  });

  it.each([
    ['a path', `GET / HTTP/1.1\r\nHost: ${HOST}\r\n`],
    ['no port', `CONNECT ${HOST} HTTP/1.1\r\nHost: ${HOST}\r\n`],
    ['a user in the authority', `CONNECT ${HOST}@evil.test:443 HTTP/1.1\r\nHost: x\r\n`],
    ['a user in the URL', 'GET http://plain.example.test:80@evil.test/ HTTP/1.1\r\nHost: evil.test\r\n'],
    ['another Host than the URL', 'GET http://plain.example.test/ HTTP/1.1\r\nHost: evil.test\r\n'],
    ['another scheme', 'GET ftp://plain.example.test/ HTTP/1.1\r\nHost: plain.example.test\r\n'],
  ])('%s is 400', async (_what, text) => {
    const client = await agent.dial();
    client.write(`${text}${basic()}\r\n`);
    expect(await readAnswer(client)).toMatchObject({ status: 400 });
    await expectRow({ status: 400, error: 'malformed_request' });
  });

  it('TLS is told to use plain HTTP', async () => {
    const client = await agent.dial();
    client.write(Buffer.from([0x16, 3, 1, 0, 5, 1, 0, 0, 1, 3]));
    const answer = await readAnswer(client);
    expect(answer).toMatchObject({ status: 400 });
    expect(answer.body).toContain('http://');
    await expectClosed(client);
  });

  it('a CONNECT that came in pieces works', async () => {
    const client = await agent.dial();
    for (const byte of `CONNECT ${HOST}:443 HTTP/1.1\r\n${basic()}\r\n`) client.write(byte);
    expect(await client.until('\r\n\r\n')).toContain('200');
  });
});

describe('alterd.internal', () => {
  it('says who is calling', async () => {
    const client = await agent.open({ host: 'alterd.internal' });
    client.write('GET /whoami HTTP/1.1\r\nHost: alterd.internal\r\n\r\n');
    const answer = await readAnswer(client);
    expect(answer).toMatchObject({ status: 200 });
    expect(answer.json()).toMatchObject({ agent: agent.name, protocol: 'HTTP/1.1' });
    expect(answer.body).not.toContain(agent.key);
    client.write('HEAD /whoami HTTP/1.1\r\nHost: alterd.internal\r\n\r\n');
    expect(await readAnswer(client, 'HEAD')).toMatchObject({ status: 200 });
    client.write('GET /else HTTP/1.1\r\nHost: alterd.internal\r\n\r\n');
    expect(await readAnswer(client)).toMatchObject({ status: 403 });
  });
});

describe('an open tunnel', () => {
  it.each([
    ['its key', (a: RigAgent) => rig.daemon.api('DELETE', `/v1/agents/${a.name}`), 'caller_ended'],
    ['its grant', (a: RigAgent) => rig.daemon.api('POST', `/v1/grants/${a.grantId}/revoke`), undefined],
  ])('is refused from the next request on when %s ends', async (_what, end, policyError) => {
    const mine = await rig.agent();
    const client = await mine.open();
    client.write(head('GET /1'));
    const origin = await rig.origin.next();
    await readRequest(origin);
    origin.write('HTTP/1.1 204 No Content\r\n\r\n');
    expect(await readAnswer(client)).toMatchObject({ status: 204 });
    await end(mine);
    client.write(head('GET /2'));
    const answer = await readAnswer(client);
    expect(answer).toMatchObject({ status: 403 });
    if (policyError !== undefined) expect(answer.json()).toMatchObject({ policy_error: policyError });
    expect(origin.waiting).toBe('');
  });
});
