/** Sentences that are put together: summaries that add up, and problems in the words of the command line. */
import { expect, it } from 'vitest';
import { summaryOf } from '../../../src/cli/commands/selftest.ts';
import { flagText } from '../../../src/cli/flag-words.ts';
import { GRANT_WORDS } from '../../../src/cli/grant-flags.ts';
import { explainedSystemError } from '../../../src/cli/system-errors.ts';
import type { CheckStatus } from '../../../src/selftest/check.ts';

const results = (...all: CheckStatus[]) => all.map((status) => ({ id: 'S-01', guarantee: '', status, reason: null }));

it('the counts of a self-test add up to what was announced, also when it ended early', () => {
  expect(summaryOf(results('pass', 'pass', 'exposed', 'skipped'), 4)).toBe('2 passed, 0 failed, 1 not protected, 1 skipped.');
  expect(summaryOf(results('failed'), 39)).toBe('0 passed, 1 failed, 0 not protected, 38 not run.');
});

it.each<[string, string, RegExp]>([
  ['EACCES', 'mkdir', /^\/x\/state can't be made: this user may not \(EACCES\) .*--home DIR/],
  ['EROFS', 'open', /read-only/],
  ['ENOSPC', 'write', /the disk is full.*Make room/],
])('%s of the operating system says what to do', (code, syscall, pattern) => {
  const said = explainedSystemError(Object.assign(new Error(code), { code, syscall, path: '/x/state' }));
  expect(`${said?.problem} ${said?.hint}`).toMatch(pattern);
  expect(explainedSystemError(new Error('a bug'))).toBeNull();
});

it.each([
  ['fields.token: is empty', 'the field token: is empty'],
  ['hosts: http:// needs allow_plaintext', '--host: http:// needs --allow-plaintext'],
  ['allow_private must be of type boolean', '--allow-private must be of type boolean'],
  ['operations.0.allow must have at least 1', '--graphql or --rpc.0.allow must have at least 1'],
  ['the git hosts: label', 'the git hosts: label'],
  ['constructor: has no words here', 'constructor: has no words here'],
])('%j is said as %j', (problem, said) => {
  expect(flagText(GRANT_WORDS, problem)).toBe(said);
});
