import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { BROKEN, emptyRecord, INCOMPLETE, linePrefix, parseRecord } from '../../../src/journal/record.ts';

const line = (text: string, no = 7): string => `${linePrefix('R', text.length, no, 1000, 2000)}${text}\n`;
const parse = (text: string, view = emptyRecord()): number => {
  const bytes = Buffer.from(text, 'latin1');
  return parseRecord(bytes, 0, bytes.length, view);
};

describe('records', () => {
  test.each([
    ['nothing', '', INCOMPLETE],
    ['zeros', '\0\0\0\0', BROKEN],
    ['another kind', 'X1 1 1 1 a\n', BROKEN],
    ['a length that is no number', 'Rx 1 1 1 a\n', BROKEN],
    ['an empty number', 'R1  1 1 a\n', BROKEN],
    ['a number without an end', `R${'1'.repeat(40)}`, BROKEN],
    ['a cut number', 'R1 12', INCOMPLETE],
    ['a cut text', 'R5 1 1 1 ab', INCOMPLETE],
    ['a text without a line feed', 'R1 1 1 1 ab', BROKEN],
    ['a text whose end is missing', 'R1 1 1 1 a', INCOMPLETE],
    ['a text that is longer than it says', 'R2 1 1 1 abc\n', BROKEN],
  ])('%s', (_name, text, expected) => {
    expect(parse(text)).toBe(expected);
  });

  test('come back one after the other', () => {
    const bytes = Buffer.from(line('{"a":1}', 1) + line('', 2) + line('{"b":2}', 3), 'latin1');
    const view = emptyRecord();
    const seen: [number, string][] = [];
    for (let at = 0; at < bytes.length; ) {
      at = parseRecord(bytes, at, bytes.length, view);
      seen.push([view.requestNo, bytes.toString('latin1', view.textStart, view.textEnd)]);
    }
    expect(seen).toEqual([
      [1, '{"a":1}'],
      [2, ''],
      [3, '{"b":2}'],
    ]);
    expect(view).toMatchObject({ at: 1000, closedAt: 2000 });
  });

  test('cut anywhere are incomplete', () => {
    const full = line('{"request_id":"req_0"}');
    fc.assert(
      fc.property(fc.integer({ min: 1, max: full.length - 1 }), (cut) => {
        expect(parse(full.slice(0, cut))).toBe(INCOMPLETE);
      }),
    );
  });
});
