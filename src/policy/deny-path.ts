/**
 * Globs that forbid. An allowing rule looks at one canonical path and refuses doubt; a forbidding one must also hold where
 * no path rule refuses doubt, so it looks at every way in which an origin could read the path and ignores letter case.
 * Must only ever be used to refuse.
 */
import { matches } from './path.ts';
import { decodeFully, decodeOnce } from './percent.ts';

/** True when some reading of the path matches one of the forbidding globs. */
export type PathDenial = (path: string) => boolean;

export function compileDeniedPaths(globs: readonly string[]): PathDenial {
  const patterns = globs.map((glob) =>
    glob
      .slice(1)
      .split('/')
      .map((segment) => decodeOnce(segment).toLowerCase()),
  );
  const firsts = new Set(patterns.map((pattern) => pattern[0] as string));
  const anyFirst = firsts.has('*') || firsts.has('**');
  return (path) => {
    // Nearly every request ends here: an ordinary path whose first segment no glob names.
    if (!anyFirst && !NOTABLE.test(path) && !firsts.has(firstSegment(path))) return false;
    return readingsOf(path).some((segments) => patterns.some((pattern) => matches(pattern, segments)));
  };
}

/** First segments of paths that a glob can match, in lower case; null when one begins with a star. */
export function firstSegmentsOf(globs: readonly string[]): ReadonlySet<string> | null {
  const firsts = globs.map((glob) => decodeOnce(glob.slice(1).split('/', 1)[0] as string).toLowerCase());
  return firsts.some((first) => first === '*' || first === '**') ? null : new Set(firsts);
}

/** The first segment in lower case, of a path that has one reading; null for any other. */
export const plainFirstSegment = (path: string): string | null => (NOTABLE.test(path) ? null : firstSegment(path));

function firstSegment(path: string): string {
  const end = path.indexOf('/', 1);
  return path.slice(1, end === -1 ? path.length : end).toLowerCase();
}

/** A path with none of these has one reading, but for its trailing slash. */
const NOTABLE = /[%;]|\/[/.]/;

const DECODERS: readonly ((path: string) => string)[] = [
  // Encoded separators stay within their segment.
  (path) => path.replace(/%(?!2f|5c)([0-9a-f]{2})/g, (_all, digits: string) => String.fromCharCode(Number.parseInt(digits, 16))),
  decodeOnce,
  decodeFully,
];

/** Each way to read the path as segments, in lower case. */
export function readingsOf(path: string): readonly (readonly string[])[] {
  const lower = path.toLowerCase();
  if (!NOTABLE.test(lower)) return withoutTrailing(lower.slice(1).split('/'));
  const readings = new Map<string, readonly string[]>();
  for (const decode of DECODERS) {
    const raw = decode(lower).toLowerCase().replaceAll('\\', '/').slice(1).split('/');
    for (const parts of [raw, raw.map((part) => part.split(';', 1)[0] as string)]) {
      for (const collapse of [false, true]) {
        const read = resolve(collapse ? parts.filter((part, i) => part !== '' || i === parts.length - 1) : parts);
        for (const reading of withoutTrailing(read)) readings.set(reading.join('/'), reading);
      }
    }
  }
  return [...readings.values()];
}

const withoutTrailing = (segments: readonly string[]): readonly (readonly string[])[] =>
  segments.length > 1 && segments.at(-1) === '' ? [segments, segments.slice(0, -1)] : [segments];

/** Dot segments resolved, stopping at the root. */
function resolve(parts: readonly string[]): string[] {
  const resolved: string[] = [];
  parts.forEach((part, i) => {
    if (part === '..') resolved.pop();
    if (part !== '.' && part !== '..') resolved.push(part);
    else if (i === parts.length - 1) resolved.push('');
  });
  return resolved;
}
