/**
 * What is asked for when a secret is stored or rotated, checked against its provider. All problems are found at once, and none
 * of them ever repeats a value.
 */
import type { ProviderSpec } from '../config/provider.ts';
import { matchesPattern, resolveHosts, resolveInjections } from '../config/provider-hosts.ts';
import type { CredentialKind, FieldSources, Injection } from '../domain/credential.ts';
import { AlterError } from '../domain/errors.ts';
import type { GrantDestination } from '../domain/grant.ts';
import { Secret } from '../domain/secret.ts';
import { identityProblem } from '../injection/client-identity.ts';
import { validateFieldValue, validateInjections } from '../injection/compile.ts';
import { multilineFieldsOf } from '../injection/injection-parts.ts';
import { readSigningKey } from '../injection/jwt.ts';
import { checkDestination, readDestination } from './grant-scope.ts';
import { slugProblem } from './names.ts';
import { sourceProblems } from './sources/source.ts';

const FIELD_NAME = /^[a-z][a-z0-9_]{0,62}$/;
const KINDS: readonly CredentialKind[] = [
  'bearer',
  'header',
  'basic',
  'query',
  'cookie',
  'sigv4',
  'hmac',
  'jwt',
  'client_certificate',
  'custom',
];
/** alterd's own placeholders begin with this, whatever grant they belong to. */
const PLACEHOLDER_MARK = 'alter_ph_';

export interface NewSecret {
  /** Defaults to the provider's slug, with -2, -3 … when it is taken. */
  readonly name?: string | undefined;
  /** A provider of the catalogue, or any slug when `injections` or `kind` say how the secret goes onto a request. */
  readonly providerId: string;
  readonly fields: ReadonlyMap<string, Secret>;
  readonly kind?: CredentialKind | undefined;
  /** How the credential goes onto a request; defaults to the provider's way, or to that of `kind`. */
  readonly injections?: readonly Injection[] | undefined;
  /** Where it may go, when not to the provider's hosts. */
  readonly destinations?: readonly GrantDestination[] | undefined;
  /** The same as text: `host`, `host:port`, `http://host:port`. */
  readonly hosts?: readonly string[] | undefined;
  /** Fields that are fetched when they are needed instead of stored. */
  readonly sources?: FieldSources | undefined;
}

/** A secret that may be stored. */
export interface CheckedSecret {
  readonly providerId: string;
  readonly kind: CredentialKind;
  readonly fieldNames: readonly string[];
  readonly publicFields: Readonly<Record<string, string>>;
  readonly injections: readonly Injection[] | null;
  readonly destinations: readonly GrantDestination[] | null;
  readonly sources?: FieldSources;
}

/** The checked secret, meaningful only when `problems` is empty. `placeholders`: those of all grants. */
export function checkNewSecret(
  input: NewSecret,
  provider: ProviderSpec | undefined,
  placeholders: readonly string[],
): { readonly secret: CheckedSecret; readonly problems: readonly (string | undefined)[] } {
  const fieldNames = provider ? provider.fields.map((field) => field.name) : [...input.fields.keys()];
  const publicFields = publicValues(provider, input.fields);
  const injections = input.injections ?? (provider ? null : defaultInjections(input.kind, fieldNames));
  const destinations = readDestinations(input);
  const problems = [
    provider ? undefined : slugProblem('provider', input.providerId),
    provider?.oauth !== undefined && provider.inject.length === 0 && input.injections === undefined
      ? `provider: ${provider.slug} takes no secret that is stored; connect an account: \`alterd connect ${provider.slug} --agent NAME\``
      : undefined,
    input.kind === undefined || KINDS.includes(input.kind) ? undefined : `kind: must be one of ${KINDS.join(', ')}`,
    ...fieldProblems(input.fields, fieldNames, provider, placeholders, injections),
    ...(provider ? providerProblems(provider, publicFields, destinations.value) : customProblems(input, injections)),
    ...destinations.problems,
    ...(input.sources === undefined ? [] : fetchedProblems(input.sources, fieldNames, publicFields)),
    ...(injections === null ? [] : validateInjections(injections, fieldNames)),
  ];
  const secret: CheckedSecret = {
    providerId: provider?.slug ?? input.providerId,
    // The provider's own way has the kind that it has, whatever was said.
    kind: (injections === null ? undefined : input.kind) ?? kindOf(injections ?? provider?.inject ?? []),
    fieldNames,
    publicFields,
    injections,
    destinations: destinations.value,
    ...(input.sources === undefined ? {} : { sources: input.sources }),
  };
  return { secret, problems };
}

