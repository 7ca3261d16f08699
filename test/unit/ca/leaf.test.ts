import { X509Certificate } from 'node:crypto';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { initAuthority, type LocalCa } from '../../../src/ca/authority.ts';
import { LeafIssuer } from '../../../src/ca/leaf.ts';
import { newCa, temporaryDirectory, testSealer } from '../../integration/ca/fixture.ts';

const DAY_MS = 86_400_000;
const HOUR_MS = 3_600_000;
const temporary = temporaryDirectory();
let ca: LocalCa;

beforeAll(() => {
  ca = newCa(temporary.dir);
});
afterAll(() => temporary.remove());

const leafOf = (host: string, family: 0 | 4 | 6 = 0, issuer = new LeafIssuer(ca)): X509Certificate =>
  new X509Certificate(issuer.mintLeaf(host, family));

describe('a leaf', () => {
  test.each([
    ['api.example.com', 0, 'O=alterd\nCN=api.example.com', 'DNS:api.example.com'],
    [`${'a'.repeat(60)}.com`, 0, `O=alterd\nCN=${'a'.repeat(60)}.com`, `DNS:${'a'.repeat(60)}.com`],
    [`${'a'.repeat(61)}.com`, 0, 'O=alterd', `DNS:${'a'.repeat(61)}.com`],
    ['192.0.2.7', 4, 'O=alterd\nCN=192.0.2.7', 'IP Address:192.0.2.7'],
    ['2001:db8::7', 6, 'O=alterd\nCN=2001:db8::7', 'IP Address:2001:DB8:0:0:0:0:0:7'],
    ['::', 6, 'O=alterd\nCN=::', 'IP Address:0:0:0:0:0:0:0:0'],
    ['::ffff:192.0.2.7', 6, 'O=alterd\nCN=::ffff:192.0.2.7', 'IP Address:0:0:0:0:0:FFFF:C000:207'],
  ] as const)('for %s names it and nothing else', (host, family, subject, names) => {
    const leaf = leafOf(host, family);
    expect(leaf.subject).toBe(subject);
    expect(leaf.subjectAltName).toBe(names);
    expect(leaf.issuer).toBe(new X509Certificate(ca.certPem).subject);
    expect(leaf.ca).toBe(false);
    expect(leaf.keyUsage).toEqual(['1.3.6.1.5.5.7.3.1']);
    expect(leaf.verify(new X509Certificate(ca.certPem).publicKey)).toBe(true);
  });

  test('lives a week from an hour ago', () => {
    const leaf = leafOf('example.com');
    expect(Math.abs(Date.parse(leaf.validFrom) - (Date.now() - HOUR_MS))).toBeLessThan(10_000);
    expect(Date.parse(leaf.validTo) - Date.parse(leaf.validFrom)).toBe(7 * DAY_MS);
  });

  test('never outlives its CA', () => {
    const old = initAuthority(join(temporary.dir, 'old'), { sealKey: testSealer, now: Date.now() - 3645 * DAY_MS });
    const leaf = leafOf('example.com', 0, new LeafIssuer(old));
    expect(Date.parse(leaf.validTo)).toBe(old.notAfter);
  });

  test('has a serial number of its own each time', () => {
    const issuer = new LeafIssuer(ca);
    const serials = new Set(Array.from({ length: 50 }, () => leafOf('example.com', 0, issuer).serialNumber));
    expect(serials.size).toBe(50);
  });

  test('shares one key within an issuer, and none across issuers', () => {
    const keyOf = (issuer: LeafIssuer, host: string) => leafOf(host, 0, issuer).publicKey.export({ type: 'spki', format: 'pem' });
    const issuer = new LeafIssuer(ca);
    expect(keyOf(issuer, 'a.example')).toBe(keyOf(issuer, 'b.example'));
    expect(keyOf(issuer, 'a.example')).not.toBe(keyOf(new LeafIssuer(ca), 'a.example'));
  });
});

describe('contextFor', () => {
  test('refuses a host outside the CA constraints', () => {
    const issuer = new LeafIssuer(
      initAuthority(join(temporary.dir, 'narrow'), { sealKey: testSealer, nameConstraints: ['example.com'] }),
    );
    expect(() => issuer.contextFor('example.org', 0)).toThrow(expect.objectContaining({ code: 'destination_refused' }));
    expect(issuer.size).toBe(0);
    expect(issuer.contextFor('api.example.com', 0)).toBeDefined();
  });

  test('answers the same context until two thirds of the life of its leaf', () => {
    let now = Date.now();
    const issuer = new LeafIssuer(ca, { now: () => now });
    const first = issuer.contextFor('example.com', 0);
    now += 4 * DAY_MS;
    expect(issuer.contextFor('example.com', 0)).toBe(first);
    now += DAY_MS;
    expect(issuer.contextFor('example.com', 0)).not.toBe(first);
    expect(issuer.size).toBe(1);
  });

  test('keeps a bounded number, those used last', () => {
    const issuer = new LeafIssuer(ca, { maxContexts: 3 });
    const [a, b] = ['a.example', 'b.example', 'c.example'].map((host) => issuer.contextFor(host, 0));
    expect(issuer.contextFor('a.example', 0)).toBe(a);
    issuer.contextFor('d.example', 0);
    expect(issuer.size).toBe(3);
    expect(issuer.contextFor('a.example', 0)).toBe(a);
    expect(issuer.contextFor('b.example', 0)).not.toBe(b);
  });

  test('starts afresh after dispose', () => {
    const issuer = new LeafIssuer(ca);
    const first = issuer.contextFor('a.example', 0);
    issuer.dispose();
    expect(issuer.size).toBe(0);
    expect(issuer.contextFor('a.example', 0)).not.toBe(first);
  });
});
