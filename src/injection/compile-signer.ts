/**
 * From an injection that signs, or that shows a certificate, and opened material to what does it for one host. Answers a problem as
 * text for people, which must never hold a value.
 */
import type {
  ClientCertificateInjection,
  CredentialMaterial,
  HmacInjection,
  JwtInjection,
  SigningInjection,
  SigV4Injection,
} from '../domain/credential.ts';
import { Secret } from '../domain/secret.ts';
import { type ClientIdentity, identityProblem } from './client-identity.ts';
import { HmacSigner, SIGNED_HEADER_NAMES } from './hmac.ts';
import { JwtSigner, readSigningKey } from './jwt.ts';
import type { RequestSigner } from './signer.ts';
import { SigV4Signer } from './sigv4.ts';
import { compileTemplate, renderTemplate } from './template.ts';
import { headerProblem } from './value-rules.ts';

/** What a credential is made of on one host. */
export interface CompileParts {
  readonly material: CredentialMaterial;
  readonly host: string;
  readonly render: (template: string) => string;
}

export function compileSigner(injection: SigningInjection, parts: CompileParts): RequestSigner | string {
  if (injection.in === 'jwt') return compileJwt(injection, parts);
  return injection.in === 'sigv4' ? compileSigV4(injection, parts) : compileHmac(injection, parts);
}

function compileJwt(injection: JwtInjection, { render, material }: CompileParts): RequestSigner | string {
  const key = readSigningKey(render(injection.key), injection.algorithm);
  return typeof key === 'string' ? `can't be signed: ${key}` : new JwtSigner(injection, key, material.fields);
}

function compileSigV4(injection: SigV4Injection, { render, host }: CompileParts): RequestSigner | string {
  const keyId = render(injection.key_id);
  const key = render(injection.key);
  const token = render(injection.token ?? '');
  const region = render(injection.region ?? '');
  const service = render(injection.service ?? '');
  if (!/^[\w./+=-]{1,256}$/.test(keyId)) return 'would have a key id that is none';
  if (headerProblem(key) !== null) return 'would be made with a key that is none';
  if (token !== '' && headerProblem(token) !== null) return 'would have a session token that is none';
  if (![region, service].every((pin) => /^[A-Za-z0-9-]{0,64}$/.test(pin))) return 'would be for a region or service that is none';
  return new SigV4Signer({
    keyId: new Secret(keyId),
    key: new Secret(key),
    token: token === '' ? null : new Secret(token),
    region: region || null,
    service: service || null,
    host,
  });
}

function compileHmac(injection: HmacInjection, { render, material }: CompileParts): RequestSigner | string {
  const encoding = injection.key_encoding ?? 'text';
  const key = Buffer.from(render(injection.key), encoding === 'text' ? 'utf8' : encoding);
  if (key.length === 0) return `would be made with a key that is not ${encoding}`;
  // What the request adds is digits and letters: a header that is right with these is right with all.
  const sample = (name: string): string =>
    SIGNED_HEADER_NAMES.some((known) => known === name) ? 'x' : (material.fields.get(name) as Secret).reveal();
  const names = [...material.fields.keys(), ...SIGNED_HEADER_NAMES];
  for (const { name, template } of injection.headers) {
    const compiled = compileTemplate(template, names);
    const problem = compiled.problems[0] ?? headerProblem(renderTemplate(compiled, sample));
    if (problem !== null) return `in the header ${name} ${problem}`;
  }
  return new HmacSigner(injection, key, material.fields);
}

export function compileIdentity(
  injection: ClientCertificateInjection,
  { render, material }: CompileParts,
): ClientIdentity | string {
  const certificate = render(injection.certificate);
  const key = render(injection.key);
  const problem = identityProblem(certificate, key);
  if (problem !== null) return `can't be used: ${problem}`;
  return {
    tag: `${material.credentialId}:${material.version}:${material.revision ?? 0}`,
    certificate: new Secret(certificate),
    key: new Secret(key),
  };
}
