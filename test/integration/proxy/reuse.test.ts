/** Which sockets to origins are used again and by whom, and what one socket of an agent can carry. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { fieldOf, head, type Rig, readAnswer, readRequest, startRig, type Wire } from './rig.ts';

let rig: Rig;
beforeAll(async () => {
  rig = await startRig('[limits]\nupstream_per_destination = 2\n[timeouts]\nupstream_idle_ms = 60000\nconnect_ms = 2000\n', {
    'gone.example.test:443': '127.0.0.1:1',
  });
});
afterAll(() => rig.stop());

const OK = 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok';

/** One exchange; answers the origin's socket. */
async function exchange(client: Wire, path: string, known?: Wire, answer = OK): Promise<Wire> {
  client.write(head(`GET ${path}`));
  const origin = known ?? (await rig.origin.next());
  expect((await readRequest(origin)).line).toBe(`GET ${path} HTTP/1.1`);
  origin.write(answer);
  expect(await readAnswer(client)).toMatchObject({ status: 200 });
  return origin;
}

const opened = (): number => rig.origin.wires.length;

describe('a socket to an origin', () => {
  it('serves 20 requests of one agent, also from several of its sockets', async () => {
    const agent = await rig.agent();
    const before = opened();
    const clients = [await agent.open(), await agent.open()];
    let origin: Wire | undefined;
    for (let i = 0; i < 20; i++) origin = await exchange(clients[i % 2] as Wire, `/${i}`, origin);
    expect(opened() - before).toBe(1);
  });

  it('is never shared by two agents', async () => {
    const first = await exchange(await (await rig.agent()).open(), '/a');
    const second = await exchange(await (await rig.agent()).open(), '/b');
    expect(second).not.toBe(first);
  });

  it('is never shared by two grants', async () => {
    const agent = await rig.agent({ label: 'one' });
    await rig.daemon.api('POST', '/v1/grants', {
      credential: 'demo',
      agent: agent.name,
      label: 'two',
      hosts: ['api.example.test'],
      allow_private: true,
    });
    const client = await agent.open();
    const origins: Wire[] = [];
    for (const label of ['one', 'two']) {
      client.write(head('GET /', `Alter-Label: ${label}`));
      const origin = await rig.origin.next();
      await readRequest(origin);
      origin.write(OK);
      expect(await readAnswer(client)).toMatchObject({ status: 200 });
      origins.push(origin);
    }
    expect(origins[0]).not.toBe(origins[1]);
  });

  it.each([
    ['Connection: close', 'HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok'],
    ['HTTP/1.0', 'HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok'],
  ])('is not used again after %s', async (_what, answer) => {
    const client = await (await rig.agent()).open();
    const first = await exchange(client, '/1', undefined, answer);
    await first.over();
    expect(await exchange(client, '/2')).not.toBe(first);
  });

  it('that the origin closed while it was idle costs no request', async () => {
    const client = await (await rig.agent()).open();
    const first = await exchange(client, '/1');
    first.socket.destroy();
    client.write(head('POST /2', 'Content-Length: 2'));
    client.write('hi');
    // Either the close was seen in time and the request goes out once, on a new socket, or it is a 502 and arrived nowhere.
    const arrived = rig.origin.next().then(async (origin) => {
      expect(await readRequest(origin)).toMatchObject({ line: 'POST /2 HTTP/1.1', body: 'hi' });
      origin.write(OK);
    });
    const answer = await readAnswer(client);
    if (answer.status === 200) await arrived;
    else expect(answer.status).toBe(502);
  });

  it('serves again after an answer that a slow agent read late', async () => {
    const agent = await rig.agent();
    const client = await agent.open();
    client.socket.pause();
    client.write(head('GET /big'));
    const origin = await rig.origin.next();
    await readRequest(origin);
    const body = Buffer.alloc(8 * 1024 * 1024, 'x');
    origin.write(`HTTP/1.1 200 OK\r\nContent-Length: ${body.length}\r\n\r\n`);
    origin.write(body);
    client.socket.resume();
    expect((await readAnswer(client)).body.length).toBe(body.length);
    for (let i = 0; i < 3; i++) await exchange(client, `/${i}`, origin);
  });
});

