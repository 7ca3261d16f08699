import { brotliCompressSync, deflateRawSync, deflateSync, gzipSync } from 'node:zlib';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { type BodyEvents, DecodedBody, PlainBody, type ScrubbedBody, VerbatimBody } from '../../../src/scrub/body.ts';
import { asksFor, type Coding, codingOf, readableCodings } from '../../../src/scrub/decoder.ts';
import { NeedleSet } from '../../../src/scrub/needle-set.ts';
import { MASK } from '../../../src/scrub/scrubber.ts';

const NEEDLE = 'SEKRET-marker-0123456789';
const needles = new NeedleSet([Buffer.from(NEEDLE)]);
const MASKED = MASK.padEnd(NEEDLE.length, '*');
const TEXT = `before ${NEEDLE} behind`;
const CLEAN = TEXT.replace(NEEDLE, MASKED);

const encoders: readonly [string, Coding, (bytes: Buffer) => Buffer][] = [
  ['gzip', 'gzip', (bytes) => gzipSync(bytes)],
  ['gzip of two members', 'gzip', (bytes) => Buffer.concat([gzipSync(bytes.subarray(0, 10)), gzipSync(bytes.subarray(10))])],
  ['deflate', 'deflate', (bytes) => deflateSync(bytes)],
  ['deflate without its frame', 'deflate', (bytes) => deflateRawSync(bytes)],
  ['br', 'br', (bytes) => brotliCompressSync(bytes)],
];

interface Trial {
  readonly body: ScrubbedBody;
  readonly ended: Promise<string>;
  /** What the agent has. */
  readonly out: () => Buffer;
  readonly flushes: () => number;
  readonly drained: () => Promise<void>;
  writable: boolean;
}

function trial(make: (events: BodyEvents) => ScrubbedBody): Trial {
  const parts: Buffer[] = [];
  let flushes = 0;
  let onDrain = (): void => {};
  let settle: (how: string) => void = () => {};
  const ended = new Promise<string>((resolve) => {
    settle = resolve;
  });
  const result: { writable: boolean } = { writable: true };
  const body = make({
    onClean: (slice) => {
      parts.push(Buffer.from(slice));
      return result.writable;
    },
    onCleanFlush: () => {
      flushes++;
    },
    onDrain: () => onDrain(),
    onEnd: () => settle('ended'),
    onRefused: (reason) => settle(reason),
  });
  return Object.assign(result, {
    body,
    ended,
    out: () => Buffer.concat(parts),
    flushes: () => flushes,
    drained: () =>
      new Promise<void>((resolve) => {
        onDrain = resolve;
      }),
  });
}

const decoded = (coding: Coding): Trial => trial((events) => new DecodedBody(coding, needles, events));
const verbatim = (coding: Coding): Trial => trial((events) => new VerbatimBody(coding, needles, events));

describe('Content-Encoding', () => {
  test.each([
    ['gzip', 'gzip'],
    ['X-GZIP ', 'gzip'],
    ['br', 'br'],
    ['deflate', 'deflate'],
    ['identity', 'identity'],
    ['', 'identity'],
    ['zstd', null],
    ['compress', null],
    ['gzip, gzip', null],
    ['gzip, identity', null],
    ['constructor', null],
  ])('%j is read as %j', (value, expected) => {
    expect(codingOf(value)).toBe(expected);
  });
});

describe('Accept-Encoding', () => {
  test.each([
    ['gzip, deflate, br', 'gzip, deflate, br'],
    ['gzip,deflate,br,zstd', 'gzip, deflate, br'],
    ['gzip;q=0.5, zstd;q=1, *;q=0.1', 'gzip;q=0.5'],
    ['zstd', 'identity'],
    ['*', 'identity'],
    ['dcb, dcz, br', 'br'],
    ['', 'identity'],
    ['identity', 'identity'],
    ['X-Gzip', 'X-Gzip'],
  ])('%j goes out as %j', (value, expected) => {
    expect(readableCodings(value)).toBe(expected);
  });

  test.each([
    [null, 'gzip', false],
    ['', 'gzip', false],
    ['gzip', 'gzip', true],
    ['br, x-gzip;q=0.3', 'gzip', true],
    ['gzip;q=0', 'gzip', false],
    ['gzip; q=0.000', 'gzip', false],
    ['*', 'br', true],
    ['gzip', 'br', false],
  ] as const)('%j asks for %s: %j', (value, coding, expected) => {
    expect(asksFor(value, coding)).toBe(expected);
  });
});

