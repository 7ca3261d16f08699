/**
 * Tests of values that a client sent, perhaps several times: headers, query parameters, places in JSON. Broad: one of the
 * values meets the test, without regard to letter case. Strict: there is one, and each meets it exactly. A name counts as
 * written and as an origin may fold it, whichever restricts more. Every comparison takes time linear in the value.
 */
import type { Scalar, ValueTest } from '../domain/policy.ts';
import type { Reading } from './truth.ts';

/** Values under the name as it is written, or under every name that an origin may take for it. */
export type ReadValues = (folded: boolean) => readonly unknown[];
export type ValuesTest = (read: ReadValues) => boolean;

/** The test as a function of all values that the name has in one request. */
export function compileValueTest(test: ValueTest, reading: Reading): ValuesTest {
  if (test.exists !== null) {
    const wanted = test.exists;
    // SECURITY: a name that only some origins take for this one is there for what denies it, and missing for what requires it.
    const folded = (reading === 'broad') === wanted;
    return (read) => read(folded).length > 0 === wanted;
  }
  const meets = test.glob === null ? equalsOneOf(test.oneOf ?? [], reading) : matchesGlob(test.glob, reading);
  return reading === 'broad' ? (read) => read(true).some(meets) : (read) => read(false).length > 0 && read(true).every(meets);
}

function equalsOneOf(wanted: readonly Scalar[], reading: Reading): (value: unknown) => boolean {
  if (reading === 'strict') {
    const exact = new Set<unknown>(wanted);
    // A header or parameter is text: it equals the number that it spells.
    const texts = new Set(wanted.map(String));
    return (value) => exact.has(value) || (value instanceof TextValue && texts.has(value.text));
  }
  const folded = new Set(wanted.map((each) => String(each).toLowerCase()));
  return (value) => isScalar(value) && folded.has(textOf(value).toLowerCase());
}

function matchesGlob(glob: string, reading: Reading): (value: unknown) => boolean {
  const pattern = reading === 'broad' ? glob.toLowerCase() : glob;
  return (value) => {
    if (!isScalar(value) || (reading === 'strict' && typeof value !== 'string' && !(value instanceof TextValue))) return false;
    const text = textOf(value);
    return matchesText(pattern, reading === 'broad' ? text.toLowerCase() : text);
  };
}

/** Text of a header or parameter, which has no type of its own, unlike a string in JSON. */
export class TextValue {
  readonly text: string;
  constructor(text: string) {
    this.text = text;
  }
}

const isScalar = (value: unknown): value is Scalar | TextValue | null =>
  value === null || typeof value !== 'object' || value instanceof TextValue;
const textOf = (value: Scalar | TextValue | null): string => (value instanceof TextValue ? value.text : String(value));

/** `*` is any text, the empty one included; everything else stands for itself. Greedy, so that no value makes it slow. */
export function matchesText(glob: string, text: string): boolean {
  let t = 0;
  let g = 0;
  let starAt = -1;
  let starFrom = 0;
  while (t < text.length) {
    if (glob[g] === '*') {
      starAt = g++;
      starFrom = t;
    } else if (g < glob.length && glob[g] === text[t]) {
      g++;
      t++;
    } else if (starAt !== -1) {
      g = starAt + 1;
      t = ++starFrom;
    } else return false;
  }
  while (glob[g] === '*') g++;
  return g === glob.length;
}
