/** HTTP/2 on the agent's side, HTTP/1.1 at the origin: the same line, the same promises. */
import { once } from 'node:events';
import { type ClientHttp2Session, type ClientHttp2Stream, connect, constants, type OutgoingHttpHeaders } from 'node:http2';
import type { TLSSocket } from 'node:tls';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { fieldOf, HOST, INJECTED, type Rig, type RigAgent, readRequest, startRig, type Wire } from './rig.ts';

let rig: Rig;
beforeAll(async () => {
  rig = await startRig();
});
afterAll(() => rig.stop());

const OK = 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok';

const sockets = new WeakMap<ClientHttp2Session, TLSSocket>();

async function session(agent?: RigAgent): Promise<ClientHttp2Session> {
  const wire = await (agent ?? (await rig.agent())).open({ alpn: ['h2'] });
  wire.socket.removeAllListeners('data');
  const client = connect(`https://${HOST}`, { createConnection: () => wire.socket as TLSSocket });
  sockets.set(client, wire.socket as TLSSocket);
  return client;
}

interface Result {
  readonly status: number;
  readonly headers: Record<string, unknown>;
  readonly raw: string[];
  readonly body: string;
  readonly trailers: Record<string, unknown>;
}

/** Everything of one answer; rejects when the stream is reset. */
function answerOf(stream: ClientHttp2Stream): Promise<Result> {
  return new Promise((resolve, reject) => {
    let head: { status: number; headers: Record<string, unknown>; raw: string[] } | undefined;
    let trailers = {};
    const parts: Buffer[] = [];
    stream.on('response', (headers, _flags, raw?: string[]) => {
      head = { status: headers[':status'] as number, headers, raw: raw ?? [] };
    });
    stream.on('trailers', (fields) => (trailers = { ...fields }));
    stream.on('data', (part: Buffer) => parts.push(part));
    stream.on('error', reject);
    stream.on('end', () =>
      resolve({ ...(head as NonNullable<typeof head>), body: Buffer.concat(parts).toString('latin1'), trailers }),
    );
    stream.on('close', () => reject(new Error(`closed with ${stream.rstCode}`)));
  });
}

function send(client: ClientHttp2Session, headers: OutgoingHttpHeaders, options = {}): ClientHttp2Stream {
  return client.request({ ':authority': HOST, ...headers }, options);
}

async function arrival(): Promise<{ origin: Wire; line: string; headers: string[] }> {
  const origin = await rig.origin.next();
  return { origin, ...(await readRequest(origin, true)) };
}

describe('a stream reaches the origin', () => {
  it('with its path, its fields and the credential, without what is of HTTP/2 alone', async () => {
    const client = await session();
    const stream = send(client, {
      ':path': '//a/../b%2Fc?d',
      'x-b': ['1', '2'],
      authorization: 'mine',
      te: 'trailers',
      'x-latin': '\xe9',
    });
    const done = answerOf(stream);
    const { origin, line, headers } = await arrival();
    expect(line).toBe('GET //a/../b%2Fc?d HTTP/1.1');
    expect(headers).toEqual([
      'Host',
      HOST,
      'x-b',
      '1',
      'x-b',
      '2',
      'Authorization',
      INJECTED,
      'te',
      'trailers',
      'x-latin',
      '\xe9',
    ]);
    origin.write('HTTP/1.1 299 Fine\r\nX-A: 1\r\nx-a: 2\r\nLink: a\r\nLink: b\r\nX-L: \xe9\r\nContent-Length: 2\r\n\r\nok');
    const answer = await done;
    expect(answer).toMatchObject({ status: 299, body: 'ok' });
    expect(answer.raw).toEqual([
      ':status',
      '299',
      'x-a',
      '1',
      'x-a',
      '2',
      'link',
      'a',
      'link',
      'b',
      'x-l',
      '\xe9',
      'content-length',
      '2',
    ]);
    client.destroy();
  });

  it('with its cookies in one field, as HTTP/1.1 wants them', async () => {
    const client = await session();
    send(client, { cookie: ['a=1', 'b=2', 'c=3'] });
    const { headers } = await arrival();
    expect(headers.filter((h) => h.toLowerCase() === 'cookie')).toHaveLength(1);
    expect(fieldOf(headers, 'cookie')).toBe('a=1; b=2; c=3');
    client.destroy();
  });

  it('with a body of known length, and with one of unknown length and trailers', async () => {
    const client = await session();
    const known = send(client, { ':method': 'POST', 'content-length': '5' }, { endStream: false });
    known.end('hello');
    const first = await rig.origin.next();
    expect(await readRequest(first)).toMatchObject({ body: 'hello' });
    first.write(OK);
    expect(await answerOf(known)).toMatchObject({ status: 200 });
    const unknown = send(client, { ':method': 'PUT', trailer: 'x-sum' }, { endStream: false, waitForTrailers: true });
    unknown.on('wantTrailers', () => unknown.sendTrailers({ 'x-sum': 'abc', authorization: 'mine' }));
    unknown.write('hello ');
    unknown.end('world');
    expect(await readRequest(first)).toMatchObject({ body: 'hello world', trailers: ['x-sum', 'abc'] });
    client.destroy();
  });

  it('at once with 100-continue, which the origin alone answers', async () => {
    const client = await session();
    const stream = send(client, { ':method': 'POST', expect: '100-continue', 'content-length': '2' }, { endStream: false });
    const { origin, headers } = await arrival();
    expect(fieldOf(headers, 'expect')).toBe('100-continue');
    let continued = 0;
    stream.on('continue', () => continued++);
    origin.write('HTTP/1.1 100 Continue\r\n\r\n');
    await once(stream, 'continue');
    stream.end('hi');
    await origin.take(2);
    origin.write(OK);
    expect(await answerOf(stream)).toMatchObject({ status: 200, body: 'ok' });
    expect(continued).toBe(1);
    client.destroy();
  });

  it('a hundred at once, each with its own answer', async () => {
    const client = await session();
    const stop = rig.origin.serve(async (origin) => {
      for (;;) {
        const { line } = await readRequest(origin);
        const path = line.split(' ')[1] as string;
        origin.write(`HTTP/1.1 200 OK\r\nContent-Length: ${path.length}\r\n\r\n${path}`);
      }
    });
    const paths = Array.from({ length: 100 }, (_, i) => `/${i}`);
    const answers = await Promise.all(paths.map((path) => answerOf(send(client, { ':path': path }))));
    expect(answers.map((a) => a.body)).toEqual(paths);
    stop();
    client.destroy();
  });
});

