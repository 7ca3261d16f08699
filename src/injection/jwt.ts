/**
 * A token for each request, signed with a private key: who asks, what for, and for how long. Pure but for the nonce.
 * Must never sign a time or a claim of the client's: it could have tokens made for later, or for somebody else.
 */
import { createPrivateKey, type KeyObject, randomBytes, sign } from 'node:crypto';
import type { JwtAlgorithm, JwtInjection } from '../domain/credential.ts';
import type { Secret } from '../domain/secret.ts';
import { SignedHeaders } from './signed-headers.ts';
import type { BodyNeed, RequestSigner, SignedRequest, UnsignedRequest } from './signer.ts';
import { type CompiledTemplate, compileTemplate, renderTemplate } from './template.ts';

/** What claims and members of the token's header may hold beside fields of the credential. */
export const CLAIM_NAMES = ['method', 'path', 'host', 'nonce'] as const;
/** The same for the HTTP header. */
export const TOKEN_NAMES = ['jwt'] as const;
/** What alterd says itself: `alg` and `typ` of the header, and the times. */
export const OWN_MEMBERS: ReadonlySet<string> = new Set(['alg', 'typ', 'iat', 'nbf', 'exp']);
/** Clocks of providers may be behind ours. */
const EARLY_S = 5;

interface Way {
  readonly type: string;
  readonly curve?: string;
  readonly digest: string | null;
  readonly words: string;
  readonly options: object;
}

/** RFC 7518 3.4: two numbers of fixed length, where OpenSSL would write DER. */
const P1363 = { dsaEncoding: 'ieee-p1363' } as const;
const PSS = { padding: 6, saltLength: -1 } as const;
const WAYS: Readonly<Record<JwtAlgorithm, Way>> = {
  ES256: { type: 'ec', curve: 'prime256v1', digest: 'sha256', words: 'an EC key of the curve P-256', options: P1363 },
  ES384: { type: 'ec', curve: 'secp384r1', digest: 'sha384', words: 'an EC key of the curve P-384', options: P1363 },
  EdDSA: { type: 'ed25519', digest: null, words: 'an Ed25519 key', options: {} },
  RS256: { type: 'rsa', digest: 'sha256', words: 'an RSA key', options: {} },
  PS256: { type: 'rsa', digest: 'sha256', words: 'an RSA key', options: PSS },
};

/** The key of a PEM text for this algorithm, or what is wrong with it. Keys out of JSON files have `\\n` where lines end. */
export function readSigningKey(pem: string, algorithm: JwtAlgorithm): KeyObject | string {
  const { type, curve, words } = WAYS[algorithm];
  let key: KeyObject;
  try {
    key = createPrivateKey(pem.replaceAll('\\n', '\n'));
  } catch {
    return 'the private key is not a key in PEM without a passphrase';
  }
  const isRight = key.asymmetricKeyType === type && key.asymmetricKeyDetails?.namedCurve === curve;
  return isRight ? key : `the private key is not ${words}, which ${algorithm} needs`;
}

type Members = readonly (readonly [name: string, template: CompiledTemplate])[];

export class JwtSigner implements RequestSigner {
  readonly names: readonly string[];
  readonly #injection: JwtInjection;
  readonly #key: KeyObject;
  readonly #fields: ReadonlyMap<string, Secret>;
  readonly #header: Members;
  readonly #claims: Members;
  readonly #place: SignedHeaders;

  constructor(injection: JwtInjection, key: KeyObject, fields: ReadonlyMap<string, Secret>) {
    const names = [...fields.keys(), ...CLAIM_NAMES];
    const compiled = (table: Readonly<Record<string, string>> = {}): Members =>
      Object.entries(table).map(([name, template]) => [name, compileTemplate(template, names)] as const);
    this.#injection = injection;
    this.#key = key;
    this.#fields = fields;
    this.#header = compiled(injection.header);
    this.#claims = compiled(injection.claims);
    this.#place = new SignedHeaders([injection], [...fields.keys(), ...TOKEN_NAMES]);
    this.names = this.#place.names;
  }

  presence(headers: readonly string[], _target: string, placeholder: string | null): number {
    return this.#place.presence(headers, placeholder);
  }

  needs(): BodyNeed {
    return 'nothing';
  }

  sign(request: UnsignedRequest, _body: null | object, now: number): SignedRequest {
    const jwt = this.#tokenFor(request, Math.floor(now / 1000));
    const headers = this.#place.set(request.headers, (name) =>
      name === 'jwt' ? jwt : (this.#fields.get(name) as Secret).reveal(),
    );
    return { headers, target: request.target, body: null };
  }

  #tokenFor(request: UnsignedRequest, nowS: number): string {
    const values: Readonly<Record<string, string>> = {
      method: request.method,
      path: request.target.split('?', 1)[0] as string,
      host: request.authority,
      nonce: randomBytes(16).toString('hex'),
    };
    const lookUp = (name: string): string =>
      (Object.hasOwn(values, name) ? values[name] : this.#fields.get(name)?.reveal()) as string;
    const filled = (table: Members): object =>
      Object.fromEntries(table.map(([name, template]) => [name, renderTemplate(template, lookUp)]));
    const { algorithm, lifetime_s: lifetimeS } = this.#injection;
    const times = { iat: nowS - EARLY_S, nbf: nowS - EARLY_S, exp: nowS - EARLY_S + lifetimeS };
    const parts = [
      { ...filled(this.#header), alg: algorithm, typ: 'JWT' },
      { ...filled(this.#claims), ...times },
    ].map((part) => Buffer.from(JSON.stringify(part), 'utf8').toString('base64url'));
    const { digest, options } = WAYS[algorithm];
    const text = parts.join('.');
    return `${text}.${sign(digest, Buffer.from(text), { key: this.#key, ...options }).toString('base64url')}`;
  }
}
