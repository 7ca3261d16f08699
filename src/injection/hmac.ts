/**
 * Signatures made of a template over the request, as exchanges and webhooks want them. Pure but for the nonce.
 * Must never sign a clock or a nonce of the client's: it could have signatures made for a time of its choice.
 */
import { createHash, createHmac, randomBytes } from 'node:crypto';
import type { HmacInjection } from '../domain/credential.ts';
import { AlterError } from '../domain/errors.ts';
import type { Secret } from '../domain/secret.ts';
import { bitOf } from './presence.ts';
import { filterQuery, foldParameter } from './query.ts';
import { SignedHeaders } from './signed-headers.ts';
import type { BodyDigest, BodyNeed, RequestSigner, SignedRequest, UnsignedRequest } from './signer.ts';
import { type CompiledTemplate, compileTemplate, renderTemplate } from './template.ts';

/** What a message may hold beside fields of the credential. */
export const MESSAGE_NAMES = ['method', 'path', 'query', 'target', 'host', 'timestamp', 'nonce', 'body', 'body_sha256'] as const;
/** The same for the headers. */
export const SIGNED_HEADER_NAMES = ['signature', 'timestamp', 'nonce'] as const;

type Fields = ReadonlyMap<string, Secret>;

export class HmacSigner implements RequestSigner {
  readonly names: readonly string[];
  readonly #injection: HmacInjection;
  readonly #fields: Fields;
  readonly #key: Buffer;
  readonly #message: CompiledTemplate;
  readonly #headers: SignedHeaders;
  readonly #query: readonly SignedParameter[];

