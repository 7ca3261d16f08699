/** Canonical hosts: what must be refused first, then the one spelling of everything else. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { AlterError } from '../../../src/domain/errors.ts';
import { matchesHostPattern, parseAuthority, parseHost, parseHostPattern } from '../../../src/domain/host.ts';

const codeOf = (run: () => unknown): string => {
  try {
    run();
  } catch (thrown) {
    return thrown instanceof AlterError ? thrown.code : `not an AlterError: ${String(thrown)}`;
  }
  return 'accepted';
};

describe('parseHost refuses', () => {
  it.each([
    ['nothing', ''],
    ['a lone dot', '.'],
    ['two trailing dots (S-07)', 'api.good.test..'],
    ['a leading dot', '.good.test'],
    ['an empty label', 'api..test'],
    ['userinfo (S-05)', 'G:x@evil.test'],
    ['an at sign', 'user@evil.test'],
    ['brackets around a name (S-09)', '[evil.test]'],
    ['brackets around an IPv4 address', '[127.0.0.1]'],
    ['an open bracket', '[::1'],
    ['a closing bracket only', '::1]'],
    ['empty brackets', '[]'],
    ['a zone id (S-10)', '[fe80::1%eth0]'],
    ['a zone id that hides a suffix (S-10)', '[::ffff:1.2.3.4%x.allowed.test]'],
    ['a bare zone id', '::ffff:1.2.3.4%x.allowed.test'],
    ['five numbers (S-11)', '1.2.3.4.5'],
    ['a number that is too big', '4294967296'],
    ['a part that is too big', '256.0.0.1'],
    ['a last part that is too big', '1.2.65536'],
    ['octal with a nine', '09.0.0.1'],
    ['a bare 0x', 'a.0x'],
    ['a numeric last label', 'good.test.1'],
    ['a hexadecimal last label', 'good.0x7f'],
    ['raw non-ASCII (S-12)', 'bücher.test'],
    ['full-width letters (S-12)', 'ｇood.test'],
    ['latin1 bytes', 'b\u00fccher.test'],
    ['an A-label that is no punycode (S-12)', 'xn--zz.test'],
    ['an A-label of plain ASCII', 'xn--abc-.test'],
    ['an A-label with a wrong tail', 'a.xn--0.test'],
    ['an escaped NUL (S-13)', 'G%00.evil.test'],
    ['a NUL (S-13)', 'G\x00.E'],
    ['a space', 'good.test '],
    ['a tab', '\tgood.test'],
    ['CR LF', 'good.test\r\nX: y'],
    ['a comma (S-06)', 'a.test,b.test'],
    ['a slash', 'good.test/x'],
    ['a backslash', 'good.test\\x'],
    ['a query', 'good.test?x'],
    ['a fragment', 'good.test#x'],
    ['an underscore (S-13)', 'a_b.test'],
    ['a star', '*.good.test'],
    ['a leading hyphen', '-a.test'],
    ['a trailing hyphen', 'a-.test'],
    ['a long label', `${'a'.repeat(64)}.test`],
    ['a long name', `${'a.'.repeat(127)}test`],
    ['IPv6 with two gaps', '[1::2::3]'],
    ['IPv6 with nine groups', '[1:2:3:4:5:6:7:8:9]'],
    ['a port', 'good.test:443'],
  ])('%s', (_name, raw) => {
    expect(codeOf(() => parseHost(raw))).toBe('malformed_request');
  });

  it('never repeats the text, which may hold a password', () => {
    expect(() => parseHost('user:SEKRET-marker@evil.test')).toThrow(
      expect.not.objectContaining({ message: expect.stringContaining('SEKRET') }),
    );
  });
});

describe('parseHost answers one spelling', () => {
  it.each([
    ['api.good.test', 'api.good.test', 0],
    ['API.Good.TEST', 'api.good.test', 0],
    ['api.good.test.', 'api.good.test', 0],
    ['localhost', 'localhost', 0],
    ['r3---sn-abc.video.test', 'r3---sn-abc.video.test', 0],
    ['3com.test', '3com.test', 0],
    ['0x7f.test', '0x7f.test', 0],
    ['a.0xyz', 'a.0xyz', 0],
    ['xn--bcher-kva.test', 'xn--bcher-kva.test', 0],
    ['XN--BCHER-KVA.test', 'xn--bcher-kva.test', 0],
    [`${'a'.repeat(63)}.test`, `${'a'.repeat(63)}.test`, 0],
    ['127.0.0.1', '127.0.0.1', 4],
    ['127.0.0.1.', '127.0.0.1', 4],
    ['127.1', '127.0.0.1', 4],
    ['0x7f.0.0.1', '127.0.0.1', 4],
    ['0X7F.1', '127.0.0.1', 4],
    ['2130706433', '127.0.0.1', 4],
    ['0177.0.0.1', '127.0.0.1', 4],
    ['1.2.65535', '1.2.255.255', 4],
    ['0', '0.0.0.0', 4],
    ['4294967295', '255.255.255.255', 4],
    ['[::1]', '::1', 6],
    ['::1', '::1', 6],
    ['[0:0:0:0:0:0:0:0]', '::', 6],
    ['[2001:DB8:0:0:1:0:0:1]', '2001:db8::1:0:0:1', 6],
    ['[2001:db8:0:1:1:1:1:1]', '2001:db8:0:1:1:1:1:1', 6],
    ['[1:0:0:2:0:0:0:3]', '1:0:0:2::3', 6],
    ['[1:2:3:4:5:6:0:0]', '1:2:3:4:5:6::', 6],
    ['[::ffff:7f00:1]', '::ffff:127.0.0.1', 6],
    ['[::FFFF:127.0.0.1]', '::ffff:127.0.0.1', 6],
    ['[64:ff9b::a9fe:a9fe]', '64:ff9b::a9fe:a9fe', 6],
  ] as const)('%s is %s', (raw, host, family) => {
    expect(parseHost(raw)).toEqual({ host, family });
  });

  it('canonicalisation is idempotent for whatever it accepts', () => {
    const label = fc.stringMatching(/^[A-Za-z0-9-]{1,8}$/);
    const name = fc.array(label, { minLength: 1, maxLength: 5 }).map((labels) => labels.join('.'));
    fc.assert(
      fc.property(fc.oneof(name, fc.ipV4(), fc.ipV6(), fc.ipV4Extended(), fc.domain(), fc.string()), (raw) => {
        let first: ReturnType<typeof parseHost>;
        try {
          first = parseHost(raw);
        } catch (thrown) {
          expect((thrown as AlterError).code).toBe('malformed_request');
          return;
        }
        expect(parseHost(first.host)).toEqual(first);
        expect(parseHost(raw.toUpperCase())).toEqual(first);
        if (first.family === 0 && !raw.endsWith('.') && raw.length < 253) expect(parseHost(`${raw}.`)).toEqual(first);
      }),
    );
  });

  it('agrees with the URL parser on every address spelling that both accept', () => {
    fc.assert(
      fc.property(
        fc.oneof(
          fc.ipV4Extended(),
          fc.ipV6().map((ip) => `[${ip}]`),
        ),
        (raw) => {
          const url = new URL(`http://${raw}/`).hostname;
          expect(parseHost(raw)).toEqual(parseHost(url));
        },
      ),
    );
  });
});

describe('parseAuthority', () => {
  it.each([
    ['no port on CONNECT', 'good.test'],
    ['an empty port on CONNECT', 'good.test:'],
    ['port 0', 'good.test:0'],
    ['port 65536', 'good.test:65536'],
    ['a long port', 'good.test:000443'],
    ['a leading zero', 'good.test:0443'],
    ['a sign', 'good.test:+443'],
    ['letters', 'good.test:443a'],
    ['a space', 'good.test: 443'],
    ['two ports', 'good.test:443:80'],
    ['userinfo (S-05)', 'G@evil.test:443'],
    ['userinfo with password (S-05)', 'G:80@evil.test'],
    ['userinfo and port', 'G:80@evil.test:443'],
    ['bare IPv6', '::1:443'],
    ['text behind the bracket', '[::1]x:443'],
    ['bracketed name', '[evil.test]:443'],
    ['only a port', ':443'],
    ['nothing', ''],
    ['an escape', 'G%00.evil.test:443'],
    ['an arabic digit', 'good.test:٤'],
  ])('refuses %s', (_name, raw) => {
    expect(codeOf(() => parseAuthority(raw, 'https'))).toBe('malformed_request');
  });

  it.each([
    ['API.Good.test.:443', 'https', undefined, 'api.good.test', 'https://api.good.test:443'],
    ['api.good.test:8443', 'https', undefined, 'api.good.test:8443', 'https://api.good.test:8443'],
    ['api.good.test', 'https', 443, 'api.good.test', 'https://api.good.test:443'],
    ['api.good.test:', 'http', 80, 'api.good.test', 'http://api.good.test:80'],
    ['api.good.test:443', 'http', 80, 'api.good.test:443', 'http://api.good.test:443'],
    ['[::1]:443', 'https', undefined, '[::1]', 'https://[::1]:443'],
    ['[::1]', 'https', 443, '[::1]', 'https://[::1]:443'],
    ['127.1:8080', 'http', 80, '127.0.0.1:8080', 'http://127.0.0.1:8080'],
  ] as const)('reads %s', (raw, scheme, port, authority, origin) => {
    expect(parseAuthority(raw, scheme, port)).toMatchObject({ authority, origin });
  });

  it('reads its own authority back to the same origin', () => {
    fc.assert(
      fc.property(
        fc.oneof(
          fc.domain(),
          fc.ipV4(),
          fc.ipV6().map((ip) => `[${ip}]`),
        ),
        fc.integer({ min: 1, max: 65_535 }),
        (host, port) => {
          const first = parseAuthority(`${host}:${port}`, 'https');
          expect(parseAuthority(first.authority, 'https', 443)).toEqual(first);
          expect(parseAuthority(first.origin.slice('https://'.length), 'https')).toEqual(first);
        },
      ),
    );
  });
});

describe('host patterns', () => {
  it.each([
    '*',
    '*.com',
    '*.test',
    '*.co.uk',
    '*.com.au',
    '*.github.io',
    'a*.good.test',
    '*a.good.test',
    '*.*.good.test',
    'a.*.test',
    '*.127.0.0.1',
    '*.2.3.4',
    '*.[::1]',
    '',
    '*.',
    'good.test:443',
    'https://good.test',
    'good.test/x',
    'a_b.test',
  ])('refuses %s (S-14)', (raw) => {
    expect(codeOf(() => parseHostPattern(raw))).toBe('invalid_input');
  });

  it.each([
    ['API.Good.Test.', 'api.good.test'],
    ['*.Good.Test', '*.good.test'],
    ['bücher.test', 'xn--bcher-kva.test'],
    ['*.bücher.test', '*.xn--bcher-kva.test'],
    ['*.corp.co.uk', '*.corp.co.uk'],
    ['127.1', '127.0.0.1'],
    ['[::1]', '::1'],
  ])('reads %s as %s', (raw, canonical) => {
    expect(parseHostPattern(raw)).toBe(canonical);
    expect(parseHostPattern(canonical)).toBe(canonical);
  });

  it.each([
    ['*.good.test', 'good.test', false],
    ['*.good.test', 'a.b.good.test', false],
    ['*.good.test', 'xgood.test', false],
    ['*.good.test', 'good.test.evil.test', false],
    ['*.good.test', '.good.test', false],
    ['*.good.test', 'a.good.test', true],
    ['*.2.3.4', '1.2.3.4', false],
    ['*.3.4', '::ffff:1.2.3.4', false],
    ['good.test', 'a.good.test', false],
    ['good.test', 'good.test', true],
    ['127.0.0.1', '127.0.0.1', true],
  ])('%s on %s: %s', (pattern, host, matches) => {
    expect(matchesHostPattern(pattern, host)).toBe(matches);
  });

  it('a wildcard matches exactly one whole label more, whatever the spelling on the wire', () => {
    const label = fc.stringMatching(/^[a-z][a-z0-9]{0,6}$/);
    fc.assert(
      fc.property(fc.array(label, { minLength: 1, maxLength: 4 }), fc.boolean(), (labels, upper) => {
        const raw = [...labels, 'good', 'test'].join('.');
        const { host } = parseHost(`${upper ? raw.toUpperCase() : raw}.`);
        expect(matchesHostPattern('*.good.test', host)).toBe(labels.length === 1);
      }),
    );
  });
});
