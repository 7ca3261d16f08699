/** Signatures by template: computed here once more by hand, and every way in which a template can be wrong. */
import { createHash, createHmac } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { builtinProvidersDir, loadCatalogue } from '../../../src/config/catalogue.ts';
import { parseProvider } from '../../../src/config/provider.ts';
import type { HmacInjection } from '../../../src/domain/credential.ts';
import { Secret } from '../../../src/domain/secret.ts';
import { compileInjections, validateInjections } from '../../../src/injection/compile.ts';
import { applyInjection } from '../../../src/injection/inject.ts';
import { OWN, PLACEHOLDER } from '../../../src/injection/presence.ts';
import type { RequestSigner, UnsignedRequest } from '../../../src/injection/signer.ts';
import { headersOf } from '../../helpers/aws-verifier.ts';

const FIELDS = { api_key: 'SEKRET-marker-id', secret_key: 'c2VjcmV0IGtleQ==', passphrase: 'SEKRET-marker-phrase' };
const INJECTION: HmacInjection = {
  in: 'hmac',
  algorithm: 'sha512',
  key: '{secret_key}',
  message: '{method}\n{path}\n{query}\n{host}\n{timestamp}\n{nonce}\n{body_sha256}\n{api_key}',
  encoding: 'hex',
  headers: [
    { name: 'X-Key', template: '{api_key}' },
    { name: 'X-Sign', template: 'v1={signature},t={timestamp},n={nonce}' },
  ],
};
const AT = Date.UTC(2026, 1, 3, 4, 5, 6, 789);
const signerOf = (injection: HmacInjection): RequestSigner =>
  compileInjections(
    [injection],
    { credentialId: 'c', version: 1, fields: new Map(Object.entries(FIELDS).map(([name, value]) => [name, new Secret(value)])) },
    'api.good.test',
  ).signer!;
const request = (parts: Partial<UnsignedRequest> = {}): UnsignedRequest => ({
  method: 'POST',
  scheme: 'https',
  authority: 'api.good.test:8443',
  target: '/v1/orders%20x?b=2&a=1',
  headers: ['Accept', '*/*'],
  hasBody: true,
  ...parts,
});
const bodyOf = (text: string) => ({ sha256: createHash('sha256').update(text).digest('hex'), bytes: Buffer.from(text) });

test('everything that a message may name is what is sent', () => {
  const signed = signerOf(INJECTION).sign(request(), bodyOf('{}'), AT);
  const headers = headersOf(signed.headers);
  const [, signature, timestamp, nonce] = /^v1=([0-9a-f]{128}),t=(\d+),n=([0-9a-f]{32})$/.exec(headers.get('x-sign')!)!;
  expect(timestamp).toBe(String(Math.floor(AT / 1000)));
  const message = `POST\n/v1/orders%20x\nb=2&a=1\napi.good.test:8443\n${timestamp}\n${nonce}\n${bodyOf('{}').sha256}\n${FIELDS.api_key}`;
  expect(signature).toBe(createHmac('sha512', FIELDS.secret_key).update(message).digest('hex'));
  expect(headers.get('x-key')).toBe(FIELDS.api_key);
  expect(signed.target).toBe('/v1/orders%20x?b=2&a=1');
});

describe.each([
  ['okx', 'utf8', 'OK-ACCESS', new Date(AT).toISOString()],
  ['coinbase-exchange', 'base64', 'CB-ACCESS', String(Math.floor(AT / 1000))],
] as const)('the provider %s', (slug, encoding, prefix, timestamp) => {
  const spec = loadCatalogue({ builtinDir: builtinProvidersDir(), userDir: null }).find(slug)!;
  test.each(['', '{"size":"1"}'])('signs time, method, path and body %j', (body) => {
    const signer = signerOf(spec.inject[0] as HmacInjection);
    const asked = request({ hasBody: body !== '' });
    expect(signer.needs(asked)).toBe(body === '' ? 'nothing' : 'bytes');
    const headers = headersOf(signer.sign(asked, body === '' ? null : bodyOf(body), AT).headers);
    const key = Buffer.from(FIELDS.secret_key, encoding);
    const expected = createHmac('sha256', key).update(`${timestamp}POST/v1/orders%20x?b=2&a=1${body}`).digest('base64');
    expect(headers.get(`${prefix}-SIGN`.toLowerCase())).toBe(expected);
    expect(headers.get(`${prefix}-TIMESTAMP`.toLowerCase())).toBe(timestamp);
    expect(headers.get(`${prefix}-PASSPHRASE`.toLowerCase())).toBe(FIELDS.passphrase);
  });
});

