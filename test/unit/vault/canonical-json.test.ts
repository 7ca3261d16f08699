/** The text under MACs: byte for byte what JSON.stringify says with sorted members, for databases of before. */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { canonicalJson } from '../../../src/vault/canonical-json.ts';

/** As it was written first. */
const before = (value: unknown): string =>
  JSON.stringify(value, (_key, part: unknown) =>
    part !== null && typeof part === 'object' && !Array.isArray(part)
      ? Object.fromEntries(Object.entries(part).sort(([a], [b]) => (a < b ? -1 : 1)))
      : part,
  );

const names = fc.oneof(fc.string(), fc.constantFrom('0', '1', '9', '10', '01', '-1', '4294967294', '4294967295', 'toString'));
const value = fc.letrec((tie) => ({
  any: fc.oneof(
    { depthSize: 'small' },
    fc.string({ unit: 'binary' }),
    fc.double(),
    fc.integer(),
    fc.boolean(),
    fc.constantFrom(null, undefined, -0, new Date(0), Buffer.from('b')),
    fc.array(tie('any')),
    fc.dictionary(names, tie('any')),
  ),
})).any;

test('it is the text of before', () => {
  fc.assert(
    fc.property(fc.dictionary(names, value), (each) => {
      expect(canonicalJson(each)).toBe(before(each));
    }),
  );
});

test('the order in which members were set says nothing', () => {
  expect(canonicalJson({ b: 1, a: { d: [], c: null } })).toBe(canonicalJson({ a: { c: null, d: [] }, b: 1 }));
});
