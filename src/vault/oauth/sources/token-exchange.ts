/** The next token in exchange for another one that the operator stored (RFC 8693). */
import { oauthOf, parametersOf } from '../endpoints.ts';
import type { TokenSource } from './token-source.ts';

export const TOKEN_EXCHANGE: TokenSource = {
  flows: ['token_exchange'],
  inputs: ['subject_token'],
  mayRenew: ({ material }) => material.has('subject_token'),
  isSingleUse: () => false,
  next: ({ client, material, scopes }) => {
    const { tokenParams, scopeParameter, scopeSeparator } = oauthOf(client.parts.spec);
    return client.token({
      subject_token_type: 'urn:ietf:params:oauth:token-type:access_token',
      ...parametersOf(tokenParams, client.parts.fields),
      grant_type: 'urn:ietf:params:oauth:grant-type:token-exchange',
      subject_token: material.get('subject_token')!.reveal(),
      ...(scopes.length === 0 ? {} : { [scopeParameter]: scopes.join(scopeSeparator) }),
    });
  },
};
