import { describe, expect, test } from 'vitest';
import type { AuditEntry } from '../../../src/domain/audit.ts';
import { closedEnd, entryOf, openingText } from '../../../src/journal/entry-text.ts';
import { CSV_HEADER, csvLineOf, jsonLineOf } from '../../../src/journal/export.ts';
import { closing, opening } from '../../integration/journal/samples.ts';

const entry = (changes: Parameters<typeof opening>[0] = {}): AuditEntry =>
  entryOf({
    n: 3,
    body: openingText('req_000000000001', opening({ at: 0, ...changes })) + closedEnd(null, closing(), 1000),
    hash: 'ab',
  });

const column = (name: string): number => CSV_HEADER.trim().split(',').indexOf(name);

describe('CSV', () => {
  test.each(['=1+1', '+1', '-1', '@SUM(A1)', '\t=1', ' =cmd', '\r=1', '\uff1d1', '|x', '%y'])(
    '%j can not run as a formula',
    (value) => {
      const line = csvLineOf(entry({ agent: value }));
      expect(line).toMatch(/,"?'/);
      expect(line).not.toContain(`,${value},`);
    },
  );

  test('quotes what would break a cell', () => {
    expect(csvLineOf(entry({ path: '/a,"b"\r\nc' }))).toContain(',"/a,""b""\r\nc",');
  });

  test('has a cell for each column, times in UTC and nothing for null', () => {
    const cells = csvLineOf(entry()).trim().split(',');
    expect(cells).toHaveLength(CSV_HEADER.trim().split(',').length);
    expect(cells[column('at')]).toBe('1970-01-01T00:00:00.000Z');
    expect(cells[column('tool')]).toBe('');
    expect(cells[column('replaced')]).toBe('false');
    expect(CSV_HEADER.trim().split(',').sort()).toEqual(Object.keys(entry()).sort());
  });
});

describe('JSON lines', () => {
  test('stay one line in every reader', () => {
    const line = jsonLineOf(entry({ path: '/\n{"type":1}\u2028\u2029\u0085' }));
    expect(line.slice(0, -1)).not.toMatch(/[\n\r\u2028\u2029\u0085]/);
    expect(JSON.parse(line)).toEqual(entry({ path: '/\n{"type":1}\u2028\u2029\u0085' }));
  });
});
