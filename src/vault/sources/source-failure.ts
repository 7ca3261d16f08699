/**
 * Why a value could not be fetched: a code of this list and nothing else. SECURITY: what a command printed, what a file is called or what
 * a server answered may hold the secret or tell an agent about the machine, so none of it is part of a failure.
 */
export type SourceFailureCode =
  | 'source_missing'
  | 'source_unreadable'
  | 'source_not_private'
  | 'source_empty'
  | 'source_too_long'
  | 'source_not_text'
  | 'command_not_started'
  | 'command_failed'
  | 'command_timed_out'
  | 'vault_token_unreadable'
  | 'vault_unreachable'
  | 'vault_refused'
  | 'vault_field_missing'
  | 'vault_answer_malformed'
  | 'value_malformed'
  | 'role_refused'
  | 'role_unreachable'
  | 'role_answer_malformed';

export class SourceFailure extends Error {
  readonly code: SourceFailureCode;

  constructor(code: SourceFailureCode, cause?: unknown) {
    super(code, cause === undefined ? {} : { cause });
    this.code = code;
  }
}
