/** The catalogue over real directories: who wins, what a broken file does, what lint finds, how a file is added. */
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { loadCatalogue } from '../../../src/config/catalogue.ts';
import { lintCatalogue } from '../../../src/config/catalogue-lint.ts';
import { lintReasons } from '../../../src/config/catalogue-overlaps.ts';
import { type ProviderSpec, parseProvider } from '../../../src/config/provider.ts';
import { openProviderLibrary } from '../../../src/config/provider-library.ts';
import type { ProviderOAuth } from '../../../src/config/provider-oauth.ts';
import { AlterError } from '../../../src/domain/errors.ts';

const root = mkdtempSync(join(tmpdir(), 'alterd-catalogue-'));
afterAll(() => rmSync(root, { recursive: true, force: true }));

const text = (slug: string, host: string, more = ''): string =>
  `slug = "${slug}"\nname = "${slug}"\nkind = "static"\nhosts = ["${host}"]\nevidence = "general"\n${more}\n[[inject]]\nin = "header"\nname = "Authorization"\ntemplate = "Bearer {token}"\n`;

let count = 0;
function dirs(builtin: Record<string, string>, user: Record<string, string>): { builtinDir: string; userDir: string } {
  const made = { builtinDir: join(root, `${count}-builtin`), userDir: join(root, `${count++}-user`) };
  for (const [dir, files] of [[made.builtinDir, builtin] as const, [made.userDir, user] as const]) {
    mkdirSync(dir);
    for (const [name, content] of Object.entries(files)) writeFileSync(join(dir, name), content);
  }
  return made;
}

describe('loadCatalogue', () => {
  test('refuses a built-in directory that is not there, and takes a missing one of the operator', () => {
    expect(() => loadCatalogue({ builtinDir: join(root, 'absent'), userDir: null })).toThrow(AlterError);
    expect(loadCatalogue({ builtinDir: root, userDir: join(root, 'absent') }).list()).toEqual([]);
  });

  test('a broken file of the operator hides the built-in one and is told, the others stay', () => {
    const catalogue = loadCatalogue(
      dirs({ 'a.toml': text('a', 'a.test'), 'b.toml': text('b', 'b.test') }, { 'a.toml': 'slug = "a"' }),
    );
    expect(catalogue.find('a')).toBeUndefined();
    expect(catalogue.list().map((spec) => spec.slug)).toEqual(['b']);
    expect(catalogue.problems.join('\n')).toMatch(/-user\/a\.toml: name is missing/);
  });

  test("problems of the operator's files are told at once, those of built-in ones when they were read", () => {
    const catalogue = loadCatalogue(dirs({ 'a.toml': '' }, { 'b.toml': '' }));
    expect(catalogue.problems.every((problem) => problem.includes('b.toml'))).toBe(true);
    catalogue.list();
    expect(catalogue.problems.some((problem) => problem.includes('a.toml'))).toBe(true);
  });

  test.each(['../a', 'a.toml', '', '.hidden', '__proto__', 'constructor', 'A'])('%j finds nothing', (name) => {
    expect(
      loadCatalogue(dirs({ 'a.toml': text('a', 'a.test'), '.hidden.toml': text('a', 'a.test') }, {})).find(name),
    ).toBeUndefined();
  });

  test("the operator's file wins by slug, and a slug wins over an alias", () => {
    const made = dirs(
      { 'a.toml': text('a', 'a.test', 'aliases = ["x", "b"]'), 'b.toml': text('b', 'b.test') },
      { 'b.toml': text('b', 'own.test'), 'notes.txt': 'none' },
    );
    const catalogue = loadCatalogue(made);
    expect(catalogue.find('b')?.hosts).toEqual(['own.test']);
    expect(catalogue.find('x')?.slug).toBe('a');
    expect([catalogue.isUserDefined('a'), catalogue.isUserDefined('b')]).toEqual([false, true]);
  });

  test('a refresh sees new files', () => {
    const made = dirs({}, {});
    const catalogue = loadCatalogue(made);
    writeFileSync(join(made.userDir, 'a.toml'), text('a', 'a.test'));
    expect(catalogue.find('a')).toBeUndefined();
    catalogue.refresh();
    expect(catalogue.find('a')?.hosts).toEqual(['a.test']);
  });
});

