import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { newInstallationMark, requestIdMaker, requestNoOf } from '../../../src/journal/request-id.ts';

describe('request ids', () => {
  test.each([
    '',
    'req_',
    'req_ab12',
    'req_ab12000000',
    'req_ab120000000u',
    'req_xx120000000a',
    'ab120000000a',
    'req_ab1200000001 or 1=1',
  ])('%j is none of this installation', (id) => {
    expect(requestNoOf('ab12', id)).toBeUndefined();
  });

  test('read back to the number they were made from, in any case and with look-alikes', () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 2 ** 45 }), (no) => {
        const mark = newInstallationMark();
        const id = requestIdMaker(mark)(no);
        expect(requestNoOf(mark, id)).toBe(no);
        expect(requestNoOf(mark, id.toUpperCase())).toBe(no);
        expect(requestNoOf(mark, `req_${id.slice(4).replaceAll('0', 'O').replaceAll('1', 'l')}`)).toBe(no);
      }),
    );
  });

  test('sort by age', () => {
    const idOf = requestIdMaker('0000');
    const ids = [1, 2, 31, 32, 1023, 1024, 1025, 70_000, 2 ** 30].map(idOf);
    expect([...ids].sort()).toEqual(ids);
    expect(ids[0]).toBe('req_000000000001');
  });
});
