/** Exit codes: a script can tell what kind of failure it met without reading messages. */
import type { ErrorCode } from '../domain/errors.ts';

export const EXIT = {
  ok: 0,
  error: 1,
  usage: 2,
  auth: 3,
  notFound: 4,
  conflict: 5,
  rateLimit: 6,
  forbidden: 7,
  cancelled: 8,
} as const;

const BY_CODE: Partial<Readonly<Record<ErrorCode, number>>> = {
  malformed_request: EXIT.usage,
  request_too_large: EXIT.usage,
  invalid_input: EXIT.usage,
  caller_unauthenticated: EXIT.auth,
  key_revoked: EXIT.auth,
  not_found: EXIT.notFound,
  grant_not_found: EXIT.notFound,
  conflict: EXIT.conflict,
  ambiguous_grant: EXIT.conflict,
  import_conflict: EXIT.conflict,
  rate_limited: EXIT.rateLimit,
  too_many_failures: EXIT.rateLimit,
  policy_violation: EXIT.forbidden,
  no_delegated_grant: EXIT.forbidden,
  token_binding_mismatch: EXIT.forbidden,
  destination_refused: EXIT.forbidden,
  grant_expired: EXIT.forbidden,
  grant_revoked: EXIT.forbidden,
  host_unauthenticated: EXIT.auth,
  clock_skewed: EXIT.auth,
  enrolment_refused: EXIT.auth,
  host_inactive: EXIT.forbidden,
  vault_untrusted: EXIT.forbidden,
  forbidden: EXIT.forbidden,
  re_auth_required: EXIT.auth,
  connect_failed: EXIT.auth,
};

export const exitCodeOf = (code: ErrorCode): number => BY_CODE[code] ?? EXIT.error;

/** The person said no, or left the prompt. */
export class Cancelled extends Error {
  constructor(message = 'cancelled; nothing was changed') {
    super(message);
    this.name = 'Cancelled';
  }
}

/** Ends the command with this status and no message of its own: everything was said already. */
export class ExitStatus extends Error {
  readonly status: number;

  constructor(status: number) {
    super(`exit ${status}`);
    this.name = 'ExitStatus';
    this.status = status;
  }
}
