/** Origins that speak HTTP/2: reached when they offer nothing else, and for gRPC; whatever the agent speaks. */
import { once } from 'node:events';
import { type ClientHttp2Session, connect, constants, type Http2SecureServer, type ServerHttp2Stream } from 'node:http2';
import type { TLSSocket } from 'node:tls';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startHttp2Origin } from '../../helpers/origin.ts';
import { makePki } from '../../helpers/pki.ts';
import { fieldOf, INJECTED, type Rig, type RigAgent, readAnswer, startRig, type Wire } from './rig.ts';

const H2 = 'h2.example.test';
const pki = makePki();
let rig: Rig;
let server: Http2SecureServer;
let sessions = 0;
/** Serves the next streams. */
let serve: (stream: ServerHttp2Stream, headers: Record<string, unknown>, raw: string[]) => void;
const origin = await startHttp2Origin(pki, H2, (made) => {
  server = made;
  made.on('session', () => sessions++);
  made.on('stream', (stream, headers, _flags, raw?: string[]) => {
    stream.on('error', () => {});
    serve(stream, headers, raw ?? []);
  });
});
beforeAll(async () => {
  rig = await startRig('', { [`${H2}:443`]: `127.0.0.1:${origin.port}` }, '', pki);
});
afterAll(async () => {
  await rig.stop();
  await origin.close();
});

const agentFor = (): Promise<RigAgent> => rig.agent({ hosts: [H2], allow_plaintext: false });

async function http1(): Promise<Wire> {
  return (await agentFor()).open({ host: H2 });
}

async function http2(): Promise<ClientHttp2Session> {
  const wire = await (await agentFor()).open({ host: H2, alpn: ['h2'] });
  wire.socket.removeAllListeners('data');
  return connect(`https://${H2}`, { createConnection: () => wire.socket as TLSSocket });
}

function bodyOf(stream: ServerHttp2Stream): Promise<string> {
  return new Promise((resolve) => {
    let text = '';
    stream.setEncoding('latin1');
    stream.on('data', (part: string) => (text += part));
    stream.on('end', () => resolve(text));
  });
}

describe('an agent of HTTP/1.1', () => {
  it('reaches it with fields, body and credential, and gets fields, body and trailers', async () => {
    const client = await http1();
    let seen: { headers: string[]; body: string; trailers: string[] } | undefined;
    serve = async (stream, _headers, raw) => {
      let trailers: string[] = [];
      stream.on('trailers', (_fields, _flags, list?: string[]) => (trailers = list ?? []));
      const body = await bodyOf(stream);
      seen = { headers: raw, body, trailers };
      stream.respond({ ':status': 201, 'x-a': ['1', '2'], 'x-l': '\xe9' }, { waitForTrailers: true });
      stream.on('wantTrailers', () => stream.sendTrailers({ 'x-sum': 'abc' }));
      stream.end('done');
    };
    client.write(
      `POST //a/../b?c HTTP/1.1\r\nHost: ${H2}\r\nX-A: 1\r\nx-a: 2\r\nX-L: \xe9\r\nUser-Agent: a\r\nUser-Agent: b\r\nCookie: a=1\r\nCookie: b=2\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX-T: y\r\nAuthorization: mine\r\n\r\n`,
    );
    const answer = await readAnswer(client);
    expect(answer).toMatchObject({ status: 201, body: 'done', trailers: ['x-sum', 'abc'] });
    expect(answer.headers.slice(0, 6)).toEqual(['x-a', '1', 'x-a', '2', 'x-l', '\xe9']);
    expect(seen).toMatchObject({ body: 'hello', trailers: ['x-t', 'y'] });
    const { headers } = seen as NonNullable<typeof seen>;
    expect(fieldOf(headers, ':path')).toBe('//a/../b?c');
    expect(fieldOf(headers, ':authority')).toBe(H2);
    expect(fieldOf(headers, 'authorization')).toBe(INJECTED);
    expect(fieldOf(headers, 'x-l')).toBe('\xe9');
    expect(fieldOf(headers, 'cookie')).toBe('a=1; b=2');
    expect(headers.filter((_, i) => i % 2 === 0 && headers[i] === 'x-a')).toHaveLength(2);
    expect(headers.join()).not.toMatch(/transfer-encoding|proxy/i);
  });

  it.each([
    ['GET', 200, {}, '0'],
    ['GET', 204, {}, undefined],
    ['GET', 304, {}, undefined],
    ['HEAD', 200, { 'content-length': '99' }, '99'],
  ] as const)('gets an empty answer to %s %i as one, however it ends', async (method, status, fields, length) => {
    const client = await http1();
    for (const ends of ['with its head', 'with an empty frame behind it']) {
      serve = (stream) => {
        stream.respond({ ':status': status, ...fields }, { endStream: ends === 'with its head' });
        if (!stream.writableEnded) stream.end();
      };
      client.write(`${method} / HTTP/1.1\r\nHost: ${H2}\r\n\r\n`);
      const answer = await readAnswer(client, method);
      expect(answer).toMatchObject({ status, body: '' });
      if (status !== 200 || method === 'HEAD') expect(answer.header('transfer-encoding')).toBeUndefined();
      if (ends === 'with its head') expect(answer.header('content-length')).toBe(length);
    }
  });

  it('uses one session for many requests', async () => {
    const client = await http1();
    const before = sessions;
    serve = (stream) => {
      stream.respond({ ':status': 200, 'content-length': '2' });
      stream.end('ok');
    };
    for (let i = 0; i < 5; i++) {
      client.write(`GET /${i} HTTP/1.1\r\nHost: ${H2}\r\n\r\n`);
      const answer = await readAnswer(client);
      expect(answer).toMatchObject({ status: 200, body: 'ok' });
      expect(answer.header('content-length')).toBe('2');
    }
    expect(sessions - before).toBe(1);
  });

  it('is cut off when the stream is reset in the middle, and told 502 before', async () => {
    const client = await http1();
    serve = (stream) => stream.close(constants.NGHTTP2_INTERNAL_ERROR);
    client.write(`GET / HTTP/1.1\r\nHost: ${H2}\r\n\r\n`);
    expect(await readAnswer(client)).toMatchObject({ status: 502 });
    const breaks: readonly ((stream: ServerHttp2Stream) => void)[] = [
      (stream) => stream.destroy(new Error('broken')),
      (stream) => stream.session?.destroy(),
    ];
    for (const breakOff of breaks) {
      const next = await http1();
      serve = (stream) => {
        stream.respond({ ':status': 200 });
        stream.write('half', () => breakOff(stream));
      };
      next.write(`GET / HTTP/1.1\r\nHost: ${H2}\r\n\r\n`);
      expect(await next.until('half')).toContain('200');
      expect(await next.rest()).not.toContain('0\r\n\r\n');
    }
  });

  it('resets the stream when it leaves', async () => {
    const client = await http1();
    const closed = new Promise<void>((resolve) => {
      serve = (stream) => {
        stream.on('close', resolve);
        stream.respond({ ':status': 200 });
        stream.write('x');
      };
    });
    client.write(`GET / HTTP/1.1\r\nHost: ${H2}\r\n\r\n`);
    await client.until('x');
    client.socket.destroy();
    await closed;
  });

  it('survives a session that the origin ends between requests', async () => {
    const client = await http1();
    const live: { destroy(): void }[] = [];
    server.on('session', (session) => live.push(session));
    serve = (stream) => {
      stream.respond({ ':status': 204 }, { endStream: true });
    };
    client.write(`GET /1 HTTP/1.1\r\nHost: ${H2}\r\n\r\n`);
    expect(await readAnswer(client)).toMatchObject({ status: 204 });
    for (const session of live) session.destroy();
    await expect
      .poll(
        async () => {
          client.write(`GET /2 HTTP/1.1\r\nHost: ${H2}\r\n\r\n`);
          return (await readAnswer(client)).status;
        },
        { interval: 20 },
      )
      .toBe(204);
  });
});

