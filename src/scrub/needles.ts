/**
 * From the values of a credential to the byte strings that must not reach an agent: each value in each form of renderings.ts.
 * SECURITY: a needle is never chosen by an agent and never shorter than MIN_SECRET_BYTES: what is found is masked, so a short
 * or chosen needle would let an agent ask whether its guess is right (S-62).
 */
import type { Secret } from '../domain/secret.ts';
import { base32Forms, base64Forms, caseForms, hexForms, htmlForms, jsonForms, percentForms } from './renderings.ts';
import { secretLines } from './secret-lines.ts';

/** Shorter values could be guessed piece by piece with the mask as an answer, and stand in answers by chance. */
export const MIN_SECRET_BYTES = 8;
/** From here on a value is looked for in one letter case too; a short one may be a word then. */
const MIN_CASELESS_BYTES = 16;

/** Each value as it goes over the wire: UTF-8, and Latin-1 where that is possible and differs. */
function encodingsOf(text: string): Buffer[] {
  const utf8 = Buffer.from(text, 'utf8');
  if (utf8.length === text.length || !/^[\x00-\xff]*$/.test(text)) return [utf8];
  return [utf8, Buffer.from(text, 'latin1')];
}

function formsOf(text: string): Buffer[] {
  const forms: Buffer[] = [];
  const ofText = [text, ...jsonForms(text), ...htmlForms(text)];
  if (text.length >= MIN_CASELESS_BYTES) ofText.push(...caseForms(text));
  for (const form of ofText) forms.push(...encodingsOf(form));
  for (const bytes of encodingsOf(text)) {
    const digits = [...base64Forms(bytes), ...hexForms(bytes), ...percentForms(bytes), ...base32Forms(bytes)];
    for (const form of digits) forms.push(Buffer.from(form, 'latin1'));
  }
  return forms;
}

/** A line of many: what is made of a text that has lines is mostly made of the lines as they are. */
function formsOfLine(text: string): Buffer[] {
  const bytes = Buffer.from(text, 'utf8');
  const forms = [text, text.replaceAll('/', '\\/'), encodeURIComponent(text), bytes.toString('hex'), ...base64Forms(bytes)];
  return forms.map((form) => Buffer.from(form, 'utf8'));
}

/**
 * The needles of a credential, each once and none within another. The rendered header, the Basic pair in base64, the query
 * pair and the cookie all contain a form of a value, so the values are enough.
 * @param values every secret field; those under MIN_SECRET_BYTES are left out
 */
export function needlesOf(values: Iterable<Secret>): Buffer[] {
  const found = new Map<string, Buffer>();
  for (const value of values) {
    const text = value.reveal();
    if (Buffer.byteLength(text) < MIN_SECRET_BYTES) continue;
    const forms = text.includes('\n') ? secretLines(text).flatMap(formsOfLine) : formsOf(text);
    for (const form of forms) if (form.length >= MIN_SECRET_BYTES) found.set(form.toString('latin1'), form);
  }
  const byLength = [...found.values()].sort((a, b) => a.length - b.length);
  const minimal: Buffer[] = [];
  for (const form of byLength) if (!minimal.some((shorter) => form.includes(shorter))) minimal.push(form);
  return minimal;
}
