/**
 * What one provider file alone cannot show: providers that would fight over a request, hosts that are too wide, aliases that
 * clash. Run by the tests over the built-in files and by `alterd provider validate` over all.
 */
import type { Injection } from '../domain/credential.ts';
import { isSharedSuffix } from '../domain/public-suffix.ts';
import { MESSAGE_NAMES, SIGNED_HEADER_NAMES } from '../injection/hmac.ts';
import { fieldTemplatesOf } from '../injection/injection-parts.ts';
import { CLAIM_NAMES, TOKEN_NAMES } from '../injection/jwt.ts';
import { compileTemplate } from '../injection/template.ts';
import { compileDeniedPaths, type PathDenial } from '../policy/deny-path.ts';
import { appliesTo, lintOverlaps, mayOverlap, overlapOf, placesIn } from './catalogue-overlaps.ts';
import { mintPlaceholder } from './placeholder.ts';
import type { ProviderSpec } from './provider.ts';
import { matchesPattern, referencesOf } from './provider-hosts.ts';

/** One line for each thing that is wrong; empty when nothing is. */
export function lintCatalogue(list: readonly ProviderSpec[]): string[] {
  return [...list.flatMap(lintOne), ...lintNames(list), ...lintOverlaps(list)];
}

/** What one more file brings in; what is wrong with the others beside it is not its fault. */
export function lintAddition(others: readonly ProviderSpec[], spec: ProviderSpec): string[] {
  const names = lintNames([...others, spec]).filter((problem) => problem.startsWith(`${spec.slug}: `));
  return [...lintOne(spec), ...names, ...others.flatMap((other) => overlapOf(other, spec) ?? [])];
}

function lintOne(spec: ProviderSpec): string[] {
  const problems: string[] = [];
  for (const host of [...spec.hosts, ...placesIn(spec).flatMap((injection) => injection.hosts ?? [])]) {
    const problem = widthProblem(host);
    if (problem !== null) problems.push(`hosts: ${host} ${problem}`);
  }
  problems.push(...pathProblems(spec));
  for (const [index, injection] of spec.inject.entries()) {
    for (const name of unknownFields(spec, injection)) problems.push(`inject.${index}: {${name}} is no field`);
    for (const host of injection.hosts ?? []) {
      if (!spec.hosts.some((own) => mayOverlap(spec, own, spec, host)))
        problems.push(`inject.${index}: ${host} is none of the provider's hosts`);
    }
  }
  const uncovered = spec.hosts.filter((host) => !placesIn(spec).some((injection) => appliesTo(spec, injection, host)));
  for (const host of uncovered) problems.push(`hosts: nothing is injected on ${host}`);
  for (const field of spec.fields) if (!isUsed(spec, field.name)) problems.push(`fields: ${field.name} is used nowhere`);
  const first = spec.fields.find((field) => field.secret);
  if (first === undefined && spec.inject.length > 0) problems.push('fields: none is secret');
  else if (first !== undefined && spec.placeholder !== null && !matchesPattern(first, mintPlaceholder(spec.placeholder))) {
    problems.push(`placeholder: does not match the pattern of ${first.name}, so a client that checks it would refuse it`);
  }
  return problems.map((problem) => `${spec.slug}: ${problem}`);
}

/** Paths that can't be reached, and a probe that would be refused. */
function pathProblems(spec: ProviderSpec): string[] {
  const relative = spec.excludedPaths.filter((path) => !path.startsWith('/'));
  if (relative.length > 0) return relative.map((path) => `excluded_paths: ${path} must start with "/"`);
  const denies = compileDeniedPaths(spec.excludedPaths);
  const problems: string[] = [];
  if (['/', '/x', '/x/y', '/x/y/z'].every(denies))
    problems.push('excluded_paths: leave no path that the credential could be used on');
  for (const path of spec.onlyPaths ?? [])
    if (deniesAll(denies, path)) problems.push(`only_paths: ${path} is excluded by excluded_paths`);
  if (spec.probe !== undefined && denies(spec.probe.path.replace(/\?.*/, '')))
    problems.push('probe: is on a path that excluded_paths excludes');
  for (const [key, host, path] of endpointsOf(spec))
    if (!denies(path)) problems.push(`excluded_paths: ${key} is ${path} on ${host}, which gets the credential: exclude it`);
  return problems;
}

