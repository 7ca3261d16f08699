/** Where a message ends: announced framings that are refused, and readers that follow a body through any split of its bytes. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { bodyReader, type Framing, requestFraming, responseFraming } from '../../../src/proxy/http1/framing.ts';
import { findHeadEnd, HeadError, parseRequestHead, type RequestHead } from '../../../src/proxy/http1/head.ts';

function head(...fields: string[]): RequestHead {
  const bytes = Buffer.from(`POST / HTTP/1.1\r\n${fields.map((f) => `${f}\r\n`).join('')}\r\n`, 'latin1');
  return parseRequestHead(bytes, 0, findHeadEnd(bytes, 0), 20);
}

const smuggling: readonly (readonly string[])[] = [
  ['Content-Length: 5', 'Transfer-Encoding: chunked'],
  ['Transfer-Encoding: chunked', 'Content-Length: 5'],
  ['Content-Length: 5', 'Content-Length: 6'],
  ['Content-Length: 5', 'Content-Length: 5'],
  ['Content-Length: 5, 5'],
  ['Content-Length: +5'],
  ['Content-Length: -1'],
  ['Content-Length: 0x5'],
  ['Content-Length: 5 5'],
  ['Content-Length: 5.0'],
  ['Content-Length:'],
  ['Content-Length: 1e3'],
  ['Content-Length: 9007199254740993'],
  ['Content-Length: 99999999999999999999999'],
  ['Transfer-Encoding:'],
  ['Transfer-Encoding: identity'],
  ['Transfer-Encoding: identity, chunked'],
  ['Transfer-Encoding: chunked, identity'],
  ['Transfer-Encoding: chunked, chunked'],
  ['Transfer-Encoding: gzip, chunked'],
  ['Transfer-Encoding: xchunked'],
  ['Transfer-Encoding: "chunked"'],
  ['Transfer-Encoding: chunked;q=1'],
  ['Transfer-Encoding: chunked', 'Transfer-Encoding: chunked'],
  ['Transfer-Encoding: chunked', 'Transfer-Encoding: identity'],
  ['Transfer-Encoding: \x0bchunked'.replace('\x0b', '\xa0')],
];

describe('the framing of a request', () => {
  it.each(smuggling.map((fields) => [fields]))('is refused for %j', (fields) => {
    expect(() => requestFraming(head(...fields), 1)).toThrow(HeadError);
    expect(() => responseFraming(head(...fields), 1, 200, 'GET')).toThrow(HeadError);
  });

  it('is refused for Transfer-Encoding in HTTP/1.0', () => {
    expect(() => requestFraming(head('Transfer-Encoding: chunked'), 0)).toThrow(HeadError);
  });

  it.each([
    [[], { kind: 'none' }],
    [['Content-Length: 0'], { kind: 'none' }],
    [['content-LENGTH:  007'], { kind: 'length', length: 7 }],
    [['Transfer-Encoding: Chunked'], { kind: 'chunked' }],
    [['X-Transfer-Encoding: gzip', 'Content-Length: 3'], { kind: 'length', length: 3 }],
  ] as [string[], Framing][])('of %j is %j', (fields, framing) => {
    expect(requestFraming(head(...fields), 1)).toEqual(framing);
  });
});

describe('the framing of an answer', () => {
  it.each([
    ['HEAD', 200, ['Content-Length: 5'], { kind: 'none' }],
    ['HEAD', 200, ['Transfer-Encoding: chunked'], { kind: 'none' }],
    ['GET', 204, [], { kind: 'none' }],
    ['GET', 304, ['Content-Length: 5'], { kind: 'none' }],
    ['GET', 103, [], { kind: 'none' }],
    ['GET', 200, ['Content-Length: 0'], { kind: 'none' }],
    ['GET', 200, ['Content-Length: 5'], { kind: 'length', length: 5 }],
    ['GET', 200, ['Transfer-Encoding: chunked'], { kind: 'chunked' }],
    ['GET', 200, [], { kind: 'close' }],
  ] as [string, number, string[], Framing][])('to %s with %i and %j is %j', (method, status, fields, framing) => {
    expect(responseFraming(head(...fields), 1, status, method)).toEqual(framing);
  });
});

interface Read {
  body: string;
  trailers: string[] | null;
  used: number;
}

/** Feeds `bytes` cut at `cuts`; stops at the end of the body. */
function read(framing: Framing, bytes: Buffer, cuts: readonly number[] = []): Read {
  const reader = bodyReader(framing, 10);
  const out: Read = { body: '', trailers: null, used: 0 };
  const events = {
    onBody: (slice: Buffer) => {
      out.body += slice.toString('latin1');
    },
    onBodyEnd: (trailers: string[]) => {
      expect(out.trailers).toBeNull();
      out.trailers = trailers;
    },
  };
  const edges = [...cuts.filter((c) => c > 0 && c < bytes.length).sort((a, b) => a - b), bytes.length];
  let from = 0;
  for (const to of edges) {
    const used = reader.feed(bytes.subarray(from, to), 0, events);
    out.used += used;
    if (out.trailers !== null) break;
    expect(used).toBe(to - from);
    from = to;
  }
  return out;
}

const chunked = (text: string, cuts?: readonly number[]): Read => read({ kind: 'chunked' }, Buffer.from(text, 'latin1'), cuts);

