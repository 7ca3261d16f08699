import { describe, expect, test } from 'vitest';
import { agentsValue, harmlessChallenges } from '../../../src/scrub/fields.ts';

describe('of a field of an answer the agent gets', () => {
  test.each([
    ['Set-Cookie', 'sid=1; HttpOnly', null],
    ['SET-COOKIE2', 'sid=1', null],
    ['Authentication-Info', 'nextnonce="x"', null],
    ['proxy-authentication-info', 'rspauth="x"', null],
    ['WWW-Authenticate', 'Digest realm="a", nonce="b"', null],
    ['WWW-Authenticate', 'Basic realm="GitHub"', 'Basic realm="GitHub"'],
    ['Cookie-Policy', 'a', 'a'],
    ['Content-Type', 'text/html', 'text/html'],
  ])('%s: %s → %j', (name, value, expected) => {
    expect(agentsValue(name, value)).toBe(expected);
  });
});

describe('of a challenge', () => {
  test.each([
    ['', null],
    [',,', null],
    ['Negotiate', null],
    ['Negotiate YIIZxgYGKwYBBQUCoIIZ==', null],
    ['NTLM TlRMTVNTUAACAAAA', null],
    ['Basic', 'Basic'],
    ['basic realm="a, b"', 'basic realm="a, b"'],
    ['Basic realm="say \\"x\\", Digest nonce=y"', 'Basic realm="say \\"x\\", Digest nonce=y"'],
    [
      'Bearer realm="api", error="invalid_token", resource_metadata="https://a.test/b"',
      'Bearer realm="api", error="invalid_token", resource_metadata="https://a.test/b"',
    ],
    ['Digest realm="a", nonce="b", opaque=c, Basic realm="d"', 'Basic realm="d"'],
    ['Basic realm="d", Digest realm="a", nonce="b"', 'Basic realm="d"'],
    ['Basic realm="d" , Negotiate abc== , Bearer scope = "x"', 'Basic realm="d", Bearer scope = "x"'],
    ['nonce="b", Basic realm="d"', 'Basic realm="d"'],
  ])('%j stays %j', (value, expected) => {
    expect(harmlessChallenges(value)).toBe(expected);
  });
});
