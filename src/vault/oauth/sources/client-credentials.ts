/** The next token for the client itself (RFC 6749 4.4): no person and no refresh token. */
import { oauthOf, parametersOf } from '../endpoints.ts';
import type { TokenSource } from './token-source.ts';

export const CLIENT_CREDENTIALS: TokenSource = {
  flows: ['client_credentials'],
  inputs: [],
  mayRenew: () => true,
  isSingleUse: () => false,
  next: ({ client, scopes }) => {
    const { tokenParams, scopeParameter, scopeSeparator } = oauthOf(client.parts.spec);
    return client.token({
      ...parametersOf(tokenParams, client.parts.fields),
      grant_type: 'client_credentials',
      ...(scopes.length === 0 ? {} : { [scopeParameter]: scopes.join(scopeSeparator) }),
    });
  },
};
