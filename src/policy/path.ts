/**
 * Request targets: the exact bytes, which alone are forwarded, beside the one canonical reading that rules are evaluated on.
 * Must never repair a path: what an origin could read differently is named in `doubt`, and what no client may send is refused
 * (S-51 … S-53). The query is looked at only for bytes that no query may hold.
 *
 * Globs are matched on whole segments and case-sensitively. `*` is exactly one segment that is not empty; `**` is any number
 * of segments, none included: `**` behind `/repos/` matches `/repos`, `/repos/` and `/repos/a/b`, never `/reposevil`. A trailing slash is
 * a form of its own: `/v1` does not match `/v1/`, nor the other way round.
 */
import { AlterError } from '../domain/errors.ts';
import { decodeFully, decodeUnreserved } from './percent.ts';

export interface RequestTarget {
  readonly raw: string;
  /** Exact bytes before `?`. `*` only for OPTIONS. */
  readonly path: string;
  /** Exact bytes behind `?`; null without one. */
  readonly query: string | null;
  /** Path with unreserved characters decoded, escapes in upper case and dot segments resolved. Never sent. */
  readonly canonical: string;
  /** Why an origin might read the path differently; null when it can't. Under a path rule such a request is refused. */
  readonly doubt: string | null;
  /** The canonical path between its slashes: `/a/b` is [a, b], `/a/` is [a, ''], `/` is ['']. */
  readonly segments: readonly string[];
}

export const MAX_PATH_BYTES = 4096;

const PLAIN = 0;
const REFUSED = 1;
const SLASH = 2;
/** Percent, semicolon or dot: may change what the path means. */
const NOTABLE = 3;

const CLASS = new Uint8Array(256).fill(REFUSED);
for (let c = 0x21; c < 0x7f; c++) CLASS[c] = PLAIN;
// SECURITY: `#` and `\` are read as end and as slash by some origins, so no byte of them goes out raw (S-51).
for (const c of '#\\') CLASS[c.charCodeAt(0)] = REFUSED;
for (const c of '%;.') CLASS[c.charCodeAt(0)] = NOTABLE;
CLASS[0x2f] = SLASH;

const malformed = (reason: string): AlterError => new AlterError('malformed_request', { reason });

class ParsedTarget implements RequestTarget {
  readonly raw: string;
  readonly path: string;
  readonly query: string | null;
  readonly canonical: string;
  readonly doubt: string | null;
  #segments: readonly string[] | null = null;

  constructor(raw: string, path: string, query: string | null, canonical: string, doubt: string | null) {
    this.raw = raw;
    this.path = path;
    this.query = query;
    this.canonical = canonical;
    this.doubt = doubt;
  }

  /** Split when first asked for: most grants have no path rule. */
  get segments(): readonly string[] {
    this.#segments ??= this.canonical === '*' ? [] : this.canonical.slice(1).split('/');
    return this.#segments;
  }
}

/**
 * Reads a target in origin form, or `*`.
 * @throws AlterError malformed_request, request_too_large
 */
export function parseTarget(raw: string): RequestTarget {
  if (raw.charCodeAt(0) !== 0x2f) {
    if (raw === '*') return new ParsedTarget(raw, raw, null, raw, null);
    throw malformed('the request target does not start with a slash');
  }
  let notable = false;
  let previous = PLAIN;
  let i = 0;
  for (let c = raw.charCodeAt(0); c !== 0x3f && i < raw.length; c = raw.charCodeAt(++i)) {
    const kind = CLASS[c] ?? REFUSED;
    if (kind === REFUSED) throw malformed('the path has a byte that must be percent-encoded');
    // A dot within a name is an ordinary character; only at the start of a segment it may be a dot segment.
    if (kind === SLASH ? previous === SLASH : kind === NOTABLE && (c !== 0x2e || previous === SLASH)) notable = true;
    previous = kind;
  }
  if (i > MAX_PATH_BYTES)
    throw new AlterError('request_too_large', { reason: `the path is longer than ${MAX_PATH_BYTES} bytes`, proxy_status: 414 });
  const query = i === raw.length ? null : raw.slice(i + 1);
  if (query !== null) checkQuery(query);
  const path = query === null ? raw : raw.slice(0, i);
  if (!notable) return new ParsedTarget(raw, path, query, path, null);
  const { canonical, doubt } = readPath(path);
  return new ParsedTarget(raw, path, query, canonical, doubt);
}

/** Broken escapes and back slashes pass: clients send them in queries, and no rule reads the path from there. */
function checkQuery(query: string): void {
  for (let i = 0; i < query.length; i++) {
    const c = query.charCodeAt(i);
    if (c <= 0x20 || c >= 0x7f || c === 0x23) throw malformed('the query has a byte that must be percent-encoded');
  }
}

