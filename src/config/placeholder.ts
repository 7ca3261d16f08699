/**
 * Placeholders: what an agent holds in place of a secret. They carry the shape that a vendor's SDK insists on and enough
 * randomness to be recognised; they are worth nothing anywhere else.
 */
import { randomInt } from 'node:crypto';

const ALPHABETS = {
  random: 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789',
  hex: '0123456789abcdef',
  upper: 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567',
} as const;

const SLOT = /\{(random|hex|upper):(\d{1,3})\}/g;

/** Two placeholders must never be equal by chance: 16 characters of these alphabets are 64 bits or more. */
const MIN_RANDOM_CHARACTERS = 16;

/** What an agent holds when the provider asks for no shape. */
export const DEFAULT_PLACEHOLDER = 'alter_ph_{random:32}';

/** A fresh placeholder of this shape. */
export function mintPlaceholder(template: string): string {
  return template.replaceAll(SLOT, (_all, kind: keyof typeof ALPHABETS, length: string) =>
    Array.from({ length: Number(length) }, () => ALPHABETS[kind][randomInt(ALPHABETS[kind].length)]).join(''),
  );
}

/** Whether a text can have been minted from a template that is allowed. */
export const isPlaceholder = (text: string): boolean => text.length >= MIN_RANDOM_CHARACTERS && /^[!-~]{1,512}$/.test(text);

/** What is wrong with a template; null when nothing is. */
export function placeholderProblem(template: string): string | null {
  const random = [...template.matchAll(SLOT)].reduce((sum, match) => sum + Number(match[2]), 0);
  if (random < MIN_RANDOM_CHARACTERS) return `must hold at least ${MIN_RANDOM_CHARACTERS} random characters, such as {random:32}`;
  if (random > 256) return 'must hold at most 256 random characters';
  return /^[!-z|~]*$/.test(template.replaceAll(SLOT, ''))
    ? null
    : 'must be visible ASCII without spaces, beside {random:N}, {hex:N} and {upper:N}';
}
