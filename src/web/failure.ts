/**
 * A failure as the page tells it: one of the names of Alter's Connect protocol, a sentence for the person, and what an operator does about it. Pure.
 * SECURITY: a provider's own text is never repeated; it could be anybody's.
 */
import { type AlterError, type ConnectProblem, toAlterError } from '../domain/errors.ts';

export interface ConnectFailure {
  readonly status: number;
  readonly error: string;
  readonly message: string;
  readonly hint?: string | undefined;
}

export function failureOf(thrown: unknown): ConnectFailure {
  const error: AlterError = toAlterError(thrown);
  if (error.code === 'connect_session_invalid') {
    const { connect_error } = error.details as { connect_error: string };
    return {
      status: 403,
      error: connect_error,
      message: sentence(error.message),
      hint: 'Go back to where you found the link and ask for a new one.',
    };
  }
  if (error.code === 'connect_failed') {
    const { problem } = error.details as { problem: ConnectProblem };
    return { status: 403, ...CONSENT[problem] };
  }
  if (error.code === 'internal_error')
    return { status: 500, error: 'server_error', message: 'alterd failed in a way that it should not. Nothing was stored.' };
  return { status: error.apiStatus, error: error.code, message: sentence(error.message), hint: error.hint };
}

/** Each ends without a grant: the person must know that nothing was stored, and whether another try can help. */
const CONSENT: Readonly<Record<ConnectProblem, Omit<ConnectFailure, 'status'>>> = {
  consent_denied: {
    error: 'access_denied',
    message: 'The provider says that consent was refused. Nothing was stored.',
    hint: 'If that was a mistake, try again.',
  },
  state_mismatch: {
    error: 'state_mismatch',
    message: 'The answer does not belong to the consent that this page began. Nothing was stored.',
    hint: 'Try again, in one window.',
  },
  expired: { error: 'consent_expired', message: 'The consent took too long. Nothing was stored.', hint: 'Try again.' },
  account_mismatch: {
    error: 'account_mismatch',
    message: 'Another account gave consent than the one that was connected before. Nothing was changed.',
    hint: 'Log out at the provider, then try again with the first account.',
  },
  provider_unreachable: {
    error: 'provider_unavailable',
    message: 'alterd could not reach the provider. Nothing was stored.',
    hint: 'Try again in a while. An operator sees the reason with `alterd audit list`.',
  },
  provider_refused: {
    error: 'provider_refused',
    message: 'The provider did not give alterd what it needs. Nothing was stored.',
    hint: 'Usually the client id, its secret or its redirect address are not those that the provider knows: an operator checks `alterd provider client list`.',
  },
};

const sentence = (text: string): string => text.slice(0, 1).toUpperCase() + text.slice(1);
