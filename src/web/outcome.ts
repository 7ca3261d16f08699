/**
 * What an application is told at the end, in the words of Alter's Connect protocol: a message for the page that opened the popup, and a URL
 * for a visit of the full page. Pure. SECURITY: both go only where the session says; neither holds a token or a code.
 */
import type { ConnectedAccount, ConnectSession } from '../vault/connect-sessions.ts';

export interface Outcome {
  readonly message: Readonly<Record<string, unknown>>;
  /** The only origin that the message is for; null for nobody. */
  readonly target_origin: string | null;
  readonly return_url: string | null;
}

/** The accounts that were connected; the error that ended it when there are none. */
export function outcomeOf(
  session: ConnectSession,
  error: { readonly code: string; readonly description: string } | null,
): Outcome {
  const { allowedOrigin, returnUrl } = session.request;
  const [first] = session.connected;
  if (first === undefined) {
    const { code, description } = error ?? {
      code: 'access_denied',
      description: 'The person ended it without connecting anything.',
    };
    return {
      message: { type: 'alter_connect_error', error: code, error_description: description },
      target_origin: allowedOrigin,
      return_url: withParameters(returnUrl, { alter_connect_error: 'true', error_code: code, error_description: description }),
    };
  }
  return {
    message: { type: 'alter_connect_success', grants: session.connected.map(grantOf) },
    target_origin: allowedOrigin,
    // The protocol's URL has room for one grant; an application that asks for several reads the rest from its back end.
    return_url: withParameters(returnUrl, {
      alter_connect_success: 'true',
      grant_id: first.grantId,
      provider: first.provider,
      account_identifier: accountOf(first),
      provider_name: first.providerName,
      timestamp: new Date(first.at).toISOString(),
      operation: operationOf(first),
      scopes: first.scopes.join(','),
      status: 'active',
    }),
  };
}

const grantOf = (account: ConnectedAccount): Record<string, unknown> => ({
  grant_id: account.grantId,
  provider: account.provider,
  provider_name: account.providerName,
  account_identifier: accountOf(account),
  timestamp: new Date(account.at).toISOString(),
  operation: operationOf(account),
  scopes: [...account.scopes],
  status: 'active',
  metadata: {
    ...(account.accountName === null ? {} : { account_display_name: account.accountName }),
    ...(account.accountName?.includes('@') ? { account_email: account.accountName } : {}),
  },
});

/** The widget takes a return without an account for a broken one; the grant names it where the provider does not say. */
const accountOf = (account: ConnectedAccount): string => account.accountName ?? account.accountId ?? account.grantId;
const operationOf = (account: ConnectedAccount): string => (account.isReconnected ? 'reauth' : 'creation');

/** The query that the URL had stays; these parameters are set once. */
function withParameters(returnUrl: string | null, parameters: Readonly<Record<string, string>>): string | null {
  if (returnUrl === null) return null;
  const url = new URL(returnUrl);
  for (const [name, value] of Object.entries(parameters)) url.searchParams.set(name, value);
  return url.href;
}
