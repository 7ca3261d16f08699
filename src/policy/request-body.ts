/**
 * The body of a request as a rule reads it: text of a known form, or the reason why it can't be read. A rule on bodies refuses
 * what it can't read: padded past the limit, compressed, in another character set (S-90). Pure.
 */

/** What was held of a body; `bytes` is null when it is longer than what may be held. */
export interface HeldBytes {
  readonly bytes: Buffer | null;
  readonly limitBytes: number;
}

export interface BodyHead {
  /** Values of `Content-Type` and `Content-Encoding`; null when absent, joined with `, ` when there are several. */
  readonly contentType: string | null;
  readonly contentEncoding: string | null;
}

export type BodyText = { readonly text: string; readonly mediaType: string } | { readonly problem: string };

const UTF8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/** The whole body as text. */
export function bodyText(head: BodyHead, held: HeldBytes): BodyText {
  if (held.bytes === null) return { problem: `the body is longer than the ${held.limitBytes} bytes that a rule reads` };
  // SECURITY: a compressed body could hold any operation; the origin would unpack it, and no rule has.
  if (head.contentEncoding !== null && head.contentEncoding.trim().toLowerCase() !== 'identity')
    return { problem: 'the body is compressed, so no rule can read it' };
  const [media = '', ...parameters] = (head.contentType ?? '').split(';').map((part) => part.trim().toLowerCase());
  const charset = parameters.find((parameter) => parameter.startsWith('charset='))?.slice('charset='.length);
  if (charset !== undefined && !['utf-8', '"utf-8"', 'utf8', 'us-ascii'].includes(charset))
    return { problem: 'the body is in a character set that a rule does not read' };
  try {
    return { text: UTF8.decode(held.bytes), mediaType: media };
  } catch {
    return { problem: 'the body is not valid UTF-8' };
  }
}
