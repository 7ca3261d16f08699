/** Request and response heads: what is refused, what is kept byte for byte. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { HeaderKind } from '../../../src/proxy/header-kinds.ts';
import {
  findHeadEnd,
  HeadError,
  isFieldValue,
  isToken,
  listTokens,
  parseRequestHead,
  parseResponseHead,
  parseTrailers,
  type RequestHead,
  type ResponseHead,
  singleValue,
} from '../../../src/proxy/http1/head.ts';
import { fieldLines, headText } from '../../../src/proxy/http1/serialize.ts';

const MAX = 10;

function parse(text: string): RequestHead {
  const bytes = Buffer.from(text, 'latin1');
  const end = findHeadEnd(bytes, 0);
  if (end === -1) throw new HeadError('no end');
  return parseRequestHead(bytes, 0, end, MAX);
}

function parseAnswer(text: string): ResponseHead {
  const bytes = Buffer.from(text, 'latin1');
  return parseResponseHead(bytes, 0, findHeadEnd(bytes, 0), MAX);
}

const refusedRequests: readonly [what: string, head: string][] = [
  ['an empty request line', '\r\n\r\n'],
  ['no target', 'GET HTTP/1.1\r\n\r\n'],
  ['no version', 'GET /\r\n\r\n'],
  ['two spaces before the target', 'GET  / HTTP/1.1\r\n\r\n'],
  ['two spaces before the version', 'GET /  HTTP/1.1\r\n\r\n'],
  ['a tab between method and target', 'GET\t/ HTTP/1.1\r\n\r\n'],
  ['a space before the method', ' GET / HTTP/1.1\r\n\r\n'],
  ['a space behind the version', 'GET / HTTP/1.1 \r\n\r\n'],
  ['a method with a byte that is no token', 'GE(T / HTTP/1.1\r\n\r\n'],
  ['a raw byte above 0x7f in the target', 'GET /\xe9 HTTP/1.1\r\n\r\n'],
  ['a NUL in the target', 'GET /\0 HTTP/1.1\r\n\r\n'],
  ['a DEL in the target', 'GET /\x7f HTTP/1.1\r\n\r\n'],
  ['HTTP/0.9', 'GET / HTTP/0.9\r\n\r\n'],
  ['HTTP/1.2', 'GET / HTTP/1.2\r\n\r\n'],
  ['HTTP/2.0', 'PRI * HTTP/2.0\r\n\r\n'],
  ['a version in lower case', 'GET / http/1.1\r\n\r\n'],
  ['a version with two digits', 'GET / HTTP/1.10\r\n\r\n'],
  ['a bare LF behind the request line', 'GET / HTTP/1.1\nHost: a\r\n\r\n'],
  ['a bare LF behind a field', 'GET / HTTP/1.1\r\nHost: a\nX: b\r\n\r\n'],
  ['a bare CR inside a value', 'GET / HTTP/1.1\r\nX: a\rb\r\n\r\n'],
  ['a NUL inside a value', 'GET / HTTP/1.1\r\nX: a\0b\r\n\r\n'],
  ['a control byte inside a value', 'GET / HTTP/1.1\r\nX: a\x01b\r\n\r\n'],
  ['a DEL inside a value', 'GET / HTTP/1.1\r\nX: a\x7fb\r\n\r\n'],
  ['a space before the colon', 'GET / HTTP/1.1\r\nHost : a\r\n\r\n'],
  ['a tab before the colon', 'GET / HTTP/1.1\r\nHost\t: a\r\n\r\n'],
  ['an empty name', 'GET / HTTP/1.1\r\n: a\r\n\r\n'],
  ['a field without a colon', 'GET / HTTP/1.1\r\nHost\r\n\r\n'],
  ['a folded value', 'GET / HTTP/1.1\r\nX: a\r\n b\r\n\r\n'],
  ['a field that starts with a space', 'GET / HTTP/1.1\r\n X: a\r\n\r\n'],
  ['a name with a byte above 0x7f', 'GET / HTTP/1.1\r\nX\xe9: a\r\n\r\n'],
];

describe('a request head is refused', () => {
  it.each(refusedRequests)('for %s', (_what, head) => {
    expect(() => parse(head)).toThrow(HeadError);
  });

  it('with tooLarge when it has more fields than allowed', () => {
    const fields = Array.from({ length: MAX + 1 }, (_, i) => `X-${i}: v\r\n`).join('');
    expect(() => parse(`GET / HTTP/1.1\r\n${fields}\r\n`)).toThrow(expect.objectContaining({ tooLarge: true }));
  });
});

describe('a request head', () => {
  it('keeps order, case and duplicates of its fields, and trims values', () => {
    const head = parse('M-SEARCH //a/../b%2Fc?x=%zz HTTP/1.0\r\nb: 1\r\nA:\t 2 \t\r\nB:3\r\nempty:\r\nobs: \xe9\tx\r\n\r\n');
    expect(head).toMatchObject({ method: 'M-SEARCH', target: '//a/../b%2Fc?x=%zz', minor: 0 });
    expect(head.headers).toEqual(['b', '1', 'A', '2', 'B', '3', 'empty', '', 'obs', '\xe9\tx']);
  });

  it('classifies fields by name in any case', () => {
    const head = parse('GET / HTTP/1.1\r\nHOST: a\r\nconTENT-length: 1\r\nX: y\r\nAlter-Reason: z\r\nX-Forwarded-For: q\r\n\r\n');
    expect(head.kinds).toEqual([
      HeaderKind.host,
      HeaderKind.contentLength,
      HeaderKind.endToEnd,
      HeaderKind.selector,
      HeaderKind.platform,
    ]);
  });

  it('is read from the middle of a buffer', () => {
    const bytes = Buffer.from('xxGET / HTTP/1.1\r\nA: b\r\n\r\nrest');
    const end = findHeadEnd(bytes, 2);
    expect(bytes.toString('latin1', end)).toBe('rest');
    expect(parseRequestHead(bytes, 2, end, MAX).headers).toEqual(['A', 'b']);
  });
});

const refusedAnswers: readonly [what: string, head: string][] = [
  ['a status of two digits', 'HTTP/1.1 99 X\r\n\r\n'],
  ['a status of four digits', 'HTTP/1.1 2000 X\r\n\r\n'],
  ['a status below 100', 'HTTP/1.1 099 X\r\n\r\n'],
  ['a status above 599', 'HTTP/1.1 600 X\r\n\r\n'],
  ['a status that is no number', 'HTTP/1.1 2x0 X\r\n\r\n'],
  ['two spaces before the status', 'HTTP/1.1  200 X\r\n\r\n'],
  ['another protocol', 'ICY 200 OK\r\n\r\n'],
  ['another version', 'HTTP/2 200 OK\r\n\r\n'],
  ['a control byte in the reason', 'HTTP/1.1 200 O\x01K\r\n\r\n'],
  ['a control byte in a value', 'HTTP/1.1 200 OK\r\nX: \x01\r\n\r\n'],
  ['a folded value', 'HTTP/1.1 200 OK\r\nX: a\r\n b\r\n\r\n'],
  ['a space before the colon', 'HTTP/1.1 200 OK\r\nContent-Length : 5\r\n\r\n'],
];

describe('a response head', () => {
  it.each(refusedAnswers)('is refused for %s', (_what, head) => {
    expect(() => parseAnswer(head)).toThrow(HeadError);
  });

  it.each([
    ['HTTP/1.1 200 OK\r\n\r\n', 200, 'OK', 1],
    ['HTTP/1.0 404 Not \xe9 here\r\n\r\n', 404, 'Not \xe9 here', 0],
    ['HTTP/1.1 204 \r\n\r\n', 204, '', 1],
    ['HTTP/1.1 204\r\n\r\n', 204, '', 1],
  ])('%j is read', (text, status, reason, minor) => {
    expect(parseAnswer(text)).toMatchObject({ status, reason, minor });
  });
});

describe('the lines of an answer', () => {
  const text = 'A:  1 \r\nb:2\r\nSet-Cookie: x\r\nset-cookie: y\r\nE:\r\n';
  const lines = ['A:  1 \r\n', 'b:2\r\n', 'Set-Cookie: x\r\n', 'set-cookie: y\r\n', 'E:\r\n'];

  it('are kept or left out one by one, byte for byte', () => {
    const answer = parseAnswer(`HTTP/1.1 200 OK\r\n${text}\r\n`);
    for (let mask = 0; mask < 32; mask++) {
      const keeps = (i: number): boolean => (mask & (1 << i)) !== 0;
      expect(answer.lines?.(keeps)).toBe(lines.filter((_, i) => keeps(i)).join(''));
    }
    expect(answer.headers).toEqual(['A', '1', 'b', '2', 'Set-Cookie', 'x', 'set-cookie', 'y', 'E', '']);
  });

  it('are refused when they are more than allowed', () => {
    const fields = Array.from({ length: MAX + 1 }, (_, i) => `X-${i}: v\r\n`).join('');
    expect(() => parseAnswer(`HTTP/1.1 200 OK\r\n${fields}\r\n`)).toThrow(HeadError);
  });
});

describe('lists and single values', () => {
  it('collects the tokens of all fields of a kind', () => {
    const head = parse('GET / HTTP/1.1\r\nConnection: Close,, X-A\r\nX-B: c\r\nconnection: \tUpgrade \r\n\r\n');
    expect(listTokens(head, HeaderKind.connection)).toEqual(['close', 'x-a', 'upgrade']);
  });

  it('answers null, the value, or an error for two', () => {
    expect(singleValue(parse('GET / HTTP/1.1\r\nA: b\r\n\r\n'), HeaderKind.host, 'Host')).toBeNull();
    expect(singleValue(parse('GET / HTTP/1.1\r\nhost: b\r\n\r\n'), HeaderKind.host, 'Host')).toBe('b');
    expect(() => singleValue(parse('GET / HTTP/1.1\r\nHost: b\r\nhost: b\r\n\r\n'), HeaderKind.host, 'Host')).toThrow(HeadError);
  });

  it('knows tokens and field values', () => {
    for (const bad of ['', 'a b', 'a:', 'é', 'a\n']) expect(isToken(bad), JSON.stringify(bad)).toBe(false);
    for (const bad of ['a\r', 'a\nb', '\0', '\x7f', 'Ā']) expect(isFieldValue(bad), JSON.stringify(bad)).toBe(false);
    expect(isToken("!#$%&'*+-.^_`|~aZ09")).toBe(true);
    expect(isFieldValue('a\tb \xff')).toBe(true);
  });
});

const token = fc.stringMatching(/^[!#$%&'*+.^_`|~0-9a-zA-Z-]{1,20}$/);
const value = fc.stringMatching(/^([\x21-\x7e\x80-\xff]([\t\x20-\x7e\x80-\xff]{0,20}[\x21-\x7e\x80-\xff])?)?$/);
const target = fc.stringMatching(/^[\x21-\x7e]{1,40}$/);

describe('for any bytes', () => {
  it('what is written is read back', () => {
    fc.assert(
      fc.property(token, target, fc.array(fc.tuple(token, value), { maxLength: MAX }), (method, raw, fields) => {
        const head = parse(headText(`${method} ${raw} HTTP/1.1`, fieldLines(fields.flat())));
        expect(head).toMatchObject({ method, target: raw, minor: 1 });
        expect(head.headers).toEqual(fields.flat());
      }),
    );
  });

  it('nothing but HeadError is thrown', () => {
    const piece = fc.oneof(
      fc.constantFrom('GET ', '/', ' HTTP/1.1', 'HTTP/1.1 200 OK', '\r\n', '\n', '\r', ':', ' ', '\t', 'A', '\0', '\xff'),
      fc.string({ maxLength: 3 }),
    );
    const heads = fc.array(piece, { maxLength: 12 }).map((parts) => Buffer.from(`${parts.join('')}\r\n\r\n`, 'latin1'));
    fc.assert(
      fc.property(heads, (bytes) => {
        const end = findHeadEnd(bytes, 0);
        for (const read of [parseRequestHead, parseResponseHead, parseTrailers])
          try {
            read(bytes, 0, end, MAX);
          } catch (thrown) {
            expect(thrown).toBeInstanceOf(HeadError);
          }
      }),
      { numRuns: 500 },
    );
  });
});
