/**
 * Fuzzing over sockets against a running daemon: request heads and bodies, what origins answer, HTTP/2 frames. Whatever is sent, the daemon
 * lives, nothing leaves but whole requests with exactly one credential, and no answer shows it.
 */
import { once } from 'node:events';
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { Dice } from '../../helpers/dice.ts';
import { END_HEADERS, END_STREAM, fields, frame, PREFACE } from '../support/h2-bytes.ts';
import { BEARER, GOOD, leaks, startWall, valuesOf, type Wall, type WallAgent } from '../support/wall.ts';
import { type RawOrigin, readRequest, startRawOrigin, type Wire } from '../support/wire.ts';
import { forAWhile, mutate, TIMEOUT_MS } from './fuzzing.ts';

const RAW = 'raw.good.test';
let wall: Wall;
let raw: RawOrigin;
let bot: WallAgent;

beforeAll(async () => {
  wall = await startWall({
    tables: '[timeouts]\nclient_head_ms = 300\nbody_idle_ms = 300\nresponse_head_ms = 2000\n[limits]\ntunnels_per_agent = 4000\n',
  });
  raw = await startRawOrigin(wall.pki);
  const { configFile } = wall.daemon.paths;
  const { readFileSync, writeFileSync } = await import('node:fs');
  writeFileSync(
    configFile,
    readFileSync(configFile, 'utf8').replace('resolve = {', `resolve = { "${RAW}:443" = "127.0.0.1:${raw.port}",`),
  );
  await wall.daemon.running.reload();
  bot = await wall.agent({ hosts: [GOOD, RAW] });
});
afterAll(async () => {
  await raw.close();
  await wall.stop();
});

const HEADS = [
  `GET / HTTP/1.1\r\nHost: ${GOOD}\r\n\r\n`,
  `POST /a?b=c HTTP/1.1\r\nHost: ${GOOD}\r\nContent-Length: 5\r\n\r\nhello`,
  `POST /a HTTP/1.1\r\nHost: ${GOOD}\r\nTransfer-Encoding: chunked\r\n\r\n5;a=b\r\nhello\r\n0\r\nX: y\r\n\r\n`,
  `GET https://${GOOD}/x HTTP/1.1\r\nHost: ${GOOD}\r\nConnection: keep-alive, X\r\nX: 1\r\n\r\nGET /2 HTTP/1.1\r\nHost: ${GOOD}\r\n\r\n`,
  `GET / HTTP/1.1\r\nHost: ${GOOD}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n`,
  `PUT /p HTTP/1.0\r\nHost: ${GOOD}\r\nContent-Length: 3\r\nConnection: keep-alive\r\n\r\nabc`,
];
const WORDS = [
  '\r\n',
  '\n',
  '\r',
  ' ',
  '\t',
  ':',
  '\0',
  'Host: evil.test\r\n',
  'Content-Length: 7\r\n',
  'Transfer-Encoding: chunked\r\n',
  'chunked',
  ', ',
  'HTTP/1.1',
  '0\r\n\r\n',
  'ffffffff\r\n',
  'Authorization: x\r\n',
  'authorization_: y\r\n',
  '\xff',
  ';',
];

/** Sends, in pieces, and reads until the daemon ends or nothing more is to come. */
async function say(bytes: string, dice: Dice): Promise<string> {
  const wire = await bot.open();
  const cut = dice.below(bytes.length + 1);
  wire.write(bytes.slice(0, cut));
  wire.write(bytes.slice(cut));
  wire.socket.end();
  return restOf(wire, bytes);
}

const HANG_MS = 10_000;

/** All that comes until the end, which has to come. */
async function restOf(wire: Wire, cause: string): Promise<string> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(
      () => reject(new Error(`no end within ${HANG_MS} ms behind ${JSON.stringify(wire.waiting)} for ${JSON.stringify(cause)}`)),
      HANG_MS,
    );
  });
  try {
    return await Promise.race([wire.rest(), late]);
  } finally {
    clearTimeout(timer);
    wire.socket.destroy();
  }
}

async function expectAlive(): Promise<void> {
  expect((await bot.ask('/alive')).status).toBe(200);
  for (const { rawHeaders, url } of wall.good.arrivals.splice(0))
    expect([url, valuesOf(rawHeaders, 'authorization')]).toEqual([url, [BEARER]]);
}

