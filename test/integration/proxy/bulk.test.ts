/** Much data: every byte arrives once and in order, memory stays where it is though the reader is slow, many at once do not mix. */
import { createHash, randomBytes } from 'node:crypto';
import { type ClientHttp2Session, connect } from 'node:http2';
import type { Socket } from 'node:net';
import type { TLSSocket } from 'node:tls';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { HOST, head, type Rig, readRequest, startRig, type Wire } from './rig.ts';

let rig: Rig;
beforeAll(async () => {
  rig = await startRig();
});
afterAll(() => rig.stop());

const MIB = 1024 * 1024;
const TOTAL = 64 * MIB;
/** Not a divisor of any buffer's size, so that a mix-up of slices shows. */
const BLOCK = randomBytes(1_000_003);

/** The bytes of a stream that repeats BLOCK. */
function* blocks(total: number): Generator<Buffer> {
  for (let left = total; left > 0; left -= BLOCK.length) yield left >= BLOCK.length ? BLOCK : BLOCK.subarray(0, left);
}

function hashOf(total: number): string {
  const hash = createHash('sha256');
  for (const block of blocks(total)) hash.update(block);
  return hash.digest('hex');
}

async function pour(socket: Socket, total: number, frame: (block: Buffer) => Buffer[] = (block) => [block]): Promise<void> {
  for (const block of blocks(total))
    for (const part of frame(block)) if (!socket.write(part)) await new Promise((resolve) => socket.once('drain', resolve));
}

const chunk = (block: Buffer): Buffer[] => [Buffer.from(`${block.length.toString(16)}\r\n`), block, Buffer.from('\r\n')];

/** Hashes `total` bytes that follow what the wire has, stopping for a moment every few megabytes. Answers the highest RSS seen. */
async function digest(wire: Wire, total: number): Promise<{ hash: string; rss: number }> {
  const hash = createHash('sha256');
  const { socket } = wire;
  let left = total;
  let untilPause = 4 * MIB;
  let rss = 0;
  const eat = (part: Buffer): void => {
    const mine = part.subarray(0, left);
    left -= mine.length;
    untilPause -= mine.length;
    hash.update(mine);
    if (untilPause > 0 || left === 0) return;
    untilPause = 4 * MIB;
    rss = Math.max(rss, process.memoryUsage.rss());
    socket.pause();
    setImmediate(() => setImmediate(() => socket.resume()));
  };
  const early = await wire.take(Buffer.byteLength(wire.waiting, 'latin1'));
  socket.removeAllListeners('data');
  if (early.length > 0) eat(early);
  await new Promise<void>((resolve, reject) => {
    socket.on('close', () => reject(new Error(`closed with ${left} bytes missing`)));
    const onData = (part: Buffer): void => {
      eat(part);
      if (left > 0) return;
      socket.off('data', onData);
      resolve();
    };
    if (left > 0) socket.on('data', onData);
    else resolve();
  });
  return { hash: hash.digest('hex'), rss };
}

/** Both ends, the daemon and its buffers live in this process: without backpressure 64 MiB would show several times. */
function expectModest(before: number, rss: number): void {
  expect((rss - before) / MIB).toBeLessThan(60);
}

