/**
 * Finds known placeholders in a text, as whole words. Pure. A set of them may be large and is asked for each body: one look for their
 * beginnings, which are few, spares looking every word up.
 */
import type { Range } from './redaction-ranges.ts';

const PREFIX_CHARS = 4;
/** With more beginnings than this every word is looked up. */
const MAX_PREFIXES = 64;
const NARROW = /[\w.-]{8,}/y;
/** Placeholders of some shapes have more in them than a word. */
const WIDE = /[^\s"'`,;&<>\\{}()[\]=]{8,}/y;
const ANY_WORD = /(?<![\w.-])[\w.-]/g;

const beginnings = new WeakMap<ReadonlySet<string>, RegExp>();

/** The set must not change while it is asked. */
export function placeholderRanges(text: string, placeholders: ReadonlySet<string>, out: Range[]): void {
  if (placeholders.size === 0) return;
  let beginning = beginnings.get(placeholders);
  if (beginning === undefined) beginnings.set(placeholders, (beginning = beginningOf(placeholders)));
  for (const { index: start } of text.matchAll(beginning)) {
    const word = wordAt(text, start, WIDE, placeholders) ?? wordAt(text, start, NARROW, placeholders);
    if (word !== null) out.push({ start, end: start + word.length, quoted: false });
  }
}

function wordAt(text: string, start: number, shape: RegExp, placeholders: ReadonlySet<string>): string | null {
  shape.lastIndex = start;
  const word = shape.exec(text)?.[0];
  return word !== undefined && placeholders.has(word) ? word : null;
}

function beginningOf(placeholders: ReadonlySet<string>): RegExp {
  const prefixes = new Set<string>();
  for (const each of placeholders) {
    prefixes.add(each.slice(0, PREFIX_CHARS));
    if (prefixes.size > MAX_PREFIXES) return ANY_WORD;
  }
  return new RegExp(`(?<![\\w.-])(?:${[...prefixes].map(literal).join('|')})`, 'g');
}

const literal = (text: string): string =>
  text.replace(/[^A-Za-z0-9]/g, (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`);
