/** HTTP/1.1 through a whole daemon: what an unmodified client and an origin see of each other, byte for byte. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { fieldOf, HOST, head, INJECTED, type Rig, readAnswer, readRequest, SECRET, startRig } from './rig.ts';

let rig: Rig;
beforeAll(async () => {
  rig = await startRig();
});
afterAll(() => rig.stop());

const OK = 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok';

describe('a request reaches the origin', () => {
  it.each(['//a/../b%2Fc', '/a%2fB/./;x/%zz'.replace('%zz', '%7e'), '/?q=%zz&a=/../..&&=', '/a?b?c'])(
    'with its exact path %s',
    async (path) => {
      const client = await (await rig.agent()).open();
      client.write(head(`GET ${path}`));
      const origin = await rig.origin.next();
      expect((await readRequest(origin)).line).toBe(`GET ${path} HTTP/1.1`);
      origin.write(OK);
      expect(await readAnswer(client)).toMatchObject({ status: 200, body: 'ok' });
    },
  );

  it('with case, order and duplicates of its fields, and the credential', async () => {
    const client = await (await rig.agent()).open();
    client.write(
      head(
        'GET /',
        'x-b: 1',
        'X-A: 2',
        'X-B: 3',
        'accept: */*',
        'authorization: mine',
        'X-Latin: \xe9',
        'AUTHORIZATION: too',
        'z: ',
      ),
    );
    const origin = await rig.origin.next();
    const { headers } = await readRequest(origin);
    expect(headers).toEqual([
      'Host',
      HOST,
      'x-b',
      '1',
      'X-A',
      '2',
      'X-B',
      '3',
      'accept',
      '*/*',
      'Authorization',
      INJECTED,
      'X-Latin',
      '\xe9',
      'z',
      '',
    ]);
  });

  it('without what is between the agent and the proxy', async () => {
    const client = await (await rig.agent()).open();
    client.write(
      head(
        'GET /',
        'Proxy-Authorization: Basic eDp5',
        'Proxy-Connection: keep-alive',
        'Connection: X-Hop, Authorization, keep-alive',
        'X-Hop: 1',
        'Keep-Alive: timeout=5',
        'Upgrade: h2c',
        'HTTP2-Settings: AAMAAABkAAQAAP__',
        'Via: 1.1 x',
        'X-Forwarded-For: 10.0.0.1',
        'Forwarded: for=10.0.0.1',
        'Alter-Reason: testing',
        'TE: deflate',
      ),
    );
    const { headers } = await readRequest(await rig.origin.next());
    expect(headers).toEqual(['Host', HOST, 'Authorization', INJECTED]);
  });

  it('with trailers, but none that authenticates', async () => {
    const client = await (await rig.agent()).open();
    client.write(head('POST /', 'Transfer-Encoding: chunked', 'Trailer: X-Sum'));
    client.write('5;ext=1\r\nhello\r\n0\r\nX-Sum: abc\r\nAuthorization: mine\r\nx-sum: def\r\n\r\n');
    const request = await readRequest(await rig.origin.next());
    expect(request).toMatchObject({ body: 'hello', trailers: ['X-Sum', 'abc', 'x-sum', 'def'] });
    expect(fieldOf(request.headers, 'trailer')).toBe('X-Sum');
  });

  it.each(['GET', 'DELETE', 'POST', 'PATCH', 'PROPFIND', 'QUERY'])('with the body of a %s', async (method) => {
    const client = await (await rig.agent()).open();
    const inner = head('GET /inner');
    client.write(head(`${method} /`, `Content-Length: ${inner.length}`) + inner);
    const origin = await rig.origin.next();
    const request = await readRequest(origin);
    expect(request.line).toBe(`${method} / HTTP/1.1`);
    expect(fieldOf(request.headers, 'content-length')).toBe(String(inner.length));
    expect(request.body).toBe(inner);
    expect(origin.waiting).toBe('');
  });

  it('saying that a POST has no body', async () => {
    const client = await (await rig.agent()).open();
    client.write(head('POST /'));
    expect(fieldOf((await readRequest(await rig.origin.next())).headers, 'content-length')).toBe('0');
  });

  it('with 100-continue answered by the origin alone, exactly once, and with the credential', async () => {
    const client = await (await rig.agent()).open();
    client.write(head('PUT /', 'Expect: 100-continue', 'Content-Length: 5'));
    const origin = await rig.origin.next();
    const request = await readRequest(origin, true);
    expect(fieldOf(request.headers, 'expect')).toBe('100-continue');
    expect(fieldOf(request.headers, 'authorization')).toBe(INJECTED);
    expect(client.waiting).toBe('');
    origin.write('HTTP/1.1 100 Continue\r\n\r\n');
    expect(await readAnswer(client)).toMatchObject({ status: 100 });
    client.write('hello');
    expect((await origin.take(5)).toString()).toBe('hello');
    origin.write(OK);
    expect(await readAnswer(client)).toMatchObject({ status: 200 });
  });
});

