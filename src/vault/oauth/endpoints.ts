/**
 * The endpoints of one provider for one connection: addresses from the provider file with its fields filled in.
 * SECURITY: nothing that an answer said becomes an address; and a field can't choose more than its label or path segment (S-102).
 */
import type { ProviderSpec } from '../../config/provider.ts';
import { canonicalHost, FIELD_REFERENCE, resolveHosts } from '../../config/provider-hosts.ts';
import { type ProviderOAuth, wholeField } from '../../config/provider-oauth.ts';
import { AlterError } from '../../domain/errors.ts';

export type PublicFields = Readonly<Record<string, string>>;

/** The provider's OAuth. @throws AlterError invalid_input when it has none */
export function oauthOf(spec: ProviderSpec): ProviderOAuth {
  if (spec.oauth !== undefined) return spec.oauth;
  throw new AlterError(
    'invalid_input',
    { problems: [`provider: ${spec.slug} has no OAuth in its file`] },
    { hint: `Store a secret for it: \`alterd secret add ${spec.slug}\`.` },
  );
}

/** The address that a template of [oauth] stands for. @throws AlterError invalid_input */
export function endpointOf(spec: ProviderSpec, template: string, fields: PublicFields, more: PublicFields = {}): string {
  const whole = wholeField(template);
  if (whole !== null) return wholeAddress(whole, fields[whole]);
  const [, host, rest] = /^https:\/\/([^/?#]+)(.*)$/.exec(template) as unknown as [string, string, string];
  const values = new Map(Object.entries(fields));
  const [filled] = resolveHosts({ ...spec, hosts: [host] }, values);
  const path = rest.replaceAll(FIELD_REFERENCE, (_all, name: string) => {
    const value = fields[name] ?? more[name];
    // SECURITY: a dot segment would climb to another endpoint of the host.
    if (value === undefined || /^\.*$/.test(value)) throw new AlterError('invalid_input', { problems: [`${name} is missing`] });
    return encodeURIComponent(value);
  });
  return `https://${filled}${path === '' ? '/' : path}`;
}

/** An address that a connection brought: https, one exact host, no user info. Where it leads is for the address policy. */
function wholeAddress(field: string, value: string | undefined): string {
  const match = /^https:\/\/([^/?#\\@\s]+)(\/[!-"$-~]*)?$/.exec(value ?? '');
  const host = match === null ? null : canonicalHost(match[1] as string);
  if (match === null || host === null || host.startsWith('*.'))
    throw new AlterError('invalid_input', {
      problems: [`fields.${field}: must be an https URL with an exact host, without user info and fragment`],
    });
  return `https://${host}${match[2] ?? '/'}`;
}

/** The parameters that a provider file adds, with fields filled in; one whose field is empty is left out. */
export const parametersOf = (table: Readonly<Record<string, string>>, fields: PublicFields): Readonly<Record<string, string>> =>
  Object.fromEntries(
    Object.entries(table).flatMap(([name, value]) => {
      const field = wholeField(value);
      const filled = field === null ? value : (fields[field] ?? '');
      return filled === '' && field !== null ? [] : [[name, filled] as const];
    }),
  );
