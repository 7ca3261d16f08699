/**
 * Puts a compiled credential on a request: pure, and the only place where a secret meets what goes out. Each place ends up
 * with exactly one value, ours (S-39, S-54); everything else keeps its bytes and its order. Must never put the secret anywhere
 * but in the places that the credential's injections name (S-65).
 */
import type { OverrideMode } from '../domain/grant.ts';
import type { CompiledInjection } from './compile.ts';
import { filterCookies } from './cookie.ts';
import { indexOfTwin, isTwin } from './field-name.ts';
import { credentialWords } from './placeholder-forms.ts';
import { bitOf, OWN, PLACEHOLDER } from './presence.ts';
import { filterQuery, setParameter } from './query.ts';
import type { RequestSigner } from './signer.ts';

export interface InjectedRequest {
  readonly headers: string[];
  readonly target: string;
  /** The client had a value of its own, not the placeholder, where alterd injected. */
  readonly replaced: boolean;
  readonly injected: boolean;
  /** What has yet to sign the request, as the last change of its head. */
  readonly signer: RequestSigner | undefined;
}

type HeaderPlace = CompiledInjection['headers'][number];
type QueryPlace = CompiledInjection['query'][number];
type CookiePlace = CompiledInjection['cookies'][number];

/**
 * The request with the credential on it. `if_absent` looks at all places together, lest half of our credential joins half of
 * the client's; `placeholder_only` looks at each place for itself.
 * @param headers flat name/value list without hop-by-hop fields; not changed
 * @param target origin form
 * @param placeholder the grant's
 */
export function applyInjection(
  headers: string[],
  target: string,
  compiled: CompiledInjection,
  mode: OverrideMode,
  placeholder: string | null,
): InjectedRequest {
  const untouched: InjectedRequest = { headers, target, replaced: false, injected: false, signer: undefined };
  if (mode === 'if_absent' && (presence(headers, target, compiled, placeholder) & OWN) !== 0) return untouched;
  const only = mode === 'placeholder_only';
  let outHeaders = headers;
  let outTarget = target;
  let seen = 0;
  let injected = false;
  for (const place of compiled.headers) {
    const has = headerPresence(headers, place, placeholder);
    if (only && (has & PLACEHOLDER) === 0) continue;
    seen |= has;
    injected = true;
    outHeaders = setHeader(outHeaders, place);
  }
  for (const place of compiled.query) {
    const has = queryPresence(target, place, placeholder);
    if (only && (has & PLACEHOLDER) === 0) continue;
    seen |= has;
    injected = true;
    outTarget = setParameter(outTarget, place.name, place.pair.reveal());
  }
  for (const place of compiled.cookies) {
    const has = cookiePresence(headers, place, placeholder);
    if (only && (has & PLACEHOLDER) === 0) continue;
    seen |= has;
    injected = true;
    outHeaders = setCookie(outHeaders, place);
  }
  if (compiled.identity !== undefined) injected = true;
  const { signer } = compiled;
  if (signer !== undefined) {
    const has = signer.presence(headers, target, placeholder);
    if (!only || (has & PLACEHOLDER) !== 0)
      return { headers: outHeaders, target: outTarget, replaced: ((seen | has) & OWN) !== 0, injected: true, signer };
  }
  return injected
    ? { headers: outHeaders, target: outTarget, replaced: (seen & OWN) !== 0, injected, signer: undefined }
    : untouched;
}

function presence(headers: readonly string[], target: string, compiled: CompiledInjection, placeholder: string | null): number {
  let has = compiled.signer?.presence(headers, target, placeholder) ?? 0;
  for (const place of compiled.headers) has |= headerPresence(headers, place, placeholder);
  for (const place of compiled.query) has |= queryPresence(target, place, placeholder);
  for (const place of compiled.cookies) has |= cookiePresence(headers, place, placeholder);
  return has;
}

function headerPresence(headers: readonly string[], place: HeaderPlace, placeholder: string | null): number {
  let has = 0;
  for (let i = indexOfTwin(headers, place.folded, 0); i !== -1; i = indexOfTwin(headers, place.folded, i + 2)) {
    const value = headers[i + 1] as string;
    has |= bitOf(value, placeholder !== null && credentialWords(value).includes(placeholder));
  }
  return has;
}

/** SECURITY: every spelling that the origin may take for the name goes, then there is exactly one (S-39). */
function setHeader(headers: readonly string[], place: HeaderPlace): string[] {
  const first = indexOfTwin(headers, place.folded, 0);
  const out = headers.slice();
  if (first === -1) out.push(place.name, place.value.reveal());
  else {
    out[first] = place.name;
    out[first + 1] = place.value.reveal();
    for (let i = indexOfTwin(out, place.folded, first + 2); i !== -1; i = indexOfTwin(out, place.folded, i)) out.splice(i, 2);
  }
  return out;
}

function queryPresence(target: string, place: QueryPlace, placeholder: string | null): number {
  const mark = target.indexOf('?');
  let has = 0;
  if (mark !== -1)
    filterQuery(target.slice(mark + 1), (name, value) => {
      if (name === place.name) has |= bitOf(value, value === placeholder);
      return true;
    });
  return has;
}

function cookiePresence(headers: readonly string[], place: CookiePlace, placeholder: string | null): number {
  let has = 0;
  for (let i = 0; i < headers.length; i += 2) {
    if (!isTwin(headers[i] as string, 'cookie')) continue;
    filterCookies(headers[i + 1] as string, (name, value) => {
      if (name === place.name) has |= bitOf(value, value === placeholder);
      return true;
    });
  }
  return has;
}

/** Our pair goes to the end of the first Cookie header; a header that had nothing but the named cookie disappears. */
function setCookie(headers: readonly string[], place: CookiePlace): string[] {
  const out: string[] = [];
  let at = -1;
  for (let i = 0; i < headers.length; i += 2) {
    const name = headers[i] as string;
    let value = headers[i + 1] as string;
    if (isTwin(name, 'cookie')) {
      value = filterCookies(value, (cookie) => cookie !== place.name);
      if (value === '') continue;
      if (at === -1 && name.toLowerCase() === 'cookie') at = out.length + 1;
    }
    out.push(name, value);
  }
  if (at === -1) out.push('Cookie', place.pair.reveal());
  else out[at] = `${out[at]}; ${place.pair.reveal()}`;
  return out;
}
