/** Lists of rows that are replaced: what is taken over is of the same objects alone, and a row lands where sorting would put it. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { byCreation, changedRows, mapRows, RowsById, withRow } from '../../../src/domain/row-lists.ts';

interface Row {
  readonly id: string;
  readonly createdAt: number;
}

const row = fc.record({ id: fc.constantFrom('a', 'b', 'c', 'd', 'e', 'f', 'g'), createdAt: fc.integer({ min: 1, max: 3 }) });
const list = fc.uniqueArray(row, { selector: ({ id }) => id }).map((rows) => rows.toSorted(byCreation));
/** The second list: some rows of the first one as they are, some put anew, in whatever order. */
const lists = list.chain((before) =>
  fc.tuple(fc.constant(before), fc.shuffledSubarray(before), fc.array(row, { maxLength: 3 }), fc.boolean()),
);

const twoLists = lists.map(([before, kept, fresh, sorted]): [Row[], Row[]] => {
  const after = [...kept.filter(({ id }) => !fresh.some((each) => each.id === id)), ...fresh];
  const unique = [...new Map(after.map((each) => [each.id, each])).values()];
  return [before, sorted ? unique.toSorted(byCreation) : unique];
});

describe('two lists', () => {
  test('what is made of rows is in their order, and made again only for other objects', () => {
    fc.assert(
      fc.property(twoLists, ([before, after]) => {
        const old = before.map((each) => ({ of: each }));
        const made = mapRows({ rows: before, made: old }, after, (each) => ({ of: each }));
        expect(made.map(({ of }) => of)).toEqual(after);
        for (const [i, { of }] of made.entries()) expect(of).toBe(after[i]);
        const sorted = after.every((each, i) => i === 0 || byCreation(after[i - 1] as Row, each) < 0);
        if (sorted) for (const each of made) if (before.includes(each.of)) expect(old).toContain(each);
      }),
    );
  });

  test('rows that come and go lead from the one to the other', () => {
    fc.assert(
      fc.property(twoLists, ([before, after]) => {
        const { gone, come } = changedRows(before, after);
        const left = new Set(before.filter((each) => !gone.includes(each)));
        expect(new Set([...left, ...come])).toEqual(new Set(after));
      }),
    );
  });

  test('a look-up by id follows each list', () => {
    fc.assert(
      fc.property(fc.array(twoLists, { minLength: 1 }), (pairs) => {
        const byId = new RowsById<Row>();
        for (const rows of pairs.flat()) {
          const found = byId.of(rows);
          expect(new Map(found)).toEqual(new Map(rows.map((each) => [each.id, each])));
          for (const each of rows) expect(found.get(each.id)).toBe(each);
        }
      }),
    );
  });
});

test('a row that is put stands where sorting puts it, once', () => {
  fc.assert(
    fc.property(list, row, (rows, put) => {
      const expected = [...rows.filter(({ id }) => id !== put.id), put].toSorted(byCreation);
      expect(withRow(rows, put)).toEqual(expected);
      expect(withRow(rows, put)).toContain(put);
    }),
  );
});
