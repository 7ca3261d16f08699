/** The pairs of a Cookie header, one of which is replaced. All other bytes stay as they are. */

/** Called for each pair: `name` in lower case, `value` without quotes; false removes it. */
export type CookieFilter = (name: string, value: string) => boolean;

/** The header's value without what the filter removes; the same text when that is nothing. */
export function filterCookies(header: string, keep: CookieFilter): string {
  const pieces = header.split(';');
  const kept = pieces.filter((piece) => {
    const equals = piece.indexOf('=');
    const name = (equals === -1 ? piece : piece.slice(0, equals)).trim().toLowerCase();
    const value = equals === -1 ? '' : piece.slice(equals + 1).trim();
    return keep(name, value.startsWith('"') && value.endsWith('"') ? value.slice(1, -1) : value);
  });
  return kept.length === pieces.length ? header : kept.join(';').trim();
}