test('what the client sent in its headers goes, in every spelling', () => {
  const headers = ['X_Key', 'mine', 'x-sign', 'v1=theirs', 'X-SIGN', 'v1=theirs', 'Accept', '*/*'];
  const signer = signerOf(INJECTION);
  const names = signer.sign(request({ headers, hasBody: false }), null, AT).headers.filter((_text, i) => i % 2 === 0);
  expect(names).toEqual(['Accept', 'X-Key', 'X-Sign']);
  expect(signer.presence(headers, '/', 'mine')).toBe(OWN | PLACEHOLDER);
});

test('the modes look at the places of a signature as at any other', () => {
  const material = {
    credentialId: 'c',
    version: 1,
    fields: new Map(Object.entries(FIELDS).map(([name, value]) => [name, new Secret(value)])),
  };
  const compiled = compileInjections([INJECTION], material, 'api.good.test');
  const ask = (headers: string[], mode: 'always' | 'if_absent' | 'placeholder_only') => {
    const { signer, injected, replaced } = applyInjection(headers, '/', compiled, mode, 'ph');
    return { signs: signer !== undefined, injected, replaced };
  };
  expect(ask(['X-Key', 'own'], 'always')).toEqual({ signs: true, injected: true, replaced: true });
  expect(ask(['X-Key', 'ph'], 'always')).toEqual({ signs: true, injected: true, replaced: false });
  expect(ask(['X-Key', 'own'], 'if_absent')).toEqual({ signs: false, injected: false, replaced: false });
  expect(ask([], 'if_absent')).toEqual({ signs: true, injected: true, replaced: false });
  expect(ask(['X-Key', 'ph'], 'placeholder_only')).toEqual({ signs: true, injected: true, replaced: false });
  expect(ask([], 'placeholder_only')).toEqual({ signs: false, injected: false, replaced: false });
});

test.each([
  [{ headers: [{ name: 'X-Key', template: '{api_key}' }] }, 'no header holds {signature}'],
  [{ headers: [{ name: 'Host', template: '{signature}' }] }, 'the header Host must not be injected'],
  [
    {
      headers: [
        { name: 'X-A', template: '{signature}' },
        { name: 'x-a', template: '{nonce}' },
      ],
    },
    'a header is filled twice',
  ],
  [{ message: '{method}{unknown}' }, 'there is no field {unknown}'],
  [{ message: '{method}\u00e9' }, 'a template must be printable ASCII'],
  [{ headers: [{ name: 'X-A', template: '{signature}{body}' }] }, 'there is no field {body}'],
])('%o is told when it is stored', (change, problem) => {
  const problems = validateInjections([{ ...INJECTION, ...change }], Object.keys(FIELDS));
  expect(problems.join('\n')).toContain(problem);
});

test('a field with the name of something that the request has is told', () => {
  expect(validateInjections([INJECTION], [...Object.keys(FIELDS), 'body'])).toEqual([
    'a field of a signed credential must not be called body',
  ]);
});

test('two signatures on one host, or a signature beside its own header, are told', () => {
  const header = { in: 'header', name: 'x-sign', template: '{api_key}' } as const;
  expect(
    validateInjections([INJECTION, { ...INJECTION, headers: [{ name: 'X-B', template: '{signature}' }] }], Object.keys(FIELDS)),
  ).toEqual(['two injections fill the signature on the same host']);
  expect(validateInjections([INJECTION, header], Object.keys(FIELDS))).toEqual([
    'two injections fill the header x-sign on the same host',
  ]);
});

test('a provider file says what is wrong with its signature', () => {
  const file = (lines: string): string =>
    `slug = "x"\nname = "X"\nkind = "static"\nhosts = ["api.x.test"]\nevidence = "general"\n[[inject]]\nin = "hmac"\n${lines}`;
  const read = (lines: string): string => {
    try {
      parseProvider(file(lines), 'x.toml');
      return 'fine';
    } catch (thrown) {
      return JSON.stringify((thrown as { details: object }).details);
    }
  };
  const good =
    'algorithm = "sha256"\nkey = "{token}"\nmessage = "{method}{body_sha256}"\nencoding = "hex"\n[[inject.headers]]\nname = "X-S"\ntemplate = "{signature}"\n';
  expect(read(good)).toBe('fine');
  expect(read(good.replace('sha256', 'md5'))).toContain('must be one of');
  expect(read(good.replace('{method}', '{methd}'))).toContain('there is no field {methd}');
  expect(read(good.replace('"{signature}"', '"{token}"'))).toContain('no header holds {signature}');
  expect(read(good.replace('{token}', '{tokn}'))).toContain('{tokn}');
});
