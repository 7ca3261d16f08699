/** Request targets and path globs: refusals first, then doubt, then what matches. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { AlterError } from '../../../src/domain/errors.ts';
import { compileDeniedPaths } from '../../../src/policy/deny-path.ts';
import { compilePathGlobs, parseTarget, validatePathGlob } from '../../../src/policy/path.ts';

const errorOf = (raw: string): AlterError | null => {
  try {
    parseTarget(raw);
    return null;
  } catch (thrown) {
    if (thrown instanceof AlterError) return thrown;
    throw thrown;
  }
};

describe('parseTarget refuses (S-51)', () => {
  it.each([
    ['nothing', ''],
    ['a relative path', 'a/b'],
    ['an absolute URI', 'http://evil.test/'],
    ['a star with more', '*/x'],
    ['raw UTF-8', '/caf\u00e9'],
    ['raw non-latin1', '/\u2025/x'],
    ['raw non-ASCII in the query', '/x?q=\u00e9'],
    ['a control byte', '/a\x01b'],
    ['a control byte in the query', '/a?b\x00'],
    ['DEL', '/a\x7f'],
    ['a space', '/a b'],
    ['a fragment', '/a#b'],
    ['a fragment in the query', '/a?b#c'],
    ['a backslash', '/a\\b'],
    ['%00', '/a%00b'],
    ['%0a', '/a%0ab'],
    ['%0D', '/a%0Db'],
    ['%7f', '/a%7fb'],
    ['a broken escape', '/a%zz'],
    ['half an escape', '/a%4'],
    ['a bare percent', '/a%'],
    ['a sign in an escape', '/a%+1'],
    ['above the root', '/..'],
    ['above the root, encoded', '/%2e%2E/x'],
    ['above the root later', '/a/../../b'],
    ['above the root at the end', '/a/../..'],
  ])('%s', (_name, raw) => {
    expect(errorOf(raw)?.code).toBe('malformed_request');
  });

  it('a path over 4 KiB with 414, whatever the query', () => {
    expect(errorOf(`/${'a'.repeat(4096)}`)).toMatchObject({ code: 'request_too_large', proxyStatus: 414 });
    expect(errorOf(`/${'a'.repeat(4095)}?${'b'.repeat(9000)}`)).toBeNull();
  });
});

