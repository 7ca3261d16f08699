/**
 * The one table of refusals and failures, and the one error class.
 * Each code has a status for each face (the proxy speaks in the provider's place, the Vault API for itself), the typed
 * details it carries, its message and the hint that says what to do next. The README's table is generated from it.
 * The proxy never answers 401, 404 or 409 of its own: to a client these are claims about the provider's resource.
 */

import type { ErrorSpec } from './error-spec.ts';
import { FLEET_ERRORS } from './fleet-errors.ts';

const spec = <D extends object>(s: ErrorSpec<D>): ErrorSpec<D> => s;
const quote = (s: string): string => JSON.stringify(s);

/** What an agent may learn about a grant that it could have meant: never another principal's accounts. */
export interface GrantCandidate {
  readonly grant_id: string;
  readonly label: string;
}

/** What kept an account from being connected. */
export type ConnectProblem =
  /** The state is unknown, used, too old, or the answer came from another issuer. */
  | 'state_mismatch'
  | 'consent_denied'
  /** The provider answered, but not with tokens that can be used. */
  | 'provider_refused'
  /** The provider could not be reached, or may not be. */
  | 'provider_unreachable'
  | 'expired'
  /** Another account consented than the one that was to be connected again. */
  | 'account_mismatch';

export const ERRORS = {
  malformed_request: spec<{ reason: string }>({
    sdkName: 'AlterValueError',
    proxyStatus: 400,
    apiStatus: 400,
    title: 'Malformed request',
    detail: (d) => `The request can't be accepted: ${d.reason}.`,
    hint: () => 'Fix the request; nothing was forwarded.',
  }),
  request_too_large: spec<{ reason: string; proxy_status?: number }>({
    sdkName: 'AlterValueError',
    proxyStatus: 431,
    apiStatus: 413,
    title: 'Request over a limit',
    detail: (d) => `The request is over a limit: ${d.reason}.`,
    hint: () => 'Send fewer or shorter headers, or raise the limit under [limits] in the configuration.',
  }),
  method_refused: spec<{ method: string }>({
    sdkName: 'AlterValueError',
    proxyStatus: 405,
    apiStatus: 405,
    title: 'Method refused',
    detail: (d) => `The method ${d.method} is never forwarded.`,
    hint: () => 'Use another method.',
  }),
  caller_unauthenticated: spec<{ reason?: string }>({
    sdkName: 'InvalidKeyError',
    proxyStatus: 407,
    apiStatus: 401,
    title: 'Caller not authenticated',
    detail: (d) => d.reason ?? 'The proxy URL carries no agent key, or one that is unknown here.',
    hint: () =>
      'Put the key of an agent into the proxy URL (http://NAME:KEY@HOST:PORT), or use `alterd run --agent NAME -- COMMAND`.',
  }),
  key_revoked: spec<{ key_prefix?: string }>({
    sdkName: 'KeyRevokedError',
    proxyStatus: 407,
    apiStatus: 401,
    title: 'Key revoked or expired',
    detail: (d) => `The agent key${d.key_prefix ? ` ${d.key_prefix}…` : ''} is revoked, expired, or its agent is not active.`,
    hint: () => 'An operator mints a new one: `alterd agent key create NAME`.',
  }),
  too_many_failures: spec<{ reason: string }>({
    sdkName: 'InvalidKeyError',
    proxyStatus: 429,
    apiStatus: 429,
    title: 'Too many failed attempts',
    detail: (d) => `Too many failed attempts: ${d.reason}.`,
    hint: () => 'Wait, then use a valid key.',
    retryAfterSeconds: 30,
  }),
  misdirected_request: spec<{ host: string; destination: string }>({
    sdkName: 'AlterValueError',
    proxyStatus: 421,
    apiStatus: null,
    title: 'Misdirected request',
    detail: (d) => `The request names ${quote(d.host)} but the tunnel leads to ${quote(d.destination)}.`,
    hint: () => 'Open a tunnel to the host that the request names.',
  }),
  destination_refused: spec<{ host: string; policy_error: string }>({
    sdkName: 'PolicyViolationError',
    proxyStatus: 403,
    apiStatus: null,
    title: 'Destination refused',
    detail: (d) => `${quote(d.host)} can't be reached through this proxy (${d.policy_error}).`,
    hint: (d) =>
      d.policy_error === 'address_not_allowed'
        ? 'The name leads to a private, loopback or metadata address. If that is meant: `alterd grant update GRANT --allow-private`, or allow_private in the configuration.'
        : 'An operator adds a grant for the host (`alterd grant create PROVIDER --agent NAME`) or sets egress = "tunnel".',
  }),
  tunnel_limit: spec<{ reason: string }>({
    sdkName: 'BackendError',
    proxyStatus: 503,
    apiStatus: null,
    title: 'Too many open tunnels',
    detail: (d) => `The proxy is at its limit: ${d.reason}.`,
    hint: () => 'Close some connections, or raise the limit under [limits] in the configuration.',
    retryAfterSeconds: 1,
  }),
  grant_not_found: spec<{ host?: string; provider_id?: string; agent?: string; connect_url?: string; reason?: string }>({
    sdkName: 'GrantNotFoundError',
    proxyStatus: 403,
    apiStatus: 404,
    title: 'No grant',
    detail: (d) =>
      d.reason ??
      `No grant lets ${d.agent ? `agent ${quote(d.agent)}` : 'this agent'} call ${quote(d.host ?? d.provider_id ?? 'this host')}.`,
    hint: (d) => `Create one: \`alterd grant create ${d.provider_id ?? 'PROVIDER'} --agent ${d.agent ?? 'NAME'}\`.`,
  }),
  no_delegated_grant: spec<{ host: string; agent: string; agent_id: string; user_id?: string; reason?: string }>({
    sdkName: 'NoDelegatedGrantError',
    proxyStatus: 403,
    apiStatus: 403,
    title: 'No delegated grant',
    detail: (d) => d.reason ?? `The user of this request delegated no grant for ${quote(d.host)} to agent ${quote(d.agent)}.`,
    hint: (d) => `The user delegates one: \`alterd delegate GRANT --agent ${d.agent}\`.`,
  }),
  ambiguous_grant: spec<{ host: string; provider_id?: string; candidates: readonly GrantCandidate[] }>({
    sdkName: 'AmbiguousGrantError',
    proxyStatus: 403,
    apiStatus: 409,
    title: 'Several grants match',
    detail: (d) => `${d.candidates.length} grants cover ${quote(d.host)} and nothing says which one is meant.`,
    hint: (d) =>
      `Send the header \`Alter-Grant-Id: ${d.candidates[0]?.grant_id ?? 'ID'}\` or \`Alter-Label: ${d.candidates[0]?.label || 'LABEL'}\`, or use \`alterd run --grant ID\`.`,
  }),
  /** With a grant: its account. Without: the user in person. */
  re_auth_required: spec<{ reason: string; grant_id?: string; provider_id?: string; account?: string; connect_url?: string }>({
    sdkName: 'ReAuthRequiredError',
    proxyStatus: 403,
    apiStatus: 403,
    title: 'Authenticate again',
    detail: (d) =>
      d.grant_id === undefined
        ? `It is not proved for which user this is: ${d.reason}.`
        : `The ${d.provider_id ?? ''} account of grant ${d.grant_id} has to be connected again: ${d.reason}.`,
    hint: (d) =>
      d.grant_id === undefined
        ? 'Get a new token from the identity provider, or sign in again with `alterd login`.'
        : `${d.connect_url === undefined ? 'An' : `Whose account it is opens ${d.connect_url} within ten minutes, or an`} operator connects it again: \`alterd connect ${d.provider_id ?? 'PROVIDER'} --grant ${d.grant_id}\`. The grant keeps its id.`,
  }),
  token_binding_mismatch: spec<{ binding: 'unit' | 'executable' | 'cidr' }>({
    sdkName: 'InvalidKeyError',
    proxyStatus: 403,
    apiStatus: 403,
    title: 'Key used from elsewhere',
    detail: (d) =>
      `The key is bound to another ${{ unit: 'systemd unit', executable: 'program', cidr: 'network' }[d.binding]} than the one that presented it, or the kernel does not say which that is.`,
    hint: () => 'An operator looks at what the key is bound to: `alterd agent key list NAME`.',
  }),
  policy_violation: spec<{ policy_error: string; rule?: string; grant_id?: string; reason?: string }>({
    sdkName: 'PolicyViolationError',
    proxyStatus: 403,
    apiStatus: 403,
    title: 'Denied by policy',
    detail: (d) => d.reason ?? `A rule denies this request (${d.policy_error}).`,
    hint: (d) =>
      d.grant_id ? `See what the grant allows: \`alterd grant show ${d.grant_id}\`.` : 'Ask an operator what the policy allows.',
  }),
  rate_limited: spec<{ policy_error: 'rate_limit_exceeded'; rule?: string; limit_scope?: string; retry_after?: number }>({
    sdkName: 'PolicyViolationError',
    proxyStatus: 429,
    apiStatus: 429,
    title: 'Rate limit reached',
    detail: () => 'The rate limit of this grant is reached.',
    hint: () => 'Wait, then try again.',
    retryAfterSeconds: 1,
  }),
  approval_pending: spec<{ approval_id: string; rule: string; expires_at: string }>({
    sdkName: 'PolicyViolationError',
    proxyStatus: 403,
    apiStatus: null,
    title: 'Approval pending',
    detail: (d) => `The request waits for a person to approve it (${d.approval_id}, until ${d.expires_at}). Nothing was sent.`,
    hint: (d) =>
      `Send the same request again later. An operator decides: \`alterd approvals approve ${d.approval_id}\` or \`alterd approvals deny ${d.approval_id}\`.`,
    retryAfterSeconds: 15,
  }),
  approval_denied: spec<{ approval_id: string; rule: string }>({
    sdkName: 'PolicyViolationError',
    proxyStatus: 403,
    apiStatus: null,
    title: 'Approval denied',
    detail: (d) => `A person denied the request (${d.approval_id}). Nothing was sent.`,
    hint: (d) => `Do not send it again. What was decided: \`alterd approvals show ${d.approval_id}\`.`,
  }),
  grant_expired: spec<{ grant_id: string }>({
    sdkName: 'GrantExpiredError',
    proxyStatus: 403,
    apiStatus: 403,
    title: 'Grant expired',
    detail: (d) => `The grant ${d.grant_id} has expired.`,
    hint: () => 'An operator creates a new grant with `alterd grant create`.',
  }),
  grant_revoked: spec<{ grant_id: string }>({
    sdkName: 'GrantRevokedError',
    proxyStatus: 403,
    apiStatus: 403,
    title: 'Grant revoked',
    detail: (d) => `The grant ${d.grant_id} is revoked.`,
    hint: () => 'An operator creates a new grant with `alterd grant create`.',
  }),
  connect_failed: spec<{ provider_id?: string; reason: string; problem: ConnectProblem }>({
    sdkName: 'ConnectFlowError',
    proxyStatus: null,
    apiStatus: 422,
    title: 'Not connected',
    detail: (d) => `The account was not connected: ${d.reason}.`,
    hint: (d) => `Begin again: \`alterd connect ${d.provider_id ?? 'PROVIDER'}\`.`,
  }),
  credential_unavailable: spec<{ grant_id: string; reason: string }>({
    sdkName: 'BackendError',
    proxyStatus: 503,
    apiStatus: 503,
    title: 'Credential unavailable',
    detail: (d) => `The credential of grant ${d.grant_id} can't be used: ${d.reason}.`,
    hint: () => 'An operator runs `alterd doctor`.',
  }),
  vault_unavailable: spec<{ reason: string }>({
    sdkName: 'NetworkError',
    proxyStatus: 503,
    apiStatus: 503,
    title: 'Vault unavailable',
    detail: (d) => `The vault can't be used: ${d.reason}.`,
    hint: () => 'Is the daemon running? Start it with `alterd start`; `alterd doctor` says more.',
    retryAfterSeconds: 1,
  }),
  audit_unavailable: spec<{ reason: string }>({
    sdkName: 'BackendError',
    proxyStatus: 503,
    apiStatus: 503,
    title: 'Audit journal unavailable',
    detail: (d) => `The audit journal can't be written (${d.reason}), so nothing is forwarded.`,
    hint: () => 'An operator frees disk space or mends the journal; `alterd doctor` says more.',
    retryAfterSeconds: 5,
  }),
  upstream_unreachable: spec<{ host: string; reason: string }>({
    sdkName: 'NetworkError',
    proxyStatus: 502,
    apiStatus: null,
    title: 'Provider unreachable',
    detail: (d) => `${quote(d.host)} could not be used: ${d.reason}.`,
    hint: () => 'Check the host name and the network of the machine that runs alterd.',
  }),
  upstream_untrusted: spec<{ host: string; reason: string }>({
    sdkName: 'NetworkError',
    proxyStatus: 502,
    apiStatus: null,
    title: 'Provider not trusted',
    detail: (d) => `The certificate of ${quote(d.host)} was not accepted: ${d.reason}. Nothing was sent.`,
    hint: () => 'If the host has a private CA, name it in upstream.ca_file in the configuration.',
  }),
  upstream_protocol: spec<{ host: string; reason: string }>({
    sdkName: 'NetworkError',
    proxyStatus: 502,
    apiStatus: null,
    title: 'Unusable answer from the provider',
    detail: (d) => `The answer of ${quote(d.host)} is not valid HTTP: ${d.reason}.`,
    hint: () => 'Nothing can be done at the agent; the provider sends an illegal answer.',
  }),
  upstream_timeout: spec<{ host: string; reason: string }>({
    sdkName: 'TimeoutError',
    proxyStatus: 504,
    apiStatus: null,
    title: 'Provider timed out',
    detail: (d) => `${quote(d.host)} did not answer in time (${d.reason}).`,
    hint: () => 'Try again, or raise the time under [timeouts] in the configuration.',
  }),
  loop_detected: spec<{ host: string }>({
    sdkName: 'AlterValueError',
    proxyStatus: 508,
    apiStatus: null,
    title: 'Proxy loop',
    detail: (d) => `The request for ${quote(d.host)} came back to the same proxy.`,
    hint: () => 'Remove the loop from the proxy settings of the machine.',
  }),
  not_found: spec<{ what: string; name: string; list_command?: string }>({
    sdkName: 'NotFoundError',
    proxyStatus: null,
    apiStatus: 404,
    title: 'Not found',
    detail: (d) => `There is no ${d.what} ${quote(d.name)}.`,
    hint: (d) => (d.list_command ? `See what there is: \`${d.list_command}\`.` : undefined),
  }),
  conflict: spec<{ reason: string; hint?: string }>({
    sdkName: 'ConflictError',
    proxyStatus: null,
    apiStatus: 409,
    title: 'Conflict',
    detail: (d) => `${d.reason}.`,
    hint: (d) => d.hint,
  }),
  invalid_input: spec<{ problems: readonly string[] }>({
    sdkName: 'AlterValueError',
    proxyStatus: null,
    apiStatus: 422,
    title: 'Invalid input',
    detail: (d) => d.problems.join('; '),
    hint: () => 'Correct what is named and try again; nothing was changed.',
  }),
  forbidden: spec<{ reason: string }>({
    sdkName: 'InsufficientScopeError',
    proxyStatus: null,
    apiStatus: 403,
    title: 'Not allowed',
    detail: (d) => `${d.reason}.`,
    hint: () => undefined,
  }),
  connect_session_invalid: spec<{ connect_error: string; reason: string }>({
    sdkName: 'ConnectFlowError',
    proxyStatus: null,
    apiStatus: 403,
    title: 'Connect session not valid',
    detail: (d) => `The page can't go on: ${d.reason}.`,
    hint: () => 'An operator makes a new link: `alterd connect-session create PROVIDER`.',
  }),
  ...FLEET_ERRORS,
  internal_error: spec<{ request_id?: string }>({
    sdkName: 'BackendError',
    proxyStatus: 500,
    apiStatus: 500,
    title: 'Internal error',
    detail: () => 'alterd failed in a way that it should not; nothing more was forwarded.',
    hint: (d) => `Report it with the request id${d.request_id ? ` ${d.request_id}` : ''}; the daemon's log has the details.`,
  }),
} as const satisfies Record<string, ErrorSpec<never>>;

