/**
 * Consent, the server's part: what begins at a page, a command line or a device and ends with a grant. A flow lives in memory for a
 * few minutes, is used up by its first completion, and is bound to the redirect address and the client that it began with.
 */
import type { Secret } from '../../domain/secret.ts';

export interface GrantRestrictions {
  readonly methods?: readonly string[] | undefined;
  readonly paths?: readonly string[] | undefined;
  /** Epoch milliseconds. */
  readonly expiresAt?: number | null | undefined;
}

export interface ConnectRequest {
  /** Slug or alias of a provider with [oauth]. */
  readonly provider: string;
  /** Defaults to the provider's default scopes; the required ones are always asked for. */
  readonly scopes?: readonly string[] | undefined;
  readonly label?: string | undefined;
  /** Name or id of who may use the grant; exactly one of `agent` and `system`, unless `grantId` or `user` is given. */
  readonly agent?: string | undefined;
  /** Id of the person whose account it is: the grant is the user's own then, and `agent` is to whom it is delegated. */
  readonly user?: string | undefined;
  readonly system?: boolean | undefined;
  readonly restrictions?: GrantRestrictions | undefined;
  /** Values of the provider's fields with secret = false (a site, a tenant). */
  readonly fields?: Readonly<Record<string, string>> | undefined;
  /** Reconnects the credential of this grant; the same account must consent. */
  readonly grantId?: string | undefined;
  /** The resolved address of the provider may be private (a self-hosted service). */
  readonly allowPrivate?: boolean | undefined;
}

export interface RedirectRequest extends ConnectRequest {
  /** Where the provider sends the browser back to; must be registered with the client at the provider. */
  readonly redirectUri: string;
}

export interface BegunFlow {
  readonly flowId: string;
  readonly providerId: string;
  /** For the browser of the person who consents. Its `state` names the flow and is good for one completion. */
  readonly authorizeUrl: string;
  readonly expiresAt: number;
}

export interface BegunDeviceFlow {
  readonly flowId: string;
  readonly providerId: string;
  readonly userCode: string;
  readonly verificationUri: string;
  readonly verificationUriComplete?: string | undefined;
  readonly intervalMs: number;
  readonly expiresAt: number;
}

/** The query of the redirect, as it came. */
export interface RedirectAnswer {
  readonly state: string;
  readonly code?: string | undefined;
  readonly error?: string | undefined;
  readonly errorDescription?: string | undefined;
  readonly iss?: string | undefined;
}

export interface ConnectedGrant {
  readonly grantId: string;
  readonly providerId: string;
  readonly label: string;
  /** As the provider names the account; null when it does not say. */
  readonly accountId: string | null;
  readonly accountName: string | null;
  readonly scopes: readonly string[];
  /** True when an account that was connected before got new tokens; every grant of it keeps its id. */
  readonly reconnected: boolean;
}

/** An account that is connected already. */
export interface KnownAccount {
  /** As the provider names it; null when it does not say. */
  readonly name: string | null;
  readonly scopes: readonly string[];
}

export type DevicePoll =
  | { readonly status: 'pending'; readonly intervalMs: number }
  | { readonly status: 'connected'; readonly grant: ConnectedGrant };

/** Ways in which nobody has to look at a page; the first token is fetched at once. */
export interface ImportRequest extends ConnectRequest {
  readonly flow: 'refresh_token' | 'client_credentials' | 'jwt_bearer' | 'token_exchange' | 'github_app';
  /** `refresh_token`; `service_account` (its JSON); `subject_token`; `private_key` and `installation_id`; none for client_credentials. */
  readonly inputs: ReadonlyMap<string, Secret>;
}

/** `vault.connect`. */
export interface ConnectFlows {
  /** @throws AlterError not_found, invalid_input, conflict (no client is registered) */
  begin(request: RedirectRequest): Promise<BegunFlow>;
  /**
   * Exchanges the code and stores the grant. A state is used up whatever comes of it.
   * @throws AlterError connect_failed with `details.problem`, audit_unavailable, vault_unavailable
   */
  complete(answer: RedirectAnswer): Promise<ConnectedGrant>;
  /** @throws AlterError not_found, invalid_input, conflict, and those of the provider as above */
  beginDevice(request: ConnectRequest): Promise<BegunDeviceFlow>;
  /** Asks the provider at most once in each interval. @throws AlterError as complete() */
  pollDevice(flowId: string): Promise<DevicePoll>;
  /** @throws AlterError not_found, invalid_input, conflict, and as complete() */
  connectWith(request: ImportRequest): Promise<ConnectedGrant>;
  /**
   * The account that the request's user has connected already and that has these scopes; null when there is none, or more than one.
   * @throws AlterError not_found, invalid_input
   */
  knownAccount(request: ConnectRequest): KnownAccount | null;
  /**
   * One grant more on that account, delegated to the request's agent, without a new consent. SECURITY: the caller knows that it is the user who asks.
   * @throws AlterError not_found, invalid_input, conflict, audit_unavailable, vault_unavailable
   */
  approveKnown(request: ConnectRequest): Promise<ConnectedGrant>;
  /** Forgets a flow, for example when its page is closed. */
  cancel(flowId: string): void;
}
