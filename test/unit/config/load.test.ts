/** The configuration: what is refused and how it is told, which layer wins, and that the example file is the defaults. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, describe, expect, test } from 'vitest';
import { environmentName, type LoadOptions, loadConfig } from '../../../src/config/load.ts';
import { KEY_PATHS } from '../../../src/config/schema.ts';
import { changedKeys } from '../../../src/config/view.ts';
import { AlterError } from '../../../src/domain/errors.ts';

const dir = mkdtempSync(join(tmpdir(), 'alterd-config-'));
afterAll(() => rmSync(dir, { recursive: true, force: true }));

let count = 0;
function write(toml: string): string {
  const file = join(dir, `${count++}.toml`);
  writeFileSync(file, toml);
  return file;
}

function problemsOf(options: LoadOptions): readonly string[] {
  try {
    loadConfig(options);
  } catch (error) {
    expect(error).toBeInstanceOf(AlterError);
    expect((error as AlterError).code).toBe('invalid_input');
    return (error as AlterError<'invalid_input'>).details.problems;
  }
  return [];
}

describe('a wrong file is refused with the line and the path', () => {
  const cases: readonly [what: string, toml: string, ...problems: string[]][] = [
    ['an unknown key', 'egres = "refuse"', ':1: egres is not a known key'],
    ['an unknown key in a section', '[timeouts]\nconnect = 5', ':2: timeouts.connect is not a known key'],
    ['a key in the wrong section', '[listen]\nlevel = "info"', ':2: listen.level is not a known key; did you mean log.level?'],
    ['an unknown section', '[proxy]\nport = 1', ':1: proxy is not a known key; did you mean upstream.proxy?'],
    ['a section that is a value', 'listen = 4780', ':1: listen must be a table'],
    ['a prototype key', '[__proto__]\nx = 1', ': Invalid TOML document'],
    ['text that is no TOML', 'egress =', ':1: Invalid TOML document'],
    ['a key that is there twice', 'egress = "tunnel"\negress = "refuse"', ':2: Invalid TOML document'],
    ['a value outside the choices', 'egress = "maybe"', ':1: egress must be one of "tunnel", "refuse", "ask"'],
    ['text for a number', '[timeouts]\nconnect_ms = "10s"', ':2: timeouts.connect_ms must be a whole number from 1 to'],
    ['a fraction', '[limits]\nheaders = 1.5', ':2: limits.headers must be a whole number'],
    ['zero', '[limits]\nheaders = 0', ':2: limits.headers must be a whole number from 1'],
    ['a number for a toggle', '[listen]\nunix = 1', ':2: listen.unix must be true or false'],
    ['a listener for everybody', '[listen]\ntcp = "0.0.0.0:4780"', ':2: listen.tcp must be a loopback address'],
    ['an IPv6 listener for everybody', '[listen]\ntcp = "[::]:4780"', ':2: listen.tcp must be a loopback address'],
    ['a listener without port', '[listen]\ntcp = "127.0.0.1"', ':2: listen.tcp must be an address with a port'],
    ['a listener with a name', '[listen]\ntcp = "localhost:1"', ':2: listen.tcp must be an address with a port'],
    ['a port over 65535', '[listen]\ntcp = "127.0.0.1:70000"', ':2: listen.tcp must be an address with a port'],
    ['no listener at all', '[listen]\ntcp = "off"\nunix = false', ':2: listen.tcp must not be "off" while listen.unix is false'],
    ['an exception without port', 'allow_private = ["10.0.0.1"]', ':1: allow_private "10.0.0.1" must be HOST:PORT or a block'],
    [
      'a block that is too long',
      'allow_private = ["10.0.0.0/33"]',
      ':1: allow_private "10.0.0.0/33" must be HOST:PORT or a block',
    ],
    ['a block of a name', 'allow_private = ["corp.test/8"]', ':1: allow_private "corp.test/8" must be'],
    ['a list that is text', 'allow_private = "10.0.0.0/8"', ':1: allow_private must be a list of strings'],
    [
      'an override without port',
      '[upstream]\nresolve = { "a.test" = "127.0.0.1:1" }',
      ':2: upstream.resolve "a.test" must be HOST:PORT',
    ],
    [
      'an override to a name',
      '[upstream]\nresolve = { "a.test:1" = "b.test:1" }',
      ':2: upstream.resolve "a.test:1" must lead to',
    ],
    ['one override twice', '[upstream]\nresolve = { "a.test:1" = "127.0.0.1:1", "A.TEST:1" = "127.0.0.1:2" }', 'is there twice'],
    ['a relative path', '[upstream]\nca_file = "ca.pem"', ':2: upstream.ca_file must be an absolute path'],
    ['an upstream proxy without scheme', '[upstream]\nproxy = "proxy.test:3128"', ':2: upstream.proxy must be a URL'],
    ['an upstream proxy with a path', '[upstream]\nproxy = "http://proxy.test:3128/x"', ':2: upstream.proxy must be a URL'],
    ['a password without proxy', '[upstream]\nproxy_auth_file = "/x"', ':2: upstream.proxy_auth_file has no meaning'],
    ['one agent over all', '[limits]\ntunnels = 10', 'limits.tunnels_per_agent must not be larger than limits.tunnels'],
    ['an address as a constraint', '[ca]\nname_constraints = ["10.0.0.1"]', ':2: ca.name_constraints "10.0.0.1" must be a name'],
    [
      'several at once',
      'egress = "x"\nfoo = 1\n[log]\nlevel = "loud"\n[audit]\nsync = "never"',
      ':2: foo is not a known key',
      ':1: egress must be one of',
      ':4: log.level must be one of',
      ':6: audit.sync must be one of',
    ],
  ];
  test.each(cases)('%s', (_what, toml, ...expected) => {
    const problems = problemsOf({ file: write(toml), env: {} });
    expect(problems).toHaveLength(expected.length);
    for (const text of expected)
      expect(
        problems.some((problem) => problem.includes(text)),
        `${text} in ${problems.join('\n')}`,
      ).toBe(true);
  });

  test('a password in the upstream proxy is not repeated', () => {
    const problems = problemsOf({ file: write('[upstream]\nproxy = "http://me:SEKRET-marker@proxy.test:1"'), env: {} });
    expect(problems.join()).toContain('upstream.proxy_auth_file');
    expect(problems.join()).not.toContain('SEKRET-marker');
  });

  test('a syntax error does not quote the file', () => {
    expect(problemsOf({ file: write('token = SEKRET-marker'), env: {} }).join()).not.toContain('SEKRET-marker');
  });

  test('a named file must exist, the usual one need not', () => {
    const file = join(dir, 'absent.toml');
    expect(problemsOf({ file, mustExist: true, env: {} })).toEqual([`${file}: can't be read (ENOENT)`]);
    expect(problemsOf({ file, env: {} })).toEqual([]);
    expect(problemsOf({ file: dir, env: {} })).toEqual([`${dir}: can't be read (EISDIR)`]);
  });
});

describe('the environment and flags', () => {
  test.each([
    ['an unknown variable', { ALTERD_EGRES: 'refuse' }, 'ALTERD_EGRES is not a known variable'],
    ['a wrong value', { ALTERD_EGRESS: 'x' }, 'ALTERD_EGRESS (egress) must be one of'],
    [
      'a number with underscores',
      { ALTERD_TIMEOUTS_CONNECT_MS: '10_000' },
      'ALTERD_TIMEOUTS_CONNECT_MS (timeouts.connect_ms) must be',
    ],
    ['an empty number', { ALTERD_LIMITS_HEADERS: '' }, 'ALTERD_LIMITS_HEADERS (limits.headers) must be'],
    ['yes', { ALTERD_LISTEN_UNIX: 'yes' }, 'ALTERD_LISTEN_UNIX (listen.unix) must be true or false'],
    [
      'an override without value',
      { ALTERD_UPSTREAM_RESOLVE: 'a.test:1' },
      'ALTERD_UPSTREAM_RESOLVE (upstream.resolve) must be a table',
    ],
  ])('%s is refused', (_what, env, expected) => {
    const problems = problemsOf({ env });
    expect(problems).toHaveLength(1);
    expect(problems[0]).toContain(expected);
  });

  test('unknown and wrong flags are refused', () => {
    expect(problemsOf({ env: {}, flags: { nope: '1', egress: 'x' } })).toEqual([
      'the flag for nope: not a known key',
      'the flag for egress must be one of "tunnel", "refuse", "ask"',
    ]);
  });

  test('each layer wins over the one before it, and the view says which did', () => {
    const file = write('egress = "refuse"\n\n[log]\nlevel = "warn"\n[timeouts]\nconnect_ms = 1\ndrain_ms = 2\n');
    const { config, view } = loadConfig({
      file,
      env: { ALTERD_TIMEOUTS_CONNECT_MS: '3', ALTERD_LOG_LEVEL: 'error', ALTERD_HOME: '/x', OTHER: 'y' },
      flags: { 'log.level': 'debug', 'listen.tcp': undefined },
    });
    expect([config.egress, config.log.level, config.timeouts.connectMs, config.timeouts.drainMs]).toEqual([
      'refuse',
      'debug',
      3,
      2,
    ]);
    expect(view.egress).toEqual({ value: 'refuse', source: 'file', from: `${file}:1` });
    expect(view['timeouts.drain_ms']).toEqual({ value: 2, source: 'file', from: `${file}:7` });
    expect(view['timeouts.connect_ms']).toEqual({ value: 3, source: 'environment', from: 'ALTERD_TIMEOUTS_CONNECT_MS' });
    expect(view['log.level']).toEqual({ value: 'debug', source: 'flag', from: null });
    expect(view['listen.tcp']).toEqual({ value: '127.0.0.1:4780', source: 'default', from: null });
    expect(Object.keys(view)).toEqual([...KEY_PATHS]);
  });

  test('lists and tables can be given as text', () => {
    const { config } = loadConfig({
      env: {
        ALTERD_ALLOW_PRIVATE: '10.0.0.0/8, Git.Corp.Test:443',
        ALTERD_UPSTREAM_RESOLVE: 'a.test:443=127.0.0.1:8443,[::1]:1=[::1]:2',
      },
    });
    expect(config.allowPrivate).toEqual([
      { kind: 'cidr', address: '10.0.0.0', prefix: 8, family: 4 },
      { kind: 'host', host: 'git.corp.test', port: 443 },
    ]);
    expect([...config.upstream.resolve]).toEqual([
      ['a.test:443', { host: '127.0.0.1', port: 8443, family: 4 }],
      ['[::1]:1', { host: '::1', port: 2, family: 6 }],
    ]);
  });

  test('no two keys share a variable', () => {
    expect(new Set(KEY_PATHS.map(environmentName)).size).toBe(KEY_PATHS.length);
  });
});

describe('values', () => {
  const read = (toml: string) => loadConfig({ file: write(toml), env: {} }).config;

  test('hosts become canonical', () => {
    expect(
      read('[upstream]\nresolve = { "API.Example.test.:443" = "127.0.0.1:1" }').upstream.resolve.has('api.example.test:443'),
    ).toBe(true);
    expect(read('[ca]\nname_constraints = ["Example.TEST"]').ca.nameConstraints).toEqual(['example.test']);
    expect(read('allow_private = ["fd00::/8"]').allowPrivate).toEqual([
      { kind: 'cidr', address: 'fd00::', prefix: 8, family: 6 },
    ]);
  });

  test('a listener may be off, on any port, or on IPv6', () => {
    expect(read('[listen]\ntcp = "off"').listen.tcp).toBeNull();
    expect(read('[listen]\ntcp = "127.0.0.1:0"').listen.tcp).toEqual({ host: '127.0.0.1', port: 0, family: 4 });
    expect(read('[listen]\ntcp = "[::1]:1"').listen.tcp).toEqual({ host: '::1', port: 1, family: 6 });
  });

  test.each([
    ['http://proxy.test:3128', { scheme: 'http', host: 'proxy.test', port: 3128, family: 0 }],
    ['http://Proxy.test/', { scheme: 'http', host: 'proxy.test', port: 80, family: 0 }],
    ['https://[::1]:8443', { scheme: 'https', host: '::1', port: 8443, family: 6 }],
  ])('the upstream proxy %s', (url, expected) => {
    expect(read(`[upstream]\nproxy = "${url}"`).upstream.proxy).toEqual(expected);
  });

  test('a reload can tell which keys changed', () => {
    const before = loadConfig({ env: {} }).view;
    const after = loadConfig({ env: { ALTERD_EGRESS: 'refuse', ALTERD_LOG_LEVEL: 'info' } }).view;
    expect(changedKeys(before, after)).toEqual(['egress']);
  });
});

describe('config/alterd.example.toml', () => {
  const file = fileURLToPath(new URL('../../../config/alterd.example.toml', import.meta.url));

  test('names every key and equals the defaults', () => {
    const example = loadConfig({ file, mustExist: true, env: {} });
    expect(example.config).toEqual(loadConfig({ env: {} }).config);
    for (const path of KEY_PATHS)
      expect(example.view[path], path).toMatchObject({ source: 'file', from: expect.stringMatching(/:\d+$/) });
  });
});
