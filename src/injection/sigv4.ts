/**
 * AWS Signature Version 4: takes the client's own signature off and signs what is sent with the real keys. Pure.
 * SECURITY: the client's signature is used for its scope, its list of headers and its lifetime alone; keys, dates and hosts are ours.
 */
import { AlterError } from '../domain/errors.ts';
import type { Secret } from '../domain/secret.ts';
import { foldName, indexOfTwin, isTwin } from './field-name.ts';
import { bitOf } from './presence.ts';
import { filterQuery } from './query.ts';
import type { BodyDigest, BodyNeed, RequestSigner, SignedRequest, UnsignedRequest } from './signer.ts';
import { canonicalHeaders, canonicalPath, canonicalQuery } from './sigv4-canonical.ts';
import { ChunkSigner } from './sigv4-chunks.ts';
import { amzDate, EMPTY_SHA256, instantOf, SigningKeys, sha256Hex } from './sigv4-key.ts';
import {
  type ClientSignature,
  credentialOf,
  keyIdOf,
  QUERY_PLACES,
  readSignature,
  type SigningScope,
  scopeOfHost,
} from './sigv4-scope.ts';

export interface SigV4Keys {
  readonly keyId: Secret;
  readonly key: Secret;
  /** null for long-lived keys. */
  readonly token: Secret | null;
  /** Pins; null: as the client or the host says. */
  readonly region: string | null;
  readonly service: string | null;
  /** Canonical, without port. */
  readonly host: string;
}

const ALGORITHM = 'AWS4-HMAC-SHA256';
const UNSIGNED = 'UNSIGNED-PAYLOAD';
const CHUNKED = 'STREAMING-AWS4-HMAC-SHA256-PAYLOAD';
const CHUNKED_WITH_TRAILER = 'STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER';
/** What the body's place in the string to sign may say without a look at the body. */
const MARKS: ReadonlySet<string> = new Set([UNSIGNED, 'STREAMING-UNSIGNED-PAYLOAD-TRAILER', CHUNKED, CHUNKED_WITH_TRAILER]);
/** S3 and its siblings: the path is signed as it is sent, and the body need not be hashed. */
const IS_S3 = /^s3(?:-|express$|$)/;
/** The client's own, folded: they go before anything is signed. */
const STRIPPED = ['authorization', 'x-amz-date', 'x-amz-security-token', 'x-amz-content-sha256', 'x-amz-region-set'] as const;
/** A signature in a URL is worth something to whoever sees it, and this one goes out at once. */
const MAX_QUERY_LIFE_S = 300;

const malformed = (reason: string): AlterError => new AlterError('malformed_request', { reason });

export class SigV4Signer implements RequestSigner {
  readonly names: readonly string[] = STRIPPED.map(foldName);
  readonly #keys: SigV4Keys;
  readonly #derived: SigningKeys;

  constructor(keys: SigV4Keys) {
    this.#keys = keys;
    this.#derived = new SigningKeys(keys.key);
  }

  presence(headers: readonly string[], target: string, placeholder: string | null): number {
    let has = 0;
    for (let i = indexOfTwin(headers, 'authorization', 0); i !== -1; i = indexOfTwin(headers, 'authorization', i + 2)) {
      const value = headers[i + 1] as string;
      const credential = credentialOf(value);
      has |= bitOf(value, credential !== null && keyIdOf(credential) === placeholder);
    }
    const signature = has === 0 ? readSignature(headers, target) : null;
    return signature === null ? has : has | bitOf(signature.keyId, signature.keyId === placeholder);
  }

