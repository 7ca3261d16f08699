import fc from 'fast-check';
import { describe, expect, it, test } from 'vitest';
import { redactBody } from '../../../src/journal/redaction.ts';
import { isCountName, isSecretName } from '../../../src/journal/secret-names.ts';

const S = 'SEKRET-marker-value';
const NONE: ReadonlySet<string> = new Set();
const redacted = (text: string, type: string | null = null, placeholders = NONE): string =>
  redactBody(Buffer.from(text), type, placeholders).bytes.toString();

describe('names', () => {
  it.each([
    ...[
      'password',
      'Password',
      'user_password',
      'newPassword',
      'client_secret',
      'clientSecret',
      'CLIENT-SECRET',
      'apiKey',
      'api_key',
    ],
    ...[
      'X-Api-Key',
      'authorization',
      'Proxy-Authorization',
      'access_token',
      'id_token',
      'token',
      'cookie',
      'Set-Cookie',
      'sessionId',
    ],
    ...['private_key', 'aws_secret_access_key', 'pwd', 'db_pass', 'otp', 'pin', 'code_verifier', 'user[password]', 'passphrase'],
  ])('%s names a secret', (name) => expect(isSecretName(name)).toBe(true));
  it.each([
    ...['name', 'key', 'code', 'author', 'spinner', 'compass', 'token_type', 'token_endpoint', 'token_uri', 'expires_in', 'tok'],
    ...['token_expires_at', 'authorization_url', 'pinned', 'bypass', 'monkey', 'completion_tokens_details'],
  ])('%s names none', (name) => expect(isSecretName(name)).toBe(false));
  it.each(['max_tokens', 'total_tokens', 'token_count', 'tokenLimit'])('a number under %s is a count', (name) =>
    expect(isCountName(name)).toBe(true),
  );
});

