/**
 * From a provider's injections and opened material to what goes on the wire, once for each credential version and host.
 * SECURITY: what is rendered here is sent as it is, so a value that could end its header, its cookie or its parameter makes
 * the credential unusable (S-40). No message of this file may hold a value.
 */
import type { CredentialMaterial, Injection, PlacedInjection } from '../domain/credential.ts';
import { AlterError } from '../domain/errors.ts';
import { matchesHostPattern } from '../domain/host.ts';
import { Secret } from '../domain/secret.ts';
import type { ClientIdentity } from './client-identity.ts';
import { type CompileParts, compileIdentity, compileSigner } from './compile-signer.ts';
import { foldName } from './field-name.ts';
import { placesOf } from './injection-parts.ts';
import { PLACEHOLDER_PREFIX } from './placeholder-forms.ts';
import { foldParameter } from './query.ts';
import type { RequestSigner } from './signer.ts';
import { compileTemplate, renderTemplate } from './template.ts';
import { cookieProblem, fieldProblem, headerProblem, injectionProblems } from './value-rules.ts';

/** What one credential puts on requests to one host; at least one place, each place once. */
export interface CompiledInjection {
  /** `folded` is the name as isTwin wants it. */
  readonly headers: readonly { readonly name: string; readonly folded: string; readonly value: Secret }[];
  /** `name` as foldParameter makes it; `pair` is `name=value`, percent-encoded. */
  readonly query: readonly { readonly name: string; readonly pair: Secret }[];
  /** `name` in lower case; `pair` is `name=value`. */
  readonly cookies: readonly { readonly name: string; readonly pair: Secret }[];
  /** Signs the head when all else is in its place. */
  readonly signer?: RequestSigner;
  /** Shown to the origin in the TLS handshake. */
  readonly identity?: ClientIdentity;
}

/**
 * Renders what these injections put on requests to this host.
 * @param grantId for the error; the credential's id when it is not known
 * @param isGit for a request of git's own; only injections that differ for these look at it
 * @throws AlterError credential_unavailable
 */
export function compileInjections(
  injections: readonly Injection[],
  material: CredentialMaterial,
  host: string,
  grantId: string = material.credentialId,
  isGit = false,
): CompiledInjection {
  const fail = (reason: string): AlterError => new AlterError('credential_unavailable', { grant_id: grantId, reason });
  const fieldNames = [...material.fields.keys()];
  const render = (text: string): string => {
    const template = compileTemplate(text, fieldNames);
    if (template.problems.length > 0) throw fail(`its template is wrong: ${template.problems[0]}`);
    return renderTemplate(template, (field) => (material.fields.get(field) as Secret).reveal());
  };
  const compiled: Compiled = { headers: [], query: [], cookies: [] };
  const taken = new Set<string>();
  for (const injection of injections) {
    if (!appliesTo(injection, host) || !isFor(injection, isGit)) continue;
    const places = placesOf(injection);
    for (const place of places) {
      if (taken.has(place)) throw fail(`two of its injections fill the ${place}`);
      taken.add(place);
    }
    const problem = addCompiled(compiled, injection, { material, host, render });
    if (problem !== null) throw fail(`the ${places[0]} ${problem}`);
  }
  // SECURITY: going on would forward the request, and whatever the client put in the place, without the credential.
  if (taken.size === 0) throw fail(`none of its injections is for ${JSON.stringify(host)}`);
  return compiled;
}

type Place = 'headers' | 'query' | 'cookies';
type Compiled = { -readonly [K in Place]: CompiledInjection[K][number][] } & {
  signer?: RequestSigner;
  identity?: ClientIdentity;
};

/** Answers what is wrong, for people; null when nothing is. */
function addCompiled(compiled: Compiled, injection: Injection, parts: CompileParts): string | null {
  if (injection.in === 'client_certificate') {
    const made = compileIdentity(injection, parts);
    if (typeof made === 'string') return made;
    compiled.identity = made;
    return null;
  }
  if (injection.in === 'sigv4' || injection.in === 'hmac' || injection.in === 'jwt') {
    const made = compileSigner(injection, parts);
    if (typeof made === 'string') return made;
    compiled.signer = made;
    return null;
  }
  return addRendered(compiled, injection, parts.render);
}

