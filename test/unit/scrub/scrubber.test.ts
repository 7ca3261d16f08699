import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { NeedleSet } from '../../../src/scrub/needle-set.ts';
import { MASK, RELEASED_BYTES, Scrubber, scrubText } from '../../../src/scrub/scrubber.ts';

const NEEDLE = 'SEKRET-marker-0123456789';
const one = new NeedleSet([Buffer.from(NEEDLE)]);
const masked = (length: number): string => MASK.padEnd(length, '*').slice(0, length);

interface Run {
  readonly out: string;
  /** What had gone out after each slice. */
  readonly after: readonly string[];
  readonly count: number;
}

/** Slices share one buffer, which is overwritten after each call, as the proxy's are. */
function run(needles: NeedleSet, slices: readonly Buffer[], shared = true): Run {
  let out = '';
  const scrubber = new Scrubber(needles, (slice) => {
    out += slice.toString('latin1');
    return true;
  });
  const buffer = Buffer.alloc(Math.max(1, ...slices.map((slice) => slice.length)));
  const after = slices.map((slice) => {
    slice.copy(buffer);
    scrubber.write(shared ? buffer.subarray(0, slice.length) : Buffer.from(slice), shared);
    buffer.fill(0x21);
    return out;
  });
  scrubber.end();
  return { out, after, count: scrubber.count };
}

/** Every occurrence, found by looking everywhere; each byte of each masked, counted from where its mask begins. */
function naive(needles: readonly Buffer[], text: Buffer): { out: string; count: number } {
  const out = Buffer.from(text);
  let count = 0;
  let done = 0;
  for (let start = 0; start < text.length; start++) {
    const needle = needles.find((each) => text.subarray(start, start + each.length).equals(each));
    if (needle === undefined) continue;
    count++;
    const from = Math.max(start, done);
    for (let i = from; i < start + needle.length; i++) out[i] = i - from < MASK.length ? MASK.charCodeAt(i - from) : 42;
    done = start + needle.length;
  }
  return { out: out.toString('latin1'), count };
}

const cut = (text: Buffer, at: readonly number[]): Buffer[] => {
  const points = [...new Set(at.map((n) => n % (text.length + 1)))].sort((a, b) => a - b);
  return [0, ...points].map((from, i) => text.subarray(from, points[i] ?? text.length));
};

describe('a needle in a stream', () => {
  const texts: readonly [string, string, string, number][] = [
    ['alone', NEEDLE, masked(24), 1],
    ['at the beginning', `${NEEDLE} then`, `${masked(24)} then`, 1],
    ['at the end', `first ${NEEDLE}`, `first ${masked(24)}`, 1],
    ['twice in a row', NEEDLE + NEEDLE, masked(24) + masked(24), 2],
    ['behind its own beginning', `SEKRET-marker-${NEEDLE}`, `SEKRET-marker-${masked(24)}`, 1],
    ['all but the last byte', NEEDLE.slice(0, -1), NEEDLE.slice(0, -1), 0],
    ['all but the first byte', NEEDLE.slice(1), NEEDLE.slice(1), 0],
    ['in another letter case', NEEDLE.toLowerCase(), NEEDLE.toLowerCase(), 0],
    [
      'far inside',
      `${'x'.repeat(70_000)}${NEEDLE}${'y'.repeat(70_000)}`,
      `${'x'.repeat(70_000)}${masked(24)}${'y'.repeat(70_000)}`,
      1,
    ],
  ];
  test.each(texts)('%s', (_name, text, expected, count) => {
    const whole = run(one, [Buffer.from(text)]);
    expect(whole.out === expected).toBe(true);
    expect(whole.count).toBe(count);
    expect(run(one, [Buffer.from(text)], false).out === expected).toBe(true);
  });

  test('in slices of one byte', () => {
    const text = Buffer.from(`a${NEEDLE}b${NEEDLE.slice(0, 9)}${NEEDLE}`);
    const slices = [...text].map((byte) => Buffer.from([byte]));
    expect(run(one, slices)).toMatchObject({ out: `a${masked(24)}b${NEEDLE.slice(0, 9)}${masked(24)}`, count: 2 });
  });

  test('cut in two at every place', () => {
    const text = Buffer.from(`before ${NEEDLE} behind`);
    for (let at = 0; at <= text.length; at++)
      expect(run(one, [text.subarray(0, at), text.subarray(at)]).out).toBe(`before ${masked(24)} behind`);
  });

  test('of a length below and above the mask keeps its length', () => {
    for (const length of [8, 19, 20, 21, 200]) {
      const needle = `${'q'.repeat(length - 1)}Z`;
      const { out } = run(new NeedleSet([Buffer.from(needle)]), [Buffer.from(`<${needle}>`)]);
      expect(out).toBe(`<${masked(length)}>`);
    }
  });

  test('overlapping another leaves no byte of either', () => {
    const set = new NeedleSet([Buffer.from('abcdefgh-ij'), Buffer.from('ij-klmnopqr')]);
    expect(run(set, [Buffer.from('.abcdefgh-ij-klmnopqr.')])).toMatchObject({ count: 2, out: `.${masked(11)}${masked(9)}.` });
  });
});

