/**
 * Finds the placeholder that a client sent where a credential goes. Only there: the same text in another header, in the path
 * or in a body is data and stays as it is (S-65).
 */
import { AlterError } from '../domain/errors.ts';
import type { Grant } from '../domain/grant.ts';
import { filterCookies } from './cookie.ts';
import { foldName, indexOfTwin } from './field-name.ts';
import { headerNamesOf } from './injection-parts.ts';
import { credentialWords, PLACEHOLDER_PREFIX } from './placeholder-forms.ts';
import { filterQuery, foldParameter } from './query.ts';
import { keyIdOf } from './sigv4-scope.ts';

type Known = Pick<ReadonlySet<string>, 'has'>;

/** Two in one request, which is refused; kept for the alarm, never for a message. */
export class TwoPlaceholders extends AlterError<'malformed_request'> {
  readonly words: readonly [string, string];

  constructor(first: string, second: string) {
    super('malformed_request', { reason: 'there are two different placeholders where one credential goes' });
    this.words = [first, second];
  }
}

export interface InjectablePlaces {
  /** Every placeholder that was minted, whoever it belongs to. */
  readonly known: Known;
  /** Folded. */
  readonly headers: readonly string[];
  readonly query: ReadonlySet<string>;
  readonly cookies: ReadonlySet<string>;
}

/**
 * SECURITY: looked at whatever the grants fill, so that the placeholder for another host is refused here rather than passed
 * on to a host where the credential goes elsewhere (S-64, S-67).
 */
const USUAL_HEADERS = ['authorization', 'x-api-key'] as const;

/** Where a presigned URL has its key id. */
const SIGNED_QUERY = 'x-amz-credential';

const memo = new WeakMap<readonly Grant[], InjectablePlaces>();

/** Places that these grants fill; made once for each array. */
export function placesOf(grants: readonly Grant[], known: Known): InjectablePlaces {
  let places = memo.get(grants);
  if (places === undefined || places.known !== known) {
    const injections = grants.flatMap((grant) => grant.injections);
    const namesIn = (kind: 'query' | 'cookie'): string[] =>
      injections.flatMap((injection) => (injection.in === kind ? [injection.name] : []));
    const signedQuery = injections.flatMap((each) => (each.in === 'hmac' ? (each.query ?? []).map(({ name }) => name) : []));
    const signsQuery = injections.some((injection) => injection.in === 'sigv4');
    places = {
      known,
      headers: [...new Set([...USUAL_HEADERS, ...injections.flatMap(headerNamesOf).map(foldName)])],
      query: new Set([...namesIn('query'), ...signedQuery, ...(signsQuery ? [SIGNED_QUERY] : [])].map(foldParameter)),
      cookies: new Set(namesIn('cookie').map((name) => name.toLowerCase())),
    };
    memo.set(grants, places);
  }
  return places;
}

/**
 * The placeholder that the client sent in one of these places, known or only shaped like one; null for none.
 * @throws AlterError malformed_request when there are two different ones
 */
export function findPlaceholder(headers: readonly string[], target: string, places: InjectablePlaces): string | null {
  let found: string | null = null;
  for (let n = 0; n < places.headers.length; n++) {
    const folded = places.headers[n] as string;
    for (let i = indexOfTwin(headers, folded, 0); i !== -1; i = indexOfTwin(headers, folded, i + 2)) {
      const words = credentialWords(headers[i + 1] as string);
      for (let w = 0; w < words.length; w++) found = oneOf(found, words[w] as string, places.known);
    }
  }
  if (places.cookies.size > 0) found = findInCookies(headers, places, found);
  return places.query.size > 0 ? findInQuery(target, places, found) : found;
}

/** What is found so far, with this word if it is a placeholder. */
function oneOf(found: string | null, word: string, known: Known): string | null {
  if (!known.has(word) && !word.startsWith(PLACEHOLDER_PREFIX)) return found;
  if (found !== null && found !== word) throw new TwoPlaceholders(found, word);
  return word;
}

function findInCookies(headers: readonly string[], { cookies, known }: InjectablePlaces, before: string | null): string | null {
  let found = before;
  for (let i = indexOfTwin(headers, 'cookie', 0); i !== -1; i = indexOfTwin(headers, 'cookie', i + 2)) {
    filterCookies(headers[i + 1] as string, (name, value) => {
      if (cookies.has(name)) found = oneOf(found, value, known);
      return true;
    });
  }
  return found;
}

function findInQuery(target: string, { query, known }: InjectablePlaces, before: string | null): string | null {
  let found = before;
  const mark = target.indexOf('?');
  if (mark !== -1)
    filterQuery(target.slice(mark + 1), (name, value) => {
      if (query.has(name)) found = oneOf(found, name === SIGNED_QUERY ? keyIdOf(value) : value, known);
      return true;
    });
  return found;
}