describe('an answer', () => {
  async function answered(text: string, headers: OutgoingHttpHeaders = {}) {
    const client = await session();
    const stream = send(client, headers);
    const done = answerOf(stream);
    const { origin } = await arrival();
    origin.write(text);
    return { done, stream, origin, client };
  }

  it('comes with trailers', async () => {
    const { done, client } = await answered(
      'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n2\r\nok\r\n0\r\nX-Sum: 1\r\nETag: a\r\nETag: b\r\n\r\n',
    );
    expect(await done).toMatchObject({ status: 200, body: 'ok', trailers: { 'x-sum': '1', etag: 'a' } });
    client.destroy();
  });

  it('comes after early hints', async () => {
    const { stream, done, origin, client } = await answered('HTTP/1.1 103 Early Hints\r\nLink: </a>\r\nLink: </b>\r\n\r\n');
    const [hints] = (await once(stream, 'headers')) as [Record<string, unknown>];
    expect(hints).toMatchObject({ ':status': 103, link: '</a>, </b>' });
    origin.write(OK);
    expect(await done).toMatchObject({ status: 200 });
    client.destroy();
  });

  it.each([
    ['HEAD', 'HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n', 200, '99'],
    ['GET', 'HTTP/1.1 204 No Content\r\n\r\n', 204, undefined],
    ['GET', 'HTTP/1.1 304 Not Modified\r\nContent-Length: 99\r\n\r\n', 304, '99'],
    ['GET', 'HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n', 200, '0'],
  ])('to %s without a body ends: %j', async (method, text, status, length) => {
    const { done, client } = await answered(text, { ':method': method });
    const answer = await done;
    expect(answer).toMatchObject({ status, body: '' });
    expect(answer.headers['content-length']).toBe(length);
    client.destroy();
  });

  it('with fields that HTTP/2 has only once, or not at all, does no harm', async () => {
    const { done, client } = await answered(
      'HTTP/1.1 200 OK\r\nX-Content-Type-Options: nosniff\r\nX-Content-Type-Options: nosniff\r\nETag: a\r\nEtag: b\r\nTE: gzip\r\nConnection: X\r\nX: 1\r\nKeep-Alive: x\r\nUpgrade: h2c\r\nProxy-Connection: x\r\nHTTP2-Settings: x\r\nContent-Length: 2\r\n\r\nok',
    );
    const answer = await done;
    expect(answer).toMatchObject({ status: 200, body: 'ok' });
    expect(answer.headers).toMatchObject({ 'x-content-type-options': 'nosniff', etag: 'a' });
    expect(Object.keys(answer.headers)).not.toContain('x');
    client.destroy();
  });

  it('comes event by event', async () => {
    const { stream, origin, client, done } = await answered('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n');
    done.catch(() => {});
    await once(stream, 'response');
    for (let i = 0; i < 20; i++) {
      origin.write('2\r\nhi\r\n');
      const [part] = (await once(stream, 'data')) as [Buffer];
      expect(part.toString()).toBe('hi');
    }
    client.destroy();
  });

  it('of a 101 that nobody can ask for is a 502', async () => {
    const { done, client } = await answered(
      'HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n',
    );
    expect(await done).toMatchObject({ status: 502 });
    client.destroy();
  });
});

