import { describe, expect, test } from 'vitest';
import { EXIT, exitCodeOf } from '../../../src/cli/exit-codes.ts';
import { ERRORS, type ErrorCode } from '../../../src/domain/errors.ts';

describe('exitCodeOf', () => {
  test.each([
    ['invalid_input', EXIT.usage],
    ['caller_unauthenticated', EXIT.auth],
    ['not_found', EXIT.notFound],
    ['conflict', EXIT.conflict],
    ['ambiguous_grant', EXIT.conflict],
    ['import_conflict', EXIT.conflict],
    ['rate_limited', EXIT.rateLimit],
    ['re_auth_required', EXIT.auth],
    ['policy_violation', EXIT.forbidden],
    ['forbidden', EXIT.forbidden],
    ['vault_unavailable', EXIT.error],
    ['internal_error', EXIT.error],
  ] as const)('%s ends with %i', (code, status) => {
    expect(exitCodeOf(code)).toBe(status);
  });

  test('no code of the table ends with success or with the status of a cancellation', () => {
    for (const code of Object.keys(ERRORS) as ErrorCode[]) {
      expect([EXIT.error, EXIT.usage, EXIT.auth, EXIT.notFound, EXIT.conflict, EXIT.rateLimit, EXIT.forbidden]).toContain(
        exitCodeOf(code),
      );
    }
  });
});
