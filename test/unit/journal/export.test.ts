import { spawnSync } from 'node:child_process';
import { describe, expect, test } from 'vitest';
import type { AuditEntry } from '../../../src/domain/audit.ts';
import { GENESIS, nextHash } from '../../../src/journal/chain.ts';
import { closedEnd, entryOf, openingText } from '../../../src/journal/entry-text.ts';
import { CSV_HEADER, csvLineOf } from '../../../src/journal/export.ts';
import { parseRowLine, rowLineOf } from '../../../src/journal/row-line.ts';
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
  const body =
    openingText('req_000000000001', opening({ path: '/\n{"type":1}\u2028\u2029\u0085","hash":"' })) +
    closedEnd(null, closing(), 9);
  const row = { n: 7, prev: GENESIS, body, hash: nextHash(GENESIS, body) };

  test('stay one line in every reader, and say what the row says', () => {
    const line = rowLineOf(row);
    expect(line).toMatch(/^[\x20-\x7e]+$/);
    expect(JSON.parse(line)).toEqual({ n: 7, prev: row.prev, ...JSON.parse(body), hash: row.hash });
  });

  test('give back the text that was hashed, whatever an agent put into it', () => {
    expect(parseRowLine(rowLineOf(row))).toEqual(row);
  });

  test('the hash can be computed with sed and sha256sum', () => {
    const script = `prev=$(sed -E 's/^\\{"n":[0-9]+,"prev":"([0-9a-f]+)".*/\\1/' line); text=$(sed -E 's/^\\{"n":[0-9]+,"prev":"[0-9a-f]+",/{/; s/,"hash":"[0-9a-f]{64}"\\}$/}/' line); printf '%s\\n%s' "$prev" "$text" | sha256sum`;
    const found = spawnSync('bash', ['-c', script.replaceAll(' line)', ' /dev/stdin <<<"$LINE")')], {
      env: { ...process.env, LINE: rowLineOf(row) },
      encoding: 'utf8',
    });
    expect(found.stdout.slice(0, 64)).toBe(row.hash);
  });

  test.each([
    '',
    '{}',
    '{"n":1}',
    rowLineOf(row).slice(1),
    `${rowLineOf(row)} `,
    rowLineOf(row).replace('"prev":"0', '"prev":"g'),
  ])('%j is no row', (line) => expect(parseRowLine(line)).toBeUndefined());
});