describe('a plain body', () => {
  test('is masked, and ends at once', async () => {
    const { body, out, ended } = trial((events) => new PlainBody(needles, events));
    body.write(Buffer.from(TEXT), true);
    body.end();
    expect(await ended).toBe('ended');
    expect([out().toString(), body.count]).toEqual([CLEAN, 1]);
  });

  test('does not wait for ever on the first bytes of a needle, and still masks what follows', async () => {
    const t = trial((events) => new PlainBody(needles, events));
    t.body.write(Buffer.from('message S'), false);
    t.body.flush();
    expect(t.out().toString()).toBe('message ');
    await expect.poll(() => t.out().toString(), { interval: 5 }).toBe('message S');
    expect(t.flushes()).toBe(2);
    t.body.write(Buffer.from(NEEDLE.slice(1)), false);
    t.body.end();
    expect(t.out().toString()).toBe(`message S${MASKED.slice(1)}`);
    expect(t.body.count).toBe(1);
  });

  test('waits on more of a needle for as long as it takes', async () => {
    const t = trial((events) => new PlainBody(needles, events));
    t.body.write(Buffer.from('message SEKRE'), false);
    t.body.flush();
    await new Promise((resolve) => setTimeout(resolve, 60));
    expect(t.out().toString()).toBe('message ');
    t.body.end();
    expect(t.out().toString()).toBe('message SEKRE');
  });
});

describe.each(encoders)('a body in %s', (_name, coding, encode) => {
  test('that comes whole is decoded, masked, and ends at once', () => {
    const t = decoded(coding);
    t.body.write(encode(Buffer.from(TEXT)), false);
    t.body.end();
    expect([t.out().toString(), t.body.count]).toEqual([CLEAN, 1]);
  });

  test('that comes byte by byte, in a buffer that is used again, is too', async () => {
    const t = decoded(coding);
    const shared = Buffer.alloc(1);
    for (const byte of encode(Buffer.from(TEXT))) {
      shared[0] = byte;
      t.body.write(shared, true);
      t.body.flush();
      shared[0] = 0;
    }
    t.body.end();
    expect(await t.ended).toBe('ended');
    expect([t.out().toString(), t.body.count]).toEqual([CLEAN, 1]);
  });

  test('that is cut is refused', async () => {
    for (const flushed of [true, false]) {
      const t = decoded(coding);
      t.body.write(encode(Buffer.from(TEXT.repeat(50))).subarray(0, -6), false);
      if (flushed) t.body.flush();
      t.body.end();
      expect(await t.ended).toMatch(/coding is broken/);
    }
  });

  test('that is no such thing is refused', async () => {
    for (const make of [decoded, verbatim]) {
      const t = make(coding);
      t.body.write(Buffer.from(`${TEXT} \xff\xff\xff`), false);
      t.body.flush();
      t.body.end();
      expect(await t.ended).not.toBe('ended');
      expect(t.out().toString()).not.toContain('SEKRET');
    }
  });

  test('that is empty stays so', async () => {
    for (const make of [decoded, verbatim]) {
      const t = make(coding);
      t.body.flush();
      t.body.end();
      expect(await t.ended).toBe('ended');
      expect(t.out()).toHaveLength(0);
    }
  });

  test('goes on as it is when nobody asked for the coding, byte for byte', async () => {
    const bytes = encode(Buffer.from('no secret in here '.repeat(9_000)));
    const t = verbatim(coding);
    for (let at = 0; at < bytes.length; at += 7) t.body.write(Buffer.from(bytes.subarray(at, at + 7)), true);
    t.body.end();
    expect(await t.ended).toBe('ended');
    expect(t.out().equals(bytes)).toBe(true);
  });

  test('ends there when nobody asked for the coding and the credential is in it', async () => {
    const t = verbatim(coding);
    for (const byte of encode(Buffer.from(`${'x'.repeat(3_000)}${TEXT}`))) t.body.write(Buffer.from([byte]), false);
    t.body.end();
    expect(await t.ended).toMatch(/repeats the credential/);
    expect(t.body.count).toBeGreaterThan(0);
  });

  test('any text comes out as it would plain, however its coded bytes are cut', async () => {
    const part = fc.oneof(fc.string(), fc.constantFrom(NEEDLE, NEEDLE.slice(0, 12), 'S'));
    await fc.assert(
      fc.asyncProperty(fc.array(part, { maxLength: 12 }), fc.array(fc.nat(400), { maxLength: 12 }), async (parts, cuts) => {
        const text = parts.join('');
        const bytes = encode(Buffer.from(text));
        const t = decoded(coding);
        const points = [...new Set(cuts.map((cut) => cut % (bytes.length + 1)))].sort((a, b) => a - b);
        [0, ...points].forEach((from, i) => {
          t.body.write(bytes.subarray(from, points[i] ?? bytes.length), false);
          t.body.flush();
        });
        t.body.end();
        expect(await t.ended).toBe('ended');
        expect(t.out().toString()).toBe(text.replaceAll(NEEDLE, MASKED));
      }),
      { numRuns: 40 },
    );
  });
});