/** Addresses that hand out tokens and are on hosts of the API: with a credential on them an agent could mint a token of its own. */
function endpointsOf(spec: ProviderSpec): [key: string, host: string, path: string][] {
  const { oauth } = spec;
  if (oauth === undefined) return [];
  const urls: readonly (readonly [string, string | null])[] = [
    ['authorize_url', oauth.authorizeUrl],
    ['token_url', oauth.tokenUrl],
    ['refresh_url', oauth.refreshUrl],
    ['revoke_url', oauth.revokeUrl],
    ['device_url', oauth.deviceUrl],
  ];
  return urls.flatMap(([key, url]) => {
    const match = /^https:\/\/([^/]+)(\/[^?]*)?/.exec(url ?? '');
    const host = match?.[1];
    if (host === undefined || !spec.hosts.some((own) => mayOverlap(spec, own, spec, host))) return [];
    return [[key, host, (match?.[2] ?? '/').replaceAll(/\{[^}]*\}/g, 'x')] as [string, string, string]];
  });
}

const deniesAll = (denies: PathDenial, glob: string): boolean =>
  ['x', 'x/y'].every((rest) => denies(glob.replaceAll('**', rest).replaceAll('*', 'x')));

/** null when the host is narrow enough. */
function widthProblem(host: string): string | null {
  if (!host.startsWith('*.')) return null;
  const rest = host.slice(2).replace(/:\d+$/, '');
  if (isSharedSuffix(rest)) return `is too wide: anybody may own a host under ${rest}`;
  return rest.split('.').length < 3
    ? 'covers every host of a company, pages of its users included: name the hosts, or use a {field}'
    : null;
}

/** What the request itself adds to the templates of a signature is no field. */
function templatesOf(injection: Injection): string[] {
  if (injection.in !== 'hmac' && injection.in !== 'jwt')
    return [...fieldTemplatesOf(injection), ...('name' in injection ? [injection.name] : [])];
  const texts =
    injection.in === 'jwt'
      ? [injection.template, ...Object.values({ ...injection.header, ...injection.claims })]
      : [injection.message, ...[...injection.headers, ...(injection.query ?? [])].map((place) => place.template)];
  const known = injection.in === 'jwt' ? [...CLAIM_NAMES, ...TOKEN_NAMES] : [...MESSAGE_NAMES, ...SIGNED_HEADER_NAMES];
  const ofRequest = new RegExp(`\\{(?:${known.join('|')})\\}`, 'g');
  return [injection.key, ...texts.map((text) => text.replace(ofRequest, ''))];
}

function unknownFields(spec: ProviderSpec, injection: Injection): string[] {
  return templatesOf(injection)
    .flatMap((text) => compileTemplate(text, []).fieldNames)
    .filter((name) => !spec.fields.some((field) => field.name === name));
}

function isUsed(spec: ProviderSpec, name: string): boolean {
  const endpoints = [spec.oauth?.authorizeUrl, spec.oauth?.tokenUrl, spec.oauth?.issuer].map((url) => url ?? '');
  const parameters = Object.values(spec.oauth?.tokenParams ?? {});
  const shown = [...spec.hosts, ...spec.agentEnv.map((variable) => variable.value), ...endpoints, ...parameters].flatMap(
    referencesOf,
  );
  const injected = placesIn(spec)
    .flatMap(templatesOf)
    .flatMap((text) => compileTemplate(text, []).fieldNames);
  return shown.includes(name) || injected.includes(name);
}

function lintNames(list: readonly ProviderSpec[]): string[] {
  const owners = new Map<string, string>();
  const problems: string[] = [];
  for (const spec of list) {
    for (const name of [spec.slug, ...(spec.aliases ?? [])]) {
      const owner = owners.get(name);
      if (owner !== undefined) problems.push(`${spec.slug}: the name ${name} already belongs to ${owner}`);
      else owners.set(name, spec.slug);
    }
  }
  return problems;
}
