/**
 * From a provider's templates to exact hosts: `{site}.atlassian.net` and the field site = "acme" give `acme.atlassian.net`.
 * Runs when a credential is stored, so that a grant always holds concrete hosts. It must never let a field value choose more
 * than the label (or the whole host) that the template leaves open.
 */
import type { Injection } from '../domain/credential.ts';
import { AlterError } from '../domain/errors.ts';
import { parseHostPattern } from '../domain/host.ts';
import type { ProviderField, ProviderSpec } from './provider.ts';

export const FIELD_REFERENCE = /\{([a-z][a-z0-9_]*)\}/g;

/** Field names that a template refers to, in order. */
export const referencesOf = (template: string): string[] => [...template.matchAll(FIELD_REFERENCE)].map((match) => match[1]!);

/** One or more DNS labels; upper case is folded by canonicalisation. */
const LABELS = /^[a-z0-9](?:[a-z0-9-]*[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]*[a-z0-9])?)*$/i;
const TOKEN = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/;

/**
 * `host` or `host:port`, canonical, for each host template of the provider, filled from fields with `secret = false`.
 * @throws AlterError invalid_input
 */
export function resolveHosts(spec: ProviderSpec, fields: ReadonlyMap<string, string>): string[] {
  const problems: string[] = [];
  const hosts = spec.hosts.flatMap((template) => fillHost(spec.fields, template, fields, problems));
  if (problems.length > 0) throw new AlterError('invalid_input', { problems: [...new Set(problems)] });
  return hosts;
}

/**
 * The provider's injections with `name` and `hosts` filled from fields with `secret = false`; templates keep their fields.
 * @throws AlterError invalid_input
 */
export function resolveInjections(spec: ProviderSpec, fields: ReadonlyMap<string, string>): Injection[] {
  const problems: string[] = [];
  const resolved = spec.inject.map((injection): Injection => {
    const hosts = injection.hosts?.flatMap((template) => fillHost(spec.fields, template, fields, problems));
    const narrowed = hosts === undefined ? injection : { ...injection, hosts };
    return !('name' in narrowed) ? narrowed : { ...narrowed, name: fillName(spec.fields, narrowed.name, fields, problems) };
  });
  if (problems.length > 0) throw new AlterError('invalid_input', { problems: [...new Set(problems)] });
  return resolved;
}

function fillHost(
  known: readonly ProviderField[],
  template: string,
  fields: ReadonlyMap<string, string>,
  problems: string[],
): string[] {
  // A field that is the whole host may bring its port and be an address; within a host it stands for labels only.
  const whole = /^\{[a-z][a-z0-9_]*\}$/.test(template);
  const filled = fill(known, template, fields, problems, (field, value) => {
    if (whole) return null;
    const single = field.pattern === undefined;
    return LABELS.test(value) && !(single && value.includes('.')) ? null : 'must be a part of a host name';
  });
  if (filled === null) return [];
  const canonical = canonicalHost(filled);
  if (canonical !== null && !(canonical.startsWith('*.') && !template.startsWith('*.'))) return [canonical];
  problems.push(`${referencesOf(template).join(', ') || 'hosts'}: ${JSON.stringify(filled)} is not an exact host`);
  return [];
}

function fillName(
  known: readonly ProviderField[],
  template: string,
  fields: ReadonlyMap<string, string>,
  problems: string[],
): string {
  return (
    fill(known, template, fields, problems, (_field, value) =>
      TOKEN.test(value) ? null : 'has characters that a name must not have',
    ) ?? template
  );
}

/** null when a field is missing or bad. SECURITY: a secret never goes into a host or a name, both of which are shown. */
function fill(
  known: readonly ProviderField[],
  template: string,
  fields: ReadonlyMap<string, string>,
  problems: string[],
  check: (field: ProviderField, value: string) => string | null,
): string | null {
  let complete = true;
  const fail = (name: string, problem: string): string => {
    problems.push(`${name} ${problem}`);
    complete = false;
    return '';
  };
  const text = template.replaceAll(FIELD_REFERENCE, (_all, name: string) => {
    const field = known.find((each) => each.name === name);
    const value = fields.get(name);
    if (field === undefined || field.secret) return fail(name, 'is not a field that may be shown');
    if (value === undefined || value === '') return fail(name, `is missing (${field.label})`);
    if (!matchesPattern(field, value)) return fail(name, `does not look like what the provider gives out (${field.label})`);
    const problem = check(field, value);
    return problem === null ? value : fail(name, problem);
  });
  return complete ? text : null;
}

/** True when the field has no pattern, or the whole value matches it. */
export const matchesPattern = (field: ProviderField, value: string): boolean =>
  field.pattern === undefined || new RegExp(`^(?:${field.pattern})$`).test(value);

/** `[*.]host[:port]` in canonical form, IPv6 in brackets; null when it is none. */
export function canonicalHost(text: string): string | null {
  const match = /^(\[[^\]]*\]|[^:]*)(?::(\d{1,5}))?$/.exec(text);
  const port = match?.[2] === undefined ? null : Number(match[2]);
  if (!match || (port !== null && (port < 1 || port > 65_535))) return null;
  try {
    const host = parseHostPattern(match[1]!);
    return `${host.includes(':') ? `[${host}]` : host}${port === null ? '' : `:${port}`}`;
  } catch {
    return null;
  }
}
