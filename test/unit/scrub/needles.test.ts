import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { Secret } from '../../../src/domain/secret.ts';
import { MIN_SECRET_BYTES, needlesOf } from '../../../src/scrub/needles.ts';

const SECRET = 'SEKRET-marker-4f1c9a7e2b60';
const needles = (...values: string[]): Buffer[] => needlesOf(values.map((value) => new Secret(value)));
const finds = (list: readonly Buffer[], text: Buffer | string): boolean => {
  const bytes = Buffer.isBuffer(text) ? text : Buffer.from(text);
  return list.some((needle) => bytes.includes(needle));
};

/** What other programs write, made by other means than the code under test wherever there are any. */
const each = (text: string, map: (code: number, char: string) => string): string =>
  [...text].map((char) => map(char.codePointAt(0) as number, char)).join('');
const BASE32 = 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567';
function base32(bytes: Buffer): string {
  const bits = [...bytes].map((byte) => byte.toString(2).padStart(8, '0')).join('');
  const digits = bits.match(/.{1,5}/g)?.map((five) => BASE32[Number.parseInt(five.padEnd(5, '0'), 2)]) ?? [];
  return digits.join('').padEnd(Math.ceil(digits.length / 8) * 8, '=');
}
const x = (code: number, digits = 2): string => code.toString(16).padStart(digits, '0');

