/**
 * Headers that a signer fills: looked for in every spelling, taken off, and put on once each. Pure. Must never leave a value of the
 * client's beside one of ours.
 */
import { foldName, indexOfTwin, isTwin } from './field-name.ts';
import { credentialWords } from './placeholder-forms.ts';
import { bitOf } from './presence.ts';
import { type CompiledTemplate, compileTemplate, renderTemplate } from './template.ts';

interface SignedHeader {
  readonly name: string;
  readonly folded: string;
  readonly template: CompiledTemplate;
}

export class SignedHeaders {
  readonly #headers: readonly SignedHeader[];

  constructor(headers: readonly { readonly name: string; readonly template: string }[], fieldNames: readonly string[]) {
    this.#headers = headers.map(({ name, template }) => ({
      name,
      folded: foldName(name),
      template: compileTemplate(template, fieldNames),
    }));
  }

  /** Folded. */
  get names(): readonly string[] {
    return this.#headers.map((header) => header.folded);
  }

  /** What the client has in them: bits of presence.ts. */
  presence(headers: readonly string[], placeholder: string | null): number {
    let has = 0;
    for (const { folded } of this.#headers) {
      for (let i = indexOfTwin(headers, folded, 0); i !== -1; i = indexOfTwin(headers, folded, i + 2)) {
        const value = headers[i + 1] as string;
        has |= bitOf(value, placeholder !== null && credentialWords(value).includes(placeholder));
      }
    }
    return has;
  }

  /** Whether the client filled one of those that are chosen. */
  isFilled(headers: readonly string[], chosen: (template: CompiledTemplate) => boolean): boolean {
    return this.#headers.some(({ folded, template }) => chosen(template) && indexOfTwin(headers, folded, 0) !== -1);
  }

  /** The headers with ours in place of the client's; of ours, those that are chosen. */
  set(
    headers: readonly string[],
    lookUp: (field: string) => string,
    chosen: (template: CompiledTemplate) => boolean = () => true,
  ): string[] {
    const out: string[] = [];
    for (let i = 0; i < headers.length; i += 2) {
      const name = headers[i] as string;
      // SECURITY: every spelling that the origin may take for one of ours goes (S-39).
      if (!this.#headers.some(({ folded }) => isTwin(name, folded))) out.push(name, headers[i + 1] as string);
    }
    for (const { name, template } of this.#headers) if (chosen(template)) out.push(name, renderTemplate(template, lookUp));
    return out;
  }
}
