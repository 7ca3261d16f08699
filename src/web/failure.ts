/**
 * A failure as the page tells it: one of the names of Alter's Connect protocol, a sentence for the person, and what an operator does about it. Pure.
 * SECURITY: a provider's own text is never repeated; it could be anybody's.
 */
import { type AlterError, toAlterError } from '../domain/errors.ts';

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
  if (error.code === 'internal_error')
    return { status: 500, error: 'server_error', message: 'alterd failed in a way that it should not. Nothing was stored.' };
  return { status: error.apiStatus, error: error.code, message: sentence(error.message), hint: error.hint };
}

const sentence = (text: string): string => text.slice(0, 1).toUpperCase() + text.slice(1);