function addRendered(compiled: Compiled, injection: PlacedInjection, render: (template: string) => string): string | null {
  if (injection.in === 'basic') {
    const user = render(injection.username);
    const password = render(injection.password);
    // RFC 7617 2: the first colon ends the user name.
    if (user.includes(':')) return 'would have a colon in its user name';
    const problem = fieldProblem(user) ?? fieldProblem(password);
    if (problem !== null) return problem;
    const value = `Basic ${Buffer.from(`${user}:${password}`, 'utf8').toString('base64')}`;
    compiled.headers.push({ name: 'Authorization', folded: 'authorization', value: new Secret(value) });
    return null;
  }
  const { name } = injection;
  const value = render(injection.template);
  if (injection.in === 'header') {
    compiled.headers.push({ name, folded: foldName(name), value: new Secret(value) });
    return headerProblem(value);
  }
  if (injection.in === 'cookie') {
    compiled.cookies.push({ name: name.toLowerCase(), pair: new Secret(`${name}=${value}`) });
    return cookieProblem(value);
  }
  const problem = fieldProblem(value);
  if (problem === null)
    compiled.query.push({
      name: foldParameter(name),
      pair: new Secret(`${encodeURIComponent(name)}=${encodeURIComponent(value)}`),
    });
  return problem;
}

/** True when the injection is for this host; `hosts` may have ports, which the grant has matched already. */
function appliesTo(injection: Injection, host: string): boolean {
  return (
    injection.hosts === undefined ||
    injection.hosts.some((pattern) => matchesHostPattern(pattern, host) || matchesHostPattern(withoutPort(pattern), host))
  );
}

const isFor = (injection: Injection, isGit: boolean): boolean =>
  !('requests' in injection) || injection.requests === undefined || (injection.requests === 'git') === isGit;

const withoutPort = (pattern: string): string =>
  pattern.startsWith('[') ? pattern.slice(1, pattern.indexOf(']')) : pattern.replace(/:\d+$/, '');

const MAX_VALUE_CHARACTERS = 16_384;

/**
 * What is wrong with the value of a credential's field, whatever place it goes to; null when nothing is. For store time.
 * @param mayHaveLines it goes to no place of a head
 */
export function validateFieldValue(value: string, mayHaveLines = false): string | null {
  if (value === '') return 'must not be empty';
  if (value.length > MAX_VALUE_CHARACTERS) return `must not be longer than ${MAX_VALUE_CHARACTERS} characters`;
  if (!mayHaveLines && /[\r\n]/.test(value)) return 'must not have a line break';
  if (fieldProblem(mayHaveLines ? value.replace(/\r?\n/g, ' ') : value) !== null)
    return 'must not have control characters and must be valid Unicode';
  if (!mayHaveLines && value !== value.trim()) return 'must not begin or end with white space';
  // SECURITY: a placeholder in a secret would be taken for one when the provider echoes it and the agent sends it again (S-66).
  return value.includes(PLACEHOLDER_PREFIX) ? 'must not contain a placeholder of alterd' : null;
}

/** What is wrong with a credential's injections, for people; empty when nothing is. For store and load time (S-40, S-74). */
export function validateInjections(injections: readonly Injection[], fieldNames: readonly string[]): string[] {
  if (injections.length === 0) return ['there is no injection'];
  const problems = injections.flatMap((injection) => injectionProblems(injection, fieldNames));
  injections.forEach((injection, i) => {
    const places = placesOf(injection);
    const earlier = injections.slice(0, i).filter((each) => shareHost(each, injection));
    const shared = places.find((place) => earlier.some((each) => placesOf(each).includes(place)));
    if (shared !== undefined) problems.push(`two injections fill the ${shared} on the same host`);
  });
  return problems;
}

/** Conservative: one that is for every host shares each of them. No request is both git's and not. */
function shareHost(a: Injection, b: Injection): boolean {
  const kinds = [a, b].map((each) => ('requests' in each ? each.requests : undefined));
  if (kinds.includes('git') && kinds.includes('other')) return false;
  const { hosts } = b;
  if (a.hosts === undefined || hosts === undefined) return true;
  return a.hosts.some((host) => hosts.some((other) => matchesHostPattern(host, other) || matchesHostPattern(other, host)));
}
