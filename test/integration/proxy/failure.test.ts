/** What happens when one side leaves, stalls or sends what is no HTTP: the other side learns it, nothing hangs, nothing leaks. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { head, type Rig, type RigAgent, readAnswer, readChunks, readRequest, startRig, type Wire } from './rig.ts';

let rig: Rig;
beforeAll(async () => {
  rig = await startRig('[timeouts]\nclient_head_ms = 600\nresponse_head_ms = 60000\n');
});
afterAll(() => rig.stop());

const OK = 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok';

/** A request that has reached the origin. */
async function underWay(request = head('GET /')): Promise<{ agent: RigAgent; client: Wire; origin: Wire }> {
  const agent = await rig.agent();
  const client = await agent.open();
  client.write(request);
  const origin = await rig.origin.next();
  await readRequest(origin, true);
  return { agent, client, origin };
}

/** Polls for the row: it is written after the sockets are closed. */
async function row(agent: RigAgent, wanted: Record<string, unknown>): Promise<void> {
  await expect.poll(async () => (await agent.rows())[0], { interval: 20, timeout: 5000 }).toMatchObject(wanted);
}

async function stillServes(client: Wire, origin?: Wire): Promise<void> {
  client.write(head('GET /again'));
  const upstream = origin ?? (await rig.origin.next());
  expect((await readRequest(upstream)).line).toBe('GET /again HTTP/1.1');
  upstream.write(OK);
  expect(await readAnswer(client)).toMatchObject({ status: 200, body: 'ok' });
}

describe('an agent that leaves frees the origin', () => {
  it('before an answer, whether it breaks off or only ends', async () => {
    const leave = async (how: 'destroy' | 'end'): Promise<void> => {
      const { agent, client, origin } = await underWay();
      client.socket[how]();
      await origin.over();
      await row(agent, { outcome: 'client_abort', status: null });
    };
    await Promise.all([leave('destroy'), leave('end')]);
  });

  it('in the middle of its own body', async () => {
    const { agent, client, origin } = await underWay(head('POST /', 'Content-Length: 100'));
    client.write('half');
    await origin.until('half');
    client.socket.destroy();
    await origin.over();
    await row(agent, { outcome: 'client_abort', bytes_out: 4 });
  });

  it('in the middle of an answer that goes on', async () => {
    const { agent, client, origin } = await underWay();
    origin.write('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n');
    await client.until('x\r\n');
    client.socket.destroy();
    const noise = setInterval(() => origin.write('1\r\ny\r\n'), 5);
    await origin.over();
    clearInterval(noise);
    await row(agent, { outcome: 'client_abort', status: 200 });
  });
});

describe('an origin that breaks off', () => {
  it.each([
    ['of known length', 'Content-Length: 100\r\n\r\nhalf'],
    ['in chunks', 'Transfer-Encoding: chunked\r\n\r\n64\r\nhalf'],
    ['between chunks', 'Transfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n'],
  ])('in a body %s cuts the agent off', async (_what, text) => {
    for (const how of ['destroy', 'end'] as const) {
      const { agent, client, origin } = await underWay();
      origin.write(`HTTP/1.1 200 OK\r\n${text}`);
      await client.until('half');
      origin.socket[how]();
      await client.over();
      expect(client.waiting).not.toContain('0\r\n\r\n');
      await row(agent, { outcome: 'provider_error', status: 200, error: 'upstream_unreachable' });
    }
  });

  it('before an answer is a 502, and the socket of the agent lives on', async () => {
    const { client, origin } = await underWay();
    origin.socket.destroy();
    const answer = await readAnswer(client);
    expect(answer).toMatchObject({ status: 502 });
    expect(answer.header('alter-error')).toBe('upstream_unreachable');
    await stillServes(client);
  });

  it.each([
    ['an illegal status', 'HTTP/1.1 099 X\r\n\r\n'],
    ['a status above 599', 'HTTP/1.1 999 X\r\nContent-Length: 0\r\n\r\n'],
    ['a control byte in a header', 'HTTP/1.1 200 OK\r\nX: \x01\r\nContent-Length: 0\r\n\r\n'],
    ['a folded header', 'HTTP/1.1 200 OK\r\nX: a\r\n b\r\nContent-Length: 0\r\n\r\n'],
    ['two framings', 'HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n'],
    ['two lengths', 'HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nx'],
    ['another protocol', 'SSH-2.0-OpenSSH\r\n\r\n'],
    ['an endless head', `HTTP/1.1 200 OK\r\nX: ${'a'.repeat(70_000)}`],
    ['too many headers', `HTTP/1.1 200 OK\r\n${'X: a\r\n'.repeat(300)}\r\n`],
    ['informational answers without end', 'HTTP/1.1 103 Early Hints\r\n\r\n'.repeat(100)],
    ['a 101 that nobody asked for', 'HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n'],
  ])('with %s is a 502, and nothing of it is used again', async (_what, text) => {
    const { client, origin } = await underWay();
    origin.write(text);
    let answer = await readAnswer(client);
    while (answer.status === 103) answer = await readAnswer(client);
    expect(answer).toMatchObject({ status: 502 });
    expect(answer.header('alter-error')).toBe('upstream_protocol');
    await origin.over();
    await stillServes(client);
  });

  it('with garbage in the chunks cuts the agent off', async () => {
    const { client, origin } = await underWay();
    origin.write('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\nzz\r\n');
    await client.over();
    await origin.over();
  });

  it('with bytes behind its answer has answered, and its socket is not used again', async () => {
    const { client, origin } = await underWay();
    origin.write(`${OK}HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil`);
    expect(await readAnswer(client)).toMatchObject({ status: 200, body: 'ok' });
    await origin.over();
    await stillServes(client);
  });

  it('by sending before it is asked has its socket closed', async () => {
    const { client, origin } = await underWay();
    origin.write(OK);
    expect(await readAnswer(client)).toMatchObject({ status: 200 });
    origin.write('HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil');
    await origin.over();
    await stillServes(client);
  });
});