/** Fields that may be left out are empty then. */
export function withOptionalFields(
  fields: ReadonlyMap<string, Secret>,
  provider: ProviderSpec | undefined,
): ReadonlyMap<string, Secret> {
  const left = provider?.fields.filter((field) => field.optional === true && !fields.has(field.name)) ?? [];
  return left.length === 0 ? fields : new Map([...fields, ...left.map((field) => [field.name, new Secret('')] as const)]);
}

/**
 * Problems of field values; the names given must be exactly `fieldNames`.
 * @param injections those of the secret; null for the provider's
 */
export function fieldProblems(
  fields: ReadonlyMap<string, Secret>,
  fieldNames: readonly string[],
  provider: ProviderSpec | undefined,
  placeholders: readonly string[],
  injections: readonly Injection[] | null,
): string[] {
  const ways = injections ?? provider?.inject ?? [];
  const multiline = multilineFieldsOf(ways);
  const problems = fieldNames.filter((name) => !fields.has(name)).map((name) => `fields.${name}: is missing`);
  if (fieldNames.length === 0) problems.push('fields: at least one is needed');
  for (const [name, secret] of fields) {
    if (!fieldNames.includes(name)) {
      problems.push(`fields.${name}: is not a field of it; the fields are ${fieldNames.join(', ')}`);
      continue;
    }
    const value = secret.reveal();
    const spec = provider?.fields.find((field) => field.name === name);
    const unnamed = fieldNameProblem(name);
    if (unnamed !== undefined) problems.push(unnamed);
    if (value === '' && spec?.optional === true) continue;
    if (value === '') problems.push(`fields.${name}: is empty`);
    else problems.push(...valueProblems(name, value, placeholders, multiline.has(name)));
    if (value !== '' && spec && !matchesPattern(spec, value))
      problems.push(`fields.${name}: does not look like what the provider gives out`);
  }
  return problems.length > 0 ? problems : keyProblems(ways, fields);
}

/** A key that can't sign, or is not that of its certificate, is told when it is stored. */
function keyProblems(injections: readonly Injection[], fields: ReadonlyMap<string, Secret>): string[] {
  const filled = (template: string): string =>
    template.replace(/\{([a-z][a-z0-9_]*)\}/g, (_all, name: string) => fields.get(name)?.reveal() ?? '');
  return injections.flatMap((injection) => {
    if (injection.in === 'jwt') {
      const key = readSigningKey(filled(injection.key), injection.algorithm);
      return typeof key === 'string' ? [`fields: ${key}`] : [];
    }
    if (injection.in !== 'client_certificate') return [];
    const problem = identityProblem(filled(injection.certificate), filled(injection.key));
    return problem === null ? [] : [`fields: ${problem}`];
  });
}

export const fieldNameProblem = (name: string): string | undefined =>
  FIELD_NAME.test(name) ? undefined : `fields: ${JSON.stringify(name)} is not a field name (lower-case letters, digits and _)`;

/** @param placeholders those of all grants */
export function valueProblems(name: string, value: string, placeholders: readonly string[], mayHaveLines: boolean): string[] {
  const problem = validateFieldValue(value, mayHaveLines);
  // SECURITY: a stored value with a placeholder inside would be swapped for another secret, or hide where one came from.
  const holdsPlaceholder = value.includes(PLACEHOLDER_MARK) || placeholders.some((placeholder) => value.includes(placeholder));
  return [
    ...(problem === null ? [] : [`fields.${name}: ${problem}`]),
    ...(holdsPlaceholder ? [`fields.${name}: is or contains a placeholder; store the provider's real value`] : []),
  ];
}

