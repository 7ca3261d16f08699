/** The next token by refresh token (RFC 6749 6), or by exchanging the access token itself where a provider wants it so. */
import { oauthOf } from '../endpoints.ts';
import type { Parameters } from '../token-client.ts';
import type { SourceContext, TokenSource } from './token-source.ts';

export const REFRESH_TOKEN: TokenSource = {
  flows: ['authorization_code', 'device_code', 'refresh_token'],
  inputs: [],
  mayRenew: ({ client, material }) => {
    const { refresh } = oauthOf(client.parts.spec);
    if (refresh === 'none') return false;
    return material.has(refresh === 'exchange' ? 'access_token' : 'refresh_token');
  },
  isSingleUse: ({ client }) => oauthOf(client.parts.spec).refresh === 'rotating',
  next: (context) => {
    const { refreshUrl, tokenUrl } = oauthOf(context.client.parts.spec);
    return context.client.token(parametersOf(context), context.client.endpoint(refreshUrl ?? tokenUrl));
  },
};

function parametersOf({ client, material }: SourceContext): Parameters {
  const { refresh, refreshParams } = oauthOf(client.parts.spec);
  if (refresh !== 'exchange') {
    return { ...refreshParams, grant_type: 'refresh_token', refresh_token: material.get('refresh_token')!.reveal() };
  }
  const accessToken = material.get('access_token')!.reveal();
  return Object.fromEntries(
    Object.entries(refreshParams).map(([name, value]) => [name, value === '{access_token}' ? accessToken : value]),
  );
}
