/** Placement: exactly one value, ours, in each place that is named, and nothing anywhere else. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Injection } from '../../../src/domain/credential.ts';
import type { OverrideMode } from '../../../src/domain/grant.ts';
import { Secret } from '../../../src/domain/secret.ts';
import { compileInjections } from '../../../src/injection/compile.ts';
import { applyInjection, type InjectedRequest } from '../../../src/injection/inject.ts';

const SEKRET = 'SEKRET';
const PH = 'alter_ph_mine';
const bearer: Injection = { in: 'header', name: 'Authorization', template: 'Bearer {token}' };
const apiKey: Injection = { in: 'header', name: 'X-Api-Key', template: '{token}' };
const query: Injection = { in: 'query', name: 'key', template: '{token}' };
const cookie: Injection = { in: 'cookie', name: 'sid', template: '{token}' };

function inject(
  injections: readonly Injection[],
  headers: string[],
  { target = '/', mode = 'always', placeholder = PH }: { target?: string; mode?: OverrideMode; placeholder?: string | null } = {},
): InjectedRequest {
  const compiled = compileInjections(
    injections,
    { credentialId: 'c', version: 1, fields: new Map([['token', new Secret(SEKRET)]]) },
    'api.good.test',
  );
  const before = [...headers];
  const result = applyInjection(headers, target, compiled, mode, placeholder);
  expect(headers).toEqual(before);
  return result;
}

describe('headers', () => {
  it.each([
    ['none', ['Accept', '*/*'], ['Accept', '*/*', 'Authorization', 'Bearer SEKRET'], false],
    [
      'one, in its place',
      ['A', '1', 'authorization', 'x', 'B', '2'],
      ['A', '1', 'Authorization', 'Bearer SEKRET', 'B', '2'],
      true,
    ],
    [
      'duplicates (S-39)',
      ['authorization', 'x', 'A', '1', 'AUTHORIZATION', 'y'],
      ['Authorization', 'Bearer SEKRET', 'A', '1'],
      true,
    ],
    ['a twin with an underscore behind (S-39)', ['Authorization_', 'x'], ['Authorization', 'Bearer SEKRET'], true],
    ['a twin with separators around', ['-Authorization._', 'x'], ['Authorization', 'Bearer SEKRET'], true],
    ['an empty one', ['Authorization', ''], ['Authorization', 'Bearer SEKRET'], false],
    ['the placeholder', ['Authorization', `Bearer ${PH}`], ['Authorization', 'Bearer SEKRET'], false],
    [
      'names that are near',
      ['Authorizations', 'x', 'X-Authorization', 'y', 'Auth-orization', 'z'],
      ['Authorizations', 'x', 'X-Authorization', 'y', 'Auth-orization', 'z', 'Authorization', 'Bearer SEKRET'],
      false,
    ],
  ])('%s', (_name, headers, expected, replaced) => {
    expect(inject([bearer], headers)).toEqual({ headers: expected, target: '/', replaced, injected: true });
  });

  it('removes every folded twin of a name with hyphens (S-39)', () => {
    expect(inject([apiKey], ['X_API_KEY', 'a', 'x.api-key', 'b', 'x-api-key', 'c', 'X-Api-Keys', 'd']).headers).toEqual([
      'X-Api-Key',
      'SEKRET',
      'X-Api-Keys',
      'd',
    ]);
  });

  it('several places, each once (S-74)', () => {
    expect(inject([bearer, apiKey], ['x-api-key', 'mine', 'Accept', '*/*'])).toMatchObject({
      headers: ['X-Api-Key', 'SEKRET', 'Accept', '*/*', 'Authorization', 'Bearer SEKRET'],
      replaced: true,
    });
  });

  it('leaves a placeholder in any other header as it is (S-65)', () => {
    expect(inject([bearer], ['X-Debug', PH, 'Cookie', `sid=${PH}`], { target: `/p/${PH}?key=${PH}` })).toMatchObject({
      headers: ['X-Debug', PH, 'Cookie', `sid=${PH}`, 'Authorization', 'Bearer SEKRET'],
      target: `/p/${PH}?key=${PH}`,
    });
  });

  it('exactly one injected header for arbitrary lists, and the others untouched in order', () => {
    const separator = fc.constantFrom('-', '_', '.');
    const twin = fc
      .tuple(
        fc.constantFrom('X', 'x'),
        separator,
        fc.constantFrom('Api', 'API', 'api'),
        separator,
        fc.constantFrom('Key', 'KEY'),
        fc.constantFrom('', '_', '.-'),
      )
      .map((parts) => parts.join(''));
    const name = fc.oneof(twin, fc.stringMatching(/^[A-Za-z._-]{1,12}$/), fc.constantFrom('Accept', 'X-Api-Keys'));
    const fold = (text: string): string =>
      text
        .toLowerCase()
        .replace(/[_.]/g, '-')
        .replace(/^-+|-+$/g, '');
    fc.assert(
      fc.property(fc.array(fc.tuple(name, fc.string()), { maxLength: 12 }), (pairs) => {
        const { headers } = inject([apiKey], pairs.flat());
        const out = headers.flatMap((text, i) => (i % 2 === 0 ? [[text, headers[i + 1] as string]] : []));
        expect(out.filter(([n]) => fold(n as string) === 'x-api-key')).toEqual([['X-Api-Key', SEKRET]]);
        expect(out.filter(([n]) => n !== 'X-Api-Key')).toEqual(pairs.filter(([n]) => fold(n) !== 'x-api-key'));
      }),
    );
  });
});