describe('an end before the end', () => {
  it('of the agent, by a reset, frees the origin', async () => {
    const client = await session();
    const stream = send(client, {});
    stream.on('error', () => {});
    const { origin } = await arrival();
    stream.close(constants.NGHTTP2_CANCEL);
    await origin.over();
    client.destroy();
  });

  it('of the agent in the middle of its body frees the origin', async () => {
    const client = await session();
    const stream = send(client, { ':method': 'POST' }, { endStream: false });
    stream.on('error', () => {});
    stream.write('half');
    const { origin } = await arrival();
    await origin.until('half');
    stream.close(constants.NGHTTP2_CANCEL);
    await origin.over();
    client.destroy();
  });

  it.each(['destroy', 'end'] as const)(
    'of the socket, by %s, in the middle of its body does not make the body whole',
    async (how) => {
      const client = await session();
      client.on('error', () => {});
      const stream = send(client, { ':method': 'POST' }, { endStream: false });
      stream.on('error', () => {});
      stream.write('half');
      const { origin } = await arrival();
      await origin.until('half');
      if (how === 'destroy') client.destroy();
      else (sockets.get(client) as TLSSocket).end();
      expect(await origin.rest()).not.toContain('0\r\n\r\n');
    },
  );

  it('of the session frees all its origins', async () => {
    const client = await session();
    client.on('error', () => {});
    const origins: Wire[] = [];
    for (let i = 0; i < 3; i++) {
      send(client, { ':path': `/${i}` }).on('error', () => {});
      origins.push((await arrival()).origin);
    }
    client.destroy();
    await Promise.all(origins.map((origin) => origin.over()));
  });

  it('of the origin in the middle of its answer resets the stream, not the session', async () => {
    const client = await session();
    const stream = send(client, {});
    const done = answerOf(stream);
    const { origin } = await arrival();
    origin.write('HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf');
    await once(stream, 'response');
    origin.socket.destroy();
    await expect(done).rejects.toThrow();
    const next = answerOf(send(client, { ':path': '/next' }));
    (await arrival()).origin.write(OK);
    expect(await next).toMatchObject({ status: 200, body: 'ok' });
    client.destroy();
  });

  it('of the origin before an answer is a 502', async () => {
    const client = await session();
    const done = answerOf(send(client, {}));
    (await arrival()).origin.socket.destroy();
    expect(await done).toMatchObject({ status: 502 });
    client.destroy();
  });

  it('by an early answer reaches an agent that is still uploading', async () => {
    const client = await session();
    const stream = send(client, { ':method': 'POST' }, { endStream: false });
    stream.on('error', () => {});
    stream.write(Buffer.alloc(100_000));
    const { origin } = await arrival();
    origin.write('HTTP/1.1 413 Too Large\r\nContent-Length: 3\r\n\r\nbig');
    expect(await answerOf(stream)).toMatchObject({ status: 413, body: 'big' });
    await origin.over();
    client.destroy();
  });
});

describe('a stream is refused', () => {
  it('when it names another authority', async () => {
    const client = await session();
    const answer = await answerOf(client.request({ ':authority': 'evil.test' }));
    expect(answer).toMatchObject({ status: 421 });
    expect(answer.headers['alter-error']).toBe('misdirected_request');
    expect(JSON.parse(answer.body)).toMatchObject({ error: 'misdirected_request' });
    client.destroy();
  });

  it('by a reset when its host field disagrees', async () => {
    const client = await session();
    await expect(answerOf(send(client, { host: 'evil.test' }))).rejects.toThrow(/PROTOCOL|closed with 1/);
    client.destroy();
  });

  it('with a body, by a rule, and the session goes on', async () => {
    const client = await session(await rig.agent({ methods: ['GET'] }));
    const stream = send(client, { ':method': 'POST' }, { endStream: false });
    stream.on('error', () => {});
    stream.end(Buffer.alloc(50_000));
    expect(await answerOf(stream)).toMatchObject({ status: 403 });
    const next = answerOf(send(client, {}));
    (await arrival()).origin.write(OK);
    expect(await next).toMatchObject({ status: 200 });
    client.destroy();
  });

  it.each(['TRACE', 'CONNECT'])('for %s', async (method) => {
    const client = await session();
    const headers = method === 'CONNECT' ? { ':method': method } : { ':method': method, ':path': '/' };
    const done = answerOf(client.request({ ':authority': HOST, ...headers }));
    if (method === 'TRACE') expect(await done).toMatchObject({ status: 405 });
    else await expect(done).rejects.toThrow();
    client.destroy();
  });
});