describe('a secret is found', () => {
  const forms: [string, string | Buffer][] = [
    ['as it is', SECRET],
    ['in a header', `Authorization: Bearer ${SECRET}\r\n`],
    ...[0, 1, 2, 3, 4].flatMap((shift): [string, string][] => {
      const bytes = Buffer.concat([Buffer.alloc(shift, '~'), Buffer.from(SECRET), Buffer.from('~!')]);
      return [
        [`in base64, ${shift} bytes in`, bytes.toString('base64')],
        [`in base64url, ${shift} bytes in`, bytes.toString('base64url')],
        [`in base32, ${shift} bytes in`, base32(bytes)],
        [`in base32 of lower case, ${shift} bytes in`, base32(bytes).toLowerCase()],
      ];
    }),
    ['in base64 without padding', Buffer.from(SECRET).toString('base64').replace(/=+$/, '')],
    ['as the password of a Basic pair', `Basic ${Buffer.from(`someone@example.test:${SECRET}`).toString('base64')}`],
    ['as the user name of a Basic pair', `Basic ${Buffer.from(`${SECRET}:`).toString('base64')}`],
    ['in hex', Buffer.from(SECRET).toString('hex')],
    ['in upper-case hex', Buffer.from(SECRET).toString('hex').toUpperCase()],
    ['percent-encoded throughout', each(SECRET, (code) => `%${x(code).toUpperCase()}`)],
    ['percent-encoded throughout in lower case', each(SECRET, (code) => `%${x(code)}`)],
    ['percent-encoded twice', each(SECRET, (code) => `%25${x(code).toUpperCase()}`)],
    [
      'percent-encoded twice throughout',
      each(
        each(SECRET, (code) => `%${x(code).toUpperCase()}`),
        (code) => `%${x(code).toUpperCase()}`,
      ),
    ],
    ['in JSON', JSON.stringify({ token: SECRET })],
    ['in JSON with every character escaped', each(SECRET, (code) => `\\u${x(code, 4)}`)],
    ['the same in upper case', each(SECRET, (code) => `\\u${x(code, 4).toUpperCase()}`)],
    ['with \\x escapes', each(SECRET, (code) => `\\x${x(code)}`)],
    ['with decimal HTML entities', each(SECRET, (code) => `&#${code};`)],
    ['with hexadecimal HTML entities', each(SECRET, (code) => `&#x${code.toString(16)};`)],
    ['the same in upper case', each(SECRET, (code) => `&#x${code.toString(16).toUpperCase()};`)],
    ['in lower case, as HTTP/2 names are', SECRET.toLowerCase()],
    ['in upper case, as CGI variables are', SECRET.toUpperCase()],
  ];
  const list = needles(SECRET);
  test.each(forms)('%s', (_name, form) => {
    expect(finds(list, form)).toBe(true);
  });

  const odd = `SEK/+RET"<&>'\\=;%`;
  const oddForms: [string, string][] = [
    ['JSON.stringify', JSON.stringify(odd)],
    ["PHP's JSON", JSON.stringify(odd).replaceAll('/', '\\/')],
    ["Go's JSON", JSON.stringify(odd).replace(/[<>&]/g, (char) => `\\u${x(char.charCodeAt(0), 4)}`)],
    ["Gson's JSON", JSON.stringify(odd).replace(/[<>&'=]/g, (char) => `\\u${x(char.charCodeAt(0), 4)}`)],
    [
      '.NET’s JSON',
      `"${each(odd, (code, char) => (/["<>&'+`]/.test(char) ? `\\u${x(code, 4).toUpperCase()}` : char === '\\' ? '\\\\' : char))}"`,
    ],
    ['encodeURIComponent', encodeURIComponent(odd)],
    ['encodeURIComponent in lower case', encodeURIComponent(odd).replace(/%../g, (pair) => pair.toLowerCase())],
    ['encodeURIComponent twice', encodeURIComponent(encodeURIComponent(odd))],
    ['encodeURI', encodeURI(odd)],
    ['a form', new URLSearchParams({ odd }).toString()],
    [
      'HTML with &#39;',
      odd.replace(/&/g, '&amp;').replace(/</g, '&lt;').replace(/>/g, '&gt;').replace(/"/g, '&quot;').replace(/'/g, '&#39;'),
    ],
    [
      'HTML with &#x27;',
      odd.replace(/&/g, '&amp;').replace(/</g, '&lt;').replace(/>/g, '&gt;').replace(/"/g, '&quot;').replace(/'/g, '&#x27;'),
    ],
    [
      'XML',
      odd.replace(/&/g, '&amp;').replace(/</g, '&lt;').replace(/>/g, '&gt;').replace(/"/g, '&quot;').replace(/'/g, '&apos;'),
    ],
    ['HTML text', odd.replace(/&/g, '&amp;').replace(/</g, '&lt;').replace(/>/g, '&gt;')],
  ];
  test.each(oddForms)('with characters that %s escapes', (_name, form) => {
    expect(finds(needles(odd), form)).toBe(true);
  });

  const accented = 'pässwörd-çàé-ñandú';
  test.each([
    ['in UTF-8', Buffer.from(accented, 'utf8')],
    ['in Latin-1', Buffer.from(accented, 'latin1')],
    ['in base64 of UTF-8', Buffer.from(Buffer.from(`:${accented}:`).toString('base64'))],
    ['in base64 of Latin-1', Buffer.from(Buffer.from(`:${accented}:`, 'latin1').toString('base64'))],
    ['percent-encoded', Buffer.from(encodeURIComponent(accented))],
    ['in the JSON of Python', Buffer.from(accented.replace(/[^\x20-\x7e]/g, (char) => `\\u${x(char.charCodeAt(0), 4)}`))],
  ])('with letters beyond ASCII %s', (_name, form) => {
    expect(finds(needles(accented), form)).toBe(true);
  });
});

describe('a needle is', () => {
  test('of a value of at least eight bytes', () => {
    expect(needles('1234567', 'short')).toEqual([]);
    expect(needles('12345678').length).toBeGreaterThan(0);
    expect(needles('äöüä').length).toBeGreaterThan(0);
  });

  test('never a word with the case of a short value changed', () => {
    expect(finds(needles('Password'), 'password')).toBe(false);
  });

  test('never shorter than the value’s own minimum, never within another, and there once', () => {
    fc.assert(
      fc.property(
        fc.array(fc.string({ minLength: 1, maxLength: 60, unit: 'binary' }), { minLength: 1, maxLength: 3 }),
        (values) => {
          const list = needles(...values);
          for (const needle of list) {
            expect(needle.length).toBeGreaterThanOrEqual(MIN_SECRET_BYTES);
            expect(list.filter((other) => other.includes(needle))).toHaveLength(1);
          }
        },
      ),
      { numRuns: 30 },
    );
  });

  test('in everything that can be rendered from the value', () => {
    const value = fc.string({
      minLength: 8,
      maxLength: 80,
      unit: fc.integer({ min: 0x21, max: 0x7e }).map((code) => String.fromCharCode(code)),
    });
    fc.assert(
      fc.property(value, fc.string({ maxLength: 5 }), fc.string({ maxLength: 5 }), (secret, before, behind) => {
        const list = needles(secret);
        const around = (text: string): string => before + text + behind;
        for (const form of [
          around(secret),
          around(encodeURIComponent(secret)),
          around(JSON.stringify(secret)),
          around(new URLSearchParams([['', secret]]).toString()),
          Buffer.from(around(secret)).toString('base64'),
          Buffer.from(around(secret)).toString('base64url'),
          Buffer.from(around(secret)).toString('hex'),
          base32(Buffer.from(around(secret))),
        ])
          expect(finds(list, form)).toBe(true);
      }),
      { numRuns: 300 },
    );
  });
});
