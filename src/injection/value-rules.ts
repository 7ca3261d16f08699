/**
 * What may stand where: the checks on rendered values and on injections, at store time and again for each rendering (S-40).
 * Their answers are for people and must never hold a value.
 */
import type { Injection } from '../domain/credential.ts';
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
  const templates = injection.in === 'basic' ? [injection.username, injection.password] : [injection.template];
  const problems = templates.flatMap((text) => {
    const { parts, problems: found } = compileTemplate(text, fieldNames);
    const literals = parts.filter((_part, i) => i % 2 === 0).join('');
    return /^[\x20-\x7e]*$/.test(literals) ? found : [...found, 'a template must be printable ASCII'];
  });
  if (injection.in === 'basic') return problems;
  const { name } = injection;
  const quoted = JSON.stringify(name);
  if (injection.in === 'query') {
    if (!/^[\x21-\x7e]+$/.test(name)) problems.push(`${quoted} is not a name of a query parameter`);
  } else if (!TOKEN.test(name)) problems.push(`${quoted} is not a name of a ${injection.in}`);
  else if (injection.in === 'header' && isForbidden(name.toLowerCase().replace(/[_.]/g, '-')))
    problems.push(`the header ${name} must not be injected${/^cookie$/i.test(name) ? '; use in = "cookie"' : ''}`);
  return problems;
}

const isForbidden = (folded: string): boolean =>
  FORBIDDEN_HEADERS.has(folded) || /^(?:x-)?alter-|^x-forwarded-|^forwarded$/.test(folded);
