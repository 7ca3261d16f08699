/** The way to origins: certificates that are not accepted, proxies on the way, addresses in place of names, the absolute form. */

import { rmSync, writeFileSync } from 'node:fs';
import { type AddressInfo, connect as connectTcp, createServer } from 'node:net';
import { join } from 'node:path';
import { createServer as createTlsServer, type SecureContext } from 'node:tls';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { LeafIssuer } from '../../../src/ca/leaf.ts';
import { makePki } from '../../helpers/pki.ts';
import {
  fieldOf,
  HOST,
  head,
  INJECTED,
  RawOrigin,
  type Rig,
  readAnswer,
  readRequest,
  startRawOrigin,
  startRig,
  Wire,
} from './rig.ts';

const OK = 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok';

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}

describe('an origin with a certificate that is not accepted', () => {
  let rig: Rig;
  let context: (name: string) => SecureContext;
  const server = createTlsServer({ SNICallback: (name, done) => done(null, context(name)) });
  const origin = new RawOrigin(server, true);
  const foreign = makePki();
  beforeAll(async () => {
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    rig = await startRig('', { 'bad.example.test:443': `127.0.0.1:${origin.port}` });
  });
  afterAll(async () => {
    await rig.stop();
    origin.close();
    rmSync(foreign.dir, { recursive: true });
  });

  it.each([
    ['expired', (name: string) => new LeafIssuer(rig.pki.ca, { lifeMs: 1 }).contextFor(name, 0), /EXPIRED/],
    ['of an unknown authority', (name: string) => foreign.contextFor(name), /UNABLE_TO|SELF_SIGNED/],
    ['of another host', () => rig.pki.contextFor('evil.test'), /ALTNAME/],
    ['of a parent of the host', () => rig.pki.contextFor('example.test'), /ALTNAME/],
  ])('that is %s gets nothing, and the agent a 502', async (_what, made, reason) => {
    context = made;
    const agent = await rig.agent({ hosts: ['bad.example.test'], allow_plaintext: false });
    const client = await agent.open({ host: 'bad.example.test' });
    client.write('POST / HTTP/1.1\r\nHost: bad.example.test\r\nContent-Length: 6\r\n\r\nsecret');
    const answer = await readAnswer(client);
    expect(answer).toMatchObject({ status: 502 });
    expect(answer.json()).toMatchObject({ error: 'upstream_untrusted', reason: expect.stringMatching(reason) });
    for (const wire of origin.wires) expect(wire.waiting).toBe('');
    await expect
      .poll(async () => (await agent.rows())[0], { interval: 20 })
      .toMatchObject({ outcome: 'provider_error', error: 'upstream_untrusted', status: 502 });
  });
});

describe('an address in place of a name', () => {
  it.each([
    ['127.0.0.1', '127.0.0.1'],
    ['::1', '[::1]'],
  ] as const)('%s is dialled, with a certificate for the address on both sides', async (ip, authority) => {
    const rig = await startRig();
    const tls = createTlsServer({ ALPNProtocols: ['http/1.1'] });
    // Without SNI no callback picks a certificate.
    const show = (context: SecureContext): unknown =>
      ((tls as unknown as { _sharedCreds: SecureContext })._sharedCreds = context);
    const seen: unknown[] = [];
    tls.on('secureConnection', (socket) => seen.push((socket as { servername?: string | false }).servername));
    const origin = new RawOrigin(tls, true);
    await new Promise<void>((resolve) => tls.listen(0, ip, resolve));
    const agent = await rig.agent({ hosts: [`${authority}:${origin.port}`], allow_plaintext: false });
    show(rig.pki.contextFor('name.example.test'));
    const untrusted = await agent.open({ host: ip, port: origin.port });
    untrusted.write(`GET / HTTP/1.1\r\nHost: ${authority}:${origin.port}\r\n\r\n`);
    expect(await readAnswer(untrusted)).toMatchObject({ status: 502 });
    show(rig.pki.contextFor(ip));
    const client = await agent.open({ host: ip, port: origin.port });
    client.write(`GET /x HTTP/1.1\r\nHost: ${authority}:${origin.port}\r\n\r\n`);
    const wire = await origin.next();
    const request = await readRequest(wire);
    expect(request.headers).toEqual(['Host', `${authority}:${origin.port}`, 'Authorization', INJECTED]);
    wire.write(OK);
    expect(await readAnswer(client)).toMatchObject({ status: 200 });
    expect(seen.every((name) => name === false || name === undefined)).toBe(true);
    origin.close();
    await rig.stop();
  });
});

