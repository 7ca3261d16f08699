/** What a vault takes of a host's journal: rows that follow from each other, once; and what it refuses. */
import { expect, test } from 'vitest';
import { checkShipment } from '../../../src/fleet/host-audit.ts';
import { GENESIS, nextHash } from '../../../src/journal/chain.ts';
import { parseRowLine, rowLineOf } from '../../../src/journal/row-line.ts';

function chain(count: number, mark = ''): string[] {
  const lines: string[] = [];
  let prev = GENESIS;
  for (let n = 1; n <= count; n++) {
    const body = `{"request_id":"req_${mark}${n}","at":${n}}`;
    const hash = nextHash(prev, body);
    lines.push(rowLineOf({ n, body, hash, prev }));
    prev = hash;
  }
  return lines;
}

const LINES = chain(6);
const take = (upTo: number, lines: readonly string[], gap = false): number[] => {
  const kept = new Map(LINES.slice(0, upTo).map((line, i) => [i + 1, line]));
  return checkShipment(parseRowLine(kept.get(upTo) ?? ''), kept, { lines, gap }).map(({ n }) => n);
};

test.each([
  ['the first rows', 0, LINES.slice(0, 3), false, [1, 2, 3]],
  ['what follows', 3, LINES.slice(3), false, [4, 5, 6]],
  ['rows that came before, and more', 4, LINES.slice(1), false, [5, 6]],
  ['all of it again', 6, LINES, false, []],
  ['nothing', 6, [], false, []],
  ['what retention has left', 2, LINES.slice(4), true, [5, 6]],
])('takes %s', (_what, upTo, lines, gap, taken) => {
  expect(take(upTo, lines, gap)).toEqual(taken);
});

test.each([
  ['a changed text', 0, [LINES[0]?.replace('"at":1', '"at":2')], false, /row 1 .*: its hash does not fit/],
  ['a gap that the host does not own up to', 2, LINES.slice(4), false, /row 5 .*: rows before it are missing \(2 is the last\)/],
  ['a second gap in one shipment', 0, [LINES[0], LINES[3]], true, /row 4 .*: rows before it are missing/],
  ['another history behind the rows that are kept', 3, chain(4, 'x').slice(3), false, /row 4 .*: it does not follow/],
  ['another row in a place that is taken', 3, chain(3, 'x').slice(2), false, /row 3 .*: another row is kept/],
  [
    'another history in places that are taken, before it comes to new ones',
    5,
    chain(4, 'x'),
    false,
    /row 1 .*: another row is kept/,
  ],
  ['what is no row', 0, ['{"n":1}'], false, /no row of a journal/],
])('refuses %s', (_what, upTo, lines, gap, why) => {
  expect(() => take(upTo, lines as string[], gap)).toThrow(why);
});