describe('a coded body', () => {
  test.each([
    ['zeros are dropped', 0, 'ended'],
    ['anything else is refused', 'x', 'its gzip coding is broken'],
  ])('behind whose end %s', async (_what, filling, expected) => {
    const t = decoded('gzip');
    t.body.write(gzipSync('all of it'), false);
    t.body.flush();
    await expect.poll(() => t.out().toString(), { interval: 2 }).toBe('all of it');
    for (let i = 0; i < 20; i++) {
      const drained = t.drained();
      if (!t.body.write(Buffer.alloc(16_384, filling), false)) await Promise.race([drained, t.ended]);
    }
    t.body.end();
    expect(await t.ended).toBe(expected);
    expect(t.out().toString()).toBe('all of it');
  });

  test('behind whose end the credential stands plain is refused to an agent that did not ask', async () => {
    const t = verbatim('gzip');
    t.body.write(Buffer.concat([gzipSync('all of it'), Buffer.from(` ${NEEDLE} `)]), false);
    t.body.end();
    expect(await t.ended).toMatch(/repeats the credential/);
    expect(t.out().toString('latin1')).not.toContain('SEKRET');
  });

  test('reaches the agent event by event', async () => {
    const { createGzip, constants } = await import('node:zlib');
    const gzip = createGzip({ flush: constants.Z_SYNC_FLUSH });
    const t = decoded('gzip');
    gzip.on('data', (bytes: Buffer) => {
      t.body.write(bytes, false);
      t.body.flush();
    });
    for (const event of ['data: one\n\n', `data: ${NEEDLE}\n\n`, 'data: three\n\n']) {
      const before = t.out().toString();
      gzip.write(event);
      await expect.poll(() => t.out().toString(), { interval: 2 }).toBe(before + event.replace(NEEDLE, MASKED));
    }
    t.body.destroy();
  });

  test('that becomes a thousand times larger waits for its reader and not in memory', async () => {
    const bomb = gzipSync(Buffer.alloc(64 * 1024 * 1024));
    const t = decoded('gzip');
    t.writable = false;
    let paused = false;
    for (let at = 0; at < bomb.length && !paused; at += 4_096) {
      paused = !t.body.write(bomb.subarray(at, at + 4_096), false);
      t.body.flush();
    }
    expect(paused).toBe(true);
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect(t.out().length).toBeLessThan(256 * 1024);
    t.writable = true;
    const drained = t.drained();
    t.body.resume();
    await drained;
    expect(t.out().length).toBeGreaterThan(1024 * 1024);
    t.body.destroy();
  });

  test('of a small size that becomes a large one comes in pieces', async () => {
    const t = decoded('gzip');
    t.body.write(gzipSync(Buffer.alloc(8 * 1024 * 1024, 'y')), false);
    t.body.end();
    expect(t.out()).toHaveLength(0);
    expect(await t.ended).toBe('ended');
    expect(t.out()).toHaveLength(8 * 1024 * 1024);
  });

  test('says nothing more when it was destroyed', async () => {
    for (const make of [decoded, verbatim]) {
      const t = make('gzip');
      t.body.write(gzipSync(TEXT), false);
      t.body.flush();
      t.body.destroy();
      await new Promise((resolve) => setTimeout(resolve, 20));
      expect(t.out()).toHaveLength(0);
    }
  });
});
