import { describe, expect, test } from 'vitest';
import { type ClientEnvironmentInput, clientEnvironment, proxyUrlOf } from '../../../src/ca/client-environment.ts';
import { Secret } from '../../../src/domain/secret.ts';

const KEY = 'SEKRET-marker-environment';
const input = (more: Partial<ClientEnvironmentInput> = {}): ClientEnvironmentInput => ({
  host: '127.0.0.1',
  port: 8080,
  user: 'agent',
  key: new Secret(KEY),
  caFile: '/s/ca.crt',
  bundleFile: '/s/bundle.pem',
  truststoreFile: '/s/truststore.p12',
  preloadFile: '/s/node-preload.cjs',
  inherited: {},
  ...more,
});

describe('clientEnvironment', () => {
  test('shows the key in proxy URLs only', () => {
    const { set, notes } = clientEnvironment(input());
    const holders = Object.entries(set).filter(([, value]) => value.includes(KEY));
    expect(holders.map(([name]) => name).sort()).toEqual([
      'HTTPS_PROXY',
      'HTTP_PROXY',
      'grpc_proxy',
      'http_proxy',
      'https_proxy',
    ]);
    expect(notes.join()).not.toContain(KEY);
  });

  test('never takes over a NO_PROXY that would lead round the proxy, and says so', () => {
    const { set, notes } = clientEnvironment(input({ inherited: { NO_PROXY: 'api.example.com,*' } }));
    expect(set.NO_PROXY).toBe('localhost,127.0.0.1,::1');
    expect(set.no_proxy).toBe(set.NO_PROXY);
    expect(notes[0]).toContain('api.example.com');
  });

  test('takes away what would hide the bundle or divert the traffic', () => {
    expect(clientEnvironment(input()).unset).toEqual(['SSL_CERT_DIR', 'ALL_PROXY', 'all_proxy']);
  });

  test('sets every variable of every family of clients', () => {
    const { set } = clientEnvironment(input({ wgetrcFile: '/s/wgetrc' }));
    const url = `http://agent:${KEY}@127.0.0.1:8080`;
    const direct = 'localhost,127.0.0.1,::1';
    const java =
      '-Dhttps.proxyHost=127.0.0.1 -Dhttps.proxyPort=8080 -Dhttp.proxyHost=127.0.0.1 -Dhttp.proxyPort=8080 ' +
      '-Dhttp.nonProxyHosts=localhost|127.0.0.1|[::1] -Djdk.http.auth.tunneling.disabledSchemes= ' +
      '-Djavax.net.ssl.trustStore=/s/truststore.p12 -Djavax.net.ssl.trustStoreType=PKCS12 -Djavax.net.ssl.trustStorePassword=changeit';
    expect(set).toEqual({
      HTTPS_PROXY: url,
      https_proxy: url,
      HTTP_PROXY: url,
      http_proxy: url,
      grpc_proxy: url,
      NO_PROXY: direct,
      no_proxy: direct,
      no_grpc_proxy: direct,
      NODE_USE_ENV_PROXY: '1',
      PERL_LWP_ENV_PROXY: '1',
      NODE_EXTRA_CA_CERTS: '/s/ca.crt',
      DENO_CERT: '/s/ca.crt',
      SSL_CERT_FILE: '/s/bundle.pem',
      CURL_CA_BUNDLE: '/s/bundle.pem',
      REQUESTS_CA_BUNDLE: '/s/bundle.pem',
      AWS_CA_BUNDLE: '/s/bundle.pem',
      PIP_CERT: '/s/bundle.pem',
      GIT_SSL_CAINFO: '/s/bundle.pem',
      HTTPLIB2_CA_CERTS: '/s/bundle.pem',
      GRPC_DEFAULT_SSL_ROOTS_FILE_PATH: '/s/bundle.pem',
      CARGO_HTTP_CAINFO: '/s/bundle.pem',
      PERL_LWP_SSL_CA_FILE: '/s/bundle.pem',
      CLOUDSDK_CORE_CUSTOM_CA_CERTS_FILE: '/s/bundle.pem',
      NIX_SSL_CERT_FILE: '/s/bundle.pem',
      npm_config_cafile: '/s/bundle.pem',
      WGETRC: '/s/wgetrc',
      GIT_CONFIG_COUNT: '1',
      GIT_CONFIG_KEY_0: 'http.proxyAuthMethod',
      GIT_CONFIG_VALUE_0: 'basic',
      JAVA_TOOL_OPTIONS: java,
      MAVEN_OPTS: java.replace(/-Dhttp\.nonProxyHosts=\S+ /, ''),
      NODE_OPTIONS: '--require /s/node-preload.cjs',
      AWS_EC2_METADATA_DISABLED: 'true',
    });
  });

  test.each([
    [undefined, true],
    ['v18.19.0', true],
    ['v20.20.2', true],
    ['v22.20.0', true],
    ['v22.21.0', false],
    ['v23.11.0', true],
    ['v24.4.1', true],
    ['24.5.0', false],
    ['v26.0.0', false],
    ['nonsense', true],
  ])('preloads into Node %s: %s', (nodeVersion, preloaded) => {
    const { set } = clientEnvironment(input(nodeVersion === undefined ? {} : { nodeVersion }));
    expect('NODE_OPTIONS' in set).toBe(preloaded);
  });

  test.each([
    ['/plain/path.cjs', '--require /plain/path.cjs'],
    ['/with blank/p.cjs', '--require "/with blank/p.cjs"'],
    ['/a"b\\c/p.cjs', '--require "/a\\"b\\\\c/p.cjs"'],
  ])('quotes the preload path %s', (preloadFile, expected) => {
    expect(clientEnvironment(input({ preloadFile })).set.NODE_OPTIONS).toBe(expected);
  });

  test('appends to what the caller had, once', () => {
    const inherited = { NODE_OPTIONS: '--max-old-space-size=512', JAVA_TOOL_OPTIONS: '-Xmx1g', MAVEN_OPTS: '-q' };
    const first = clientEnvironment(input({ inherited })).set;
    expect(first.NODE_OPTIONS).toBe('--max-old-space-size=512 --require /s/node-preload.cjs');
    expect(first.JAVA_TOOL_OPTIONS).toMatch(/^-Xmx1g -Dhttps\.proxyHost=127\.0\.0\.1 /);
    expect(first.MAVEN_OPTS).toMatch(/^-q -D/);
    const again = clientEnvironment(input({ inherited: first })).set;
    for (const name of ['NODE_OPTIONS', 'JAVA_TOOL_OPTIONS', 'MAVEN_OPTS', 'GIT_CONFIG_COUNT']) {
      expect(again[name] ?? first[name]).toBe(first[name]);
    }
  });

  test('adds to a Git configuration in the environment', () => {
    const { set } = clientEnvironment(input({ inherited: { GIT_CONFIG_COUNT: '2' } }));
    expect([set.GIT_CONFIG_COUNT, set.GIT_CONFIG_KEY_2, set.GIT_CONFIG_VALUE_2]).toEqual(['3', 'http.proxyAuthMethod', 'basic']);
  });

  test('keeps extra roots that the caller had added, by naming the bundle that holds them', () => {
    const { set } = clientEnvironment(input({ inherited: { NODE_EXTRA_CA_CERTS: '/corp.pem', DENO_CERT: '/corp.pem' } }));
    expect([set.NODE_EXTRA_CA_CERTS, set.DENO_CERT]).toEqual(['/s/bundle.pem', '/s/bundle.pem']);
  });

  test('leaves a wgetrc and a metadata setting of the caller alone', () => {
    const { set } = clientEnvironment(
      input({ wgetrcFile: '/s/wgetrc', inherited: { WGETRC: '/own', AWS_EC2_METADATA_DISABLED: 'false' } }),
    );
    expect(set.WGETRC).toBeUndefined();
    expect(set.AWS_EC2_METADATA_DISABLED).toBe('false');
  });

  test.each([
    ['/a b/t.p12', '"-Djavax.net.ssl.trustStore=/a b/t.p12"'],
    [`/it's/t.p12`, `"-Djavax.net.ssl.trustStore=/it's/t.p12"`],
    ['/say "x"/t.p12', `'-Djavax.net.ssl.trustStore=/say "x"/t.p12'`],
  ])('quotes the truststore path %s for the JVM, and keeps it from the shell of Maven', (truststoreFile, word) => {
    const { set } = clientEnvironment(input({ truststoreFile }));
    expect(set.JAVA_TOOL_OPTIONS).toContain(word);
    expect(set.MAVEN_OPTS).not.toContain('trustStore=');
  });

  test('says so when Java cannot be made to trust the CA', () => {
    const { truststoreFile: _none, ...without } = input();
    expect(clientEnvironment(without).notes.join()).toContain('no truststore');
    expect(clientEnvironment(input({ truststoreFile: `/both'"/t.p12` })).set.JAVA_TOOL_OPTIONS).not.toContain('trustStore');
  });

  test.each([
    [{ user: 'run 7/α', host: '127.0.0.1' }, `http://run%207%2F%CE%B1:${KEY}@127.0.0.1:8080`],
    [{ user: 'agent', host: '::1' }, `http://agent:${KEY}@[::1]:8080`],
  ])('writes the proxy URL of %j', (more, url) => {
    expect(proxyUrlOf(input(more))).toBe(url);
    expect(new URL(url).password).toBe(KEY);
  });
});
