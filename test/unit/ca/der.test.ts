import fc from 'fast-check';
import forge from 'node-forge';
import { describe, expect, test } from 'vitest';
import { addressBytes } from '../../../src/ca/certificate.ts';
import {
  bitString,
  explicit,
  implicit,
  integer,
  octetString,
  oid,
  sequence,
  setOf,
  time,
  tlv,
  utf8String,
} from '../../../src/ca/der.ts';

/** node-forge is an independent encoder here: what it makes of the same value must be the same bytes. */
const { asn1 } = forge;
const forgeDer = (node: forge.asn1.Asn1): Buffer => Buffer.from(asn1.toDer(node).getBytes(), 'latin1');
const universal = (type: forge.asn1.Type, value: string): forge.asn1.Asn1 =>
  asn1.create(asn1.Class.UNIVERSAL, type, false, value);

describe('DER', () => {
  test.each(['2.5.4.3', '1.2.840.10045.4.3.2', '1.3.6.1.5.5.7.3.1', '2.5.29.30', '1.3.6.1.4.1.99999.127.128.16384'])(
    'oid %s',
    (dotted) => {
      const expected = forgeDer(universal(asn1.Type.OID, asn1.oidToDer(dotted).getBytes()));
      expect(oid(dotted)).toEqual(expected);
    },
  );

  test.each([0, 1, 127, 128, 255, 256, 65_535])('a length of %d bytes', (size) => {
    const content = Buffer.alloc(size, 7);
    expect(octetString(content)).toEqual(forgeDer(universal(asn1.Type.OCTETSTRING, content.toString('latin1'))));
  });

  test('refuses what is longer than 64 KiB', () => {
    expect(() => tlv(4, Buffer.alloc(65_536))).toThrow(RangeError);
  });

  test.each([
    [Date.UTC(2026, 0, 2, 3, 4, 5), '260102030405Z', 0x17],
    [Date.UTC(2049, 11, 31, 23, 59, 59, 999), '491231235959Z', 0x17],
    [Date.UTC(2050, 0, 1), '20500101000000Z', 0x18],
  ])('time %d is %s', (at, text, tag) => {
    expect(time(at)).toEqual(Buffer.concat([Buffer.of(tag, text.length), Buffer.from(text)]));
  });

  test('any nesting reads back as it was written', () => {
    const leaf = fc.uint8Array({ maxLength: 300 }).map((bytes) => octetString(Buffer.from(bytes)));
    const tree = fc.letrec<{ node: Buffer }>((tie) => ({
      node: fc.oneof(
        { maxDepth: 4 },
        leaf,
        fc.string({ maxLength: 40 }).map(utf8String),
        fc.uint8Array({ minLength: 1, maxLength: 9 }).map((bytes) => bitString(Buffer.from(bytes))),
        fc.integer({ min: 1, max: 127 }).map((n) => integer(Buffer.of(n))),
        fc.array(tie('node'), { maxLength: 5 }).map((parts) => sequence(...parts)),
        fc.array(tie('node'), { maxLength: 3 }).map((parts) => setOf(...parts)),
        tie('node').map((part) => explicit(3, part)),
        leaf.map((part) => implicit(2, part)),
      ),
    })).node;
    fc.assert(
      fc.property(tree, (der) => {
        const parsed = asn1.fromDer(der.toString('latin1'), true);
        expect(forgeDer(parsed)).toEqual(der);
      }),
      { numRuns: 200 },
    );
  });
});

describe('addressBytes', () => {
  test.each([
    ['192.0.2.255', 'c00002ff'],
    ['::', '00'.repeat(16)],
    ['::1', `${'00'.repeat(15)}01`],
    ['1::', `0001${'00'.repeat(14)}`],
    ['2001:db8::a:b', '20010db8000000000000000000 0a000b'.replace(' ', '')],
    ['1:2:3:4:5:6:7:8', '00010002000300040005000600070008'],
    ['::ffff:1.2.3.4', '00000000000000000000ffff01020304'],
  ])('of %s', (literal, hex) => {
    expect(addressBytes(literal).toString('hex')).toBe(hex);
  });
});
