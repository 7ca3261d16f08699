/** Bars and sparklines in text. Pure. Where the terminal is none, or has no Unicode, they are made of plain characters. */

const EIGHTHS = ['', '\u258f', '\u258e', '\u258d', '\u258c', '\u258b', '\u258a', '\u2589'];
const FULL = '\u2588';
const SPARKS = ['\u2581', '\u2582', '\u2583', '\u2584', '\u2585', '\u2586', '\u2587', '\u2588'];
const PLAIN_SPARKS = ['_', '.', '-', '=', '+', '*', '%', '#'];

/** A bar whose length is that share of `width`; something that is not nothing is never empty. */
export function bar(value: number, max: number, width: number, fancy: boolean): string {
  if (value <= 0 || max <= 0) return '';
  const eighths = Math.max(1, Math.round((Math.min(value, max) / max) * width * 8));
  if (!fancy) return '#'.repeat(Math.max(1, Math.round(eighths / 8)));
  return FULL.repeat(Math.floor(eighths / 8)) + (EIGHTHS[eighths % 8] ?? '');
}

/** One character for each value; nothing is a blank. */
export function sparkline(values: readonly number[], fancy: boolean): string {
  const max = Math.max(0, ...values);
  const marks = fancy ? SPARKS : PLAIN_SPARKS;
  return values
    .map((value) => (value <= 0 ? ' ' : (marks[Math.min(marks.length - 1, Math.floor((value / max) * marks.length))] ?? ' ')))
    .join('');
}
