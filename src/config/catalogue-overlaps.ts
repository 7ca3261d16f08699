/**
 * Which providers name the same host. An agent with a grant for each of two such providers would be refused as ambiguous, or,
 * worse, an operator would grant one and mean the other; so every pair must be meant, and say why in one of its files.
 */
import type { Injection } from '../domain/credential.ts';
import { placesOf } from '../injection/injection-parts.ts';
import type { ProviderSpec } from './provider.ts';
import { FIELD_REFERENCE } from './provider-hosts.ts';

/** One line for each pair that shares a host without a reason. */
export function lintOverlaps(list: readonly ProviderSpec[]): string[] {
  return list.flatMap((one, index) => list.slice(index + 1).flatMap((other) => overlapOf(one, other) ?? []));
}

/** What is wrong with the two of them, told of `other`; null when nothing is. */
export function overlapOf(one: ProviderSpec, other: ProviderSpec): string | null {
  const host = sharedHost(one, other);
  if (host === undefined || names(one, other) || names(other, one)) return null;
  const place = sharedPlace(one, other, host);
  const what = place === null ? `shares ${host} with ${one.slug}` : `fights with ${one.slug} over ${place} on ${host}`;
  return `${other.slug}: ${what}; when that is meant, [[shares_host_with]] says why`;
}

/** Reasons for a sharing that there is none of any more, or with nobody. */
export function lintReasons(list: readonly ProviderSpec[]): string[] {
  return list.flatMap((spec) =>
    (spec.sharesHostWith ?? []).flatMap(({ provider }) => {
      const other = list.find((each) => each.slug === provider);
      if (other === undefined) return [`${spec.slug}: shares_host_with: there is no provider ${provider}`];
      return sharedHost(spec, other) === undefined ? [`${spec.slug}: shares_host_with: no host is shared with ${provider}`] : [];
    }),
  );
}

const names = (one: ProviderSpec, other: ProviderSpec): boolean =>
  one.sharesHostWith?.some(({ provider }) => provider === other.slug) === true;

const sharedHost = (one: ProviderSpec, other: ProviderSpec): string | undefined =>
  one.hosts.find((mine) => other.hosts.some((theirs) => mayOverlap(one, mine, other, theirs)));

/** The place of the request that both fill on this host, or null. */
function sharedPlace(one: ProviderSpec, other: ProviderSpec, host: string): string | null {
  const placesOn = (spec: ProviderSpec): readonly string[] =>
    placesIn(spec)
      .filter((injection) => appliesTo(spec, injection, host))
      .flatMap(placesOf);
  const theirs = new Set(placesOn(other));
  return placesOn(one).find((place) => theirs.has(place)) ?? null;
}

/** Everywhere that the provider's credential may go, stored or connected. */
export const placesIn = (spec: ProviderSpec): readonly Injection[] => [...spec.inject, ...(spec.oauth?.inject ?? [])];

/** Whether the provider's injection may be used on this host. */
export const appliesTo = (spec: ProviderSpec, injection: Injection, host: string): boolean =>
  injection.hosts === undefined || injection.hosts.some((each) => mayOverlap(spec, each, spec, host));

/** Whether a value of the fields can make the two hosts one. A whole-host field without a pattern is the operator's choice and clashes with nothing. */
export function mayOverlap(one: ProviderSpec, a: string, other: ProviderSpec, b: string): boolean {
  // Two providers may well call their whole-host field alike.
  if (a === b) return one === other || !isWhole(a);
  const isOpen = [isTemplate(a), isTemplate(b)] as const;
  if (!isOpen[0] && !isOpen[1]) return false;
  if (isFree(one, a) || isFree(other, b)) return false;
  if (isOpen[0] && !isOpen[1]) return hostPattern(one, a).test(b);
  if (!isOpen[0]) return hostPattern(other, b).test(a);
  // Of a whole-host field no sample can be made; its pattern is tried on samples of the other.
  return (
    (!isWhole(b) && hostPattern(isWhole(a) ? one : null, a).test(sample(b))) ||
    (!isWhole(a) && hostPattern(isWhole(b) ? other : null, b).test(sample(a)))
  );
}

const isTemplate = (host: string): boolean => host.includes('{') || host.includes('*');

const patternOf = (spec: ProviderSpec | null, field: string): string | undefined =>
  spec?.fields.find((each) => each.name === field)?.pattern;

const isWhole = (host: string): boolean => /^\{[^}]*\}$/.test(host);

const isFree = (spec: ProviderSpec, host: string): boolean => isWhole(host) && patternOf(spec, host.slice(1, -1)) === undefined;

const sample = (host: string): string => host.replaceAll(FIELD_REFERENCE, 'x1').replace('*', 'x1');

/** Of the hosts that a template can become; without a spec each field is taken for one label. */
function hostPattern(spec: ProviderSpec | null, host: string): RegExp {
  const parts = host.split(/(\{[^}]*\}|\*)/).map((part) => {
    if (part.startsWith('{')) return `(?:${patternOf(spec, part.slice(1, -1)) ?? LABEL})`;
    return part === '*' ? LABEL : part.replace(/[.\\[\]]/g, '\\$&');
  });
  return new RegExp(`^${parts.join('')}$`, 'i');
}

const LABEL = '[a-z0-9-]+';
