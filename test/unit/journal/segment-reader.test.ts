import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, describe, expect, test } from 'vitest';
import { crc32, crc32InScript } from '../../../src/journal/checksum.ts';
import { frameHead, HEADER_BYTES, newSegmentHeader, tagOf } from '../../../src/journal/frame.ts';
import { linePrefix } from '../../../src/journal/record.ts';
import { SegmentReader } from '../../../src/journal/segment-reader.ts';
import { segmentPath } from '../../../src/journal/segments.ts';

const dir = mkdtempSync(join(tmpdir(), 'alterd-reader-'));
afterAll(() => rmSync(dir, { recursive: true, force: true }));

const record = (no: number, text = `{"no":${no}}`): string => `${linePrefix('R', text.length, no, 1, 2)}${text}\n`;
const frame = (tag: string, ...nos: number[]): string => {
  const records = nos.map((no) => record(no)).join('');
  return `${frameHead(tag, Buffer.from(records))}${records}`;
};

/** Reads a segment that holds these bytes to its end, as a replay does. */
function replay(bytes: string | Buffer, segment = 3): { nos: number[]; isTorn: boolean } {
  const content = Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes, 'latin1');
  writeFileSync(segmentPath(dir, segment), content);
  const reader = new SegmentReader(dir);
  const nos: number[] = [];
  for (let position = 0; ; ) {
    const next = reader.read(segment, position, content.length, true, () => nos.push(reader.record.requestNo));
    if (next === position) break;
    position = next;
  }
  reader.close();
  return { nos, isTorn: reader.isTorn };
}

const header = newSegmentHeader(3);
const tag = tagOf(Buffer.from(header), 3) ?? '';
const former = 'F'.repeat(22);

describe('a replay of a segment', () => {
  test.each([
    ['that is empty', '', [], false],
    ['of zeros', '\0'.repeat(500), [], false],
    ['with the header of another number', newSegmentHeader(4) + frame(tag, 1), [], false],
    ['without a header', frame(tag, 1), [], false],
    ['with a header only', header, [], false],
    ['with zeros behind it', `${header}${frame(tag, 1, 2)}${'\0'.repeat(100)}`, [1, 2], false],
    ['with frames', header + frame(tag, 1) + frame(tag, 2, 3), [1, 2, 3], false],
    ['with a former life right behind this one', header + frame(tag, 1) + frame(former, 8, 9), [1], false],
    ['with a record of a former life right behind this one', header + frame(tag, 1) + record(9), [1], false],
    ['with a frame that says it is longer than the file', `${header}${frame(tag, 1)}#${tag} 7fffffff 00000000\n`, [1], false],
    ['with a torn frame', header + frame(tag, 1) + frame(tag, 2, 3).replace('"no":2', '"no":9'), [1], true],
    ['with a cut frame', header + frame(tag, 1) + frame(tag, 2, 3).slice(0, -4), [1], true],
  ])('%s', (_name, bytes, nos, isTorn) => {
    expect(replay(bytes)).toEqual({ nos, isTorn });
  });

  test('takes in frames larger than its buffer', () => {
    const long = record(5, 'x'.repeat(400_000));
    const bytes = `${header}${frame(tag, 1)}${frameHead(tag, Buffer.from(long))}${long}${frame(tag, 2)}`;
    expect(replay(bytes)).toEqual({ nos: [1, 5, 2], isTorn: false });
  });

  test('never tells a record of a frame that isn’t whole, nor one of a former life, wherever this life ends', () => {
    const whole = header + frame(tag, 1, 2) + frame(tag, 3) + frame(tag, 4, 5, 6);
    const ends = [header.length + frame(tag, 1, 2).length, header.length + frame(tag, 1, 2).length + frame(tag, 3).length];
    const stale = header.replace(tag, former) + frame(former, 11, 12, 13) + frame(former, 14) + frame(former, 15, 16, 17);
    fc.assert(
      fc.property(fc.integer({ min: HEADER_BYTES, max: whole.length }), (cut) => {
        const { nos } = replay(whole.slice(0, cut) + stale.slice(cut));
        const told =
          cut === whole.length ? [1, 2, 3, 4, 5, 6] : cut >= (ends[1] ?? 0) ? [1, 2, 3] : cut >= (ends[0] ?? 0) ? [1, 2] : [];
        expect(nos).toEqual(told);
      }),
      { numRuns: 300 },
    );
  });
});

test('both ways to the checksum agree', () => {
  expect(crc32InScript(Buffer.from('123456789'))).toBe(0xcbf43926);
  fc.assert(
    fc.property(fc.uint8Array(), fc.nat(), (bytes, before) => {
      expect(crc32(bytes, before)).toBe(crc32InScript(bytes, before));
    }),
  );
});