describe('the absolute form', () => {
  let rig: Rig;
  beforeAll(async () => {
    rig = await startRig();
  });
  afterAll(() => rig.stop());

  it('of http goes to a grant that allows cleartext', async () => {
    const agent = await rig.agent();
    const client = await agent.dial();
    const lines = `Host: plain.example.test\r\nProxy-Authorization: ${agent.authorization}\r\nProxy-Connection: keep-alive\r\n`;
    for (const path of ['/a//b?c', '/2']) {
      client.write(`GET http://plain.example.test${path} HTTP/1.1\r\n${lines}\r\n`);
      const origin = rig.plain.wires[0] ?? (await rig.plain.next());
      const request = await readRequest(origin);
      expect(request).toMatchObject({ line: `GET ${path} HTTP/1.1` });
      expect(request.headers).toEqual(['Host', 'plain.example.test', 'Authorization', INJECTED]);
      origin.write(OK);
      expect(await readAnswer(client)).toMatchObject({ status: 200, body: 'ok' });
    }
  });

  it('of http is refused by a grant that does not', async () => {
    const agent = await rig.agent({ hosts: [HOST], allow_plaintext: false });
    const client = await agent.dial();
    client.write(`GET http://${HOST}/ HTTP/1.1\r\nHost: ${HOST}\r\nProxy-Authorization: ${agent.authorization}\r\n\r\n`);
    expect(await readAnswer(client)).toMatchObject({ status: 403 });
  });

  it.each([
    ['', '/'],
    ['?a=b', '/?a=b'],
    ['/x', '/x'],
  ])('of https with %j, as axios sends it, goes out over TLS', async (rest, target) => {
    const agent = await rig.agent();
    const client = await agent.dial();
    client.write(`GET https://${HOST}${rest} HTTP/1.1\r\nHost: ${HOST}\r\nProxy-Authorization: ${agent.authorization}\r\n\r\n`);
    const origin = await rig.origin.next();
    const request = await readRequest(origin);
    expect(request.line).toBe(`GET ${target} HTTP/1.1`);
    expect(fieldOf(request.headers, 'authorization')).toBe(INJECTED);
    origin.write(OK);
    expect(await readAnswer(client)).toMatchObject({ status: 200 });
  });

  it('inside a tunnel goes out as a path', async () => {
    const client = await (await rig.agent()).open();
    client.write(head(`GET https://${HOST}/x`));
    const origin = await rig.origin.next();
    expect((await readRequest(origin)).line).toBe('GET /x HTTP/1.1');
  });

  it('is not needed for plain HTTP inside a tunnel', async () => {
    const agent = await rig.agent();
    const client = await agent.connect('plain.example.test:80');
    client.write('GET /in HTTP/1.1\r\nHost: plain.example.test\r\n\r\n');
    const origin = await rig.plain.next();
    const request = await readRequest(origin);
    expect(request).toMatchObject({ line: 'GET /in HTTP/1.1' });
    expect(fieldOf(request.headers, 'authorization')).toBe(INJECTED);
    origin.write(OK);
    expect(await readAnswer(client)).toMatchObject({ status: 200 });
  });
});

