/**
 * A secret of several lines, such as a private key in PEM, as what is looked for in answers: each line for itself, since programs break
 * and join lines as they like. A certificate is shown to everybody, and is no secret. Pure.
 */

/** A shorter line (the last one of PEM) could stand in an answer by chance. */
const MIN_LINE_CHARACTERS = 16;

export function secretLines(text: string): string[] {
  return text
    .replace(/-----BEGIN CERTIFICATE-----[^-]*-----END CERTIFICATE-----/g, '')
    .split(/\r?\n/)
    .map((line) => line.trim())
    .filter((line) => line.length >= MIN_LINE_CHARACTERS && !line.startsWith('-----'));
}
