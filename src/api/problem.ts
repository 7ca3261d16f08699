/**
 * Errors as answers of the API: problem+json with the status of the error table. A failure that is a bug is reported to
 * the daemon with an id and answered without its text: it may carry anything.
 */
import { randomBytes } from 'node:crypto';
import { type AlterError, problemOf, toAlterError } from '../domain/errors.ts';

/** The answer for anything thrown in a route. */
export function problemAnswer(thrown: unknown, onFault: (error: unknown, requestId: string) => void): Response {
  const error = toAlterError(thrown);
  const requestId = error.code === 'internal_error' ? `api_${randomBytes(9).toString('base64url')}` : null;
  if (requestId !== null) onFault(error.cause ?? error, requestId);
  return answerOf(error, requestId);
}

function answerOf(error: AlterError, requestId: string | null): Response {
  const headers: Record<string, string> = {
    'content-type': 'application/problem+json',
    'cache-control': 'no-store',
    'alter-error': error.code,
  };
  if (error.retryAfterSeconds !== undefined) headers['retry-after'] = String(error.retryAfterSeconds);
  return new Response(JSON.stringify(problemOf(error, error.apiStatus, requestId)), { status: error.apiStatus, headers });
}
