/** What an injection consists of, whatever its kind: the places that it fills, its templates, the headers that it sets. Pure. */
import type { Injection, PlacedInjection, SigV4Injection } from '../domain/credential.ts';
import { foldName } from './field-name.ts';
import { foldParameter } from './query.ts';

/** What an injection fills, as keys: two injections for one host must not share one. The first is also for people. */
export function placesOf(injection: Injection): readonly string[] {
  switch (injection.in) {
    case 'basic':
      return ['header authorization'];
    case 'header':
      return [`header ${foldName(injection.name)}`];
    case 'query':
      return [`query parameter ${foldParameter(injection.name)}`];
    case 'cookie':
      return [`cookie ${injection.name.toLowerCase()}`];
    case 'sigv4':
      return ['signature', 'header authorization'];
    case 'hmac':
      return [
        'signature',
        ...injection.headers.map((header) => `header ${foldName(header.name)}`),
        ...(injection.query ?? []).map((each) => `query parameter ${foldParameter(each.name)}`),
      ];
    case 'jwt':
      return ['signature', `header ${foldName(injection.name)}`];
    case 'client_certificate':
      return ['client certificate'];
  }
}

/** Templates of fields of the credential, those that know more than fields left out. */
export function fieldTemplatesOf(injection: Injection): readonly string[] {
  switch (injection.in) {
    case 'basic':
      return [injection.username, injection.password];
    case 'sigv4':
      return [injection.key_id, injection.key, injection.token, injection.region, injection.service, injection.role].filter(
        (text) => text !== undefined,
      );
    case 'hmac':
    case 'jwt':
      return [injection.key];
    case 'client_certificate':
      return [injection.certificate, injection.key];
    default:
      return [injection.template];
  }
}

/** Headers that it sets, as they are written. */
export function headerNamesOf(injection: Injection): readonly string[] {
  if (injection.in === 'header' || injection.in === 'jwt') return [injection.name];
  if (injection.in === 'hmac') return injection.headers.map((header) => header.name);
  return injection.in === 'basic' || injection.in === 'sigv4' ? ['Authorization'] : [];
}

/** Where the credential goes, without its template, for people: `header Authorization`. */
export function injectionText(injection: Injection): string {
  switch (injection.in) {
    case 'basic':
      return `header Authorization (Basic)${requestsText(injection)}`;
    case 'sigv4':
      return `AWS Signature Version 4${pinText(injection)}`;
    case 'hmac':
      return `HMAC signature in ${[...injection.headers, ...(injection.query ?? []).map((each) => ({ name: `?${each.name}` }))]
        .map((each) => each.name)
        .join(', ')}`;
    case 'jwt':
      return `signed token (${injection.algorithm}) in ${injection.name}`;
    case 'client_certificate':
      return 'TLS client certificate';
    default:
      return `${injection.in} ${injection.name}${requestsText(injection)}`;
  }
}

const requestsText = ({ requests }: PlacedInjection): string =>
  requests === undefined ? '' : requests === 'git' ? ' for git' : ' for all but git';

/** Region and service that an injection signs for, where it says them itself and not by a field; null for each that it leaves open. */
export function signingPinsOf(injections: readonly Injection[]): {
  readonly region: string | null;
  readonly service: string | null;
} {
  const found = injections.find((each): each is SigV4Injection => each.in === 'sigv4');
  const literal = (text = ''): string | null => (text === '' || text.includes('{') ? null : text);
  return { region: literal(found?.region), service: literal(found?.service) };
}

function pinText(injection: SigV4Injection): string {
  const { region, service } = signingPinsOf([injection]);
  const parts = [...(service === null ? [] : [service]), ...(region === null ? [] : [`in ${region}`])];
  return parts.length === 0 ? '' : ` for ${parts.join(' ')} alone`;
}

/** Fields that may hold several lines, since PEM does: those of nothing but certificates and private keys. */
export function multilineFieldsOf(injections: readonly Injection[]): ReadonlySet<string> {
  const names = injections.flatMap((injection) => {
    if (injection.in === 'jwt') return [injection.key];
    return injection.in === 'client_certificate' ? [injection.certificate, injection.key] : [];
  });
  return new Set(names.flatMap((template) => /^\{([a-z][a-z0-9_]*)\}$/.exec(template)?.[1] ?? []));
}
