/**
 * What one provider file alone cannot show: providers that would fight over a request, hosts that are too wide, aliases that
 * clash. Run by the tests over the built-in files and by `alterd provider lint` over all.
 */
import type { Injection } from '../domain/credential.ts';
import { isSharedSuffix } from '../domain/public-suffix.ts';
import { compileTemplate } from '../injection/template.ts';
import { mintPlaceholder } from './placeholder.ts';
import type { ProviderSpec } from './provider.ts';
import { FIELD_REFERENCE, matchesPattern, referencesOf } from './provider-hosts.ts';

/** One line for each thing that is wrong; empty when nothing is. */
export function lintCatalogue(list: readonly ProviderSpec[]): string[] {
  return [...list.flatMap(lintOne), ...lintNames(list), ...lintOverlaps(list)];
}

function lintOne(spec: ProviderSpec): string[] {
  const problems: string[] = [];
  for (const host of [...spec.hosts, ...placesIn(spec).flatMap((injection) => injection.hosts ?? [])]) {
    const problem = widthProblem(host);
    if (problem !== null) problems.push(`hosts: ${host} ${problem}`);
  }
  for (const path of spec.excludedPaths) if (!path.startsWith('/')) problems.push(`excluded_paths: ${path} must start with "/"`);
  for (const [index, injection] of spec.inject.entries()) {
    for (const name of unknownFields(spec, injection)) problems.push(`inject.${index}: {${name}} is no field`);
    for (const host of injection.hosts ?? []) {
      if (!spec.hosts.some((own) => mayOverlap(own, host)))
        problems.push(`inject.${index}: ${host} is none of the provider's hosts`);
    }
  }
  const uncovered = spec.hosts.filter((host) => !placesIn(spec).some((injection) => appliesTo(injection, host)));
  for (const host of uncovered) problems.push(`hosts: nothing is injected on ${host}`);
  for (const field of spec.fields) if (!isUsed(spec, field.name)) problems.push(`fields: ${field.name} is used nowhere`);
  const first = spec.fields.find((field) => field.secret);
  if (first === undefined && spec.inject.length > 0) problems.push('fields: none is secret');
  else if (first !== undefined && spec.placeholder !== null && !matchesPattern(first, mintPlaceholder(spec.placeholder))) {
    problems.push(`placeholder: does not match the pattern of ${first.name}, so a client that checks it would refuse it`);
  }
  return problems.map((problem) => `${spec.slug}: ${problem}`);
}

/** null when the host is narrow enough. */
function widthProblem(host: string): string | null {
  if (!host.startsWith('*.')) return null;
  const rest = host.slice(2).replace(/:\d+$/, '');
  if (isSharedSuffix(rest)) return `is too wide: anybody may own a host under ${rest}`;
  return rest.split('.').length < 3
    ? 'covers every host of a company, pages of its users included: name the hosts, or use a {field}'
    : null;
}

function templatesOf(injection: Injection): string[] {
  return injection.in === 'basic' ? [injection.username, injection.password] : [injection.template, injection.name];
}

function unknownFields(spec: ProviderSpec, injection: Injection): string[] {
  return templatesOf(injection)
    .flatMap((text) => compileTemplate(text, []).fieldNames)
    .filter((name) => !spec.fields.some((field) => field.name === name));
}

function isUsed(spec: ProviderSpec, name: string): boolean {
  const endpoints = [spec.oauth?.authorizeUrl, spec.oauth?.tokenUrl, spec.oauth?.issuer].map((url) => url ?? '');
  const shown = [...spec.hosts, ...spec.agentEnv.map((variable) => variable.value), ...endpoints].flatMap(referencesOf);
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

function lintOverlaps(list: readonly ProviderSpec[]): string[] {
  const problems: string[] = [];
  for (const [index, one] of list.entries()) {
    for (const other of list.slice(index + 1)) {
      const host = one.hosts.find((mine) => other.hosts.some((theirs) => mayOverlap(mine, theirs)));
      if (host === undefined) continue;
      const place = sharedPlace(one, other, host);
      if (place !== null) problems.push(`${one.slug}: fights with ${other.slug} over ${place} on ${host}`);
    }
  }
  return problems;
}

/** The place of the request that both fill on this host, or null. */
function sharedPlace(one: ProviderSpec, other: ProviderSpec, host: string): string | null {
  const theirs = new Set(
    placesIn(other)
      .filter((injection) => appliesTo(injection, host))
      .map(placeOf),
  );
  const shared = placesIn(one)
    .filter((injection) => appliesTo(injection, host))
    .find((injection) => theirs.has(placeOf(injection)));
  return shared === undefined ? null : placeOf(shared);
}

const placesIn = (spec: ProviderSpec): readonly Injection[] => [...spec.inject, ...(spec.oauth?.inject ?? [])];

const placeOf = (injection: Injection): string =>
  injection.in === 'basic'
    ? 'header authorization'
    : `${injection.in} ${injection.in === 'header' ? injection.name.toLowerCase() : injection.name}`;

const appliesTo = (injection: Injection, host: string): boolean =>
  injection.hosts === undefined || injection.hosts.some((each) => mayOverlap(each, host));

/** A `{field}` within a name stands for any labels. A whole-host field is the operator's choice and clashes with nothing. */
function mayOverlap(a: string, b: string): boolean {
  if (a === b) return true;
  if (/^\{[^}]*\}$/.test(a) || /^\{[^}]*\}$/.test(b)) return false;
  return hostPattern(a).test(sample(b)) || hostPattern(b).test(sample(a));
}

const sample = (host: string): string => host.replaceAll(FIELD_REFERENCE, 'x1').replace('*', 'x1');
const hostPattern = (host: string): RegExp =>
  new RegExp(
    `^${host
      .split(/\{[^}]*\}|\*/)
      .map((literal) => literal.replace(/[.\\[\]]/g, '\\$&'))
      .join('[a-z0-9.-]+')}$`,
  );