it(
  'request heads and bodies',
  async () => {
    const runs = await forAWhile('requests', async (dice) => {
      const batch = Array.from({ length: 8 }, () => mutate(dice, HEADS, WORDS));
      for (const [i, text] of (await Promise.all(batch.map((bytes) => say(bytes, dice)))).entries()) {
        expect([batch[i], leaks(text)]).toEqual([batch[i], []]);
        if (text !== '') expect(text).toMatch(/^HTTP\/1\.1 \d{3} /);
      }
      await expectAlive();
    });
    expect(runs).toBeGreaterThan(0);
  },
  TIMEOUT_MS,
);

const ANSWERS = [
  'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok',
  'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nX: y\r\n\r\n',
  'HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n',
  'HTTP/1.0 200 OK\r\n\r\nuntil the end',
  'HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: x\r\n\r\n',
  'HTTP/1.1 304 Not Modified\r\nContent-Length: 7\r\n\r\n',
  'HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 4\r\n\r\n\x1f\x8b\x08\x00',
];

it(
  'answers of an origin',
  async () => {
    const busy = new Set<Promise<void>>();
    const serve = async (dice: Dice): Promise<void> => {
      const wire = await raw.next();
      try {
        await readRequest(wire);
      } catch {
        return; // opened ahead and never used
      }
      wire.write(mutate(dice, ANSWERS, WORDS));
      wire.socket.end();
      await wire.closed;
      wire.socket.destroy();
    };
    let stopped = false;
    await forAWhile('answers', async (dice) => {
      if (busy.size === 0) {
        const loop = async (): Promise<void> => {
          while (!stopped) await serve(dice);
        };
        for (let i = 0; i < 8; i++) busy.add(loop());
      }
      const texts = await Promise.all(
        Array.from({ length: 4 }, async () => {
          const wire = await bot.open({ connect: `${RAW}:443`, sni: RAW });
          wire.write(`GET / HTTP/1.1\r\nHost: ${RAW}\r\nConnection: close\r\n\r\n`);
          return restOf(wire, 'an odd answer');
        }),
      );
      for (const text of texts) {
        expect(leaks(text)).toEqual([]);
        if (text !== '') expect(text).toMatch(/^HTTP\/1\.1 \d{3} /);
      }
      await expectAlive();
    });
    stopped = true;
  },
  TIMEOUT_MS,
);

it(
  'HTTP/2 frames behind a valid preface',
  async () => {
    const good = fields([
      [':method', 'GET'],
      [':scheme', 'https'],
      [':path', '/h2'],
      [':authority', GOOD],
    ]);
    const corpus = [
      frame(1, END_HEADERS | END_STREAM, 1, good),
      Buffer.concat([frame(1, END_HEADERS, 1, good), frame(0, END_STREAM, 1, Buffer.from('body'))]),
      Buffer.concat([frame(1, 0, 1, good.subarray(0, 9)), frame(9, END_HEADERS, 1, good.subarray(9))]),
      Buffer.concat([
        frame(1, END_HEADERS | END_STREAM, 1, good),
        frame(3, 0, 1, Buffer.from([0, 0, 0, 8])),
        frame(8, 0, 0, Buffer.from([0x7f, 0xff, 0xff, 0xff])),
      ]),
      frame(4, 0, 0, Buffer.from([0, 4, 0xff, 0xff, 0xff, 0xff])),
      frame(6, 0, 0, Buffer.alloc(8)),
    ].map((bytes) => bytes.toString('latin1'));
    const words = [
      '\0\0\0',
      '\xff\xff\xff',
      '\x01',
      '\x04\x01',
      '\x82\x86\x84',
      frame(9, 0, 1).toString('latin1'),
      frame(1, 5, 3, good).toString('latin1'),
    ];
    await forAWhile('frames', async (dice) => {
      await Promise.all(
        Array.from({ length: 6 }, async () => {
          const secure = await bot.tls({ alpn: ['h2'] });
          secure.on('error', () => {});
          secure.resume();
          secure.write(Buffer.concat([PREFACE, frame(4, 0, 0), Buffer.from(mutate(dice, corpus, words), 'latin1')]));
          const closed = once(secure, 'close');
          setTimeout(() => secure.destroy(), 30);
          await closed;
        }),
      );
      await expectAlive();
    });
  },
  TIMEOUT_MS,
);

it('no row and no line of the log shows the secret', () => wall.expectNoLeak());
