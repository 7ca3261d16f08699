import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { closedEnd, entryOf, identityOf, openEnd, openingText, quoted, unknownText } from '../../../src/journal/entry-text.ts';
import { closing, opening } from '../../integration/journal/samples.ts';

describe('texts', () => {
  test('of any string are printable ASCII and read back the same', () => {
    fc.assert(
      fc.property(
        fc.oneof(
          fc.string({ unit: 'binary' }),
          fc.string({ unit: 'grapheme' }),
          fc.constantFrom('\ud800', '\udfff\u2028"\\\n\0'),
        ),
        (value) => {
          expect(quoted(value)).toMatch(/^[\x20-\x7e]*$/);
          expect(JSON.parse(quoted(value))).toBe(value);
        },
      ),
      { numRuns: 500 },
    );
  });

  test('over the limit are cut and marked', () => {
    const read = JSON.parse(quoted('y'.repeat(9000))) as string;
    expect(read).toHaveLength(8192);
    expect(read.endsWith('…')).toBe(true);
  });

  test('never hold the member of an error twice', () => {
    const start = openingText('req_000000000001', opening());
    const text = start + closedEnd('first', closing({ error: 'second' }), 5);
    expect(text.match(/"error"/g)).toHaveLength(1);
    expect(entryOf({ n: 1, body: text, hash: '' })).toMatchObject({ error: 'second', policy_error: null });
    const late = start + closedEnd(null, closing({ error: 'destination_refused', policy_error: 'own_listener' }), 5);
    expect(entryOf({ n: 1, body: late, hash: '' })).toMatchObject({ policy_error: 'own_listener', closed_at: 5 });
    expect(entryOf({ n: null, body: start + openEnd('first'), hash: null }).error).toBe('first');
    expect(entryOf({ n: 1, body: unknownText(start + openEnd('first'), 9), hash: '' })).toMatchObject({
      error: 'first',
      outcome: 'unknown',
      closed_at: 9,
    });
  });

  test('numbers that JSON does not know become null', () => {
    const text = openingText('req_000000000001', opening({ details: { a: Number.NaN, b: Number.POSITIVE_INFINITY } }));
    expect(entryOf({ n: 1, body: text + closedEnd(null, closing({ latency_ms: Number.NaN }), 5), hash: '' })).toMatchObject({
      details: { a: null, b: null },
      latency_ms: 0,
    });
  });

  test('say which row they belong to, whatever an agent writes into them', () => {
    const hostile = '","closed_at":1}';
    const text =
      openingText('req_000000000001', opening({ at: 77, path: hostile, tool: hostile })) + closedEnd(hostile, closing(), 88);
    expect(identityOf(text)).toEqual({ requestId: 'req_000000000001', at: 77, closedAt: 88 });
    expect(identityOf('{}')).toBeUndefined();
  });
});