describe('openProviderLibrary', () => {
  test('stores a file that is private and at once in force, and never over another one unasked', async () => {
    const made = dirs({ 'a.toml': text('a', 'a.test') }, {});
    rmSync(made.userDir, { recursive: true });
    const library = openProviderLibrary(made);
    await library.add(text('b', 'b.test'), { replace: false });
    expect(library.find('b')?.hosts).toEqual(['b.test']);
    expect(statSync(join(made.userDir, 'b.toml')).mode & 0o777).toBe(0o600);

    await expect(library.add(text('b', 'c.test'), { replace: false })).rejects.toMatchObject({ code: 'conflict' });
    expect(library.find('b')?.hosts).toEqual(['b.test']);
    await library.add(text('b', 'c.test'), { replace: true });
    expect(library.find('b')?.hosts).toEqual(['c.test']);
    await library.add(text('a', 'own.test'), { replace: false });
    expect(library.find('a')?.hosts).toEqual(['own.test']);
    expect(readdirSync(made.userDir).sort()).toEqual(['a.toml', 'b.toml']);
  });

  test('keeps nothing of a file that is wrong or fights with another', async () => {
    const made = dirs({ 'a.toml': text('a', 'a.test') }, {});
    const library = openProviderLibrary(made);
    for (const bad of ['slug = "x"', text('x', 'a.test'), text('../x', 'x.test'), text('x', 'x.test', 'aliases = ["a"]')]) {
      await expect(library.add(bad, { replace: true })).rejects.toMatchObject({ code: 'invalid_input' });
    }
    expect(readdirSync(made.userDir)).toEqual([]);
    expect(readFileSync(join(made.builtinDir, 'a.toml'), 'utf8')).toBe(text('a', 'a.test'));
  });
});