function readPath(path: string): { canonical: string; doubt: string | null } {
  const parts = decodeUnreserved(path).slice(1).split('/');
  let doubt: string | null = null;
  const resolved: string[] = [];
  for (let i = 0; i < parts.length; i++) {
    const part = parts[i] as string;
    const last = i === parts.length - 1;
    doubt ??= part === '' && !last ? 'the path has an empty segment' : segmentDoubt(part);
    if (part === '..' && resolved.pop() === undefined) throw malformed('the path leads above the root');
    if (part !== '.' && part !== '..') resolved.push(part);
    else if (last) resolved.push('');
  }
  return { canonical: `/${resolved.join('/')}`, doubt };
}

const isDots = (text: string): boolean => text === '.' || text === '..';

function segmentDoubt(part: string): string | null {
  if (isDots(part)) return 'the path has a dot segment';
  if (part.includes('%2F')) return 'the path has an encoded slash';
  if (part.includes('%5C')) return 'the path has an encoded backslash';
  // RFC 3629: C0 and C1 never occur in UTF-8, but old decoders read %C0%AE as a dot.
  if (part.includes('%C0') || part.includes('%C1')) return 'the path has an illegal UTF-8 escape';
  const parameters = part.search(/;|%3B/);
  if (parameters !== -1 && (parameters === 0 || isDots(part.slice(0, parameters))))
    return 'the path has a dot or empty segment with parameters';
  // An encoded slash that is encoded once more is kept (S-51); a dot segment has no reason to be.
  if (
    part.includes('%25') &&
    decodeFully(part)
      .split(/[/\\]/)
      .some((piece) => isDots(piece.split(';')[0] as string))
  )
    return 'the path has a dot segment that is encoded twice';
  return null;
}

export type PathMatcher = (segments: readonly string[]) => boolean;

const MAX_GLOB_BYTES = 1024;
const ANY = '*';
const REST = '**';

/** A function that is true when one of the globs matches the canonical segments. Globs must be valid, see validatePathGlob. */
export function compilePathGlobs(globs: readonly string[]): PathMatcher {
  const patterns = globs.map((glob) => decodeUnreserved(glob).slice(1).split('/'));
  if (patterns.length === 1) {
    const only = patterns[0] as readonly string[];
    return (segments) => matches(only, segments);
  }
  return (segments) => patterns.some((pattern) => matches(pattern, segments));
}

/**
 * Greedy match: after a mismatch only the latest `**` takes one segment more, which is enough since `*` has a fixed width.
 * The work is at most path segments × glob segments, whatever the path.
 */
export function matches(pattern: readonly string[], segments: readonly string[]): boolean {
  let s = 0;
  let p = 0;
  let restAt = -1;
  let restFrom = 0;
  while (s < segments.length) {
    const token = pattern[p];
    if (token === REST) {
      if (p === pattern.length - 1) return true;
      restAt = p++;
      restFrom = s;
    } else if (token !== undefined && (token === ANY ? segments[s] !== '' : token === segments[s])) {
      p++;
      s++;
    } else if (restAt !== -1) {
      p = restAt + 1;
      s = ++restFrom;
    } else return false;
  }
  while (pattern[p] === REST) p++;
  return p === pattern.length;
}

/** What is wrong with a glob, for people; null when nothing is. */
export function validatePathGlob(glob: string): string | null {
  if (!glob.startsWith('/')) return 'must start with /';
  if (glob.length > MAX_GLOB_BYTES) return `must not be longer than ${MAX_GLOB_BYTES} characters`;
  if (!/^[!-~]*$/.test(glob)) return 'must be ASCII without spaces; write other characters percent-encoded';
  if (/[?#\\]/.test(glob)) return 'must be a path, without query, fragment and backslash';
  let path: string;
  try {
    path = decodeUnreserved(glob);
  } catch {
    return 'has a broken percent escape or an encoded control byte';
  }
  if (/%2F|%5C/.test(path)) return 'must not have an encoded slash or backslash: such requests are refused under a path rule';
  const segments = path.slice(1).split('/');
  if (segments.some((segment, i) => segment === '' && i < segments.length - 1)) return 'must not have an empty segment';
  if (segments.some((segment) => segment === '.' || segment === '..')) return 'must not have a dot segment';
  if (segments.some((segment) => segment.includes('*') && segment !== ANY && segment !== REST))
    return '* and ** must stand for whole segments, as in /repos/*/issues/**';
  return null;
}