  /** @param key rendered */
  constructor(injection: HmacInjection, key: Buffer, fields: Fields) {
    const names = [...fields.keys()];
    this.#injection = injection;
    this.#fields = fields;
    this.#key = key;
    this.#message = compileTemplate(injection.message, [...names, ...MESSAGE_NAMES]);
    this.#headers = new SignedHeaders(injection.headers, [...names, ...SIGNED_HEADER_NAMES]);
    this.#query = (injection.query ?? []).map(({ name, template }) => ({
      name,
      folded: foldParameter(name),
      template: compileTemplate(template, [...names, ...SIGNED_HEADER_NAMES]),
    }));
    this.names = this.#headers.names;
  }

  presence(headers: readonly string[], target: string, placeholder: string | null): number {
    // A signature of the client's is made of its placeholder, and is no credential of its own. Without headers there is nothing else.
    if (this.#headers.names.length > 0) return this.#headers.presence(headers, placeholder);
    let has = 0;
    this.#eachOwn(queryOf(target), (value) => {
      has |= bitOf(value, value === placeholder);
    });
    return has;
  }

  needs(request: UnsignedRequest): BodyNeed {
    const used = this.#message.fieldNames;
    if (!request.hasBody) return 'nothing';
    if (used.includes('body')) return 'bytes';
    return used.includes('body_sha256') ? 'sha256' : 'nothing';
  }

  sign(request: UnsignedRequest, body: BodyDigest | null, now: number): SignedRequest {
    const need = this.needs(request);
    if ((need !== 'nothing' && body === null) || (need === 'bytes' && body?.bytes === null))
      throw new AlterError('malformed_request', { reason: 'its body is needed to sign it, and is not there' });
    const path = request.target.split('?', 1)[0] as string;
    const own = queryOf(request.target);
    if (body?.bytes != null) this.#requireNoneIn(body.bytes.toString('latin1'));
    const asked = this.#injection.when !== 'asked' || this.#isSigned(request.headers, own);
    const known = new Map<string, string>();
    const lookUp = (field: string): string => this.#lookUp(field, known);
    if (!asked) return { headers: this.#headers.set(request.headers, lookUp, isUnsigned), target: request.target, body: null };
    known.set('timestamp', this.#timestamp(now)).set('nonce', randomBytes(16).toString('hex'));
    const pairs = (chosen: (template: CompiledTemplate) => boolean): string[] =>
      this.#query.flatMap(({ name, template }) =>
        chosen(template) ? [`${encodeURIComponent(name)}=${encodeURIComponent(renderTemplate(template, lookUp))}`] : [],
      );
    const signedQuery = joined([this.#query.length === 0 ? own : this.#withoutOwn(own), ...pairs(isUnsigned)]);
    known.set('signature', this.#signatureOf({ ...request, target: targetOf(path, signedQuery) }, body, known));
    return {
      headers: this.#headers.set(request.headers, lookUp),
      target:
        this.#query.length === 0
          ? request.target
          : targetOf(path, joined([signedQuery ?? '', ...pairs((each) => !isUnsigned(each))])),
      body: null,
    };
  }

  /** Whether the client filled a place that holds the signature. */
  #isSigned(headers: readonly string[], query: string | null): boolean {
    if (this.#headers.isFilled(headers, (template) => !isUnsigned(template))) return true;
    let found = false;
    this.#eachOwn(query, (_value, { template }) => {
      found ||= !isUnsigned(template);
    });
    return found;
  }

  #eachOwn(query: string | null, visit: (value: string, parameter: SignedParameter) => void): void {
    if (query === null) return;
    filterQuery(query, (name, value) => {
      const parameter = this.#query.find((each) => each.folded === name);
      if (parameter !== undefined) visit(value, parameter);
      return true;
    });
  }

  /** SECURITY: every spelling that the origin may take for one of ours goes (S-54). */
  #withoutOwn(query: string | null): string | null {
    if (query === null) return null;
    const kept = filterQuery(query, (name) => !this.#query.some((each) => each.folded === name));
    return kept === '' ? null : kept;
  }

  /** SECURITY: a clock or a signature in the body would be signed with it, and the origin may believe that one. */
  #requireNoneIn(form: string): void {
    this.#eachOwn(form, (_value, { name }) => {
      throw new AlterError('malformed_request', {
        reason: `its body has a parameter ${JSON.stringify(name)}, which alterd fills in the query; let the client send and sign its parameters in the query`,
      });
    });
  }

  #lookUp(name: string, known: ReadonlyMap<string, string>): string {
    return known.get(name) ?? (this.#fields.get(name) as Secret).reveal();
  }

  #signatureOf(request: UnsignedRequest, body: BodyDigest | null, known: ReadonlyMap<string, string>): string {
    const { algorithm, encoding } = this.#injection;
    const mac = createHmac(algorithm, this.#key);
    const values: Readonly<Record<string, string>> = {
      method: request.method,
      path: request.target.split('?', 1)[0] as string,
      query: queryOf(request.target) ?? '',
      target: request.target,
      host: request.authority,
    };
    this.#message.parts.forEach((part, i) => {
      if (i % 2 === 0) mac.update(part);
      else if (part === 'body') mac.update(body?.bytes ?? '');
      else if (part === 'body_sha256') mac.update(body?.sha256 ?? createHash('sha256').digest('hex'));
      // What came over the wire has one byte for each character.
      else if (Object.hasOwn(values, part)) mac.update(values[part] as string, 'latin1');
      else mac.update(this.#lookUp(part, known));
    });
    return mac.digest(encoding);
  }

  #timestamp(now: number): string {
    const { timestamp } = this.#injection;
    if (timestamp === 'iso') return new Date(now).toISOString();
    return String(timestamp === 'milliseconds' ? now : Math.floor(now / 1000));
  }
}

interface SignedParameter {
  readonly name: string;
  readonly folded: string;
  readonly template: CompiledTemplate;
}

const isUnsigned = (template: CompiledTemplate): boolean => !template.fieldNames.includes('signature');

function queryOf(target: string): string | null {
  const mark = target.indexOf('?');
  return mark === -1 ? null : target.slice(mark + 1);
}

/** The parts of a query that are there, with one `&` between two; null when there are none. */
function joined(parts: readonly (string | null)[]): string | null {
  const found = parts.filter((part) => part !== null);
  return found.length === 0
    ? null
    : found.reduce((all, part) => `${all}${all === '' || all.endsWith('&') || part === '' ? '' : '&'}${part}`);
}

const targetOf = (path: string, query: string | null): string => (query === null ? path : `${path}?${query}`);
