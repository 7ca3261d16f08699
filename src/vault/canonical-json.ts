/**
 * JSON with sorted keys, so that equal values give equal text however they were built. Pure.
 * SECURITY: MACs are over this text: it must tell any two different values apart, and never change for one that it could write before.
 */

/** What JSON.stringify would leave to the order of numbers: `{"10":1,"9":2}`. */
const NUMBERED = /^\d+$/;

/** Names of members as they are written. */
const written = new Map<string, string>();
const WRITTEN_NAMES = 1_000;

/** The text of a plain value: what JSON.stringify says of it, with the members of each object in the order of their names. */
export function canonicalJson(value: unknown): string {
  // Not of JSON, and so never a value of its own: members are left out, elements become null.
  return textOf(value) ?? 'null';
}

function textOf(value: unknown): string | undefined {
  if (value === null || typeof value !== 'object') return JSON.stringify(value);
  if (typeof (value as { toJSON?: unknown }).toJSON === 'function')
    return textOf((value as { toJSON: (key: string) => unknown }).toJSON(''));
  if (Array.isArray(value)) {
    let text = '[';
    for (let i = 0; i < value.length; i++) text += `${i > 0 ? ',' : ''}${textOf(value[i]) ?? 'null'}`;
    return `${text}]`;
  }
  const names = Object.keys(value).sort();
  if (names.some((name) => NUMBERED.test(name))) names.sort(numbersFirst);
  let text = '{';
  for (const name of names) {
    const part = textOf((value as Record<string, unknown>)[name]);
    if (part !== undefined) text += `${text.length > 1 ? ',' : ''}${nameOf(name)}${part}`;
  }
  return `${text}}`;
}

/** The order that objects themselves have: array indices by their number, then the others. */
const isIndex = (name: string): boolean => NUMBERED.test(name) && String(Number(name)) === name && Number(name) < 2 ** 32 - 1;
const numbersFirst = (a: string, b: string): number => {
  const [first, second] = [isIndex(a), isIndex(b)];
  if (first && second) return Number(a) - Number(b);
  return first === second ? (a < b ? -1 : 1) : first ? -1 : 1;
};

function nameOf(name: string): string {
  let text = written.get(name);
  if (text === undefined) {
    text = `${JSON.stringify(name)}:`;
    if (written.size >= WRITTEN_NAMES) written.clear();
    written.set(name, text);
  }
  return text;
}