describe('gRPC', () => {
  const CALL = { ':method': 'POST', ':path': '/pkg.Service/Call', 'content-type': 'application/grpc+proto', te: 'trailers' };

  it('streams both ways and ends with its status in trailers', async () => {
    const client = await http2();
    serve = (stream, headers) => {
      expect(headers).toMatchObject({ te: 'trailers', 'content-type': 'application/grpc+proto', authorization: INJECTED });
      stream.respond({ ':status': 200, 'content-type': 'application/grpc+proto' }, { waitForTrailers: true });
      stream.on('wantTrailers', () => stream.sendTrailers({ 'grpc-status': '0', 'grpc-message': 'fine' }));
      stream.on('data', (part: Buffer) => stream.write(part));
      stream.on('end', () => stream.end());
    };
    const call = client.request({ ':authority': H2, ...CALL }, { endStream: false });
    const [head] = (await once(call, 'response')) as [Record<string, unknown>];
    expect(head).toMatchObject({ ':status': 200 });
    for (let i = 0; i < 10; i++) {
      call.write(Buffer.from([0, 0, 0, 0, 1, i]));
      const [echo] = (await once(call, 'data')) as [Buffer];
      expect([...echo]).toEqual([0, 0, 0, 0, 1, i]);
    }
    const trailers = once(call, 'trailers');
    call.end();
    expect((await trailers)[0]).toMatchObject({ 'grpc-status': '0', 'grpc-message': 'fine' });
    client.destroy();
  });

  it('may answer with trailers alone', async () => {
    const client = await http2();
    serve = (stream) => stream.respond({ ':status': 200, 'grpc-status': '5', 'grpc-message': 'none' }, { endStream: true });
    const call = client.request({ ':authority': H2, ...CALL }, { endStream: false });
    call.end(Buffer.from([0, 0, 0, 0, 0]));
    const [head] = (await once(call, 'response')) as [Record<string, unknown>];
    expect(head).toMatchObject({ ':status': 200, 'grpc-status': '5' });
    call.resume();
    await once(call, 'end');
    client.destroy();
  });

  it('that its agent cancels is cancelled at the origin', async () => {
    const client = await http2();
    const closed = new Promise<number>((resolve) => {
      serve = (stream) => {
        stream.on('close', () => resolve(stream.rstCode ?? 0));
        stream.respond({ ':status': 200 });
      };
    });
    const call = client.request({ ':authority': H2, ...CALL }, { endStream: false });
    call.on('error', () => {});
    await once(call, 'response');
    call.close(constants.NGHTTP2_CANCEL);
    expect(await closed).toBe(constants.NGHTTP2_CANCEL);
    client.destroy();
  });
});

it('a daemon that stops says GOAWAY and lets the stream under way finish', async () => {
  const own = await startRig('[timeouts]\ndrain_ms = 5000\n');
  const wire = await (await own.agent()).open({ alpn: ['h2'] });
  wire.socket.removeAllListeners('data');
  const client = connect('https://api.example.test', { createConnection: () => wire.socket as TLSSocket });
  const call = client.request({ ':path': '/slow' });
  const upstream = await own.origin.next();
  await upstream.until('\r\n\r\n');
  const goaway = once(client, 'goaway');
  const stopped = own.daemon.stop();
  await goaway;
  upstream.write('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok');
  const gone = once(client, 'close');
  let body = '';
  for await (const part of call) body += part;
  expect(body).toBe('ok');
  await gone;
  await stopped;
  own.origin.close();
  own.plain.close();
});
