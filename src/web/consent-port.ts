/** What the pages need of the vault's OAuth flows, as types. Tokens never cross it. */
import type { ConnectRequest } from '../vault/connect-request.ts';
import type { ConnectedAccount } from '../vault/connect-sessions.ts';
import type { ShownProvider } from './view.ts';

export interface NewConsent {
  readonly provider: string;
  readonly scopes: readonly string[];
  readonly redirectUri: string;
  readonly request: ConnectRequest;
  /** Epoch milliseconds; null for no end. */
  readonly expiresAt: number | null;
}

export interface ConsentPort {
  /** @throws AlterError not_found, invalid_input */
  describe(provider: string, required: readonly string[]): ShownProvider;
  begin(consent: NewConsent): Promise<{ readonly authorizationUrl: string; readonly state: string }>;
  complete(callback: URL): Promise<ConnectedAccount>;
}
