/**
 * Whose account was connected: asked at the provider's own address with the new token, or read from what came with it.
 * A provider that does not say leaves both null; then nothing can be recognised as the same account later.
 */
import type { OAuthAccountProbe } from '../../config/provider-oauth.ts';
import { oauthOf } from './endpoints.ts';
import { parseDocument, type TokenAnswer, TokenFailure } from './token-answer.ts';
import type { TokenClient } from './token-client.ts';

export interface Account {
  readonly id: string | null;
  readonly name: string | null;
}

/** @param claims of a checked id_token. @throws TokenFailure when the provider was asked and did not answer with an account */
export async function readAccount(
  client: TokenClient,
  answer: TokenAnswer,
  claims: Readonly<Record<string, unknown>> | null,
): Promise<Account> {
  const probe = oauthOf(client.parts.spec).account;
  if (probe === null)
    return { id: textAt(claims, '/sub'), name: textAt(claims, '/email') ?? textAt(claims, '/preferred_username') };
  const asked = [probe.id, probe.name].some((pointer) => pointer.startsWith('/'));
  const document = probe.url !== null && asked ? await ask(client, answer, probe, probe.url) : null;
  const lookUp = (pointer: string): string | null => {
    if (pointer.startsWith('id_token:')) return textAt(claims, pointer.slice('id_token:'.length));
    if (pointer.startsWith('token:')) return textAt(answer.document, pointer.slice('token:'.length));
    return textAt(document, pointer);
  };
  const id = lookUp(probe.id);
  // SECURITY: an account that the provider should have named but did not must not pass for any other.
  if (id === null) throw new TokenFailure('transient', 'no_account');
  return { id, name: lookUp(probe.name) };
}

async function ask(client: TokenClient, { accessToken }: TokenAnswer, probe: OAuthAccountProbe, url: string): Promise<unknown> {
  const place = oauthOf(client.parts.spec).inject.find(
    (each) => each.in === 'header' && each.template.includes('{access_token}'),
  );
  const header = place?.in === 'header' ? place : { name: 'Authorization', template: 'Bearer {access_token}' };
  const answered = await client.send({
    method: probe.method,
    url: client.endpoint(url),
    headers: { ...probe.headers, [header.name]: header.template.replaceAll('{access_token}', accessToken.reveal()) },
    ...(probe.body === null ? {} : { body: Buffer.from(probe.body, 'utf8') }),
  });
  if (answered.status !== 200)
    throw new TokenFailure(answered.status >= 500 ? 'transient' : 'setup', `account_http_${answered.status}`);
  return parseDocument(answered.body.toString('utf8'), answered.contentType);
}

/** The text or number at an RFC 6901 pointer, as printable text of at most 200 characters. */
function textAt(document: unknown, pointer: string): string | null {
  let value: unknown = document;
  for (const part of pointer.slice(1).split('/')) {
    const key = part.replaceAll('~1', '/').replaceAll('~0', '~');
    if (typeof value !== 'object' || value === null || !Object.hasOwn(value, key)) return null;
    value = (value as Readonly<Record<string, unknown>>)[key];
  }
  if (typeof value !== 'string' && typeof value !== 'number') return null;
  const text = String(value)
    .replaceAll(/[\p{Cc}\p{Cf}]/gu, '')
    .slice(0, 200);
  return text === '' ? null : text;
}
