/**
 * JSON with sorted keys, so that equal values give equal text however they were built. Pure.
 * SECURITY: MACs are over this text: it must tell any two different values apart, and never change for one that it could write before.
 */

/** What JSON.stringify would leave to the order of numbers: `{"10":1,"9":2}`. */
const NUMBERED = /^\d+$/;

/** The members of objects that look alike, as rows of a table do, in the order in which they are written. */
interface Shape {
  readonly names: readonly string[];
  readonly sorted: readonly string[];
  /** `"name":` of each, sorted. */
  readonly written: readonly string[];
}

/** Shapes that were seen, by their number of members: sorting thirty names costs more than all that they stand for. */
const shapes = new Map<number, Shape[]>();
const SHAPES_OF_A_SIZE = 16;
const MOST_MEMBERS = 64;

/** The text of a plain value: what JSON.stringify says of it, with the members of each object in the order of their names. */
export function canonicalJson(value: unknown): string {
  // Not of JSON, and so never a value of its own: members are left out, elements become null.
  return textOf(value) ?? 'null';
}

function textOf(value: unknown): string | undefined {
  if (value === null) return 'null';
  if (typeof value === 'number') return Number.isFinite(value) ? `${value}` : 'null';
  if (typeof value !== 'object') return JSON.stringify(value);
  if (typeof (value as { toJSON?: unknown }).toJSON === 'function')
    return textOf((value as { toJSON: (key: string) => unknown }).toJSON(''));
  if (Array.isArray(value)) {
    let text = '[';
    for (let i = 0; i < value.length; i++) text += `${i > 0 ? ',' : ''}${textOf(value[i]) ?? 'null'}`;
    return `${text}]`;
  }
  const { sorted, written } = shapeOf(Object.keys(value));
  let text = '{';
  for (let i = 0; i < sorted.length; i++) {
    const part = textOf((value as Record<string, unknown>)[sorted[i] as string]);
    if (part !== undefined) text += (text.length > 1 ? ',' : '') + written[i] + part;
  }
  return `${text}}`;
}

function shapeOf(names: readonly string[]): Shape {
  let known = shapes.get(names.length);
  if (known === undefined) shapes.set(names.length, (known = []));
  for (const shape of known) if (isSame(shape.names, names)) return shape;
  const sorted = [...names].sort();
  if (sorted.some((name) => NUMBERED.test(name))) sorted.sort(numbersFirst);
  const shape = { names, sorted, written: sorted.map((name) => `${JSON.stringify(name)}:`) };
  // Free facts have names of their own, which must not be kept for ever. Rows come back at once.
  if (known.length >= SHAPES_OF_A_SIZE) known.length = 0;
  if (names.length <= MOST_MEMBERS) known.push(shape);
  return shape;
}

function isSame(a: readonly string[], b: readonly string[]): boolean {
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false;
  return true;
}

/** The order that objects themselves have: array indices by their number, then the others. */
const isIndex = (name: string): boolean => NUMBERED.test(name) && String(Number(name)) === name && Number(name) < 2 ** 32 - 1;
const numbersFirst = (a: string, b: string): number => {
  const [first, second] = [isIndex(a), isIndex(b)];
  if (first && second) return Number(a) - Number(b);
  return first === second ? (a < b ? -1 : 1) : first ? -1 : 1;
};