describe('parseTarget keeps the bytes and reads them once', () => {
  it.each([
    ['/', '/', null, ['']],
    ['/v1/chat', '/v1/chat', null, ['v1', 'chat']],
    ['/v1/', '/v1/', null, ['v1', '']],
    ['/a?b=%zz&c\\', '/a', 'b=%zz&c\\', ['a']],
    ['/a?', '/a', '', ['a']],
    ['/%7Euser/%61', '/~user/a', null, ['~user', 'a']],
    ['/%3a%c3%a9', '/%3A%C3%A9', null, ['%3A%C3%A9']],
    ['/a.b/.well-known/..x', '/a.b/.well-known/..x', null, ['a.b', '.well-known', '..x']],
    ['/a;v=1/b', '/a;v=1/b', null, ['a;v=1', 'b']],
    ['/a%252Fb', '/a%252Fb', null, ['a%252Fb']],
    ['*', '*', null, []],
  ])('%s without doubt', (raw, canonical, query, segments) => {
    const target = parseTarget(raw);
    expect(target).toMatchObject({ raw, query, canonical, doubt: null });
    expect(target.path + (query === null ? '' : `?${query}`)).toBe(raw);
    expect(target.segments).toEqual(segments);
  });

  it.each([
    ['/public/../secret', '/secret'],
    ['/public/%2e%2e/secret', '/secret'],
    ['/public/.%2E/secret', '/secret'],
    ['/public/./x', '/public/x'],
    ['/public/x/..', '/public/'],
    ['/public//x', '/public//x'],
    ['//evil.test/x', '//evil.test/x'],
    ['/fetch/http://evil.test/', '/fetch/http://evil.test/'],
    ['/public/..;/secret', '/public/..;/secret'],
    ['/public/..%3B/secret', '/public/..%3B/secret'],
    ['/public/;x/secret', '/public/;x/secret'],
    ['/public%2fsecret', '/public%2Fsecret'],
    ['/public%5Csecret', '/public%5Csecret'],
    ['/public/%252e%252e/secret', '/public/%252e%252e/secret'],
    ['/public/%252e%252e%252fsecret', '/public/%252e%252e%252fsecret'],
    ['/public/%c0%ae%c0%ae/secret', '/public/%C0%AE%C0%AE/secret'],
  ])('%s with doubt', (raw, canonical) => {
    const target = parseTarget(raw);
    expect(target.doubt).toEqual(expect.any(String));
    expect(target).toMatchObject({ raw, path: raw, canonical });
  });

  it('canonicalisation is idempotent, and matching is invariant under it', () => {
    const piece = fc.constantFrom('a', 'B', '.', '..', '%2e', '%41', '%7E', '%2f', '%c3', ';x', '~', '%25', '', 'repos');
    const path = fc
      .array(
        fc.array(piece, { maxLength: 3 }).map((parts) => parts.join('')),
        { maxLength: 6 },
      )
      .map((s) => `/${s.join('/')}`);
    const match = compilePathGlobs(['/repos/**', '/a/*/B', '/**/~']);
    fc.assert(
      fc.property(path, (raw) => {
        if (errorOf(raw) !== null) return;
        const first = parseTarget(raw);
        const second = parseTarget(first.canonical);
        expect(second.canonical).toBe(first.canonical);
        expect(match(second.segments)).toBe(match(first.segments));
      }),
    );
  });

  it('never throws anything but a refusal', () => {
    fc.assert(
      fc.property(
        fc.oneof(
          fc.string(),
          fc.string().map((s) => `/${s}`),
          fc.webPath(),
        ),
        (raw) => {
          expect(['malformed_request', undefined]).toContain(errorOf(raw)?.code);
        },
      ),
    );
  });
});

const matches = (glob: string, path: string): boolean => compilePathGlobs([glob])(parseTarget(path).segments);

describe('path globs match whole segments', () => {
  it.each([
    ['/v1', '/v1evil', false],
    ['/v1', '/v1/', false],
    ['/v1', '/v1/x', false],
    ['/v1', '/V1', false],
    ['/v1', '/', false],
    ['/v1', '/v1', true],
    ['/v1/', '/v1', false],
    ['/v1/', '/v1/', true],
    ['/v1/**', '/v1evil', false],
    ['/v1/**', '/v1evil/x', false],
    ['/v1/**', '/v1', true],
    ['/v1/**', '/v1/', true],
    ['/v1/**', '/v1/a/b/c', true],
    ['/v1/**', '/x/v1/a', false],
    ['/repos/*/issues', '/repos/a/issues', true],
    ['/repos/*/issues', '/repos//issues', false],
    ['/repos/*/issues', '/repos/a/b/issues', false],
    ['/repos/*', '/repos/', false],
    ['/repos/*', '/repos', false],
    ['/**/x', '/x', true],
    ['/**/x', '/a/b/x', true],
    ['/**/x', '/a/b/xy', false],
    ['/a/**/b/**/c', '/a/c', false],
    ['/a/**/b/**/c', '/a/b/c', true],
    ['/a/**/b/**/c', '/a/1/b/2/3/c', true],
    ['/a/**/b/*/c', '/a/b/b/x/c', true],
    ['/**', '/', true],
    ['/**', '/a/b/', true],
    ['/', '/', true],
    ['/', '/a', false],
    ['/%7Eme/**', '/~me/x', true],
    ['/~me', '/%7eme', true],
  ])('%s on %s: %s', (glob, path, expected) => {
    expect(matches(glob, path)).toBe(expected);
  });

  it('any of several globs is enough, none allows nothing', () => {
    expect(compilePathGlobs(['/a', '/b'])(['b'])).toBe(true);
    expect(compilePathGlobs(['/a', '/b'])(['c'])).toBe(false);
    expect(compilePathGlobs([])([''])).toBe(false);
  });

  it('stays quick on a path made to backtrack', () => {
    const match = compilePathGlobs(['/**/a/**/a/**/a/**/a/**/b']);
    const started = performance.now();
    expect(match(new Array<string>(2000).fill('a'))).toBe(false);
    expect(performance.now() - started).toBeLessThan(200);
  });

  it('agrees with a plain recursive matcher', () => {
    const slow = (pattern: readonly string[], segments: readonly string[]): boolean => {
      const [head, ...tail] = pattern;
      if (head === undefined) return segments.length === 0;
      if (head === '**') return slow(tail, segments) || (segments.length > 0 && slow(pattern, segments.slice(1)));
      const [first, ...rest] = segments;
      return first !== undefined && (head === '*' ? first !== '' : head === first) && slow(tail, rest);
    };
    const token = fc.constantFrom('a', 'b', '*', '**');
    fc.assert(
      fc.property(
        fc.array(token, { minLength: 1, maxLength: 6 }),
        fc.array(fc.constantFrom('a', 'b', ''), { minLength: 1, maxLength: 7 }),
        (pattern, segments) => {
          expect(compilePathGlobs([`/${pattern.join('/')}`])(segments)).toBe(slow(pattern, segments));
        },
      ),
    );
  });
});