describe('64 MiB', () => {
  it.each(['with a length', 'in chunks'])('down %s to a slow reader', async (how) => {
    const client = await (await rig.agent()).open();
    client.write(head('GET /'));
    const origin = await rig.origin.next();
    await readRequest(origin);
    const framing = how === 'in chunks' ? 'Transfer-Encoding: chunked' : `Content-Length: ${TOTAL}`;
    origin.write(`HTTP/1.1 200 OK\r\n${framing}\r\n\r\n`);
    await client.until('\r\n\r\n');
    const before = process.memoryUsage.rss();
    if (how === 'with a length') {
      void pour(origin.socket, TOTAL);
      const { hash, rss } = await digest(client, TOTAL);
      expect(hash).toBe(hashOf(TOTAL));
      expectModest(before, rss);
      return;
    }
    void pour(origin.socket, TOTAL, chunk).then(() => origin.write('0\r\n\r\n'));
    const hash = createHash('sha256');
    for (let size = -1; size !== 0; ) {
      size = Number.parseInt(await client.until('\r\n'), 16);
      hash.update(await client.take(size));
      await client.until('\r\n');
    }
    expect(hash.digest('hex')).toBe(hashOf(TOTAL));
  });

  it('up to a slow reader', async () => {
    const client = await (await rig.agent()).open();
    client.write(head('PUT /', `Content-Length: ${TOTAL}`));
    const origin = await rig.origin.next();
    await readRequest(origin, true);
    const before = process.memoryUsage.rss();
    void pour(client.socket, TOTAL);
    const { hash, rss } = await digest(origin, TOTAL);
    expect(hash).toBe(hashOf(TOTAL));
    expectModest(before, rss);
  });

  it.each(['down', 'up'])('%s over HTTP/2', async (direction) => {
    const wire = await (await rig.agent()).open({ alpn: ['h2'] });
    wire.socket.removeAllListeners('data');
    const client: ClientHttp2Session = connect(`https://${HOST}`, { createConnection: () => wire.socket as TLSSocket });
    const up = direction === 'up';
    const stream = client.request(
      { ':method': up ? 'PUT' : 'GET', ...(up ? { 'content-length': String(TOTAL) } : {}) },
      { endStream: !up },
    );
    const origin = await rig.origin.next();
    await readRequest(origin, true);
    if (up) {
      void (async () => {
        for (const block of blocks(TOTAL))
          if (!stream.write(block)) await new Promise((resolve) => stream.once('drain', resolve));
        stream.end();
      })();
      expect((await digest(origin, TOTAL)).hash).toBe(hashOf(TOTAL));
    } else {
      origin.write(`HTTP/1.1 200 OK\r\nContent-Length: ${TOTAL}\r\n\r\n`);
      void pour(origin.socket, TOTAL);
      const hash = createHash('sha256');
      for await (const part of stream) hash.update(part as Buffer);
      expect(hash.digest('hex')).toBe(hashOf(TOTAL));
    }
    client.destroy();
  });
});

describe('many at once', () => {
  it('to slow readers, over one read buffer, do not mix', async () => {
    const stop = rig.origin.serve(async (origin) => {
      for (;;) {
        const { line } = await readRequest(origin);
        const [, letter, size] = /^GET \/(.)\/(\d+)/.exec(line) as unknown as [string, string, string];
        const body = Buffer.alloc(Number(size), letter);
        origin.write(`HTTP/1.1 200 OK\r\nContent-Length: ${size}\r\n\r\n`);
        origin.write(body);
      }
    });
    const agent = await rig.agent();
    await Promise.all(
      [...'abcdefghijklmnop'].map(async (letter, i) => {
        const client = await agent.open();
        for (let round = 0; round < 4; round++) {
          const size = 150_000 + i * 40_009 + round * 100_003;
          client.socket.pause();
          client.write(head(`GET /${letter}/${size}`));
          setImmediate(() => setImmediate(() => client.socket.resume()));
          await client.until('\r\n\r\n');
          const body = await client.take(size);
          expect(body.equals(Buffer.alloc(size, letter))).toBe(true);
        }
      }),
    );
    stop();
  });

  it('uploads do not mix', async () => {
    const seen = new Map<string, boolean>();
    const stop = rig.origin.serve(async (origin) => {
      for (;;) {
        const { line, headers } = await readRequest(origin, true);
        const letter = line.slice(5, 6);
        const size = Number(headers[headers.findIndex((h) => h.toLowerCase() === 'content-length') + 1]);
        seen.set(line, (await origin.take(size)).equals(Buffer.alloc(size, letter)));
        origin.write('HTTP/1.1 204 No Content\r\n\r\n');
      }
    });
    const agent = await rig.agent();
    await Promise.all(
      [...'abcdefghijkl'].map(async (letter, i) => {
        const client = await agent.open();
        for (let round = 0; round < 3; round++) {
          const size = 100_000 + i * 30_011 + round;
          client.write(head(`PUT /${letter}/${round}`, `Content-Length: ${size}`));
          client.write(Buffer.alloc(size, letter));
          await client.until('\r\n\r\n');
        }
      }),
    );
    stop();
    expect(seen.size).toBe(36);
    expect([...seen.values()].every(Boolean)).toBe(true);
  });
});
