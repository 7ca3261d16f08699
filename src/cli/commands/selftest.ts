/**
 * `alterd selftest`: attacks the running daemon on this machine, with throw-away parts, and says for each guarantee whether it held.
 * The user's own agents, secrets and grants are not touched; audit rows of the run stay, as all audit rows do.
 */
import type { Command } from 'commander';
import { AlterError } from '../../domain/errors.ts';
import type { CheckResult, CheckStatus } from '../../selftest/check.ts';
import type { Cli } from '../cli.ts';
import { collectList, example } from '../define.ts';
import { EXIT, ExitStatus } from '../exit-codes.ts';
import { printable } from '../table.ts';

interface SelfTestFlags {
  readonly strict?: boolean;
  readonly only?: readonly string[];
}

const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;
/** What shells answer for a command that was interrupted. */
const INTERRUPTED = 130;

export function defineSelftest(command: Command, cli: Cli): void {
  command
    .option('--strict', 'fail also for what works but does not protect')
    .option('--only <ids>', 'only these guarantees, as S-05,S-58', collectList);
  example(command, 'alterd selftest --strict').action(async (flags: SelfTestFlags) => {
    // Loaded now: no other command pays for it.
    const { CHECKS, runSelfTest } = await import('../../selftest/run.ts');
    const only = chosenIds(
      flags.only,
      CHECKS.map(({ id }) => id),
    );
    const stop = new AbortController();
    const onSignal = (): void => stop.abort();
    for (const signal of SIGNALS) process.once(signal, onSignal);
    try {
      // With the one that comes first, and says whether anything is injected at all: each has a line.
      const planned = CHECKS.filter(({ id }) => only === undefined || only.has(id)).length + 1;
      cli.output.note(`Attacking the running daemon with ${planned} checks; everything made for it is removed again …`);
      const report = await runSelfTest({
        client: cli.client(),
        onResult: (result) => tell(cli, result),
        signal: stop.signal,
        only,
      });
      if (cli.output.format === 'json') cli.output.list(report.results, [], '');
      for (const what of report.left) cli.output.warn(`${what} could not be removed; its name begins with selftest-`);
      conclude(cli, report.results, planned, flags.strict === true);
      if (report.wasStopped) throw new ExitStatus(INTERRUPTED);
      if (report.left.length > 0 || isBad(report.results, flags.strict === true)) throw new ExitStatus(EXIT.error);
    } finally {
      for (const signal of SIGNALS) process.off(signal, onSignal);
    }
  });
}

/** @throws AlterError invalid_input */
function chosenIds(wanted: readonly string[] | undefined, known: readonly string[]): ReadonlySet<string> | undefined {
  if (wanted === undefined) return undefined;
  const ids = wanted.map((id) => id.toUpperCase());
  const unknown = ids.filter((id) => !known.includes(id));
  if (unknown.length === 0) return new Set(ids);
  throw new AlterError(
    'invalid_input',
    { problems: [`no check is for ${unknown.join(', ')}`] },
    { hint: `There are checks for ${known.join(', ')}.` },
  );
}

const isBad = (results: readonly CheckResult[], isStrict: boolean): boolean =>
  results.some(({ status }) => status === 'failed' || (isStrict && status === 'exposed'));

const MARKS: Readonly<Record<CheckStatus, readonly ['green' | 'red' | 'yellow' | 'dim', string]>> = {
  pass: ['green', 'pass'],
  failed: ['red', 'FAIL'],
  exposed: ['yellow', 'not protected'],
  skipped: ['dim', 'skipped'],
};

/** One line each, as it comes; `json` is one array at the end. */
function tell({ output }: Cli, result: CheckResult): void {
  if (output.format === 'json') return;
  if (output.format === 'jsonl') {
    output.event(result, () => '');
    return;
  }
  const [colour, word] = MARKS[result.status];
  const reason = result.reason === null ? '' : `: ${result.reason}`;
  output.raw(
    `${output.paint(colour, word.padEnd(13), 'stdout')}  ${result.id.padEnd(5)}  ${printable(result.guarantee + reason)}\n`,
  );
}

/** Every line is counted once, and what has no line is said too. */
export function summaryOf(results: readonly CheckResult[], planned: number): string {
  const count = (status: CheckStatus): number => results.filter((result) => result.status === status).length;
  const parts = [`${count('pass')} passed`, `${count('failed')} failed`, `${count('exposed')} not protected`];
  if (count('skipped') > 0) parts.push(`${count('skipped')} skipped`);
  if (planned > results.length) parts.push(`${planned - results.length} not run`);
  return `${parts.join(', ')}.`;
}

function conclude({ output }: Cli, results: readonly CheckResult[], planned: number, isStrict: boolean): void {
  output.note(summaryOf(results, planned));
  if (results.some(({ status }) => status === 'exposed') && !isStrict)
    output.hint('`--strict` fails for what is not protected; `alterd doctor` says how to mend it.');
}