describe('validatePathGlob', () => {
  it.each([
    '',
    'v1',
    '*',
    '/a b',
    '/é',
    '/a?b',
    '/a#b',
    '/a\\b',
    '/a*',
    '/*.json',
    '/***',
    '/a/../b',
    '/a/%2e',
    '//a',
    '/a//b',
    '/a%2fb',
    '/a%5Cb',
    '/a%',
    '/a%00',
    `/${'a'.repeat(1100)}`,
  ])('refuses %s', (glob) => {
    expect(validatePathGlob(glob)).toEqual(expect.any(String));
  });

  it.each(['/', '/v1', '/v1/', '/**', '/repos/*/issues/**', '/%7Eme', '/a:b', '/a;v=1'])('takes %s', (glob) => {
    expect(validatePathGlob(glob)).toBeNull();
  });
});

describe('forbidding globs hold in every reading', () => {
  const denies = compileDeniedPaths(['/login/oauth/**', '/admin', '/x:delete']);
  it.each([
    '/login/oauth/token',
    '/Login/OAuth/token',
    '/login/oauth',
    '/login//oauth/token',
    '//login/oauth/token',
    '/./login/oauth/token',
    '/a/../login/oauth/token',
    '/a/%2e%2e/login/oauth/token',
    '/a/..;/login/oauth/token',
    '/login;v=1/oauth/token',
    '/login%2foauth%2ftoken',
    '/login%5Coauth/token',
    '/login%252foauth/token',
    '/%6Cogin/oauth/token',
    '/%4Cogin/oauth/token',
    '/a%2f..%2flogin/oauth/token',
    '/a%2f..;%2flogin/oauth/token',
    '/login/oauth/%2e%2e/%2e%2e/a%2f..%2flogin%2foauth',
    '/admin',
    '/admin/',
    '/admin;x',
    '/x%3Adelete',
  ])('%s is forbidden', (path) => {
    expect(denies(path)).toBe(true);
  });

  it.each([
    '/',
    '/login',
    '/loginx/oauth',
    '/login/oauthx',
    '/admin/x',
    '/administrator',
    '/a/login/oauth/token',
    '/group%2Fproject',
    '/a;b',
  ])('%s is not', (path) => {
    expect(denies(path)).toBe(false);
  });

  it('takes a star in the first place', () => {
    expect(compileDeniedPaths(['/*/admin'])('/x/admin')).toBe(true);
    expect(compileDeniedPaths(['/**/admin'])('/admin')).toBe(true);
  });
});