  needs(request: UnsignedRequest): BodyNeed {
    if (!request.hasBody) return 'nothing';
    const own = readSignature(request.headers, request.target);
    return payloadOf(request, own, this.#scopeFor(own)) === null ? 'sha256' : 'nothing';
  }

  sign(request: UnsignedRequest, body: BodyDigest | null, now: number): SignedRequest {
    const own = readSignature(request.headers, request.target);
    const scope = this.#scopeFor(own);
    const payload = payloadOf(request, own, scope) ?? body?.sha256;
    if (payload === undefined) throw malformed('the hash of its body is needed to sign it, and is not there');
    const signed =
      own?.form === 'query'
        ? this.#signQuery(request, own, scope, payload, now)
        : this.#signHead(request, own, scope, payload, now);
    const { signature, date, ...rest } = signed;
    const isChunked = payload === CHUNKED || payload === CHUNKED_WITH_TRAILER;
    if (!isChunked) return { ...rest, body: null };
    const scopeText = scopeTextOf(date, scope);
    const signChunk = (kind: string, hashes: string, previous: string): string =>
      this.#derived.signatureOf(date.slice(0, 8), scope, `${ALGORITHM}-${kind}\n${date}\n${scopeText}\n${previous}\n${hashes}`);
    return { ...rest, body: new ChunkSigner(signature, signChunk, payload === CHUNKED_WITH_TRAILER) };
  }

  /** @throws AlterError malformed_request, policy_violation */
  #scopeFor(own: ClientSignature | null): SigningScope {
    const { host } = this.#keys;
    const byHost = own?.scope === null || own === null ? scopeOfHost(host) : null;
    const region = this.#pinned('region', own?.scope?.region) ?? byHost?.region;
    const service = this.#pinned('service', own?.scope?.service) ?? byHost?.service;
    if (region !== undefined && service !== undefined) return { region, service };
    throw malformed(
      `neither its own signature, the credential nor the host ${JSON.stringify(host)} says for which AWS region and service it is to be signed; let the client sign it with its placeholder keys`,
    );
  }

  /** SECURITY: a pin is what the operator allows, so a client that asks for another region or service gets no signature. */
  #pinned(what: 'region' | 'service', asked: string | undefined): string | undefined {
    const pin = this.#keys[what];
    if (pin === null || asked === undefined || asked === pin) return pin ?? asked;
    const reason = `The credential signs for the ${what} ${JSON.stringify(pin)} alone, and the request is for ${JSON.stringify(asked)}.`;
    throw new AlterError('policy_violation', { policy_error: 'signing_scope', rule: `sigv4.${what}`, reason });
  }

  #signHead(request: UnsignedRequest, own: ClientSignature | null, scope: SigningScope, payload: string, now: number): Signature {
    const date = amzDate(now);
    const saysHash = IS_S3.test(scope.service) || indexOfTwin(request.headers, 'x-amz-content-sha256', 0) !== -1;
    const headers = stripped(request.headers);
    headers.push('X-Amz-Date', date);
    if (saysHash) headers.push('X-Amz-Content-Sha256', payload);
    if (this.#keys.token !== null) headers.push('X-Amz-Security-Token', this.#keys.token.reveal());
    const target = withoutSignature(request.target);
    const { lines, names } = canonicalHeaders(headers, request.authority, own?.signedHeaders ?? new Set());
    const signature = this.#signatureOf(request.method, target, lines, names, payload, date, scope);
    const credential = `${this.#keys.keyId.reveal()}/${scopeTextOf(date, scope)}`;
    headers.push('Authorization', `${ALGORITHM} Credential=${credential}, SignedHeaders=${names}, Signature=${signature}`);
    return { headers, target, signature, date };
  }

  /** The client's lifetime stays in force: what it let expire is sent as it is dated, for AWS to refuse. */
  #signQuery(request: UnsignedRequest, own: ClientSignature, scope: SigningScope, payload: string, now: number): Signature {
    const signedAt = instantOf(own.date ?? '');
    const lifeS = /^\d{1,6}$/.test(own.expires ?? '') ? Number(own.expires) : Number.NaN;
    if (Number.isNaN(signedAt) || Number.isNaN(lifeS)) throw malformed('its X-Amz-Date or X-Amz-Expires is not valid');
    const leftS = Math.floor((signedAt + lifeS * 1000 - now) / 1000);
    const date = leftS > 0 ? amzDate(now) : (own.date as string);
    const expires = leftS > 0 ? Math.min(leftS, MAX_QUERY_LIFE_S) : lifeS;
    const headers = stripped(request.headers);
    const hash = fieldOf(request.headers, 'x-amz-content-sha256');
    if (hash !== undefined) headers.push('X-Amz-Content-Sha256', hash);
    const { lines, names } = canonicalHeaders(headers, request.authority, own.signedHeaders);
    const credential = `${this.#keys.keyId.reveal()}/${scopeTextOf(date, scope)}`;
    const pairs: [string, string][] = [
      ['X-Amz-Algorithm', ALGORITHM],
      ['X-Amz-Credential', credential],
      ['X-Amz-Date', date],
      ['X-Amz-Expires', String(expires)],
      ['X-Amz-SignedHeaders', names],
    ];
    if (this.#keys.token !== null) pairs.push(['X-Amz-Security-Token', this.#keys.token.reveal()]);
    const bare = withoutSignature(request.target);
    const join = !bare.includes('?') ? '?' : bare.endsWith('?') || bare.endsWith('&') ? '' : '&';
    const target = `${bare}${join}${pairs.map(([name, value]) => `${name}=${encodeURIComponent(value)}`).join('&')}`;
    const signature = this.#signatureOf(request.method, target, lines, names, payload, date, scope);
    return { headers, target: `${target}&X-Amz-Signature=${signature}`, signature, date };
  }

  #signatureOf(
    method: string,
    target: string,
    lines: string,
    names: string,
    payload: string,
    date: string,
    scope: SigningScope,
  ): string {
    const mark = target.indexOf('?');
    const path = canonicalPath(mark === -1 ? target : target.slice(0, mark), IS_S3.test(scope.service));
    const query = mark === -1 ? '' : canonicalQuery(target.slice(mark + 1));
    const canonical = `${method}\n${path}\n${query}\n${lines}\n${names}\n${payload}`;
    const stringToSign = `${ALGORITHM}\n${date}\n${scopeTextOf(date, scope)}\n${sha256Hex(canonical)}`;
    return this.#derived.signatureOf(date.slice(0, 8), scope, stringToSign);
  }
}