const publicValues = (provider: ProviderSpec | undefined, fields: ReadonlyMap<string, Secret>): Record<string, string> =>
  Object.fromEntries(
    (provider?.fields ?? []).flatMap((field) => {
      const value = field.secret ? undefined : fields.get(field.name);
      return value === undefined ? [] : [[field.name, value.reveal()]];
    }),
  );

/** What is no secret decides hosts and pins, once and for all. */
function fetchedProblems(
  sources: FieldSources,
  fieldNames: readonly string[],
  publicFields: Readonly<Record<string, string>>,
): string[] {
  const shown = Object.keys(sources.fields).filter((name) => Object.hasOwn(publicFields, name));
  return [
    ...sourceProblems(sources, fieldNames),
    ...shown.map((name) => `sources.${name}: is no secret, and can't change; give its value`),
  ];
}

/** Fills the provider's templates once, so that a bad site or region is told when it is typed. */
function providerProblems(
  provider: ProviderSpec,
  publicFields: Readonly<Record<string, string>>,
  destinations: readonly GrantDestination[] | null,
): string[] {
  const values = new Map(Object.entries(publicFields));
  // Missing fields are told once, by fieldProblems.
  if (provider.fields.some((field) => !field.secret && !values.has(field.name))) return [];
  return [
    ...(destinations === null ? problemsIn(() => resolveHosts(provider, values)) : []),
    ...problemsIn(() => resolveInjections(provider, values)),
  ];
}

function problemsIn(work: () => unknown): readonly string[] {
  try {
    work();
    return [];
  } catch (thrown) {
    if (!(thrown instanceof AlterError) || thrown.code !== 'invalid_input') throw thrown;
    return (thrown.details as { problems: readonly string[] }).problems;
  }
}

function customProblems(input: NewSecret, injections: readonly Injection[] | null): string[] {
  if (injections !== null) return injections.length > 0 ? [] : ['inject: at least one place is needed'];
  if (input.kind === 'bearer' || input.kind === 'basic') {
    return [
      input.kind === 'bearer' ? 'fields: a bearer secret has exactly one' : 'fields: a basic secret has username and password',
    ];
  }
  if (input.kind !== undefined) return [`inject: kind ${input.kind} needs the place that is filled`];
  return [
    `provider: ${JSON.stringify(input.providerId)} is not in the catalogue; name one that is (\`alterd provider list\`), or say kind or inject`,
  ];
}

/** The usual place of a kind; null when the kind has none, or the fields don't fit. */
function defaultInjections(kind: CredentialKind | undefined, fieldNames: readonly string[]): readonly Injection[] | null {
  if (kind === 'bearer' && fieldNames.length === 1)
    return [{ in: 'header', name: 'Authorization', template: `Bearer {${fieldNames[0]}}` }];
  const isBasic = fieldNames.length === 2 && fieldNames.includes('username') && fieldNames.includes('password');
  return kind === 'basic' && isBasic ? [{ in: 'basic', username: '{username}', password: '{password}' }] : null;
}

function kindOf(injections: readonly Injection[]): CredentialKind {
  const [only, ...more] = injections;
  if (only === undefined || more.length > 0) return 'custom';
  return only.in === 'header' && only.name.toLowerCase() === 'authorization' && /^Bearer \{\w+\}$/.test(only.template)
    ? 'bearer'
    : only.in;
}

function readDestinations(input: NewSecret): {
  readonly value: readonly GrantDestination[] | null;
  readonly problems: readonly string[];
} {
  if (input.hosts === undefined && input.destinations === undefined) return { value: null, problems: [] };
  const readings = [...(input.hosts ?? []).map(readDestination), ...(input.destinations ?? []).map(checkDestination)];
  if (readings.length === 0) return { value: null, problems: [] };
  return {
    value: readings.flatMap((reading) => ('value' in reading ? [reading.value] : [])),
    problems: readings.flatMap((reading) => ('problem' in reading ? [reading.problem] : [])),
  };
}
