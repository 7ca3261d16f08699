/**
 * The next token by a signed assertion (RFC 7523): service accounts, such as the JSON that Google hands out.
 * SECURITY: the `token_uri` of that JSON is never used: a file that somebody sent would choose where assertions go (S-102).
 */

import { Secret } from '../../../domain/secret.ts';
import { oauthOf, parametersOf } from '../endpoints.ts';
import { TokenFailure } from '../token-answer.ts';
import { privateKeyOf, signAssertion } from './signed-assertion.ts';
import type { TokenSource } from './token-source.ts';

const LIFE_S = 600;

export const JWT_BEARER: TokenSource = {
  flows: ['jwt_bearer'],
  inputs: ['service_account'],
  mayRenew: ({ material }) => material.has('service_account'),
  isSingleUse: () => false,
  next: ({ client, material, scopes }) => {
    const account = readServiceAccount(material.get('service_account')!);
    const { tokenUrl, tokenParams, scopeSeparator } = oauthOf(client.parts.spec);
    const audience = client.endpoint(tokenUrl);
    const now = Math.floor(client.parts.now() / 1000);
    const assertion = signAssertion(
      privateKeyOf(account.privateKey),
      {
        iss: account.email,
        sub: account.subject ?? account.email,
        aud: audience,
        iat: now,
        exp: now + LIFE_S,
        ...(scopes.length === 0 ? {} : { scope: scopes.join(scopeSeparator) }),
      },
      account.keyId,
    );
    return client.token(
      { ...parametersOf(tokenParams, client.parts.fields), grant_type: 'urn:ietf:params:oauth:grant-type:jwt-bearer', assertion },
      audience,
    );
  },
};

export interface ServiceAccount {
  readonly email: string;
  readonly subject: string | undefined;
  readonly keyId: string | undefined;
  readonly privateKey: Secret;
}

/** Reads `client_email`, `private_key`, `private_key_id` and `subject` (delegation). @throws TokenFailure setup */
export function readServiceAccount(json: Secret): ServiceAccount {
  let raw: Record<string, unknown>;
  try {
    raw = JSON.parse(json.reveal()) as Record<string, unknown>;
  } catch {
    throw new TokenFailure('setup', 'unusable_service_account');
  }
  const text = (name: string): string | undefined => (typeof raw?.[name] === 'string' ? (raw[name] as string) : undefined);
  const email = text('client_email') ?? text('iss');
  const privateKey = text('private_key');
  if (email === undefined || privateKey === undefined) throw new TokenFailure('setup', 'unusable_service_account');
  return { email, subject: text('subject'), keyId: text('private_key_id'), privateKey: new Secret(privateKey) };
}