describe('a stream stays a stream', () => {
  test.each([
    ['data: {"n":1}\n\n', 'data: {"n":1}\n\n'],
    ['the key is SEK', 'the key is '],
    ['ends in S', 'ends in '],
    [`${NEEDLE}\n`, `${masked(24)}\n`],
  ])('after %j what can be no needle has gone out', (slice, gone) => {
    expect(run(one, [Buffer.from(slice)]).after).toEqual([gone]);
  });

  test('what waited goes out as soon as it is no needle, and at the end', () => {
    const { after, out } = run(one, [Buffer.from('xSEK'), Buffer.from('RET'), Buffer.from('?SEKRET-')]);
    expect(after).toEqual(['x', 'x', 'xSEKRET?']);
    expect(out).toBe('xSEKRET?SEKRET-');
  });

  test('clean slices are passed on as they are, without a copy', () => {
    const seen: Buffer[] = [];
    const scrubber = new Scrubber(one, (slice) => seen.push(slice) > 0);
    const slice = Buffer.alloc(65_536, 'clean text ');
    scrubber.write(slice, true);
    expect(seen[0]).toBe(slice);
  });

  test('a full receiver is reported, also for what had waited', () => {
    const answers = [false, true, true];
    const scrubber = new Scrubber(one, () => answers.shift() as boolean);
    expect(scrubber.write(Buffer.from('S'), false)).toBe(true);
    expect(scrubber.write(Buffer.from('xyz'), false)).toBe(false);
    expect(scrubber.write(Buffer.from('xyz'), false)).toBe(true);
  });
});

describe('for any needles, text and cuts', () => {
  // Few letters, so that needles meet, overlap and almost occur all the time.
  const letters = (min: number, max: number): fc.Arbitrary<string> =>
    fc.array(fc.constantFrom('a', 'b'), { minLength: min, maxLength: max }).map((parts) => parts.join(''));
  const minimal = (texts: readonly string[]): Buffer[] =>
    [...new Set(texts)]
      .filter((text) => !texts.some((other) => other !== text && text.includes(other)))
      .map((text) => Buffer.from(text));
  const needles = fc.array(letters(8, 60), { minLength: 1, maxLength: 6 }).map(minimal);
  const text = (set: readonly Buffer[]): fc.Arbitrary<Buffer> =>
    fc
      .array(
        fc.oneof(
          letters(0, 30),
          fc.constantFrom(...set.map(String)),
          fc.constantFrom('-', ...set.map((n) => String(n).slice(0, -1))),
        ),
        { maxLength: 20 },
      )
      .map((parts) => Buffer.from(parts.join('')));
  const sample = needles.chain((set) => fc.tuple(fc.constant(set), text(set), fc.array(fc.nat(2_000), { maxLength: 30 })));

  test('the output is that of looking everywhere, and no cut changes it', () => {
    fc.assert(
      fc.property(sample, ([list, bytes, cuts]) => {
        const set = new NeedleSet(list);
        const expected = naive(list, bytes);
        expect(run(set, [Buffer.from(bytes)])).toMatchObject(expected);
        expect(run(set, cut(bytes, cuts))).toMatchObject(expected);
      }),
      { numRuns: 800 },
    );
  });

  test('and the same in slices of one byte', () => {
    fc.assert(
      fc.property(sample, ([list, bytes]) => {
        const slices = [...bytes].map((byte) => Buffer.from([byte]));
        expect(run(new NeedleSet(list), slices)).toMatchObject(naive(list, bytes));
      }),
      { numRuns: 300 },
    );
  });

  test('what is released in a silence shows the first bytes of a needle at most', () => {
    fc.assert(
      fc.property(sample, fc.array(fc.boolean(), { maxLength: 30 }), ([list, bytes, cuts], silences) => {
        let out = '';
        const scrubber = new Scrubber(new NeedleSet(list), (slice) => {
          out += slice.toString('latin1');
          return true;
        });
        cut(bytes, cuts).forEach((slice, i) => {
          scrubber.write(Buffer.from(slice), false);
          if (silences[i] === true) scrubber.release();
        });
        scrubber.end();
        const expected = naive(list, bytes);
        expect(scrubber.count).toBe(expected.count);
        expect(out.length).toBe(bytes.length);
        for (let i = 0, shown = 0; i < out.length; i++) {
          shown = out[i] === expected.out[i] ? 0 : shown + 1;
          expect(shown).toBeLessThanOrEqual(RELEASED_BYTES);
          if (shown > 0) expect(out[i]).toBe(String.fromCharCode(bytes[i] as number));
        }
      }),
      { numRuns: 500 },
    );
  });

  test('nothing waits but the beginning of a needle', () => {
    fc.assert(
      fc.property(sample, ([list, bytes, cuts]) => {
        const { after } = run(new NeedleSet(list), cut(bytes, cuts));
        let end = 0;
        cut(bytes, cuts).forEach((slice, i) => {
          end += slice.length;
          const waiting = bytes.subarray((after[i] as string).length, end);
          if (waiting.length > 0)
            expect(
              list.some((needle) => needle.subarray(0, waiting.length).equals(waiting) && needle.length > waiting.length),
            ).toBe(true);
        });
      }),
      { numRuns: 500 },
    );
  });

  test('in a text each one is replaced by the whole mask', () => {
    fc.assert(
      fc.property(sample, ([list, bytes]) => {
        const result = scrubText(new NeedleSet(list), bytes.toString('latin1'));
        const expected = naive(list, bytes);
        expect(result?.count ?? 0).toBe(expected.count);
        for (const needle of list) expect((result?.text ?? bytes.toString()).includes(needle.toString())).toBe(false);
      }),
      { numRuns: 500 },
    );
  });
});

describe('text', () => {
  test.each([
    ['nothing in it', null],
    ['', null],
    [NEEDLE.slice(1), null],
    [NEEDLE, MASK],
    [`Bearer ${NEEDLE}, ${NEEDLE}!`, `Bearer ${MASK}, ${MASK}!`],
  ])('%j becomes %j', (text, expected) => {
    expect(scrubText(one, text)?.text ?? null).toBe(expected);
  });
});
