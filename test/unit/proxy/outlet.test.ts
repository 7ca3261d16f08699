/** Pieces of a message arrive whole and in order, whatever their sizes, however busy the socket, and whoever scribbles over a slice afterwards. */
import { createHash, randomInt } from 'node:crypto';
import { once } from 'node:events';
import { type AddressInfo, connect as connectTcp, createServer as createTcpServer, type Server, type Socket } from 'node:net';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { connect as connectTls, createServer as createTlsServer } from 'node:tls';
import { expect, it, onTestFinished } from 'vitest';
import { Outlet } from '../../../src/proxy/outlet.ts';
import { Dice } from '../../helpers/dice.ts';
import { makePki } from '../../helpers/pki.ts';

const SEED = Number(process.env.OUTLET_SEED ?? randomInt(2 ** 31));
const HOST = 'outlet.test';

/** A socket, and the one at its other end. */
async function pairOf(isTls: boolean): Promise<readonly [Socket, Socket]> {
  const pki = makePki();
  const server: Server = isTls
    ? createTlsServer({ SNICallback: (name, done) => done(null, pki.contextFor(name)) })
    : createTcpServer();
  const accepted = once(server, isTls ? 'secureConnection' : 'connection');
  await once(server.listen(0, '127.0.0.1'), 'listening');
  const { port } = server.address() as AddressInfo;
  const there = isTls
    ? connectTls({ host: '127.0.0.1', port, servername: HOST, rejectUnauthorized: false })
    : connectTcp(port, '127.0.0.1');
  const [here] = (await accepted) as [Socket];
  onTestFinished(() => {
    here.destroy();
    there.destroy();
    server.close();
  });
  return [here, there];
}

/** Everything that arrives, as its length and digest; `pauseEach` makes a reader that is slower than the writer. */
async function readAll(socket: Socket, pauseEach: boolean): Promise<string> {
  const digest = createHash('sha256');
  let bytes = 0;
  for await (const chunk of socket as AsyncIterable<Buffer>) {
    digest.update(chunk);
    bytes += chunk.length;
    if (pauseEach) await nextTurn();
  }
  return `${bytes} ${digest.digest('hex')}`;
}

it.each([
  [true, false],
  [true, true],
  [false, true],
])(`what is written arrives as it was (TLS: %s, slow reader: %s, seed ${SEED})`, async (isTls, isSlow) => {
  const dice = new Dice(SEED + (isTls ? 1 : 0) + (isSlow ? 2 : 0));
  const [here, there] = await pairOf(isTls);
  const received = readAll(there, isSlow);
  const outlet = new Outlet(here);
  const digest = createHash('sha256');
  let bytes = 0;
  const note = (piece: Buffer): void => {
    digest.update(piece);
    bytes += piece.length;
  };
  const shared = Buffer.alloc(512 * 1024);
  const SIZES = [1, 300, 4_096, 4_097, 16_384, 16_384, 16_384, 65_536, 65_537, 300_000];
  for (let step = 0; step < 2_000; step++) {
    const kind = dice.below(12);
    if (kind === 0) {
      const text = `${dice.below(1e9).toString(16)}\r\n`.repeat(1 + dice.below(40));
      note(Buffer.from(text, 'latin1'));
      outlet.text(text);
    } else if (kind === 1) outlet.flush();
    else if (kind === 2) outlet.settle();
    else if (kind === 3) await nextTurn();
    else {
      const isShared = dice.below(3) > 0;
      const length = dice.pick(SIZES);
      const slice = isShared ? shared.subarray(0, length) : Buffer.allocUnsafe(length);
      slice.fill(dice.below(256));
      slice.writeUInt8(step & 255, length - 1);
      note(slice);
      const mayGoOn = outlet.bytes(slice, isShared);
      if (isShared) shared.fill(0xee, 0, length);
      if (!mayGoOn && here.writableNeedDrain) await once(here, 'drain');
    }
  }
  outlet.settle();
  here.end();
  expect(await received).toBe(`${bytes} ${digest.digest('hex')}`);
});

it('asks to pause while much waits, and is writable again when that is gone', async () => {
  const [here, there] = await pairOf(true);
  const outlet = new Outlet(here);
  const slice = Buffer.alloc(16 * 1024, 1);
  let sent = 0;
  // Nobody reads: the kernel's buffers fill, then the socket's.
  while (outlet.bytes(slice, true)) {
    sent += slice.length;
    await nextTurn();
  }
  expect(outlet.writable).toBe(false);
  for (let more = 0; more < 4; more++) outlet.bytes(slice, true);
  const received = readAll(there, false);
  await once(here, 'drain');
  expect(outlet.writable).toBe(true);
  here.end();
  expect(await received).toContain(`${sent + 5 * slice.length} `);
});

it('what waits is written in the same turn as the write before it ends, unasked', async () => {
  const [here, there] = await pairOf(true);
  const outlet = new Outlet(here);
  const slice = Buffer.alloc(10_000, 2);
  outlet.bytes(slice, true);
  outlet.bytes(slice, true);
  let bytes = 0;
  for await (const chunk of there as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    if (bytes === 2 * slice.length) break;
  }
  expect(bytes).toBe(2 * slice.length);
});