describe('what is masked', () => {
  test.each<[what: string, body: string, type: string | null, after: string]>([
    ['JSON', `{"user":"a","password":"${S}","n":1}`, 'application/json', '{"user":"a","password":"[redacted]","n":1}'],
    ['a quote in the value', `{"password":"a\\"${S}","n":1}`, null, '{"password":"[redacted]","n":1}'],
    ['a name that is written otherwise', `{"pass\\u0077ord":"${S}"}`, null, '{"pass\\u0077ord":"[redacted]"}'],
    ['a name with a space', `{ "Client Secret" : "${S}" }`, null, '{ "Client Secret" : "[redacted]" }'],
    [
      'a name beside the value',
      `[{"name":"DB_PASSWORD","value":"${S}"},{"name":"PORT","value":"80"}]`,
      null,
      '[{"name":"DB_PASSWORD","value":"[redacted]"},{"name":"PORT","value":"80"}]',
    ],
    ['a name behind the value', `{"value":"${S}","key":"API_KEY"}`, null, '{"value":"[redacted]","key":"API_KEY"}'],
    [
      'JSON in a form',
      `payload=${encodeURIComponent(`{"password":"${S}"}`)}&n=1`,
      'application/x-www-form-urlencoded',
      'payload=[redacted]&n=1',
    ],
    ['a token that says whose it is', `clone with ghp_${'a1'.repeat(18)} now`, null, 'clone with [redacted] now'],
    [
      'a signed URL',
      `see https://x.test/o?n=1&X-Amz-Signature=${'0f'.repeat(32)}`,
      null,
      'see https://x.test/o?n=1&X-Amz-Signature=[redacted]',
    ],
    [
      'parts with bare line ends',
      `--b\nContent-Disposition: form-data; name="password"\n\n${S}\n--b--`,
      'multipart/form-data; boundary=b',
      '--b\nContent-Disposition: form-data; name="password"\n\n[redacted]--b--',
    ],
    [
      'UTF-16 that says so nowhere',
      Buffer.from(`{"password":"${S}"}`, 'utf16le').toString('latin1'),
      null,
      '{"password":"[redacted]"}',
    ],
    ['a number', '{"pin":1234,"max_tokens":100}', null, '{"pin":"[redacted]","max_tokens":100}'],
    ['an object', `{"credentials":{"a":{"b":"${S}"}},"n":1}`, null, '{"credentials":"[redacted]","n":1}'],
    ['a list', `{"tokens":["${S}","}"],"n":1}`, null, '{"tokens":"[redacted]","n":1}'],
    ['null and flags stay', '{"password":null,"secret":true}', null, '{"password":null,"secret":true}'],
    ['JSON that is cut in a value', `{"a":1,"password":"${S.slice(0, 9)}`, null, '{"a":1,"password":"[redacted]'],
    ['JSON that is cut in an object', `{"secrets":{"x":"${S}"`, null, '{"secrets":"[redacted]"'],
    [
      'JSON in JSON',
      `{"body":"{\\"password\\":\\"${S}\\",\\"n\\":1}"}`,
      null,
      '{"body":"{\\"password\\":\\"[redacted]\\",\\"n\\":1}"}',
    ],
    [
      'JSON in JSON in JSON',
      JSON.stringify({ a: JSON.stringify({ b: JSON.stringify({ token: S, n: 1 }) }) }),
      null,
      JSON.stringify({ a: JSON.stringify({ b: JSON.stringify({ token: '[redacted]', n: 1 }) }) }),
    ],
    ['lines of JSON', `{"a":1}\n{"token":"${S}"}\n`, null, '{"a":1}\n{"token":"[redacted]"}\n'],
    ['an event stream', `data: {"token":"${S}"}\n\n`, 'text/event-stream', 'data: {"token":"[redacted]"}\n\n'],
    ['a form', `a=1&password=${S}%20%26x&b=2`, 'application/x-www-form-urlencoded', 'a=1&password=[redacted]&b=2'],
    ['a coded name in a form', `pass%77ord=${S}&b=2`, 'application/x-www-form-urlencoded', 'pass%77ord=[redacted]&b=2'],
    [
      'a form that is cut',
      `a=1&client_secret=${S}`,
      'application/x-www-form-urlencoded; charset=utf-8',
      'a=1&client_secret=[redacted]',
    ],
    ['a form that says nothing of it', `a=1&password=${S}&b=2`, null, 'a=1&password=[redacted]&b=2'],
    [
      'XML',
      `<login><password>${S}</password><n>1</n></login>`,
      'text/xml',
      '<login><password>[redacted]</password><n>1</n></login>',
    ],
    ['XML with a prefix', `<w:Password Type="x">${S}</w:Password>`, 'text/xml', '<w:Password Type="x">[redacted]</w:Password>'],
    ['an attribute', `<a password="${S}" b="c"/>`, 'text/xml', '<a password="[redacted]" b="c"/>'],
    ['YAML', `user: a\npassword: ${S} and, more\nn: 1\n`, 'text/plain', 'user: a\npassword: [redacted]\nn: 1\n'],
    [
      'a header in a text',
      `GET / HTTP/1.1\r\nAuthorization: Basic ${S}\r\nA: b`,
      null,
      'GET / HTTP/1.1\r\nAuthorization: [redacted]\r\nA: b',
    ],
    ['a bearer in a text', `curl -H 'X: Bearer ${S}-0123456789' x`, null, "curl -H 'X: Bearer [redacted]' x"],
    ['a key of alterd', `say alter_key_agent_${'a1'.repeat(19)} please`, null, 'say [redacted] please'],
    ['a key of alterd that is cut', 'say alter_key_agent_a1', null, 'say [redacted]'],
    ['a private key', `x -----BEGIN EC PRIVATE KEY-----\n${S}\n-----END EC PRIVATE KEY----- y`, null, 'x [redacted] y'],
    ['a private key that is cut', `x -----BEGIN PRIVATE KEY-----\n${S}`, null, 'x [redacted]'],
    [
      'counts stay',
      '{"usage":{"prompt_tokens":12,"prompt_tokens_details":{"cached_tokens":3}}}',
      null,
      '{"usage":{"prompt_tokens":12,"prompt_tokens_details":{"cached_tokens":3}}}',
    ],
    ['words stay', 'The token is fine; a secret: said to nobody', null, 'The token is fine; a secret: [redacted]'],
  ])('%s', (_what, body, type, after) => {
    expect(redacted(body, type)).toBe(after);
  });

  it('a part of a multipart form', () => {
    const part = (name: string, value: string): string =>
      `--b0\r\nContent-Disposition: form-data; name="${name}"\r\n\r\n${value}\r\n`;
    const body = `${part('user', 'a')}${part('password', `${S}\r\nmore`)}${part('n', '1')}--b0--\r\n`;
    const expected = `${part('user', 'a')}${part('password', '[redacted]')}${part('n', '1')}--b0--\r\n`;
    expect(redacted(body, 'multipart/form-data; boundary=b0')).toBe(expected);
  });

  it('placeholders that are known, and no others', () => {
    const known = new Set(['alter_ph_0123456789abcdefghij', 'AstraCS:0123456789:abcdef', '00D0123456789!abcdefghij']);
    for (const each of known) expect(redacted(`{"a":"${each}"} ${each}`, null, known)).toBe('{"a":"[redacted]"} [redacted]');
    expect(redacted('{"a":"alter_ph_0123456789abcdefghiX"}', null, known)).toBe('{"a":"alter_ph_0123456789abcdefghiX"}');
  });

  it('text in UTF-16, which is kept as UTF-8', () => {
    const wide = (text: string): Buffer => Buffer.from(text, 'utf16le');
    const body = `{"password":"${S}"}`;
    expect(redactBody(Buffer.concat([Buffer.of(0xff, 0xfe), wide(body)]), null, NONE).bytes.toString()).toBe(
      '{"password":"[redacted]"}',
    );
    expect(redactBody(wide(body), 'application/json; charset=utf-16le', NONE).bytes.toString()).toBe('{"password":"[redacted]"}');
  });

  it('bytes that are no text come out as they went in', () => {
    const bytes = Buffer.from(Array.from({ length: 1024 }, (_, i) => (i * 7) % 256));
    expect(redactBody(bytes, 'application/octet-stream', NONE).bytes.equals(bytes)).toBe(true);
  });
});