describe('the limit of sockets to one origin', () => {
  it('makes requests wait for a socket that is free', async () => {
    const agent = await rig.agent();
    const clients = await Promise.all([1, 2, 3].map(() => agent.open()));
    for (const client of clients) client.write(head('GET /'));
    const first = await rig.origin.next();
    const second = await rig.origin.next();
    await readRequest(first);
    await readRequest(second);
    first.write(OK);
    await readRequest(first);
    first.write(OK);
    second.write(OK);
    for (const client of clients) expect(await readAnswer(client)).toMatchObject({ status: 200, body: 'ok' });
  });

  it('gives the place of one that ended to who waits', async () => {
    const agent = await rig.agent();
    const clients = await Promise.all([1, 2, 3].map(() => agent.open()));
    for (const client of clients) client.write(head('GET /'));
    const first = await rig.origin.next();
    await readRequest(first);
    first.socket.destroy();
    const second = await rig.origin.next();
    const third = await rig.origin.next();
    for (const origin of [second, third]) {
      await readRequest(origin);
      origin.write(OK);
    }
    const answers = await Promise.all(clients.map((client) => readAnswer(client)));
    expect(answers.map((a) => a.status).sort()).toEqual([200, 200, 502]);
  });

  it('does not leave who waits behind when a dial fails', async () => {
    const agent = await rig.agent({ hosts: ['gone.example.test'] });
    const clients = await Promise.all([1, 2, 3, 4].map(() => agent.open({ host: 'gone.example.test' })));
    for (const client of clients) client.write('GET / HTTP/1.1\r\nHost: gone.example.test\r\n\r\n');
    for (const client of clients) expect(await readAnswer(client)).toMatchObject({ status: 502 });
  });
});

describe('a socket of an agent', () => {
  it('carries pipelined requests one by one, each ruled on and written down on its own', async () => {
    const agent = await rig.agent({ methods: ['GET'] });
    const client = await agent.open();
    client.write(head('GET /1') + head('DELETE /2') + head('GET /3'));
    const origin = await rig.origin.next();
    expect((await readRequest(origin)).line).toBe('GET /1 HTTP/1.1');
    expect(origin.waiting).toBe('');
    origin.write(OK);
    expect(await readAnswer(client)).toMatchObject({ status: 200 });
    expect(await readAnswer(client)).toMatchObject({ status: 403 });
    expect((await readRequest(origin)).line).toBe('GET /3 HTTP/1.1');
    origin.write(OK);
    expect(await readAnswer(client)).toMatchObject({ status: 200 });
    const lines = async (): Promise<string[]> =>
      (await agent.rows()).filter((r) => r.kind === 'exchange').map((r) => `${r.path} ${r.status}`);
    await expect.poll(async () => (await lines()).sort(), { interval: 20 }).toEqual(['/1 200', '/2 403', '/3 200']);
  });

  it('carries what is pipelined behind a body, with empty lines between', async () => {
    const client = await (await rig.agent()).open();
    client.write(`${head('POST /1', 'Content-Length: 3')}abc\r\n${head('GET /2')}`);
    const origin = await rig.origin.next();
    expect(await readRequest(origin)).toMatchObject({ line: 'POST /1 HTTP/1.1', body: 'abc' });
    origin.write(OK);
    expect(await readAnswer(client)).toMatchObject({ status: 200 });
    expect((await readRequest(origin)).line).toBe('GET /2 HTTP/1.1');
    origin.write(OK);
    expect(await readAnswer(client)).toMatchObject({ status: 200 });
  });

  it('ends after Connection: close', async () => {
    const client = await (await rig.agent()).open();
    client.write(head('GET /1', 'Connection: close') + head('GET /2'));
    const origin = await rig.origin.next();
    expect(fieldOf((await readRequest(origin)).headers, 'connection')).toBeUndefined();
    origin.write(OK);
    const answer = await readAnswer(client);
    expect(answer.header('connection')).toBe('close');
    expect(await client.rest()).toBe('');
    expect(origin.waiting).toBe('');
  });

  it('of HTTP/1.0 ends after its answer, unless both want it to live on', async () => {
    const agent = await rig.agent();
    const client = await agent.open();
    client.write('GET /1 HTTP/1.0\r\nHost: api.example.test\r\nConnection: keep-alive\r\n\r\n');
    const origin = await rig.origin.next();
    expect((await readRequest(origin)).line).toBe('GET /1 HTTP/1.1');
    origin.write(OK);
    expect((await readAnswer(client)).header('connection')).toBe('keep-alive');
    client.write('GET /2 HTTP/1.0\r\n\r\n');
    expect((await readRequest(origin)).line).toBe('GET /2 HTTP/1.1');
    origin.write(OK);
    expect((await readAnswer(client)).header('connection')).toBe('close');
    await client.over();
  });

  it('of HTTP/1.0 gets chunks as a body that ends with the socket', async () => {
    const client = await (await rig.agent()).open();
    client.write('GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n');
    const origin = await rig.origin.next();
    await readRequest(origin);
    origin.write(
      'HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nX: y\r\n\r\n',
    );
    const answer = await readAnswer(client);
    expect(answer).toMatchObject({ status: 200, body: 'ok' });
    expect(answer.headers).toEqual(['Connection', 'close']);
  });
});