describe('query parameters (S-54)', () => {
  it.each([
    ['/p', '/p?key=SEKRET', false],
    ['/p?', '/p?key=SEKRET', false],
    ['/p?a=1', '/p?a=1&key=SEKRET', false],
    ['/p?key&key=a&KEY=b', '/p?key=SEKRET', true],
    ['/p?key', '/p?key=SEKRET', false],
    ['/p?a=1&key=x&b=%zz', '/p?a=1&b=%zz&key=SEKRET', true],
    ['/p?%6bey=x&ke%79=y&K%45Y=z', '/p?key=SEKRET', true],
    ['/p?+key=x&key+=y&key%00z=w', '/p?key=SEKRET', true],
    ['/p?a=1;key=x;b=2', '/p?a=1;b=2&key=SEKRET', true],
    ['/p?key=x;b=2', '/p?b=2&key=SEKRET', true],
    ['/p?&&a=1&', '/p?&&a=1&key=SEKRET', false],
    ['/p?keys=1&akey=2&%256bey=3&x=key', '/p?keys=1&akey=2&%256bey=3&x=key&key=SEKRET', false],
    [`/p?key=${PH}`, '/p?key=SEKRET', false],
    [`/key=1?a=?key=2`, '/key=1?a=?key=2&key=SEKRET', false],
  ])('%s becomes %s', (target, expected, replaced) => {
    expect(inject([query], ['A', 'b'], { target })).toEqual({ headers: ['A', 'b'], target: expected, replaced, injected: true });
  });

  it('dots and underscores are one for origins in PHP', () => {
    expect(
      inject([{ in: 'query', name: 'api_key', template: '{token}' }], [], { target: '/?api.key=x&api%20key=y' }).target,
    ).toBe('/?api_key=SEKRET');
  });

  it('exactly one, and the other pieces untouched, for arbitrary queries', () => {
    fc.assert(
      fc.property(fc.stringMatching(/^[a-zA-Z=&;%+0-9.]{0,30}$/), (text) => {
        const { target } = inject([query], [], { target: `/?${text}` });
        const names = target
          .slice(2)
          .split(/[&;]/)
          .map((piece) =>
            decodeURIComponent(
              (piece.split('=')[0] as string).replace(/%(?![0-9a-fA-F]{2})|%[89a-fA-F]./g, '_').replaceAll('+', ' '),
            )
              .trim()
              .toLowerCase(),
          );
        expect(names.filter((name) => name === 'key')).toHaveLength(1);
        expect(target.endsWith('key=SEKRET')).toBe(true);
      }),
    );
  });
});

