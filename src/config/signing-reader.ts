/**
 * Reads the injections of a provider file that sign or show a certificate: in = "sigv4", "hmac", "jwt", "client_certificate". Like all readers
 * of provider files it reports problems and goes on.
 */
import type { ClientCertificateInjection, HmacInjection, JwtInjection, SigV4Injection } from '../domain/credential.ts';
import type { TableReader } from './table-reader.ts';

export type SigningKind = 'sigv4' | 'hmac' | 'jwt' | 'client_certificate';
export const SIGNING_KINDS = ['sigv4', 'hmac', 'jwt', 'client_certificate'] as const;

/** What is wrong with a template of fields; null when nothing is. */
type TemplateCheck = (text: string) => string | null;
type Unplaced<I> = Omit<I, 'hosts'>;

/** `template` knows the fields of the provider. */
export function readSigning(
  where: SigningKind,
  reader: TableReader,
  template: TemplateCheck,
): Unplaced<SigV4Injection> | Unplaced<HmacInjection> | Unplaced<JwtInjection> | Unplaced<ClientCertificateInjection> {
  if (where === 'client_certificate')
    return { in: where, certificate: reader.text('certificate', template), key: reader.text('key', template) };
  if (where === 'jwt') return readJwt(reader, template);
  return where === 'sigv4' ? readSigV4(reader, template) : readHmac(reader, template);
}

function readSigV4(reader: TableReader, template: TemplateCheck): Unplaced<SigV4Injection> {
  const token = reader.optionalText('token', template);
  const region = reader.optionalText('region', template);
  const service = reader.optionalText('service', template);
  const role = reader.optionalText('role', template);
  return {
    in: 'sigv4',
    key_id: reader.text('key_id', template),
    key: reader.text('key', template),
    ...(token === undefined ? {} : { token }),
    ...(region === undefined ? {} : { region }),
    ...(service === undefined ? {} : { service }),
    ...(role === undefined ? {} : { role }),
  };
}

/** Messages and headers know more than fields: validateInjections looks at them. */
function readHmac(reader: TableReader, template: TemplateCheck): Unplaced<HmacInjection> {
  return {
    in: 'hmac',
    algorithm: reader.choice('algorithm', ['sha1', 'sha256', 'sha384', 'sha512']),
    key: reader.text('key', template),
    ...(reader.has('key_encoding') ? { key_encoding: reader.choice('key_encoding', ['text', 'hex', 'base64']) } : {}),
    message: reader.text('message'),
    encoding: reader.choice('encoding', ['hex', 'base64', 'base64url']),
    ...(reader.has('timestamp') ? { timestamp: reader.choice('timestamp', ['seconds', 'milliseconds', 'iso']) } : {}),
    headers: reader.tables('headers', (each) => ({ name: each.text('name'), template: each.text('template') })),
    ...(reader.has('query')
      ? { query: reader.tables('query', (each) => ({ name: each.text('name'), template: each.text('template') })) }
      : {}),
    ...(reader.has('when') ? { when: reader.choice('when', ['always', 'asked']) } : {}),
  };
}

/** The same for claims and members of the token's header. */
function readJwt(reader: TableReader, template: TemplateCheck): Unplaced<JwtInjection> {
  return {
    in: 'jwt',
    algorithm: reader.choice('algorithm', ['ES256', 'ES384', 'EdDSA', 'RS256', 'PS256']),
    key: reader.text('key', template),
    lifetime_s: reader.integer('lifetime_s', 120, 10, 3_600),
    ...(reader.has('header') ? { header: reader.textTable('header', () => null) } : {}),
    ...(reader.has('claims') ? { claims: reader.textTable('claims', () => null) } : {}),
    name: reader.optionalText('name') ?? 'Authorization',
    template: reader.optionalText('template') ?? 'Bearer {jwt}',
  };
}