describe('properties', () => {
  it('JSON stays JSON, nothing under a secret name is in it, and all else is', () => {
    const names = fc.constantFrom('a', 'user', 'password', 'token', 'api_key', 'items');
    // Letters that no other value has.
    const text = fc.string({ unit: fc.constantFrom('"', '\\', '{', '}', ':', ',', ' ', 'é', '\n', 'x'), maxLength: 12 });
    const { tree } = fc.letrec((tie) => ({
      tree: fc.oneof({ depthSize: 'small' }, text, fc.integer(), fc.array(tie('tree'), { maxLength: 3 }), tie('object')),
      object: fc.dictionary(names, tie('tree'), { maxKeys: 4 }),
    }));
    const masked = (value: unknown): unknown => {
      if (Array.isArray(value)) return value.map(masked);
      if (typeof value !== 'object' || value === null) return value;
      return Object.fromEntries(
        Object.entries(value).map(([name, member]) => [
          name,
          isSecretName(name) && member !== '' ? '[redacted]' : masked(member),
        ]),
      );
    };
    fc.assert(
      fc.property(tree, fc.constantFrom(undefined, 2), (value, indent) => {
        // Between texts of our own making nothing looks like a name with a value.
        expect(JSON.parse(redacted(JSON.stringify({ v: value }, null, indent)))).toEqual({ v: masked(value) });
      }),
      { numRuns: 300 },
    );
  });

  it('wherever a body is cut, nothing of a value stays', () => {
    const body = JSON.stringify({
      a: 1,
      password: S,
      b: { token: [S, S] },
      c: `x=1&secret=${S}&d`,
      e: JSON.stringify({ apiKey: S }),
    });
    for (let end = 0; end <= body.length; end += 1) expect(redacted(body.slice(0, end)), `${end}`).not.toContain('SEK');
  });

  it('takes time by the length of the text alone', () => {
    const size = 262_144;
    for (const each of [
      'a',
      '"',
      '\\',
      '{"password":{',
      'password=',
      'password:\\',
      '<password',
      '-----BEGIN ',
      'Bearer ',
      '&',
      '--b\r\n',
      '"a":"',
    ]) {
      const body = Buffer.from(each.repeat(Math.ceil(size / each.length)).slice(0, size));
      const started = process.cpuUsage();
      redactBody(body, 'multipart/form-data; boundary=b', new Set(['x'.repeat(20)]));
      const { user } = process.cpuUsage(started);
      expect(user / 1000, each).toBeLessThan(1_000);
    }
  });
});
