/**
 * What a consent is asked for: the scopes, and the provider's public fields. Pure. The list of scopes in a provider file is a description,
 * never a limit: providers have more than anybody writes down, and the provider itself refuses what it does not know.
 */
import type { ProviderSpec } from '../../config/provider.ts';
import { matchesPattern, referencesOf } from '../../config/provider-hosts.ts';
import type { ProviderOAuth } from '../../config/provider-oauth.ts';
import { fieldTemplatesOf, headerNamesOf } from '../../injection/injection-parts.ts';
import { requireNone } from '../names.ts';
import { oauthOf, type PublicFields } from './endpoints.ts';

/** RFC 6749 3.3: printable, without the space, `"` and `\`. */
const SCOPE_TOKEN = /^[!#-[\]-~]{1,200}$/;

/** What is wrong with a scope; undefined when nothing is. */
export function scopeProblem(what: string, scope: string, separator: string): string | undefined {
  // SECURITY: with the separator in it, it would be two scopes, and the person would be shown one.
  return SCOPE_TOKEN.test(scope) && !scope.includes(separator) ? undefined : `${what}: ${JSON.stringify(scope)} is no scope`;
}

/** Those that were asked for, after those that the provider always needs. @throws AlterError invalid_input */
export function scopesToAsk(asked: readonly string[], { scopes, scopeSeparator }: ProviderOAuth): string[] {
  requireNone(asked.map((scope) => scopeProblem('scopes', scope, scopeSeparator)));
  return [...new Set([...scopes.filter((each) => each.required).map((each) => each.name), ...asked])];
}

/**
 * The fields of a connection: those that its hosts, endpoints and places use have to be given, unless they are optional; a field
 * that only the provider's static key needs does not.
 * @throws AlterError invalid_input
 */
export function publicFieldsOf(spec: ProviderSpec, given: Readonly<Record<string, string>>): PublicFields {
  const known = spec.fields.filter((field) => !field.secret);
  const used = usedFields(spec);
  const isGiven = (name: string): boolean => given[name] !== undefined && given[name] !== '';
  requireNone([
    ...Object.keys(given)
      .filter((name) => !known.some((field) => field.name === name))
      .map((name) => `fields.${name}: is not a field of ${spec.slug}`),
    ...known.map((field) => {
      if (!isGiven(field.name))
        return used.has(field.name) && field.optional !== true ? `fields.${field.name}: is missing (${field.label})` : undefined;
      return matchesPattern(field, given[field.name]!)
        ? undefined
        : `fields.${field.name}: does not look like what the provider gives out`;
    }),
  ]);
  // What a connection has no use for must not make two of one account.
  return Object.fromEntries(known.filter(({ name }) => used.has(name) && isGiven(name)).map(({ name }) => [name, given[name]!]));
}

function usedFields(spec: ProviderSpec): ReadonlySet<string> {
  const oauth = oauthOf(spec);
  const addresses = [
    oauth.authorizeUrl,
    oauth.tokenUrl,
    oauth.refreshUrl,
    oauth.revokeUrl,
    oauth.deviceUrl,
    oauth.installationUrl,
    oauth.issuer,
    oauth.account?.url ?? null,
  ].filter((each) => each !== null);
  const places = oauth.inject.flatMap((each) => [
    ...fieldTemplatesOf(each),
    ...headerNamesOf(each),
    ...('name' in each ? [each.name] : []),
    ...(each.hosts ?? []),
  ]);
  return new Set([...spec.hosts, ...addresses, ...places, ...Object.values(oauth.tokenParams)].flatMap(referencesOf));
}
