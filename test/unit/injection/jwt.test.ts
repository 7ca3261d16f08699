/** Tokens for each request: every algorithm checked by jose, and every way in which an injection can be wrong. */
import { generateKeyPairSync, type KeyObject } from 'node:crypto';
import { decodeProtectedHeader, jwtVerify } from 'jose';
import { expect, test } from 'vitest';
import { parseProvider } from '../../../src/config/provider.ts';
import type { Injection, JwtAlgorithm, JwtInjection } from '../../../src/domain/credential.ts';
import { AlterError } from '../../../src/domain/errors.ts';
import { Secret } from '../../../src/domain/secret.ts';
import { compileInjections, validateInjections } from '../../../src/injection/compile.ts';
import { headersOf } from '../../helpers/aws-verifier.ts';

const INJECTION: JwtInjection = {
  in: 'jwt',
  algorithm: 'ES256',
  key: '{key}',
  lifetime_s: 60,
  header: { kid: '{id}' },
  claims: { sub: '{id}', uri: '{method} {host}{path}', quoted: '"\\{{{id}}}' },
  name: 'X-Token',
  template: 'JWT {jwt}',
};
const NOW = Date.now();

function signed(injection: JwtInjection, key: KeyObject): Map<string, string> {
  const fields = new Map([
    ['id', new Secret('key "1"')],
    ['key', new Secret(key.export({ type: 'pkcs8', format: 'pem' }) as string)],
  ]);
  const { signer } = compileInjections([injection], { credentialId: 'c', version: 1, fields }, 'api.good.test');
  const request = {
    method: 'GET',
    scheme: 'https',
    authority: 'api.good.test:8443',
    target: '/a%20b?secret=1',
    headers: ['X_Token', 'theirs', 'x-token', 'theirs', 'Accept', '*/*'],
    hasBody: true,
  } as const;
  expect(signer!.needs(request)).toBe('nothing');
  const { headers, target } = signer!.sign(request, null, NOW);
  expect(target).toBe(request.target);
  expect(headers).toHaveLength(4);
  return headersOf(headers);
}

test.each<[JwtAlgorithm, () => { privateKey: KeyObject; publicKey: KeyObject }]>([
  ['ES256', () => generateKeyPairSync('ec', { namedCurve: 'P-256' })],
  ['ES384', () => generateKeyPairSync('ec', { namedCurve: 'P-384' })],
  ['EdDSA', () => generateKeyPairSync('ed25519')],
  ['RS256', () => generateKeyPairSync('rsa', { modulusLength: 2048 })],
  ['PS256', () => generateKeyPairSync('rsa', { modulusLength: 2048 })],
])('%s is what jose takes, with our times and no claim of the client’s', async (algorithm, make) => {
  const { privateKey, publicKey } = make();
  const token = /^JWT (\S+)$/.exec(signed({ ...INJECTION, algorithm }, privateKey).get('x-token')!)![1]!;
  const { payload } = await jwtVerify(token, publicKey, { algorithms: [algorithm] });
  const from = Math.floor(NOW / 1000) - 5;
  expect(payload).toEqual({
    sub: 'key "1"',
    uri: 'GET api.good.test:8443/a%20b',
    quoted: '"\\{key "1"}',
    iat: from,
    nbf: from,
    exp: from + 60,
  });
  expect(decodeProtectedHeader(token)).toEqual({ kid: 'key "1"', alg: algorithm, typ: 'JWT' });
});

test.each<[Partial<JwtInjection>, string]>([
  [{ template: 'Bearer' }, 'does not hold {jwt}'],
  [{ template: 'Bearer {jwt} {path}' }, 'there is no field {path}'],
  [{ name: 'Host' }, 'the header Host must not be injected'],
  [{ name: 'X Y' }, 'is not a name of a header'],
  [{ claims: { exp: '1' } }, 'exp of the token is set by alterd itself'],
  [{ header: { alg: 'none' } }, 'alg of the token is set by alterd itself'],
  [{ claims: { body: '{body}' } }, 'there is no field {body}'],
  [{ key: '{private}' }, 'there is no field {private}'],
  [{ lifetime_s: 5 }, 'from 10 to 3600'],
  [{ header: { kid: '{key}' } }, 'key signs the token and must not be in it'],
  [{ claims: { sub: 'x {key}' } }, 'key signs the token and must not be in it'],
  [{ template: '{jwt} {key}' }, 'key signs the token and must not be in it'],
])('%o is told when it is stored', (change, problem) => {
  expect(validateInjections([{ ...INJECTION, ...change }], ['id', 'key']).join('\n')).toContain(problem);
});

test('a field must not take a name of the request', () => {
  expect(validateInjections([INJECTION], ['id', 'key', 'path']).join('\n')).toContain('must not be called path');
});

test('a provider file says all that is wrong at once', () => {
  const read = (text: string): string => {
    try {
      parseProvider(text, 'x.toml');
      return '';
    } catch (thrown) {
      return (thrown as AlterError).details.problems?.toString() ?? String(thrown);
    }
  };
  const good = `slug = "x"
name = "X"
kind = "static"
hosts = ["api.good.test"]
evidence = "general"
[[inject]]
in = "jwt"
algorithm = "ES256"
key = "{token}"
claims = { sub = "me" }
`;
  expect(read(good)).toBe('');
  const bad = read(
    good.replace('ES256', 'none').replace('{token}', '{tokn}').replace('[[inject]]', '[[inject]]\nlifetime_s = 1\nfoo = 1'),
  );
  for (const problem of [/algorithm must be one of/, /tokn/, /lifetime_s must be/, /foo is not a known key/])
    expect(bad).toMatch(problem);
  expect(read(good.replace('sub =', 'exp ='))).toContain('exp of the token is set by alterd itself');
});

const bearer: Injection = { in: 'header', name: 'Authorization', template: 'Bearer {key}' };
const basic: Injection = { in: 'basic', username: 'oauth2', password: '{key}' };

test('one header may have a place for git and one for all else, and never two for one request', () => {
  const apart: readonly Injection[] = [
    { ...bearer, requests: 'other' },
    { ...basic, requests: 'git' },
  ];
  expect(validateInjections(apart, ['key'])).toEqual([]);
  for (const pair of [
    [bearer, { ...basic, requests: 'git' }],
    [
      { ...bearer, requests: 'git' },
      { ...basic, requests: 'git' },
    ],
  ] as const)
    expect(validateInjections(pair, ['key']).join()).toContain('two injections fill the header authorization');
  const material = { credentialId: 'c', version: 1, fields: new Map([['key', new Secret('SEKRET')]]) };
  const placedFor = (isGit: boolean): string | undefined =>
    compileInjections(apart, material, 'h', undefined, isGit).headers[0]?.value.reveal();
  expect(placedFor(false)).toBe('Bearer SEKRET');
  expect(placedFor(true)).toBe(`Basic ${Buffer.from('oauth2:SEKRET').toString('base64')}`);
  // Fail closed: where nothing is for git, a request of git does not go out with nothing.
  expect(() => compileInjections([{ ...bearer, requests: 'other' }], material, 'h', undefined, true)).toThrow(AlterError);
});