describe('an upstream proxy', () => {
  it('gets CONNECT with its own credentials, then the handshake with the origin', async () => {
    const proxy = await startRawOrigin(null);
    const pki = makePki();
    const authFile = join(pki.dir, 'proxy-auth');
    writeFileSync(authFile, 'user:SEKRET-marker-proxy\n');
    const rig = await startRig('', {}, `proxy = "http://127.0.0.1:${proxy.port}"\nproxy_auth_file = "${authFile}"\n`);
    const agent = await rig.agent();
    const client = await agent.open();
    client.write(head('GET /through'));
    const carrier = await proxy.next();
    const connect = await readRequest(carrier);
    expect(connect.line).toBe(`CONNECT ${HOST}:443 HTTP/1.1`);
    expect(fieldOf(connect.headers, 'proxy-authorization')).toBe(
      `Basic ${Buffer.from('user:SEKRET-marker-proxy').toString('base64')}`,
    );
    carrier.write('HTTP/1.1 200 OK\r\nX: y\r\n\r\n');
    const far = new Wire(connectTcp(rig.origin.port, '127.0.0.1'));
    carrier.socket.pipe(far.socket).pipe(carrier.socket);
    const origin = await rig.origin.next();
    const request = await readRequest(origin);
    expect(request.line).toBe('GET /through HTTP/1.1');
    expect(request.headers.join()).not.toMatch(/proxy|hop/i);
    origin.write(OK);
    expect(await readAnswer(client)).toMatchObject({ status: 200, body: 'ok' });
    await rig.stop();
    proxy.close();
    rmSync(pki.dir, { recursive: true });
  });

  it('that does not open the way is a 502', async () => {
    const proxy = await startRawOrigin(null);
    let text = '';
    const rig = await startRig('', {}, `proxy = "http://127.0.0.1:${proxy.port}"\n`);
    // One socket may be opened in advance; all hear the same.
    void (async () => {
      for (;;) {
        const carrier = await proxy.next();
        await readRequest(carrier);
        carrier.write(text);
      }
    })().catch(() => {});
    for (const [answered, reason] of [
      ['HTTP/1.1 407 Proxy Authentication Required\r\n\r\n', /407/],
      ['hello\r\n\r\n', /garbage/],
      ['HTTP/1.1 200 OK\r\n\r\nevil', /bytes of its own/],
      ['x'.repeat(20_000), /no answer/],
    ] as const) {
      text = answered;
      const client = await (await rig.agent()).open();
      client.write(head('GET /'));
      const answer = await readAnswer(client);
      expect(answer).toMatchObject({ status: 502 });
      expect(answer.json()).toMatchObject({ error: 'upstream_unreachable', reason: expect.stringMatching(reason) });
    }
    await rig.stop();
    proxy.close();
  });

  it('may be another alterd, which sees a tunnel', async () => {
    const far = await startRig(`allow_private = ["${HOST}:443"]\n`);
    const passer = await far.daemon.agent('passer');
    const authFile = join(far.pki.dir, 'auth');
    writeFileSync(authFile, `passer:${passer.key}`);
    const near = await startRig(
      '',
      {},
      `proxy = "http://127.0.0.1:${far.daemon.port}"\nproxy_auth_file = "${authFile}"\n`,
      far.pki,
    );
    const client = await (await near.agent()).open();
    client.write(head('GET /chained'));
    const origin = await far.origin.next();
    expect((await readRequest(origin)).headers).toEqual(['Host', HOST, 'Authorization', INJECTED]);
    origin.write(OK);
    expect(await readAnswer(client)).toMatchObject({ status: 200 });
    await near.stop();
    await far.stop();
  });

  it('that leads back is a loop, though it has no key', async () => {
    const port = await freePort();
    const rig = await startRig('', {}, `proxy = "http://127.0.0.1:${port}"\n`, undefined, { 'listen.tcp': `127.0.0.1:${port}` });
    const agent = await rig.agent();
    const client = await agent.open();
    client.write(head('GET /'));
    const answer = await readAnswer(client);
    expect(answer).toMatchObject({ status: 508 });
    expect(answer.header('alter-error')).toBe('loop_detected');
    await rig.stop();
  });
});
