/**
 * What a request may turn into at the origin: other methods by override, and a push that a git discovery announces (S-42, S-56).
 * Must only ever add readings; the rules then have to allow every one of them. Overrides in a body are not seen.
 */
import type { RequestTarget } from './path.ts';
import { decodeFully } from './percent.ts';

/** Lower case, with `-` for `_` and `.`: CGI folds them, so the origin takes any of them. */
const OVERRIDE_HEADERS: ReadonlySet<string> = new Set([
  'x-http-method-override',
  'x-method-override',
  'x-http-method',
  'x-http-override',
]);
/** `_method` of Rails, Laravel, Symfony and WordPress; `_HttpMethod` of Salesforce; the headers' names as Express reads them. */
const OVERRIDE_PARAMETERS: ReadonlySet<string> = new Set(['_method', '_httpmethod', '$httpmethod', ...OVERRIDE_HEADERS]);
/** `?method=delete` overrides at Facebook's Graph API; elsewhere `method` is an ordinary word, so only these values count. */
const METHOD_WORDS: ReadonlySet<string> = new Set(['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS']);

const LETTER_X = 0x78;
const LETTER_H = 0x68;
const LETTER_M = 0x6d;

/** The characters `x` and `h` or `m` behind the separator tell nearly every other name apart. */
function isOverrideName(name: string): boolean {
  if ((name.charCodeAt(0) | 0x20) !== LETTER_X) return false;
  const third = name.charCodeAt(2) | 0x20;
  if (third !== LETTER_H && third !== LETTER_M) return false;
  return OVERRIDE_HEADERS.has(name.toLowerCase().replace(/[_.]/g, '-'));
}

/** Methods in upper case that headers or query ask for in place of the request's own; empty for nearly every request. */
export function overrideMethods(headers: readonly string[], query: string | null): readonly string[] {
  let found: string[] | null = null;
  for (let i = 0; i < headers.length; i += 2) {
    if (!isOverrideName(headers[i] as string)) continue;
    found ??= [];
    for (const part of (headers[i + 1] as string).split(',')) found.push(part.trim().toUpperCase());
  }
  // Every override parameter has this word in its name, unless the name is encoded.
  if (query !== null && /method|override|%/i.test(query)) {
    for (const [name, value] of parametersOf(query)) {
      const method = value.trim().toUpperCase();
      if (OVERRIDE_PARAMETERS.has(name) || (name === 'method' && METHOD_WORDS.has(method))) (found ??= []).push(method);
    }
  }
  return found ?? [];
}

/** Decoded pairs with the name in lower case; `;` separates too, as it does for some origins. */
function parametersOf(query: string): [name: string, value: string][] {
  return query.split(/[&;]/).map((pair) => {
    const equals = pair.indexOf('=');
    const name = equals === -1 ? pair : pair.slice(0, equals);
    const value = equals === -1 ? '' : pair.slice(equals + 1);
    return [decodeFully(name.replaceAll('+', ' ')).trim().toLowerCase(), decodeFully(value.replaceAll('+', ' '))];
  });
}

const DISCOVERY = '/info/refs';
const PUSH = '/git-receive-pack';

/**
 * The canonical path of the push that this request is or announces; null when it is none. A discovery with
 * `service=git-receive-pack` is answered with what a push needs, so it counts as the push itself.
 */
export function gitPushPath(target: RequestTarget): string | null {
  const { canonical, query } = target;
  if (canonical.endsWith(PUSH)) return canonical;
  if (query === null || !canonical.endsWith(DISCOVERY)) return null;
  const pushes = parametersOf(query).some(
    ([name, value]) => name === 'service' && value.trim().toLowerCase() === 'git-receive-pack',
  );
  return pushes ? canonical.slice(0, -DISCOVERY.length) + PUSH : null;
}
