import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { Openings } from '../../../src/journal/openings.ts';

const SLOTS = 4096;

describe('openings', () => {
  test.each([
    ['of its own number', 7, 7],
    ['of a number that shares its slot', 7, 7 + SLOTS],
    ['beyond 32 bits', 2 ** 40 + 7, 2 ** 40 + 7 + SLOTS],
  ])('one is taken once, also beside one %s', (_name, first, second) => {
    const openings = new Openings();
    openings.add(first, 1, 5, 10, 20);
    openings.add(second, 2, 6, 11, 21);
    expect(openings.placeOf(second)).toEqual({ requestNo: second, at: 2, segment: 6, offset: 11, length: 21 });
    expect(openings.count).toBe(first === second ? 1 : 2);
    expect(openings.take(second)).toBe(6);
    expect(openings.take(second)).toBeUndefined();
    expect(openings.take(first)).toBe(first === second ? undefined : 5);
    expect(openings.count).toBe(0);
  });

  test('behave like a map, and go back to their mark', () => {
    const step = fc.tuple(
      fc.constantFrom('add', 'take', 'mark', 'rollback'),
      fc.integer({ min: 1, max: 6 }),
      fc.integer({ min: 0, max: 3 }),
    );
    fc.assert(
      fc.property(fc.array(step, { maxLength: 80 }), (steps) => {
        const openings = new Openings();
        let model = new Map<number, number>();
        let marked = new Map<number, number>();
        openings.mark();
        for (const [what, low, life] of steps) {
          const no = low + life * SLOTS;
          if (what === 'add') {
            openings.add(no, 0, life + 1, low, low);
            model.set(no, life + 1);
          } else if (what === 'take') {
            expect(openings.take(no)).toBe(model.get(no));
            model.delete(no);
          } else if (what === 'mark') {
            openings.mark();
            marked = new Map(model);
          } else {
            openings.rollback();
            openings.mark();
            model = new Map(marked);
          }
          expect(openings.count).toBe(model.size);
        }
        expect(openings.all().map((place) => place.requestNo)).toEqual([...model.keys()].sort((a, b) => a - b));
      }),
    );
  });
});
