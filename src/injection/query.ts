/**
 * One parameter in a query, set so that no origin can see a second one of its name (S-54). All other bytes stay as they are.
 */

/** A parameter name as origins may read it: decoded, without letter case; PHP makes `_` of dots and spaces and stops at NUL. */
export function foldParameter(raw: string): string {
  const decoded = raw.includes('%') || raw.includes('+') ? decode(raw) : raw;
  const end = decoded.indexOf('\0');
  return (end === -1 ? decoded : decoded.slice(0, end)).trim().toLowerCase().replace(/[. ]/g, '_');
}

/** Percent escapes and `+`, as latin1 characters; broken escapes stay. */
function decode(raw: string): string {
  return raw
    .replaceAll('+', ' ')
    .replace(/%([0-9A-Fa-f]{2})/g, (_all, digits: string) => String.fromCharCode(Number.parseInt(digits, 16)));
}

/** Called for each parameter: `name` folded, `value` decoded; false removes it. */
export type ParameterFilter = (name: string, value: string) => boolean;

/** The query without what the filter removes. `;` ends a parameter too, as it does for some origins. */
export function filterQuery(query: string, keep: ParameterFilter): string {
  let kept = '';
  let any = false;
  let from = 0;
  for (let i = 0; i <= query.length; i++) {
    const c = i === query.length ? 0x26 : query.charCodeAt(i);
    if (c !== 0x26 && c !== 0x3b) continue;
    const piece = query.slice(from, i);
    const equals = piece.indexOf('=');
    const name = foldParameter(equals === -1 ? piece : piece.slice(0, equals));
    if (keep(name, equals === -1 ? '' : decode(piece.slice(equals + 1)))) {
      // Each piece keeps the separator before it, but for the first one that is left.
      kept += any ? (query[from - 1] as string) + piece : piece;
      any = true;
    }
    from = i + 1;
  }
  return kept;
}

/** The target with this pair as its only parameter of that name, behind everything else: `;` can't make it part of another value. */
export function setParameter(target: string, name: string, pair: string): string {
  const mark = target.indexOf('?');
  if (mark === -1) return `${target}?${pair}`;
  const rest = filterQuery(target.slice(mark + 1), (other) => other !== name);
  return `${target.slice(0, mark + 1)}${rest}${rest === '' || rest.endsWith('&') ? '' : '&'}${pair}`;
}
