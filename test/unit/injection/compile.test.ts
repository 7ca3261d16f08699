/** Templates, validation and rendering: what must never be rendered first. */
import { inspect } from 'node:util';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { CredentialMaterial, Injection } from '../../../src/domain/credential.ts';
import type { AlterError } from '../../../src/domain/errors.ts';
import { Secret } from '../../../src/domain/secret.ts';
import {
  type CompiledInjection,
  compileInjections,
  validateFieldValue,
  validateInjections,
} from '../../../src/injection/compile.ts';
import { compileTemplate, renderTemplate } from '../../../src/injection/template.ts';

const SEKRET = 'SEKRET-marker-1';
const material = (fields: Record<string, string>): CredentialMaterial => ({
  credentialId: 'c1',
  version: 1,
  fields: new Map(Object.entries(fields).map(([name, value]) => [name, new Secret(value)])),
});
const header: Injection = { in: 'header', name: 'Authorization', template: 'Bearer {token}' };
const compile = (injections: readonly Injection[], fields: Record<string, string>, host = 'api.good.test'): CompiledInjection =>
  compileInjections(injections, material(fields), host, 'g1');
const revealed = (compiled: CompiledInjection) => ({
  headers: compiled.headers.map(({ name, value }) => [name, value.reveal()]),
  query: compiled.query.map(({ pair }) => pair.reveal()),
  cookies: compiled.cookies.map(({ pair }) => pair.reveal()),
});

describe('compileTemplate', () => {
  it.each([
    ['{nope}', 'no field {nope}'],
    ['a{', 'single {'],
    ['a}', 'single }'],
    ['{Token}', 'not a field name'],
    ['{}', 'not a field name'],
    ['{constructor}', 'no field {constructor}'],
    ['{__proto__}', 'not a field name'],
    ['{token', 'single {'],
    ['{{token}', 'single }'],
  ])('names the problem of %s', (text, problem) => {
    expect(compileTemplate(text, ['token']).problems.join()).toContain(problem);
  });

  it.each([
    ['Bearer {token}', 'Bearer T'],
    ['{user}:{token}:{user}', 'U:T:U'],
    ['{{token}}', '{token}'],
    ['{{{token}}}', '{T}'],
    ['plain', 'plain'],
    ['', ''],
  ])('renders %s', (text, expected) => {
    const template = compileTemplate(text, ['token', 'user']);
    expect(template.problems).toEqual([]);
    expect(renderTemplate(template, (field) => (field === 'token' ? 'T' : 'U'))).toBe(expected);
  });

  it('renders in one pass: a value that looks like a field stays as it is (S-66)', () => {
    expect(revealed(compile([{ in: 'header', name: 'X', template: '{a}{b}' }], { a: '{b}', b: 'B' })).headers).toEqual([
      ['X', '{b}B'],
    ]);
  });
});

describe('validateFieldValue refuses', () => {
  it.each([
    ['nothing', ''],
    ['CR LF (S-40)', 'a\r\nX: y'],
    ['LF', 'a\n'],
    ['NUL', 'a\0b'],
    ['a tab', 'a\tb'],
    ['DEL', 'a\x7f'],
    ['C1 control', 'a\u0085'],
    ['a lone surrogate', 'a\ud800'],
    ['white space at the edge', ' a'],
    ['a placeholder (S-66)', 'x alter_ph_abc'],
    ['too much', 'a'.repeat(16_385)],
  ])('%s', (_name, value) => {
    const problem = validateFieldValue(value);
    expect(problem).toEqual(expect.any(String));
    if (value.length > 1) expect(problem).not.toContain(value);
  });

  it.each(['SEKRET', 'with space', 'p\u00e4ss', '\u{1f511}', '{token}', 'a/b?c#d'])('takes %s', (value) => {
    expect(validateFieldValue(value)).toBeNull();
  });
});

describe('validateInjections', () => {
  it.each<[string, readonly Injection[], string]>([
    ['none', [], 'no injection'],
    ['an unknown field', [{ ...header, template: '{tokn}' }], 'no field {tokn}'],
    ['a header that is no token', [{ ...header, name: 'X Y' }], 'not a name of a header'],
    ['a header with a line break', [{ ...header, name: 'X\r\nY' }], 'not a name of a header'],
    ['Host', [{ ...header, name: 'Host' }], 'must not be injected'],
    ['Transfer_Encoding', [{ ...header, name: 'Transfer_Encoding' }], 'must not be injected'],
    ['Proxy-Authorization', [{ ...header, name: 'proxy-authorization' }], 'must not be injected'],
    ['a header of ours', [{ ...header, name: 'Alter-Label' }], 'must not be injected'],
    ['Cookie as header', [{ ...header, name: 'Cookie' }], 'in = "cookie"'],
    ['a line break in the template', [{ ...header, template: 'Bearer\r\n{token}' }], 'printable ASCII'],
    ['a bad cookie name', [{ in: 'cookie', name: 'a=b', template: '{token}' }], 'not a name of a cookie'],
    ['a bad parameter name', [{ in: 'query', name: 'a b', template: '{token}' }], 'not a name of a query parameter'],
    ['an unknown field in basic', [{ in: 'basic', username: '{user}', password: '{token}' }], 'no field {user}'],
    ['one header twice (S-74)', [header, { ...header, name: 'authorization' }], 'two injections fill the header authorization'],
    ['basic beside Authorization (S-74)', [header, { in: 'basic', username: 'x', password: '{token}' }], 'two injections fill'],
    [
      'folded twins (S-39)',
      [
        { ...header, name: 'X-Key' },
        { ...header, name: 'X_KEY' },
      ],
      'two injections fill',
    ],
    [
      'hosts that overlap',
      [
        { ...header, hosts: ['*.good.test'] },
        { ...header, hosts: ['a.good.test'] },
      ],
      'two injections fill',
    ],
  ])('names the problem of %s', (_name, injections, problem) => {
    expect(validateInjections(injections, ['token']).join()).toContain(problem);
  });

  it.each<[string, readonly Injection[]]>([
    ['one header', [header]],
    ['two headers', [header, { ...header, name: 'X-Key' }]],
    [
      'the same header on different hosts',
      [
        { ...header, hosts: ['api.good.test'] },
        { in: 'basic', username: 'x', password: '{token}', hosts: ['git.good.test'] },
      ],
    ],
    [
      'header, query and cookie of one name',
      [
        { ...header, name: 'key' },
        { in: 'query', name: 'key', template: '{token}' },
        { in: 'cookie', name: 'key', template: '{token}' },
      ],
    ],
  ])('takes %s', (_name, injections) => {
    expect(validateInjections(injections, ['token'])).toEqual([]);
  });
});

