/**
 * Percent escapes of paths, as text: bytes are latin1 characters, nothing is read as UTF-8.
 * Must only serve comparisons: no result of these functions is ever sent.
 */
import { AlterError } from '../domain/errors.ts';

const malformed = (reason: string): AlterError => new AlterError('malformed_request', { reason });

/** Unreserved characters (RFC 3986 2.3) decoded, all other escapes in upper case. @throws AlterError malformed_request */
export function decodeUnreserved(path: string): string {
  if (!path.includes('%')) return path;
  return path.replace(/%(..?)?/g, (encoded: string, digits: string | undefined) => {
    if (digits === undefined || !/^[0-9A-Fa-f]{2}$/.test(digits)) throw malformed('the path has a broken percent escape');
    const code = Number.parseInt(digits, 16);
    // SECURITY: these end a path, a line or a log entry in the origin (S-51).
    if (code === 0x00 || code === 0x0a || code === 0x0d || code === 0x7f) throw malformed('the path has an encoded control byte');
    const char = String.fromCharCode(code);
    return /[A-Za-z0-9._~-]/.test(char) ? char : encoded.toUpperCase();
  });
}

/** Every escape as its character, once. Broken escapes stay. */
export const decodeOnce = (text: string): string =>
  text.replace(/%([0-9A-Fa-f]{2})/g, (_all, digits: string) => String.fromCharCode(Number.parseInt(digits, 16)));

/** No origin decodes more often; a bound, since each round of `%252525…` takes off only one layer. */
const MAX_ROUNDS = 4;

/** decodeOnce until nothing changes, four times at most. */
export function decodeFully(text: string): string {
  let decoded = text;
  for (let round = 0; round < MAX_ROUNDS && decoded.includes('%'); round++) decoded = decodeOnce(decoded);
  return decoded;
}
