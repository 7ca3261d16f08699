/** Kinds of header fields: every name that a proxy must treat in its own way, in any letter case, and no other. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { classifyHeaders, findHeader, HeaderKind, headerKindOf } from '../../../src/proxy/header-kinds.ts';

const KNOWN: Readonly<Record<string, HeaderKind>> = {
  Host: HeaderKind.host,
  'Content-Length': HeaderKind.contentLength,
  'Transfer-Encoding': HeaderKind.transferEncoding,
  Connection: HeaderKind.connection,
  'Keep-Alive': HeaderKind.keepAlive,
  'Proxy-Connection': HeaderKind.hop,
  'Proxy-Authenticate': HeaderKind.hop,
  'Proxy-Authentication-Info': HeaderKind.hop,
  'HTTP2-Settings': HeaderKind.hop,
  Upgrade: HeaderKind.upgrade,
  Expect: HeaderKind.expect,
  TE: HeaderKind.te,
  Trailer: HeaderKind.trailer,
  'Proxy-Authorization': HeaderKind.proxyAuthorization,
  Forwarded: HeaderKind.platform,
  Via: HeaderKind.platform,
  'X-Real-IP': HeaderKind.platform,
  'Client-IP': HeaderKind.platform,
  'True-Client-IP': HeaderKind.platform,
  'X-Forwarded-For': HeaderKind.platform,
  'X-Forwarded-Host': HeaderKind.platform,
  [`X-Forwarded-${'a'.repeat(80)}`]: HeaderKind.platform,
  'Alter-Grant-Id': HeaderKind.selector,
  'Alter-': HeaderKind.selector,
  'X-Alter-Reason': HeaderKind.selector,
  [`X-Alter-${'a'.repeat(80)}`]: HeaderKind.selector,
  'Alt-Svc': HeaderKind.altSvc,
};

const OTHER = ['', 'H', 'Hosts', 'X-Host', 'Alternates', 'X-Alte', 'Connections', 'Vib', 'Xost', 'X', 'constructor', '__proto__'];

describe('a field name', () => {
  it.each(Object.entries(KNOWN))('%s is known in any case', (name, kind) => {
    for (const spelling of [name, name.toLowerCase(), name.toUpperCase(), name]) expect(headerKindOf(spelling)).toBe(kind);
  });

  it.each(OTHER)('%j is an ordinary one', (name) => expect(headerKindOf(name)).toBe(HeaderKind.endToEnd));

  it('has the same kind in any mixture of cases', () => {
    const cased = fc
      .constantFrom(...Object.keys(KNOWN))
      .chain((name) =>
        fc
          .array(fc.boolean(), { minLength: name.length, maxLength: name.length })
          .map((ups) => [name, [...name].map((c, i) => (ups[i] ? c.toUpperCase() : c.toLowerCase())).join('')] as const),
      );
    fc.assert(fc.property(cased, ([name, spelling]) => headerKindOf(spelling) === KNOWN[name]));
  });

  it('is remembered without limit to what else is asked', () => {
    for (let i = 0; i < 5000; i++) headerKindOf(`x-forwarded-${i}`);
    expect(headerKindOf('Proxy-Authorization')).toBe(HeaderKind.proxyAuthorization);
  });
});

it('a list is classified pair by pair, with the set of what is there', () => {
  expect(classifyHeaders(['Host', 'a', 'X', 'host', 'via', 'c'])).toEqual({
    kinds: [HeaderKind.host, HeaderKind.endToEnd, HeaderKind.platform],
    present: (1 << HeaderKind.host) | (1 << HeaderKind.endToEnd) | (1 << HeaderKind.platform),
  });
});

it('findHeader takes names, never values, in any case', () => {
  expect(findHeader(['a', 'expect', 'EXPECT', 'first', 'expect', 'second'], 'expect')).toBe('first');
  expect(findHeader(['a', 'expect'], 'expect')).toBeNull();
});