describe('compileInjections', () => {
  it.each<[string, readonly Injection[], string]>([
    ['CR LF in a header (S-40)', [header], 'a\r\nX: SEKRET'],
    ['NUL in a header', [header], 'SEKRET\0'],
    ['a tab in a header', [header], 'SEKRET\tx'],
    ['non-ASCII in a header', [header], 'SEKRET\u00e9'],
    ['a space at the end of a header', [header], 'SEKRET '],
    ['an empty header', [{ ...header, template: '{token}' }], ''],
    ['a semicolon in a cookie', [{ in: 'cookie', name: 'sid', template: '{token}' }], 'SEKRET;a'],
    ['a comma in a cookie', [{ in: 'cookie', name: 'sid', template: '{token}' }], 'SEKRET,a'],
    ['a space in a cookie', [{ in: 'cookie', name: 'sid', template: '{token}' }], 'SEKRET a'],
    ['a colon in a Basic user', [{ in: 'basic', username: '{token}', password: 'x' }], 'SEKRET:a'],
    ['LF in a Basic password', [{ in: 'basic', username: 'x', password: '{token}' }], 'SEKRET\n'],
    ['a control byte in a query', [{ in: 'query', name: 'key', template: '{token}' }], 'SEKRET\x01'],
    ['a lone surrogate in a query', [{ in: 'query', name: 'key', template: '{token}' }], 'SEKRET\ud800'],
    ['a field that is missing', [{ ...header, template: '{other}' }], SEKRET],
    ['two in one place', [header, header], SEKRET],
    ['no injection for the host', [{ ...header, hosts: ['else.test'] }], SEKRET],
    ['no injection at all', [], SEKRET],
  ])('refuses %s and names no value', (_name, injections, token) => {
    try {
      compile(injections, { token });
    } catch (thrown) {
      expect(thrown).toMatchObject({ code: 'credential_unavailable', details: { grant_id: 'g1' } });
      expect(JSON.stringify([(thrown as AlterError).message, (thrown as AlterError).details])).not.toContain('SEKRET');
      return;
    }
    throw new Error('rendered');
  });

  it.each<[string, Injection, object]>([
    ['a header', header, { headers: [['Authorization', `Bearer ${SEKRET}`]] }],
    [
      'a Basic pair',
      { in: 'basic', username: 'x-token', password: '{token}' },
      { headers: [['Authorization', `Basic ${btoa(`x-token:${SEKRET}`)}`]] },
    ],
    [
      'a query parameter',
      { in: 'query', name: 'api key', template: '{token}&=+/é' },
      { query: [`api%20key=${SEKRET}%26%3D%2B%2F%C3%A9`] },
    ],
    ['a cookie', { in: 'cookie', name: 'sid', template: 's.{token}' }, { cookies: [`sid=s.${SEKRET}`] }],
  ])('renders %s', (_name, injection, expected) => {
    expect(revealed(compile([injection], { token: SEKRET }))).toMatchObject(expected);
  });

  it('renders only what is for the host, with or without port', () => {
    const injections: Injection[] = [
      { ...header, hosts: ['api.good.test:8443'] },
      { in: 'basic', username: 'x', password: '{token}', hosts: ['git.good.test'] },
      { in: 'header', name: 'X-Wild', template: '{token}', hosts: ['*.good.test'] },
    ];
    expect(revealed(compile(injections, { token: SEKRET })).headers.map(([name]) => name)).toEqual(['Authorization', 'X-Wild']);
    expect(revealed(compile([{ ...header, hosts: ['[::1]:443'] }], { token: SEKRET }, '::1')).headers).toHaveLength(1);
  });

  it('prints no secret, however it is printed', () => {
    const compiled = compile(
      [header, { in: 'query', name: 'k', template: '{token}' }, { in: 'cookie', name: 'k', template: '{token}' }],
      { token: SEKRET },
    );
    expect(JSON.stringify(compiled) + inspect(compiled, { depth: 9, showHidden: true }) + String(compiled)).not.toContain(SEKRET);
  });

  it('whatever is stored, a rendered header has no control byte', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), (token) => {
        let compiled: CompiledInjection;
        try {
          compiled = compile([header], { token });
        } catch (thrown) {
          expect((thrown as AlterError).code).toBe('credential_unavailable');
          return;
        }
        expect(compiled.headers[0]?.value.reveal()).toMatch(/^[\x20-\x7e]+$/);
      }),
    );
  });
});
