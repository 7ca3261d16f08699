/** `alterd policy validate` and `test`: both work on files where they lie, without a daemon, for continuous integration. */
import { existsSync, statSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import type { Command } from 'commander';
import { apiPath } from '../../api/client.ts';
import type { ProblemView } from '../../api/policies.ts';
import { loadPolicies, readPolicyFile } from '../../config/policy-directory.ts';
import { parseFixtures } from '../../config/policy-fixtures.ts';
import { problemText } from '../../config/policy-problem.ts';
import { AlterError } from '../../domain/errors.ts';
import type { PolicySource } from '../../domain/policy.ts';
import { runFixture } from '../../policy/policy-fixture.ts';
import type { Cli } from '../cli.ts';
import { example } from '../define.ts';
import { EXIT, ExitStatus } from '../exit-codes.ts';
import { readSources } from './sources.ts';

export function defineChecks(command: Command, cli: Cli): void {
  const validate = command
    .command('validate [paths...]')
    .description('check files, or all that is installed; every problem with its place, rules that say nothing included');
  example(validate, 'alterd policy validate ./policies').action(async (paths: string[]) => {
    const problems = paths.length === 0 ? await askDaemon(cli) : await checkFiles(paths.flatMap(readSources));
    if (cli.output.format !== 'table') cli.output.list(problems, [], '');
    else for (const { severity, text } of problems) cli.output[severity === 'error' ? 'error' : 'warn'](text);
    if (problems.length > 0) {
      cli.output.hint('config/policy.example.toml has every key with a word on it; what is in force stays as it is meanwhile.');
      throw new ExitStatus(EXIT.error);
    }
    cli.output.note('Nothing is wrong.');
    const [file, ...others] = paths;
    if (file !== undefined && others.length === 0 && statSync(file).isFile())
      cli.output.hint(`\`alterd policy add ${file}\` puts it in force.`);
  });
  const test = command
    .command('test <file>')
    .description('run the cases of a file against policies: request in, verdict out')
    .option('--policies <path>', 'the policies to test, when the file does not name them');
  example(test, 'alterd policy test ./policies.test.toml').action((file: string, flags: { policies?: string }) =>
    runTests(cli, file, flags.policies),
  );
}

async function askDaemon(cli: Cli): Promise<ProblemView[]> {
  return (await cli.client().send<{ problems: ProblemView[] }>(apiPath('policies', 'validate'))).problems;
}

async function checkFiles(sources: readonly PolicySource[]): Promise<ProblemView[]> {
  const { problems } = await loadPolicies(sources);
  return problems.map((problem) => ({ severity: problem.severity, text: problemText(problem) }));
}

async function runTests(cli: Cli, file: string, given: string | undefined): Promise<void> {
  const { policies, cases } = parseFixtures(readPolicyFile(file), file);
  const named = policies === null ? null : resolve(dirname(file), policies);
  const path = given ?? named ?? cli.paths().policiesDir;
  if (!existsSync(path))
    throw new AlterError('invalid_input', { problems: [`${path} does not exist; name the policies with --policies`] });
  const { set, problems } = await loadPolicies(readSources(path));
  if (set === null) throw new AlterError('invalid_input', { problems: problems.map(problemText) });
  const results = cases.map((each) => {
    const { verdict, rule, passed } = runFixture(set, each);
    return { name: each.name, passed, expected: each.expected, verdict, rule, expected_rule: each.rule };
  });
  cli.output.list(
    results,
    [
      { header: 'CASE', cell: (result) => result.name },
      { header: 'RESULT', cell: (result) => (result.passed ? 'ok' : 'DRIFT') },
      { header: 'EXPECTED', cell: (result) => [result.expected, result.expected_rule].filter((part) => part !== null).join(' ') },
      { header: 'VERDICT', cell: (result) => [result.verdict, result.rule].filter((part) => part !== null).join(' ') },
    ],
    'No cases.',
  );
  const drifted = results.filter(({ passed }) => !passed).length;
  if (drifted === 0) return;
  cli.output.error(`${drifted} of ${results.length} cases have another verdict than expected`);
  throw new ExitStatus(EXIT.error);
}