describe('an answer reaches the agent', () => {
  async function answered(text: string, method = 'GET') {
    const client = await (await rig.agent()).open();
    client.write(head(`${method} /`));
    const origin = await rig.origin.next();
    await readRequest(origin);
    origin.write(text);
    return { answer: await readAnswer(client, method), client, origin };
  }

  it('with case, order and duplicates of its fields', async () => {
    const { answer } = await answered(
      'HTTP/1.1 299 Very \xe9 OK\r\nlink: a\r\nX-b: 1\r\nLink: b\r\nx-B: 2\r\nContent-Length: 0\r\nX-Latin: \xff\r\n\r\n',
    );
    expect(answer).toMatchObject({ status: 299, reason: 'Very \xe9 OK' });
    expect(answer.headers).toEqual(['link', 'a', 'X-b', '1', 'Link', 'b', 'x-B', '2', 'Content-Length', '0', 'X-Latin', '\xff']);
  });

  it('without what is between the origin and the proxy', async () => {
    const { answer } = await answered(
      'HTTP/1.1 200 OK\r\nConnection: X-Hop, keep-alive\r\nX-Hop: 1\r\nKeep-Alive: timeout=9\r\nAlt-Svc: h3=":443"\r\nAlter-Error: mine\r\nProxy-Authenticate: Basic\r\nContent-Length: 0\r\n\r\n',
    );
    expect(answer.headers).toEqual(['Content-Length', '0']);
  });

  it('with trailers behind chunks', async () => {
    const { answer } = await answered(
      'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n3;x=y\r\nabc\r\n2\r\nde\r\n0\r\nX-Sum: 1\r\nx-sum: 2\r\n\r\n',
    );
    expect(answer).toMatchObject({ body: 'abcde', trailers: ['X-Sum', '1', 'x-sum', '2'] });
    expect(answer.header('trailer')).toBe('X-Sum');
  });

  it('after 103 early hints', async () => {
    const { answer, client } = await answered(
      `HTTP/1.1 103 Early Hints\r\nLink: </a>; rel=preload\r\nlink: </b>; rel=preload\r\n\r\nHTTP/1.1 102 Processing\r\n\r\n${OK}`,
    );
    expect(answer.status).toBe(103);
    expect(answer.headers).toEqual(['Link', '</a>; rel=preload', 'link', '</b>; rel=preload']);
    let last = await readAnswer(client);
    while (last.status < 200) last = await readAnswer(client);
    expect(last).toMatchObject({ status: 200, body: 'ok' });
  });

  it.each([
    ['HEAD', 'HTTP/1.1 200 OK\r\nContent-Length: 1234\r\n\r\n', 200, '1234'],
    ['HEAD', 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n', 200, undefined],
    ['GET', 'HTTP/1.1 204 No Content\r\n\r\n', 204, undefined],
    ['GET', 'HTTP/1.1 304 Not Modified\r\nContent-Length: 99\r\nETag: "x"\r\n\r\n', 304, '99'],
    ['GET', 'HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n', 200, '0'],
    ['DELETE', 'HTTP/1.1 205 Reset\r\nContent-Length: 0\r\n\r\n', 205, '0'],
  ])('to %s without a body: %j', async (method, text, status, length) => {
    const { answer, client, origin } = await answered(text, method);
    expect(answer).toMatchObject({ status, body: '' });
    expect(answer.header('content-length')).toBe(length);
    expect(answer.header('transfer-encoding')).toBeUndefined();
    client.write(head('GET /next'));
    expect((await readRequest(origin)).line).toBe('GET /next HTTP/1.1');
    origin.write(OK);
    expect(await readAnswer(client)).toMatchObject({ status: 200, body: 'ok' });
  });

  it('that ends with the socket, as chunks, and the socket of the agent lives on', async () => {
    const client = await (await rig.agent()).open();
    client.write(head('GET /'));
    const origin = await rig.origin.next();
    await readRequest(origin);
    origin.write('HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\n\r\nhello ');
    origin.write('world');
    origin.socket.end();
    const answer = await readAnswer(client);
    expect(answer).toMatchObject({ status: 200, body: 'hello world' });
    expect(answer.header('transfer-encoding')).toBe('chunked');
    client.write(head('GET /2'));
    const second = await rig.origin.next();
    await readRequest(second);
    second.write(OK);
    expect(await readAnswer(client)).toMatchObject({ status: 200, body: 'ok' });
  });

  it('with the 401 of the provider marked as its own', async () => {
    const { answer } = await answered('HTTP/1.1 401 Unauthorized\r\nContent-Length: 3\r\n\r\nbad');
    expect(answer).toMatchObject({ status: 401, body: 'bad' });
    expect(answer.header('alter-error')).toBe('provider_unauthorized');
    expect(JSON.stringify(answer)).not.toContain(SECRET);
  });

  it('event by event, unbuffered', async () => {
    const client = await (await rig.agent()).open();
    client.write(head('GET /events'));
    const origin = await rig.origin.next();
    await readRequest(origin);
    origin.write('HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n');
    await client.until('\r\n\r\n');
    for (let i = 0; i < 50; i++) {
      const event = `data: ${i}\n\n`;
      origin.write(`${event.length.toString(16)}\r\n${event}\r\n`);
      expect(await client.until('\n\n\r\n')).toBe(`${event.length.toString(16)}\r\n${event}\r\n`);
    }
    origin.write('0\r\n\r\n');
    expect(await client.until('0\r\n\r\n')).toBe('0\r\n\r\n');
  });

  it('while the request is still being sent, in both directions at once', async () => {
    const client = await (await rig.agent()).open();
    client.write(head('POST /', 'Transfer-Encoding: chunked'));
    const origin = await rig.origin.next();
    await readRequest(origin, true);
    origin.write('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n');
    await client.until('\r\n\r\n');
    for (let i = 0; i < 10; i++) {
      client.write('1\r\nq\r\n');
      await origin.until('q\r\n');
      origin.write('1\r\na\r\n');
      await client.until('a\r\n');
    }
    client.write('0\r\n\r\n');
    await origin.until('0\r\n\r\n');
    origin.write('0\r\n\r\n');
    await client.until('0\r\n\r\n');
  });
});
