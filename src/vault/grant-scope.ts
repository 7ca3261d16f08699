/**
 * Where and how a grant may be used, from the text that people write: hosts, methods, paths. Everything is made canonical here
 * or refused with words; a narrowing can never reach beyond what it narrows.
 */
import { AlterError } from '../domain/errors.ts';
import type { GrantDestination } from '../domain/grant.ts';
import { matchesHostPattern, parseHostPattern } from '../domain/host.ts';
import { validatePathGlob } from '../policy/path.ts';

export type Reading<T> = { readonly value: T } | { readonly problem: string };

const HOST_TEXT = /^(?:(https?):\/\/)?(\[[^\]]*\]|[^:/]*)(?::(\d{1,5}))?\/?$/i;
const METHOD = /^[A-Z][A-Z0-9_-]{0,31}$/;
/** CONNECT is the tunnel itself; TRACE and TRACK echo the injected credential back. */
const NEVER_FORWARDED = new Set(['CONNECT', 'TRACE', 'TRACK']);

/** Reads `host`, `host:port`, `https://host[:port]` or `http://host[:port]`; the host may begin with `*.`. */
export function readDestination(raw: string): Reading<GrantDestination> {
  const match = HOST_TEXT.exec(raw.trim());
  if (!match) return { problem: `hosts: ${JSON.stringify(raw)} is not HOST or HOST:PORT` };
  const scheme = match[1]?.toLowerCase() === 'http' ? 'http' : 'https';
  const port = match[3] === undefined ? (scheme === 'http' ? 80 : 443) : Number(match[3]);
  return checkDestination({ pattern: match[2]!, port, scheme });
}

/** The destination in canonical form. */
export function checkDestination(destination: GrantDestination): Reading<GrantDestination> {
  const { pattern, port, scheme } = destination;
  if (scheme !== 'http' && scheme !== 'https') return { problem: 'hosts: the scheme must be http or https' };
  if (!Number.isInteger(port) || port < 1 || port > 65_535) return { problem: `hosts: ${port} is not a port` };
  const canonical = readPattern('hosts', pattern);
  return 'problem' in canonical ? canonical : { value: { pattern: canonical.value, port, scheme } };
}

function readPattern(what: string, pattern: string): Reading<string> {
  try {
    return { value: parseHostPattern(pattern) };
  } catch (thrown) {
    if (!(thrown instanceof AlterError) || thrown.code !== 'invalid_input') throw thrown;
    return { problem: `${what}: ${(thrown.details as { problems: readonly string[] }).problems.join('; ')}` };
  }
}

/** The destinations of a grant: with plaintext allowed each https one has its http twin, without it http ones are left out. */
export function widenForPlaintext(destinations: readonly GrantDestination[], allowPlaintext: boolean): GrantDestination[] {
  if (!allowPlaintext) return destinations.filter((destination) => destination.scheme === 'https');
  const all = destinations.flatMap((destination): GrantDestination[] =>
    destination.scheme === 'http'
      ? [destination]
      : [destination, { ...destination, scheme: 'http', port: destination.port === 443 ? 80 : destination.port }],
  );
  return all.filter((one, i) => all.findIndex((other) => isSame(one, other)) === i);
}

const isSame = (a: GrantDestination, b: GrantDestination): boolean =>
  a.pattern === b.pattern && a.port === b.port && a.scheme === b.scheme;

/** True when `outer` covers everything that `inner` does. */
export const covers = (outer: GrantDestination, inner: GrantDestination): boolean =>
  outer.port === inner.port &&
  outer.scheme === inner.scheme &&
  (outer.pattern === inner.pattern || (!inner.pattern.startsWith('*.') && matchesHostPattern(outer.pattern, inner.pattern)));

export const destinationText = ({ scheme, pattern, port }: GrantDestination): string =>
  `${scheme === 'http' ? 'http://' : ''}${pattern.includes(':') ? `[${pattern}]` : pattern}${port === (scheme === 'http' ? 80 : 443) ? '' : `:${port}`}`;

export function methodProblem(what: string, method: string): string | undefined {
  const upper = method.toUpperCase();
  if (!METHOD.test(upper)) return `${what}: ${JSON.stringify(method)} is not a method`;
  return NEVER_FORWARDED.has(upper) ? `${what}: ${upper} is never forwarded` : undefined;
}

export function pathProblem(what: string, glob: string): string | undefined {
  const problem = validatePathGlob(glob);
  return problem === null ? undefined : `${what}: ${JSON.stringify(glob)}: ${problem}`;
}

export function hostPatternProblem(what: string, pattern: string): string | undefined {
  const reading = readPattern(what, pattern);
  return 'problem' in reading ? reading.problem : undefined;
}