describe('cookies', () => {
  it.each([
    [[], ['Cookie', 'sid=SEKRET'], false],
    [['Cookie', 'a=1; sid=x; b="2;3"'], ['Cookie', 'a=1; b="2;3"; sid=SEKRET'], true],
    [['cookie', 'sid=x'], ['Cookie', 'sid=SEKRET'], true],
    [['cookie', 'a=1'], ['cookie', 'a=1; sid=SEKRET'], false],
    [['cookie', 'a=1', 'Cookie', 'SID = x; c=2', 'cookie', 'sid=z'], ['cookie', 'a=1; sid=SEKRET', 'Cookie', 'c=2'], true],
    [['Cookie', `sid="${PH}"`], ['Cookie', 'sid=SEKRET'], false],
    [['Cookie', 'xsid=1; sid2=2'], ['Cookie', 'xsid=1; sid2=2; sid=SEKRET'], false],
  ])('%j becomes %j', (headers, expected, replaced) => {
    expect(inject([cookie], headers)).toEqual({ headers: expected, target: '/', replaced, injected: true });
  });
});

const basic = (user: string, password: string): string => `Basic ${btoa(`${user}:${password}`)}`;

describe('override modes (S-73)', () => {
  const untouched = { replaced: false, injected: false };
  it.each<[string, OverrideMode, readonly Injection[], string[], string, object]>([
    ['if_absent leaves a value of the client', 'if_absent', [bearer], ['authorization', 'Bearer ghs_x'], '/', untouched],
    ['if_absent leaves a twin', 'if_absent', [apiKey], ['X_Api_Key', 'x'], '/', untouched],
    ['if_absent leaves all when one place is taken', 'if_absent', [bearer, apiKey], ['X-Api-Key', 'x'], '/', untouched],
    ['if_absent leaves a parameter', 'if_absent', [query], [], '/?KEY=x', untouched],
    ['if_absent leaves a cookie', 'if_absent', [cookie], ['Cookie', 'a=1; sid=x'], '/', untouched],
    [
      'if_absent leaves a value beside the placeholder',
      'if_absent',
      [bearer],
      ['Authorization', PH, 'Authorization', 'x'],
      '/',
      untouched,
    ],
    [
      'placeholder_only leaves a value of the client',
      'placeholder_only',
      [bearer],
      ['Authorization', 'Bearer ghs_x'],
      '/',
      untouched,
    ],
    ['placeholder_only adds nothing', 'placeholder_only', [bearer], ['Accept', '*/*'], '/', untouched],
    ['placeholder_only ignores a longer word', 'placeholder_only', [bearer], ['Authorization', `Bearer ${PH}x`], '/', untouched],
    ['placeholder_only ignores another header', 'placeholder_only', [bearer], ['X-Debug', PH], '/', untouched],
    [
      'placeholder_only ignores another placeholder',
      'placeholder_only',
      [bearer],
      ['Authorization', 'Bearer alter_ph_other'],
      '/',
      untouched,
    ],
    ['placeholder_only ignores the path and other parameters', 'placeholder_only', [query], [], `/${PH}?other=${PH}`, untouched],
    ['placeholder_only ignores another cookie', 'placeholder_only', [cookie], ['Cookie', `a=${PH}`], '/', untouched],
  ])('%s', (_name, mode, injections, headers, target, expected) => {
    expect(inject(injections, headers, { mode, target })).toEqual({ headers, target, ...expected });
  });

  it.each<[string, OverrideMode, readonly Injection[], string[], string]>([
    ['if_absent fills what is absent', 'if_absent', [bearer], ['Accept', '*/*'], '/'],
    ['if_absent fills what is empty', 'if_absent', [bearer], ['Authorization', ''], '/'],
    ['if_absent fills the placeholder', 'if_absent', [bearer], ['Authorization', `Bearer ${PH}`], '/'],
    ['placeholder_only fills a bare one', 'placeholder_only', [apiKey], ['x-api-key', PH], '/'],
    ['placeholder_only fills Bearer', 'placeholder_only', [bearer], ['Authorization', `bearer ${PH}`], '/'],
    ['placeholder_only fills another scheme', 'placeholder_only', [bearer], ['Authorization', `token ${PH}`], '/'],
    ['placeholder_only fills a quoted one', 'placeholder_only', [bearer], ['Authorization', `Token token="${PH}"`], '/'],
    ['placeholder_only fills a Basic password', 'placeholder_only', [bearer], ['Authorization', basic('git', PH)], '/'],
    ['placeholder_only fills a Basic user', 'placeholder_only', [bearer], ['authorization', basic(PH, '')], '/'],
    ['placeholder_only fills a parameter', 'placeholder_only', [query], [], `/?a=1&key=${PH}`],
    ['placeholder_only fills an encoded parameter', 'placeholder_only', [query], [], '/?k%65y=alter%5Fph_mine'],
    ['placeholder_only fills a cookie', 'placeholder_only', [cookie], ['Cookie', `a=1; sid=${PH}`], '/'],
  ])('%s', (_name, mode, injections, headers, target) => {
    const result = inject(injections, headers, { mode, target });
    expect(result).toMatchObject({ replaced: false, injected: true });
    expect(JSON.stringify(result)).not.toContain(PH);
    expect(JSON.stringify(result).split(SEKRET)).toHaveLength(2);
  });

  it('placeholder_only looks at each place for itself', () => {
    expect(inject([bearer, apiKey], ['Authorization', 'Bearer own', 'X-Api-Key', PH], { mode: 'placeholder_only' })).toEqual({
      headers: ['Authorization', 'Bearer own', 'X-Api-Key', 'SEKRET'],
      target: '/',
      replaced: false,
      injected: true,
    });
  });

  it('always says whether something of the client was replaced', () => {
    expect(inject([bearer], ['Authorization', 'Bearer ghs_x']).replaced).toBe(true);
    expect(inject([bearer], ['Authorization', basic('git', PH)]).replaced).toBe(false);
    expect(inject([bearer], ['Authorization', `Bearer ${PH}`], { placeholder: null }).replaced).toBe(true);
  });

  it('a grant without placeholder is never triggered by one', () => {
    expect(
      inject([bearer], ['Authorization', 'Bearer alter_ph_x'], { mode: 'placeholder_only', placeholder: null }).injected,
    ).toBe(false);
  });

  it('the secret is only ever in a place that is named', () => {
    const headers = fc.array(
      fc.tuple(
        fc.constantFrom('Authorization', 'X-Api-Key', 'Cookie', 'X-Debug', 'Referer'),
        fc.constantFrom(PH, `Bearer ${PH}`, 'x', `sid=${PH}`, basic('u', PH)),
      ),
      { maxLength: 6 },
    );
    const target = fc.constantFrom('/', `/${PH}`, `/?key=${PH}`, `/?x=${PH}`);
    const injections = fc.subarray([bearer, apiKey, query, cookie], { minLength: 1 });
    fc.assert(
      fc.property(
        headers,
        target,
        injections,
        fc.constantFrom<OverrideMode>('always', 'if_absent', 'placeholder_only'),
        (pairs, t, places, mode) => {
          const result = inject(places, pairs.flat(), { target: t, mode });
          const rendered = JSON.stringify(result).split(SEKRET).length - 1;
          expect(rendered).toBeLessThanOrEqual(places.length);
          if (mode === 'always') expect(rendered).toBe(places.length);
          for (let i = 0; i < result.headers.length; i += 2)
            if (['X-Debug', 'Referer'].includes(result.headers[i] as string)) expect(result.headers[i + 1]).not.toContain(SEKRET);
        },
      ),
    );
  });
});
