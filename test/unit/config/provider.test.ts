/** One provider file: everything that must make it unusable, and what the parser answers for a good one. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { mintPlaceholder, placeholderProblem } from '../../../src/config/placeholder.ts';
import { type ProviderSpec, parseProvider } from '../../../src/config/provider.ts';
import { resolveHosts, resolveInjections } from '../../../src/config/provider-hosts.ts';
import { AlterError } from '../../../src/domain/errors.ts';

const BASE = {
  head: 'slug = "acme"\nname = "Acme"\nkind = "static"\nevidence = "general"\n',
  hosts: 'hosts = ["api.acme.test"]\n',
  rest: '',
  fields: '',
  inject: '[[inject]]\nin = "header"\nname = "Authorization"\ntemplate = "Bearer {token}"\n',
};
const toml = (parts: Partial<typeof BASE> = {}): string => {
  const all = { ...BASE, ...parts };
  return all.head + all.hosts + all.rest + all.fields + all.inject;
};
const FIELDS = '[[fields]]\nname = "site"\nlabel = "Site"\nsecret = false\n[[fields]]\nname = "token"\nlabel = "Token"\n';

function problemsOf(run: () => unknown): readonly string[] {
  try {
    run();
  } catch (error) {
    expect(error).toBeInstanceOf(AlterError);
    expect((error as AlterError).code).toBe('invalid_input');
    return (error as AlterError<'invalid_input'>).details.problems;
  }
  return [];
}

describe('a provider file is refused', () => {
  const inject = (text: string): string => `[[inject]]\n${text}\n`;
  const variable = (name: string, value: string): string => `${BASE.inject}[[agent_env]]\nname = "${name}"\nvalue = "${value}"\n`;
  const cases: readonly [what: string, text: string, ...problems: string[]][] = [
    ['that is no TOML', 'slug = ', 'acme.toml:1: Invalid TOML document'],
    [
      'that is empty',
      '',
      'slug is missing',
      'name is missing',
      'kind is missing',
      'evidence is missing',
      'hosts is missing',
      'inject is missing',
    ],
    [
      'with git on a host that is none of its own',
      toml({ rest: 'git_hosts = ["git.acme.test"]\n' }),
      'git_hosts.0 "git.acme.test" must be one of the hosts',
    ],
    [
      'with a path that is no glob',
      toml({ rest: 'only_paths = ["api"]\n' }),
      'only_paths.0 "api" must be a path such as /api/**',
    ],
    ['with a probe that changes something', toml({ rest: 'probe = "DELETE /x"\n' }), 'probe must be "GET /PATH"'],
    ['with a probe elsewhere', toml({ rest: 'probe = "GET evil.test/x"\n' }), 'probe must be "GET /PATH" or "GET HOST/PATH"'],
    [
      'with a shared host and no reason',
      toml({ inject: `${BASE.inject}[[shares_host_with]]\nprovider = "other"\n` }),
      'shares_host_with.0.reason is missing',
    ],
    ['with an unknown key', toml({ rest: 'colour = "red"\n' }), 'acme.toml:6: colour is not a known key'],
    [
      'with an unknown key in a table',
      toml({ inject: `${BASE.inject}value = "x"\n` }),
      'acme.toml:10: inject.0.value is not a known key',
    ],
    ['of another name', toml({ head: BASE.head.replace('acme', 'other') }), 'slug must equal the file name, acme'],
    [
      'with a slug that is a path',
      toml({ head: BASE.head.replace('acme', '../acme') }),
      'slug must be lower-case',
      'slug must equal',
    ],
    [
      'of a kind that is not there',
      toml({ head: BASE.head.replace('static', 'oauth2') }),
      'kind must be one of "static", "oauth"',
    ],
    ['without evidence', toml({ head: BASE.head.replace('general', 'sure') }), 'evidence must be one of'],
    [
      'with a URL for a host',
      toml({ hosts: 'hosts = ["https://api.acme.test/"]\n' }),
      'hosts.0 "https://api.acme.test/" must be HOST',
    ],
    [
      'with a port out of range',
      toml({ hosts: 'hosts = ["api.acme.test:70000"]\n' }),
      'hosts.0 "api.acme.test:70000" must be HOST',
    ],
    ['for every host', toml({ hosts: 'hosts = ["*"]\n' }), 'hosts.0 "*" must be HOST'],
    ['for a top-level domain', toml({ hosts: 'hosts = ["*.com"]\n' }), 'hosts.0 "*.com" must be HOST'],
    ['for a domain of strangers', toml({ hosts: 'hosts = ["*.co.uk"]\n' }), 'hosts.0 "*.co.uk" must be HOST'],
    ['with a secret in a host', toml({ hosts: 'hosts = ["{token}.acme.test"]\n' }), 'hosts.0 "{token}.acme.test" must be HOST'],
    ['with an unknown field in a host', toml({ hosts: 'hosts = ["{x}.acme.test"]\n' }), 'hosts.0 "{x}.acme.test" must be HOST'],
    [
      'whose field chooses the domain freely',
      toml({ hosts: 'hosts = ["api.{site}"]\n', fields: FIELDS }),
      'hosts.0 "api.{site}" must be HOST',
    ],
    ['with a path that is relative', toml({ rest: 'excluded_paths = ["oauth"]\n' }), 'excluded_paths.0 "oauth" must be a path'],
    [
      'with a star within a segment',
      toml({ rest: 'excluded_paths = ["/oauth*"]\n' }),
      'excluded_paths.0 "/oauth*" must be a path',
    ],
    ['with a query in a path', toml({ rest: 'excluded_paths = ["/a?b"]\n' }), 'excluded_paths.0 "/a?b" must be a path'],
    [
      'with a placeholder that is no secret',
      toml({ rest: 'placeholder = "PLACEHOLDER"\n' }),
      'placeholder must hold at least 16 random',
    ],
    [
      'with a placeholder that breaks a header',
      toml({ rest: 'placeholder = "a b {random:32}"\n' }),
      'placeholder must be visible ASCII',
    ],
    ['with an alias that is no slug', toml({ rest: 'aliases = ["A B"]\n' }), 'aliases.0 "A B" must be lower-case'],
    ['with plain-text documentation', toml({ rest: 'docs_url = "http://acme.test"\n' }), 'docs_url must be an https URL'],
    ['with a field twice', toml({ fields: FIELDS + FIELDS }), 'fields.2.name is there twice', 'fields.3.name is there twice'],
    [
      'with a field that shadows the placeholder',
      toml({ fields: FIELDS.replace('site', 'placeholder') }),
      'fields.0.name must be lower-case',
    ],
    ['with a pattern that is none', toml({ fields: `${FIELDS}pattern = "("\n` }), 'fields.1.pattern is not a regular expression'],
    ['that fills one header twice', toml({ inject: BASE.inject + BASE.inject }), 'inject two injections fill the'],
    ['that fills Host', toml({ inject: BASE.inject.replace('Authorization', 'Host') }), 'inject '],
    [
      'with an unknown place',
      toml({ inject: inject('in = "body"') }),
      'inject.0.in must be one of',
      'inject.0.name is missing',
      'inject.0.template is missing',
    ],
    [
      'with an unknown field',
      toml({ inject: inject('in = "header"\nname = "X"\ntemplate = "{tokn}"') }),
      'inject.0.template there is no field {tokn}',
    ],
    [
      'with a stray brace',
      toml({ inject: inject('in = "header"\nname = "X"\ntemplate = "{token}}"') }),
      'inject.0.template a single } stands alone',
    ],
    [
      'with a line break in a template',
      toml({ inject: inject('in = "header"\nname = "X"\ntemplate = "{token}\\r\\nY: z"') }),
      'inject.0.template must be printable',
    ],
    [
      'with a line break in a name',
      toml({ inject: inject('in = "header"\nname = "X\\r\\nY"\ntemplate = "{token}"') }),
      'inject.0.name is no name for a header',
    ],
    [
      'with a secret in a name',
      toml({ inject: inject('in = "query"\nname = "{token}"\ntemplate = "x"') }),
      'inject.0.name may only hold',
    ],
    [
      'with a narrowing by port',
      toml({ inject: `${BASE.inject}hosts = ["api.acme.test:1"]\n` }),
      'inject.0.hosts must be names without a port',
    ],
    [
      'that shows the secret to agents',
      toml({ inject: variable('ACME_TOKEN', '{token}') }),
      'agent_env.0.value may only hold {placeholder}',
    ],
    ['that sets PATH', toml({ inject: variable('PATH', '/tmp') }), 'agent_env.0.name is no variable that a provider may set'],
    ['that sets NODE_OPTIONS', toml({ inject: variable('NODE_OPTIONS', 'x') }), 'agent_env.0.name is no variable'],
    ['that leads around the proxy', toml({ inject: variable('no_proxy', '*') }), 'agent_env.0.name is no variable'],
  ];
  test.each(cases)('%s', (_what, text, ...expected) => {
    const problems = problemsOf(() => parseProvider(text, 'acme.toml'));
    expect(problems, problems.join('\n')).toHaveLength(expected.length);
    for (const [index, problem] of expected.entries()) expect(problems[index]).toContain(problem);
  });

  test('whatever the text is, the answer is a spec or problems', () => {
    const word = fc.constantFrom(
      'slug = "acme"',
      'hosts = []',
      '[[inject]]',
      'in = "basic"',
      '[fields]',
      '__proto__ = 1',
      '{',
      '"',
      'name = 1',
    );
    fc.assert(
      fc.property(fc.array(fc.oneof(word, fc.string())), (lines) => {
        problemsOf(() => parseProvider(lines.join('\n'), 'acme.toml'));
      }),
      { numRuns: 300 },
    );
  });
});

describe('a good file', () => {
  test('becomes a spec with canonical hosts and a default field', () => {
    const text = toml({
      hosts: 'hosts = ["API.Acme.test.", "api.acme.test:8443"]\n',
      rest: 'aliases = ["ac"]\nexcluded_paths = ["/oauth/**"]\nplaceholder = "ac_{random:32}"\n',
      inject: `${BASE.inject}[[agent_env]]\nname = "ACME_TOKEN"\nvalue = "{placeholder}"\n`,
    });
    expect(parseProvider(text, '/etc/alterd/providers/acme.toml')).toEqual({
      slug: 'acme',
      name: 'Acme',
      kind: 'static',
      fields: [{ name: 'token', label: 'API token', secret: true }],
      hosts: ['api.acme.test', 'api.acme.test:8443'],
      inject: [{ in: 'header', name: 'Authorization', template: 'Bearer {token}' }],
      excludedPaths: ['/oauth/**'],
      placeholder: 'ac_{random:32}',
      agentEnv: [{ name: 'ACME_TOKEN', value: '{placeholder}' }],
      evidence: 'general',
      aliases: ['ac'],
    });
  });
});

test('the closer scope of a file is read', () => {
  const rest =
    'git_hosts = ["git.acme.test"]\nonly_paths = ["/api/**"]\nprobe = "GET git.acme.test/api/me?x=1"\n[[shares_host_with]]\nprovider = "other"\nreason = "two keys"\n';
  const spec = parseProvider(toml({ hosts: 'hosts = ["api.acme.test", "git.acme.test"]\n', rest }), 'acme.toml');
  expect(spec).toMatchObject({
    gitHosts: ['git.acme.test'],
    onlyPaths: ['/api/**'],
    probe: { host: 'git.acme.test', path: '/api/me?x=1' },
    sharesHostWith: [{ provider: 'other', reason: 'two keys' }],
  });
  expect(parseProvider(toml({ rest: 'probe = "GET /me"\n' }), 'acme.toml').probe).toEqual({ host: 'api.acme.test', path: '/me' });
});

describe('hosts from fields', () => {
  const siteSpec = (host: string, pattern?: string): ProviderSpec =>
    parseProvider(
      toml({
        hosts: `hosts = ["${host}"]\n`,
        fields: FIELDS.replace('secret = false', `secret = false${pattern ? `\npattern = '${pattern}'` : ''}`),
      }),
      'acme.toml',
    );

  test.each([
    ['nothing', '{site}.acme.test', undefined],
    ['the empty value', '{site}.acme.test', ''],
    ['a wildcard', '{site}.acme.test', '*'],
    ['another host', '{site}.acme.test', 'evil.test/'],
    ['a host and a fragment', '{site}.acme.test', 'evil.test#'],
    ['a user name', '{site}.acme.test', 'evil.test:443@x'],
    ['a port', '{site}.acme.test', 'evil.test:443'],
    ['several labels', '{site}.acme.test', 'a.b'],
    ['an edge hyphen', '{site}.acme.test', '-a'],
    ['a space', '{site}.acme.test', 'a b'],
    ['a letter of another script', '{site}.acme.test', 'а'],
    ['a wildcard for the whole host', '{site}', '*.acme.test'],
    ['a URL for the whole host', '{site}', 'https://a.test'],
  ])('refuse %s', (_what, host, value) => {
    const fields = new Map(value === undefined ? [] : [['site', value]]);
    expect(problemsOf(() => resolveHosts(siteSpec(host), fields)).join()).toMatch(/^site/);
  });

  test('refuse what the pattern refuses, and never take a secret', () => {
    expect(
      problemsOf(() => resolveHosts(siteSpec('api.{site}', 'acme\\.test|acme\\.example'), new Map([['site', 'evil.test']]))),
    ).toHaveLength(1);
    const spec = { ...siteSpec('{site}.acme.test'), hosts: ['{token}.acme.test'] };
    expect(problemsOf(() => resolveHosts(spec, new Map([['token', 'x']])))).toEqual(['token is not a field that may be shown']);
  });

  test.each([
    ['{site}.acme.test', undefined, 'Acme-1', 'acme-1.acme.test'],
    ['{site}.acme.test:8443', undefined, 'a', 'a.acme.test:8443'],
    ['api.{site}', 'acme\\.test|eu\\.acme\\.test', 'eu.acme.test', 'api.eu.acme.test'],
    ['{site}', undefined, 'Git.Corp.test:8443', 'git.corp.test:8443'],
    ['{site}', undefined, '10.0.0.1', '10.0.0.1'],
    ['{site}', undefined, '[::1]:1', '[::1]:1'],
  ])('%s (pattern %s) with %s', (host, pattern, value, expected) => {
    expect(resolveHosts(siteSpec(host, pattern), new Map([['site', value]]))).toEqual([expected]);
  });

  test('no field value leaves the domain that the template names', () => {
    const spec = siteSpec('{site}.acme.test');
    fc.assert(
      fc.property(
        fc.oneof(fc.string(), fc.string({ unit: fc.constantFrom('a', '.', '/', '@', ':', '*', '#', '-', '%', '\\', '[') })),
        (value) => {
          let hosts: string[] = [];
          problemsOf(() => {
            hosts = resolveHosts(spec, new Map([['site', value]]));
          });
          for (const host of hosts) expect(host).toMatch(/^[a-z0-9-]+\.acme\.test$/);
        },
      ),
    );
  });

  test('names and narrowings of injections are filled, templates keep their fields', () => {
    const spec = parseProvider(
      toml({
        hosts: 'hosts = ["{site}.acme.test"]\n',
        fields: FIELDS,
        inject: '[[inject]]\nin = "header"\nname = "X-{site}"\ntemplate = "{site} {token}"\nhosts = ["{site}.acme.test"]\n',
      }),
      'acme.toml',
    );
    expect(resolveInjections(spec, new Map([['site', 'a']]))).toEqual([
      { in: 'header', name: 'X-a', template: '{site} {token}', hosts: ['a.acme.test'] },
    ]);
    expect(problemsOf(() => resolveInjections(spec, new Map([['site', 'a\r\nb']])))).not.toEqual([]);
  });
});

describe('placeholders', () => {
  test.each(['short{random:8}', '{random:0}', '{random:300}', 'a\tb{random:32}', 'é{random:32}', '{rand:32}'])(
    '%s is refused',
    (template) => {
      expect(placeholderProblem(template)).not.toBeNull();
    },
  );

  test('are fresh each time and have the shape of the template', () => {
    const [one, other] = [mintPlaceholder('ghp_{random:36}'), mintPlaceholder('ghp_{random:36}')];
    expect(one).toMatch(/^ghp_[A-Za-z0-9]{36}$/);
    expect(one).not.toBe(other);
    expect(mintPlaceholder('a-{hex:8}-{hex:8}')).toMatch(/^a-[0-9a-f]{8}-[0-9a-f]{8}$/);
  });
});
