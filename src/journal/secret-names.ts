/**
 * Which names of members, fields and headers say that their value is a secret. By their words and not by a list of APIs: a body that is
 * kept comes from anywhere. Pure. Rather one too many than one too few; what is only about a secret (a count, a type, an address) is let be.
 */

/** Wherever they stand in a name. */
const WORDS =
  /passw(?:or)?d|passphrase|passcode|secret|token|api_?key|access_?key|private_?key|signing_?key|encryption_?key|master_?key|auth_?key|authorization|credential|cookie|bearer|session_?id|session_?key|code_?verifier|assertion|saml_?response/;
/** Only as the whole name, or its last word. */
const WHOLE = /(?:^|_)(?:auth|pass|pwd|pin|otp|sid|jwt|cvv|cvc)$/;
/** Says where a secret is fetched or what it is like. */
const ABOUT = /(?:^|_)(?:ur[il]|endpoint|type|types|details|supported|required|enabled|expires(?:_in|_at)?|expiry|expiration)$/;
/** Numbers with such a name are counts: of a model's tokens above all. */
const COUNT = /tokens$|(?:^|_)(?:count|limit|length|usage|used|budget|remaining|total|size|index|version)$/;

/** `clientSecret`, `client-secret` and `Client Secret` are one name. */
const normalized = (name: string): string =>
  name
    .replace(/([a-z0-9])([A-Z])/g, '$1_$2')
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, '_')
    .replace(/^_|_$/g, '');

const REMEMBERED = 1024;
const MAX_REMEMBERED_CHARS = 64;
const answers = new Map<string, boolean>();

export function isSecretName(name: string): boolean {
  const known = answers.get(name);
  if (known !== undefined) return known;
  const plain = normalized(name);
  const answer = (WORDS.test(plain) || WHOLE.test(plain)) && !ABOUT.test(plain);
  if (answers.size >= REMEMBERED) answers.clear();
  if (name.length <= MAX_REMEMBERED_CHARS) answers.set(name, answer);
  return answer;
}

/** A secret's name, but one that a number under it is no secret for. */
export const isCountName = (name: string): boolean => COUNT.test(normalized(name));