export type ErrorCode = keyof typeof ERRORS;
/** The details that a code carries. */
export type ErrorDetails<C extends ErrorCode> = (typeof ERRORS)[C] extends ErrorSpec<infer D> ? D : never;

/** The only class thrown for expected failures. Switch on `code`, never on the message. */
export class AlterError<C extends ErrorCode = ErrorCode> extends Error {
  readonly code: C;
  readonly details: ErrorDetails<C>;
  readonly hint: string | undefined;

  constructor(code: C, details: ErrorDetails<C>, options: { cause?: unknown; hint?: string } = {}) {
    const entry = ERRORS[code] as unknown as ErrorSpec<ErrorDetails<C> & object>;
    super(entry.detail(details as ErrorDetails<C> & object), options.cause === undefined ? undefined : { cause: options.cause });
    this.name = entry.sdkName;
    this.code = code;
    this.details = details;
    this.hint = options.hint ?? entry.hint(details as ErrorDetails<C> & object);
  }

  get title(): string {
    return ERRORS[this.code].title;
  }

  /** Status that the proxy answers with; 500 where the table says that the proxy never raises the code. */
  get proxyStatus(): number {
    const own = (this.details as { proxy_status?: number }).proxy_status;
    return own ?? ERRORS[this.code].proxyStatus ?? 500;
  }

  /** Status that the Vault API answers with. */
  get apiStatus(): number {
    return ERRORS[this.code].apiStatus ?? 500;
  }

  get retryAfterSeconds(): number | undefined {
    const own = (this.details as { retry_after?: number }).retry_after;
    return own ?? (ERRORS[this.code] as { retryAfterSeconds?: number }).retryAfterSeconds;
  }
}

/** Anything thrown, as an AlterError: a foreign error is a bug and becomes internal_error with the cause kept for the log. */
export function toAlterError(thrown: unknown): AlterError {
  return thrown instanceof AlterError ? thrown : new AlterError('internal_error', {}, { cause: thrown });
}

/** RFC 9457 problem document of an error. `requestId` ties it to its audit row. */
export function problemOf(error: AlterError, status: number, requestId: string | null): Record<string, unknown> {
  const { proxy_status: _internal, ...details } = error.details as Record<string, unknown>;
  return {
    type: `urn:alter:error:${error.code}`,
    title: error.title,
    status,
    detail: error.message,
    error: error.code,
    ...(error.hint === undefined ? {} : { hint: error.hint }),
    ...(requestId === null ? {} : { request_id: requestId }),
    ...details,
  };
}
