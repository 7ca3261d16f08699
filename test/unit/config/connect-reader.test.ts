import { expect, test } from 'vitest';
import { loadConfig } from '../../../src/config/load.ts';
import type { AlterError } from '../../../src/domain/errors.ts';

const load = (flags: Readonly<Record<string, string>>) => loadConfig({ env: {}, flags }).config.connect;
const TLS = { 'connect.tls_cert_file': '/etc/alterd/c.pem', 'connect.tls_key_file': '/etc/alterd/k.pem' };

test('by default the page is on loopback, once somebody needs it', () => {
  expect(load({})).toEqual({
    listen: { host: '127.0.0.1', port: 4781, family: 4 },
    publicUrl: null,
    tlsCertFile: null,
    tlsKeyFile: null,
  });
  expect(load({ 'connect.listen': 'off' }).listen).toBeNull();
});

test.each([
  [
    'a proxy in front of it, over https',
    { 'connect.public_url': 'https://connect.example.test' },
    'https://connect.example.test',
  ],
  ['a slash at the end', { 'connect.public_url': 'https://connect.example.test:8443/' }, 'https://connect.example.test:8443'],
  ['this machine by name', { 'connect.public_url': 'http://localhost:4781' }, 'http://localhost:4781'],
  [
    'every interface, with TLS and a name',
    { ...TLS, 'connect.listen': '0.0.0.0:443', 'connect.public_url': 'https://connect.example.test' },
    'https://connect.example.test',
  ],
])('%s is accepted', (_what, flags, expected) => {
  expect(load(flags).publicUrl).toBe(expected);
});

test.each([
  ['a listener for the network without TLS', { 'connect.listen': '192.0.2.1:4781' }, 'connect.listen must be a loopback address'],
  ['a listener by name', { 'connect.listen': 'localhost:4781' }, 'connect.listen must be an address'],
  ['a listener without a port', { 'connect.listen': '127.0.0.1' }, 'connect.listen must be an address'],
  ['a certificate without its key', { 'connect.tls_cert_file': '/c.pem' }, 'connect.tls_cert_file needs connect.tls_key_file'],
  ['a key without its certificate', { 'connect.tls_key_file': '/k.pem' }, 'connect.tls_key_file needs connect.tls_cert_file'],
  ['every interface without a name', { ...TLS, 'connect.listen': '0.0.0.0:443' }, 'connect.public_url must be set'],
  ['http beyond this machine', { 'connect.public_url': 'http://connect.example.test' }, 'connect.public_url must be https'],
  ['http that only looks like this machine', { 'connect.public_url': 'http://127.0.0.1.example.test' }, 'must be https'],
  ['http while there is a certificate', { ...TLS, 'connect.public_url': 'http://localhost:4781' }, 'must be https'],
  ['a path', { 'connect.public_url': 'https://example.test/connect' }, 'connect.public_url must be an origin'],
  ['a user', { 'connect.public_url': 'https://me@example.test' }, 'connect.public_url must be an origin'],
  ['another scheme', { 'connect.public_url': 'ftp://example.test' }, 'connect.public_url must be an origin'],
])('%s is refused', (_what, flags, problem) => {
  let problems: readonly string[] = [];
  try {
    load(flags);
  } catch (thrown) {
    problems = ((thrown as AlterError).details as { problems: readonly string[] }).problems;
  }
  expect(problems.join('\n')).toContain(problem);
});
