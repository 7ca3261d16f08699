/**
 * Signatures made of a template over the request, as exchanges and webhooks want them. Pure but for the nonce.
 * Must never sign a clock or a nonce of the client's: it could have signatures made for a time of its choice.
 */
import { createHash, createHmac, randomBytes } from 'node:crypto';
import type { HmacInjection } from '../domain/credential.ts';
import { AlterError } from '../domain/errors.ts';
import type { Secret } from '../domain/secret.ts';
import { foldName, indexOfTwin, isTwin } from './field-name.ts';
import { credentialWords } from './placeholder-forms.ts';
import { bitOf } from './presence.ts';
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
  readonly #headers: readonly { readonly name: string; readonly folded: string; readonly template: CompiledTemplate }[];

  /** @param key rendered */
  constructor(injection: HmacInjection, key: Buffer, fields: Fields) {
    const names = [...fields.keys()];
    this.#injection = injection;
    this.#fields = fields;
    this.#key = key;
    this.#message = compileTemplate(injection.message, [...names, ...MESSAGE_NAMES]);
    this.#headers = injection.headers.map(({ name, template }) => ({
      name,
      folded: foldName(name),
      template: compileTemplate(template, [...names, ...SIGNED_HEADER_NAMES]),
    }));
    this.names = this.#headers.map((header) => header.folded);
  }

  presence(headers: readonly string[], _target: string, placeholder: string | null): number {
    let has = 0;
    for (const { folded } of this.#headers) {
      for (let i = indexOfTwin(headers, folded, 0); i !== -1; i = indexOfTwin(headers, folded, i + 2)) {
        const value = headers[i + 1] as string;
        has |= bitOf(value, placeholder !== null && credentialWords(value).includes(placeholder));
      }
    }
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
    const known = new Map<string, string>([
      ['timestamp', this.#timestamp(now)],
      ['nonce', randomBytes(16).toString('hex')],
    ]);
    known.set('signature', this.#signatureOf(request, body, known));
    const headers: string[] = [];
    for (let i = 0; i < request.headers.length; i += 2) {
      const name = request.headers[i] as string;
      // SECURITY: every spelling that the origin may take for one of ours goes (S-39).
      if (!this.names.some((folded) => isTwin(name, folded))) headers.push(name, request.headers[i + 1] as string);
    }
    for (const { name, template } of this.#headers)
      headers.push(
        name,
        renderTemplate(template, (field) => this.#lookUp(field, known)),
      );
    return { headers, target: request.target, body: null };
  }

  #lookUp(name: string, known: ReadonlyMap<string, string>): string {
    return known.get(name) ?? (this.#fields.get(name) as Secret).reveal();
  }

  #signatureOf(request: UnsignedRequest, body: BodyDigest | null, known: ReadonlyMap<string, string>): string {
    const { algorithm, encoding } = this.#injection;
    const mac = createHmac(algorithm, this.#key);
    const mark = request.target.indexOf('?');
    const values: Readonly<Record<string, string>> = {
      method: request.method,
      path: mark === -1 ? request.target : request.target.slice(0, mark),
      query: mark === -1 ? '' : request.target.slice(mark + 1),
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