describe('an early answer', () => {
  it('of the origin reaches an agent that is still uploading', async () => {
    const { client, origin } = await underWay(head('POST /', 'Content-Length: 50000000'));
    client.write(Buffer.alloc(300_000, 'x'));
    await origin.take(1000);
    origin.write('HTTP/1.1 413 Too Large\r\nContent-Length: 3\r\nConnection: close\r\n\r\nbig');
    const answer = await readAnswer(client);
    expect(answer).toMatchObject({ status: 413, body: 'big' });
    expect(answer.header('connection')).toBe('close');
    await client.rest();
    await origin.over();
  });

  it('of ours to a small body keeps the socket, and the body is not a request', async () => {
    const agent = await rig.agent({ methods: ['GET'] });
    const client = await agent.open();
    const inner = head('GET /smuggled');
    client.write(head('POST /', `Content-Length: ${inner.length}`));
    expect(await readAnswer(client)).toMatchObject({ status: 403 });
    client.write(inner);
    await stillServes(client);
    expect((await agent.rows()).filter((r) => r.path === '/smuggled')).toEqual([]);
  });

  it.each([
    ['a large body', 'Content-Length: 10000000', Buffer.alloc(100_000, 'x')],
    ['chunks', 'Transfer-Encoding: chunked', Buffer.from(`1\r\nx\r\n0\r\n\r\n${head('GET /smuggled')}`)],
  ])('of ours to %s closes the socket', async (_what, field, body) => {
    const agent = await rig.agent({ methods: ['GET'] });
    const client = await agent.open();
    client.write(head('POST /', field));
    const answer = await readAnswer(client);
    expect(answer).toMatchObject({ status: 403 });
    expect(answer.header('connection')).toBe('close');
    client.write(body);
    expect(await client.rest()).toBe('');
    expect((await agent.rows()).filter((r) => r.path === '/smuggled')).toEqual([]);
  });

  it('of ours to Expect: 100-continue comes in place of the 100', async () => {
    const agent = await rig.agent({ methods: ['GET'] });
    const client = await agent.open();
    client.write(head('POST /', 'Expect: 100-continue', 'Content-Length: 10000000'));
    expect(await readAnswer(client)).toMatchObject({ status: 403 });
    const next = await agent.open();
    await stillServes(next);
  });
});

describe('a half-closed agent', () => {
  it('gets its answer', async () => {
    const { client, origin } = await underWay();
    client.socket.end();
    origin.write('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n');
    await client.until('\r\n\r\n');
    origin.write('0\r\n\r\n');
    expect(await readChunks(client)).toMatchObject({ body: 'ok' });
    await client.over();
  });

  it('gets the answers of all that it had sent', async () => {
    const agent = await rig.agent();
    const client = await agent.open();
    client.write(head('GET /1') + head('GET /2'));
    client.socket.end();
    const origin = await rig.origin.next();
    for (const line of ['GET /1 HTTP/1.1', 'GET /2 HTTP/1.1']) {
      expect((await readRequest(origin)).line).toBe(line);
      origin.write(OK);
      expect(await readAnswer(client)).toMatchObject({ status: 200 });
    }
    await client.over();
  });
});

describe('a head that does not come to its end', () => {
  it('is cut off at its deadline, though bytes keep coming', async () => {
    const cutOff = async (text: string, drip: boolean): Promise<void> => {
      const client = await (await rig.agent()).open();
      client.write(text);
      const timer = drip ? setInterval(() => client.socket.write('a'), 50) : undefined;
      await client.over();
      clearInterval(timer);
    };
    await Promise.all([
      cutOff('GET / HT', false),
      cutOff(head('GET /').slice(0, -2), false),
      cutOff('GET / HTTP/1.1\r\nX: ', true),
    ]);
  });
});
