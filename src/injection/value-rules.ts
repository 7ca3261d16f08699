/**
 * What may stand where: the checks on rendered values and on injections, at store time and again for each rendering (S-40).
 * Their answers are for people and must never hold a value.
 */
import type { HmacInjection, Injection, JwtInjection } from '../domain/credential.ts';
import { MESSAGE_NAMES, SIGNED_HEADER_NAMES } from './hmac.ts';
import { fieldTemplatesOf } from './injection-parts.ts';
import { CLAIM_NAMES, OWN_MEMBERS, TOKEN_NAMES } from './jwt.ts';
import { foldParameter } from './query.ts';
import { compileTemplate } from './template.ts';

const TOKEN = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/;

/** Framing, routing and hop-by-hop fields, and those that name the client: filling them would be smuggling. */
const FORBIDDEN_HEADERS: ReadonlySet<string> = new Set([
  'connection',
  'content-length',
  'cookie',
  'expect',
  'host',
  'keep-alive',
  'proxy-authenticate',
  'proxy-authorization',
  'proxy-connection',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
  'via',
]);

/** What is wrong with a rendered value in any place; null when nothing is. */
export function fieldProblem(value: string): string | null {
  if (/[\x00-\x1f\x7f-\x9f]/.test(value)) return 'would have a line break or another control character';
  return /[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/.test(value)
    ? 'would not be valid Unicode'
    : null;
}

/** What is wrong with a rendered header value; null when nothing is. */
export function headerProblem(value: string): string | null {
  if (value === '') return 'would be empty';
  if (!/^[\x20-\x7e]*$/.test(value)) return 'would have a line break or another character that is not printable ASCII';
  return value.startsWith(' ') || value.endsWith(' ') ? 'would begin or end with a space' : null;
}

/** What is wrong with a rendered cookie value (RFC 6265 4.1.1); null when nothing is. */
export const cookieProblem = (value: string): string | null =>
  /^[\x21\x23-\x2b\x2d-\x3a\x3c-\x5b\x5d-\x7e]*$/.test(value) ? null : 'would have a character that no cookie may have';

/** What is wrong with one injection, for people. */
export function injectionProblems(injection: Injection, fieldNames: readonly string[]): string[] {
  const problems = fieldTemplatesOf(injection).flatMap((text) => templateProblems(text, fieldNames));
  if (injection.in === 'hmac') return [...problems, ...hmacProblems(injection, fieldNames)];
  if (injection.in === 'jwt') return [...problems, ...jwtProblems(injection, fieldNames)];
  if (injection.in === 'basic' || injection.in === 'sigv4' || injection.in === 'client_certificate') return problems;
  const { name } = injection;
  if (injection.in === 'query') {
    if (!/^[\x21-\x7e]+$/.test(name)) problems.push(`${JSON.stringify(name)} is not a name of a query parameter`);
  } else if (injection.in === 'header') problems.push(...headerNameProblems(name));
  else if (!TOKEN.test(name)) problems.push(`${JSON.stringify(name)} is not a name of a cookie`);
  return problems;
}

function headerNameProblems(name: string): string[] {
  if (!TOKEN.test(name)) return [`${JSON.stringify(name)} is not a name of a header`];
  if (!isForbidden(name.toLowerCase().replace(/[_.]/g, '-'))) return [];
  return [`the header ${name} must not be injected${/^cookie$/i.test(name) ? '; use in = "cookie"' : ''}`];
}

function templateProblems(text: string, names: readonly string[], allowed = /^[\x20-\x7e]*$/): string[] {
  const { parts, problems } = compileTemplate(text, names);
  const literals = parts.filter((_part, i) => i % 2 === 0).join('');
  return allowed.test(literals) ? [...problems] : [...problems, 'a template must be printable ASCII'];
}

function hmacProblems({ message, headers, query = [] }: HmacInjection, fieldNames: readonly string[]): string[] {
  const known: readonly string[] = [...MESSAGE_NAMES, ...SIGNED_HEADER_NAMES];
  const clash = fieldNames.find((name) => known.includes(name));
  const names = headers.map((header) => header.name.toLowerCase());
  const parameters = query.map((each) => foldParameter(each.name));
  return [
    ...(clash === undefined ? [] : [`a field of a signed credential must not be called ${clash}`]),
    ...([...headers, ...query].some((place) => place.template.includes('{signature}'))
      ? []
      : ['no header holds {signature}, and no parameter of the query']),
    ...(new Set(names).size === names.length ? [] : ['a header is filled twice']),
    ...(new Set(parameters).size === parameters.length ? [] : ['a parameter of the query is filled twice']),
    ...query.flatMap(({ name, template }) => [
      ...(/^[\x21-\x7e]+$/.test(name) ? [] : [`${JSON.stringify(name)} is not a name of a query parameter`]),
      ...templateProblems(template, [...fieldNames, ...SIGNED_HEADER_NAMES]),
    ]),
    ...templateProblems(message, [...fieldNames, ...MESSAGE_NAMES], /^[\x20-\x7e\n]*$/),
    ...headers.flatMap((header) => [
      ...headerNameProblems(header.name),
      ...templateProblems(header.template, [...fieldNames, ...SIGNED_HEADER_NAMES]),
    ]),
  ];
}

function jwtProblems(injection: JwtInjection, fieldNames: readonly string[]): string[] {
  const { name, template, header = {}, claims = {}, lifetime_s: lifetimeS } = injection;
  const known: readonly string[] = [...CLAIM_NAMES, ...TOKEN_NAMES];
  const clash = fieldNames.find((field) => known.includes(field));
  const members = [...Object.keys(header), ...Object.keys(claims)];
  return [
    ...headerNameProblems(name),
    ...(clash === undefined ? [] : [`a field of a signed credential must not be called ${clash}`]),
    ...(template.includes('{jwt}') ? [] : ['the template of the header does not hold {jwt}']),
    // SECURITY: a token is readable to who gets it, and a private key has line breaks: neither may carry what signs.
    ...fieldsIn(injection.key, fieldNames).flatMap((field) =>
      [template, ...Object.values(header), ...Object.values(claims)].some((text) => fieldsIn(text, fieldNames).includes(field))
        ? [`${field} signs the token and must not be in it or beside it`]
        : [],
    ),
    ...templateProblems(template, [...fieldNames, ...TOKEN_NAMES]),
    ...members.filter((member) => OWN_MEMBERS.has(member)).map((member) => `${member} of the token is set by alterd itself`),
    ...[...Object.values(header), ...Object.values(claims)].flatMap((text) =>
      templateProblems(text, [...fieldNames, ...CLAIM_NAMES]),
    ),
    ...(Number.isInteger(lifetimeS) && lifetimeS >= 10 && lifetimeS <= 3_600
      ? []
      : ['lifetime_s must be a whole number from 10 to 3600']),
  ];
}

const fieldsIn = (template: string, names: readonly string[]): string[] =>
  names.filter((name) => new RegExp(`\\{${name}(?!\\w)`).test(template));

const isForbidden = (folded: string): boolean =>
  FORBIDDEN_HEADERS.has(folded) || /^(?:x-)?alter-|^x-forwarded-|^forwarded$/.test(folded);