const badChunks: readonly string[] = [
  'x\r\n',
  '\r\n',
  ' 5\r\nhello\r\n',
  '0x5\r\nhello\r\n',
  '-5\r\n',
  '+5\r\n',
  '5\nhello\r\n',
  '5 \r\nhello\r\n',
  '5\t\r\nhello\r\n',
  '5 ;a\r\nhello\r\n',
  '5g\r\nhello\r\n',
  '5\r\nhelloX\r\n',
  '5\r\nhello\n0\r\n\r\n',
  '5\r\nhello\r\n\r\n',
  '5;a\nhello\r\n',
  '5;a\x01\r\nhello\r\n',
  '5;a\x00b\r\nhello\r\n',
  '5;a\rb\r\nhello\r\n',
  '5;\r\nhello\r\n',
  '5\rX: y\r\nhello\r\n',
  '0\rGET / HTTP/1.1\r\nhello\r\n',
  '5;=b\r\nhello\r\n',
  '5;a b\r\nhello\r\n',
  '5;a="b\r\nhello\r\n',
  '5;a="b"c\r\nhello\r\n',
  'fffffffffffff\r\n',
  '00000000000000000000005\r\nhello\r\n',
  `5;${'a'.repeat(300)}\r\nhello\r\n`,
  `5;${'a'.repeat(300)}`,
  '0\r\nHost\r\n\r\n',
  '0\r\n x: y\r\n\r\n',
  '0\r\nx : y\r\n\r\n',
  '0\r\nx: \x01\r\n\r\n',
  '0\r\nTransfer-Encoding: chunked\r\n\r\n',
  '0\r\ncontent-length: 0\r\n\r\n',
  `0\r\nx: ${'y'.repeat(9000)}\r\n\r\n`,
  `0\r\n${'y'.repeat(9000)}`,
];

describe('a chunked body', () => {
  it.each(badChunks.map((text) => [text]))('%j is refused, in one piece and byte by byte', (text) => {
    expect(() => chunked(text)).toThrow(HeadError);
    expect(() =>
      chunked(
        text,
        Array.from({ length: text.length }, (_, i) => i),
      ),
    ).toThrow(HeadError);
  });

  it.each([
    ['0\r\n\r\nGET /', '', [], 5],
    ['5\r\nhello\r\n0\r\n\r\n', 'hello', [], 15],
    ['5;name=value;x="y z"\r\nhello\r\n000;a\r\n\r\nrest', 'hello', [], 38],
    ['A\r\n0123456789\r\na\r\n0123456789\r\n0\r\nX-A: b\r\nx-a:c\r\n\r\n!', '01234567890123456789', ['X-A', 'b', 'x-a', 'c'], 50],
  ])('%j is read', (text, body, trailers, used) => {
    expect(chunked(text)).toEqual({ body, trailers, used });
  });

  it('has the same body, trailers and end for any split', () => {
    const part = fc.tuple(fc.string({ minLength: 1, maxLength: 40 }), fc.constantFrom('', ';a', ';a=b', ';q="x y"'));
    const trailer = fc.constantFrom('', 'X: y\r\n', 'X-Checksum: abc\r\nY:\r\n');
    fc.assert(
      fc.property(fc.array(part, { maxLength: 6 }), trailer, fc.array(fc.nat(400), { maxLength: 30 }), (parts, lines, cuts) => {
        const bodies = parts.map(([body]) => Buffer.from(body));
        const text = parts.map(([, ext], i) => {
          const body = bodies[i] as Buffer;
          return `${body.length.toString(16)}${ext}\r\n${body.toString('latin1')}\r\n`;
        });
        const whole = `${text.join('')}0\r\n${lines}\r\n`;
        const expected = { body: Buffer.concat(bodies).toString('latin1'), used: whole.length };
        expect(chunked(`${whole}GET / HTTP/1.1\r\n\r\n`, cuts)).toMatchObject(expected);
        expect(chunked(`${whole}X`, cuts)).toEqual(chunked(whole));
      }),
    );
  });

  it('throws nothing but HeadError for any bytes', () => {
    const piece = fc.constantFrom('5', '0', 'a', '\r\n', '\r', '\n', 'hello', ';x', ':', ' ', '\0', 'X: y');
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 15 }), fc.array(fc.nat(60), { maxLength: 8 }), (pieces, cuts) => {
        try {
          chunked(pieces.join(''), cuts);
        } catch (thrown) {
          expect(thrown).toBeInstanceOf(HeadError);
        }
      }),
      { numRuns: 1000 },
    );
  });
});

describe('a body of known length', () => {
  it('ends exactly there, however it is cut', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 60 }), fc.array(fc.nat(80), { maxLength: 10 }), (length, cuts) => {
        const bytes = Buffer.from('x'.repeat(length).concat('NEXT'));
        expect(read({ kind: 'length', length }, bytes, cuts)).toEqual({ body: 'x'.repeat(length), trailers: [], used: length });
      }),
    );
  });

  it('tells how much is left', () => {
    const reader = bodyReader({ kind: 'length', length: 10 }, 10);
    reader.feed(Buffer.from('abc'), 0, { onBody: () => {}, onBodyEnd: () => {} });
    expect(reader.remaining).toBe(7);
    expect(reader.endsWithSocket).toBe(false);
  });
});

it('a body without a length ends with the socket', () => {
  expect(read({ kind: 'close' }, Buffer.from('abcd'), [2])).toEqual({ body: 'abcd', trailers: null, used: 4 });
  expect(bodyReader({ kind: 'close' }, 10).endsWithSocket).toBe(true);
});
