/**
 * The values that a request has under one name, as an origin may read them: query parameters and headers. Names are folded,
 * since origins differ in what they tell apart. Must only ever add readings.
 */
import { decodeFully } from './percent.ts';
import { TextValue } from './value-test.ts';

/** Percent escapes and `+` as text; what is not UTF-8 stays as latin1 characters. */
function decodeValue(raw: string): string {
  const spaced = raw.replaceAll('+', ' ');
  if (!spaced.includes('%')) return spaced;
  try {
    return decodeURIComponent(spaced);
  } catch {
    return decodeFully(spaced);
  }
}

const foldName = (name: string): string => decodeFully(name.replaceAll('+', ' ')).trim().toLowerCase();

function collect(query: string, separator: RegExp, name: string, folded: boolean, into: Map<string, TextValue>): void {
  const read = folded ? foldName : decodeValue;
  for (const pair of query.split(separator)) {
    const equals = pair.indexOf('=');
    if (read(equals === -1 ? pair : pair.slice(0, equals)) !== name) continue;
    const raw = equals === -1 ? '' : pair.slice(equals + 1);
    const once = decodeValue(raw);
    into.set(once, new TextValue(once));
    if (!once.includes('%')) continue;
    // An origin behind another proxy may decode again.
    const fully = decodeFully(once);
    into.set(fully, new TextValue(fully));
  }
}

/** Values of the parameter, under its very name or under every name that an origin may take for it. */
export function queryValues(query: string | null, name: string, folded: boolean): readonly TextValue[] {
  if (query === null) return [];
  const found = new Map<string, TextValue>();
  const wanted = folded ? name.toLowerCase() : name;
  collect(query, /&/, wanted, folded, found);
  // `;` separates for some origins and belongs to the value for others: both have to fit.
  if (folded && query.includes(';')) collect(query, /[&;]/, wanted, folded, found);
  return [...found.values()];
}

/** CGI folds `_` and `.` into `-`, so an origin may take any of them. */
const foldHeader = (name: string): string => name.toLowerCase().replace(/[_.]/g, '-');

/** Values of the header, in whatever letter case; folded: also under names with `_` or `.` in place of `-`. */
export function headerValues(headers: readonly string[], name: string, folded: boolean): readonly TextValue[] {
  const found: TextValue[] = [];
  const wanted = folded ? foldHeader(name) : name.toLowerCase();
  for (let i = 0; i < headers.length; i += 2) {
    const each = headers[i] as string;
    if (each.length !== wanted.length || (folded ? foldHeader(each) : each.toLowerCase()) !== wanted) continue;
    found.push(new TextValue((headers[i + 1] as string).trim()));
  }
  return found;
}