interface Signature {
  readonly headers: string[];
  readonly target: string;
  readonly signature: string;
  readonly date: string;
}

const scopeTextOf = (date: string, { region, service }: SigningScope): string =>
  `${date.slice(0, 8)}/${region}/${service}/aws4_request`;

/**
 * What the string to sign says of the body; null when the body itself has to be hashed.
 * A hash that the client computed is used as it is: it becomes part of what is signed, and AWS compares it with the body that arrives, so
 * a wrong one only spoils the client's own request, and nothing has to be held back for it.
 */
function payloadOf(request: UnsignedRequest, own: ClientSignature | null, scope: SigningScope): string | null {
  const said =
    fieldOf(request.headers, 'x-amz-content-sha256') ?? (own?.form === 'query' ? queryHashOf(request.target) : undefined);
  if (said !== undefined) {
    if (MARKS.has(said) || /^[0-9a-f]{64}$/.test(said)) return said;
    throw malformed('its X-Amz-Content-Sha256 is neither a hash nor a known mark; SigV4A streams can not be signed again');
  }
  const isS3 = IS_S3.test(scope.service);
  if (isS3 && own?.form === 'query') return UNSIGNED;
  if (!request.hasBody) return EMPTY_SHA256;
  // TLS protects the body on its way; hashing it would mean to hold it back.
  return isS3 && request.scheme === 'https' ? UNSIGNED : null;
}

function fieldOf(headers: readonly string[], folded: string): string | undefined {
  const at = indexOfTwin(headers, folded, 0);
  return at === -1 ? undefined : (headers[at + 1] as string).trim();
}

function queryHashOf(target: string): string | undefined {
  let found: string | undefined;
  const mark = target.indexOf('?');
  if (mark !== -1)
    filterQuery(target.slice(mark + 1), (name, value) => {
      if (name === 'x-amz-content-sha256') found ??= value;
      return true;
    });
  return found;
}

/** SECURITY: a second signature, date or token would let the server choose which one it believes (S-39). */
function stripped(headers: readonly string[]): string[] {
  const out: string[] = [];
  for (let i = 0; i < headers.length; i += 2) {
    const name = headers[i] as string;
    if (!STRIPPED.some((folded) => isTwin(name, folded))) out.push(name, headers[i + 1] as string);
  }
  return out;
}

function withoutSignature(target: string): string {
  const mark = target.indexOf('?');
  if (mark === -1 || !/x-amz-/i.test(target)) return target;
  const kept = filterQuery(target.slice(mark + 1), (name) => !QUERY_PLACES.has(name));
  return kept === '' ? target.slice(0, mark) : `${target.slice(0, mark + 1)}${kept}`;
}