describe('lintCatalogue finds', () => {
  const spec = (slug: string, more: Partial<ProviderSpec> = {}): ProviderSpec => ({
    slug,
    name: slug,
    kind: 'static',
    fields: [{ name: 'token', label: 'Token', secret: true }],
    hosts: [`${slug}.test`],
    inject: [{ in: 'header', name: 'Authorization', template: 'Bearer {token}' }],
    excludedPaths: [],
    placeholder: null,
    agentEnv: [],
    evidence: 'general',
    ...more,
  });
  const oauth = parseProvider(
    'slug = "x"\nname = "x"\nkind = "oauth"\nevidence = "general"\nhosts = ["x.test"]\n[oauth]\ntoken_url = "https://login.test/token"\n',
    'provider',
  ).oauth as ProviderOAuth;
  const site = { name: 'site', label: 'Site', secret: false };
  const token = { name: 'token', label: 'Token', secret: true };

  test.each<[string, readonly ProviderSpec[], string]>([
    ['one host for two', [spec('a'), spec('b', { hosts: ['a.test'] })], 'b: fights with a over header authorization on a.test'],
    [
      'Basic beside Bearer',
      [spec('a'), spec('b', { hosts: ['a.test'], inject: [{ in: 'basic', username: 'x', password: '{token}' }] })],
      'b: fights with a over header authorization on a.test',
    ],
    [
      'a template over a name',
      [spec('a', { hosts: ['x.a.test'] }), spec('b', { hosts: ['{site}.a.test'], fields: [site, token] })],
      'b: fights with a over header authorization on x.a.test',
    ],
    [
      'other headers on one host',
      [spec('a'), spec('b', { hosts: ['a.test'], inject: [{ in: 'header', name: 'X-Key', template: '{token}' }] })],
      'b: shares a.test with a',
    ],
    ['paths that are all excluded', [spec('a', { excludedPaths: ['/**'] })], 'leave no path'],
    [
      'a path that is both',
      [spec('a', { excludedPaths: ['/oauth/**'], onlyPaths: ['/api/**', '/oauth/**'] })],
      'only_paths: /oauth/** is excluded',
    ],
    [
      'a probe that would be refused',
      [spec('a', { excludedPaths: ['/oauth/**'], probe: { host: 'a.test', path: '/oauth/me?x=1' } })],
      'probe: is on a path',
    ],
    [
      'a token endpoint that gets the credential',
      [spec('a', { oauth: { ...oauth, tokenUrl: 'https://a.test/oauth/token' } })],
      'excluded_paths: token_url is /oauth/token on a.test',
    ],
    [
      'a consent page of a tenant that gets the credential',
      [
        spec('a', {
          hosts: ['{site}.a.test'],
          fields: [site, token],
          oauth: { ...oauth, authorizeUrl: 'https://{site}.a.test/consent?x=1' },
        }),
      ],
      'excluded_paths: authorize_url is /consent on {site}.a.test',
    ],
    ['a wildcard over strangers', [spec('a', { hosts: ['*.amazonaws.com'] })], 'is too wide'],
    ['a wildcard over a company', [spec('a', { hosts: ['*.a.test'] })], 'covers every host of a company'],
    [
      'an unknown field',
      [spec('a', { inject: [{ in: 'header', name: 'X', template: '{token}{x}' }] })],
      'inject.0: {x} is no field',
    ],
    ['a relative path', [spec('a', { excludedPaths: ['oauth'] })], 'excluded_paths: oauth must start with "/"'],
    ['an alias that is a slug', [spec('a'), spec('b', { aliases: ['a'] })], 'b: the name a already belongs to a'],
    ['one alias for two', [spec('a', { aliases: ['x'] }), spec('b', { aliases: ['x'] })], 'b: the name x already belongs to a'],
    ['a field without use', [spec('a', { fields: [token, site] })], 'fields: site is used nowhere'],
    ['no secret', [spec('a', { fields: [{ ...token, secret: false }] })], 'fields: none is secret'],
    [
      'a host without injection',
      [spec('a', { hosts: ['a.test', 'b.test'], inject: [{ in: 'header', name: 'X', template: '{token}', hosts: ['a.test'] }] })],
      'hosts: nothing is injected on b.test',
    ],
    [
      'an injection elsewhere',
      [spec('a', { inject: [{ in: 'header', name: 'X', template: '{token}', hosts: ['a.test', 'evil.test'] }] })],
      "inject.0: evil.test is none of the provider's hosts",
    ],
    [
      'a placeholder that the client would refuse',
      [spec('a', { fields: [{ ...token, pattern: 'sk-.+' }], placeholder: 'pk-{random:32}' })],
      'placeholder: does not match the pattern of token',
    ],
  ])('%s', (_what, list, expected) => {
    const found = lintCatalogue(list);
    expect(found, found.join('\n')).toHaveLength(1);
    expect(found[0]).toContain(expected);
  });

  test('nothing where two share a host and one of them says why, or the operator names the hosts', () => {
    const reason = 'two keys for one API';
    const other = spec('b', { hosts: ['a.test'], sharesHostWith: [{ provider: 'a', reason }] });
    const list = [spec('a'), other, spec('c', { hosts: [] }), spec('d', { hosts: [] })];
    expect(lintCatalogue(list)).toEqual([]);
    expect(lintCatalogue(list.toReversed())).toEqual([]);
    expect(lintReasons(list)).toEqual([]);
  });

  test('a reason for what is not so', () => {
    const reason = 'none';
    const list = [
      spec('a', { sharesHostWith: [{ provider: 'b', reason }] }),
      spec('b'),
      spec('c', { sharesHostWith: [{ provider: 'x', reason }] }),
    ];
    expect(lintReasons(list)).toEqual([
      'a: shares_host_with: no host is shared with b',
      'c: shares_host_with: there is no provider x',
    ]);
  });

  test.each([
    ['a name that the pattern of the field allows', 'api.eu.test', true],
    ['a name that it does not allow', 'api.github.test', false],
    ['a deeper name', 'x.api.eu.test', false],
  ])('or not, by the pattern of a field: %s', (_what, host, fights) => {
    const region = { name: 'site', label: 'Site', secret: false, pattern: '(?:eu|us)\\.test' };
    const one = spec('a', { hosts: ['api.{site}'], fields: [region, token] });
    expect(lintCatalogue([one, spec('b', { hosts: [host] })]).length).toBe(fights ? 1 : 0);
  });
});
