/** Shows findings: a line each, the line that mends it below, or all of them as data. */
import type { Cli } from '../cli.ts';
import { EXIT, ExitStatus } from '../exit-codes.ts';
import { printable } from '../table.ts';
import type { Finding } from './finding.ts';

const MARKS = {
  ok: ['green', 'ok'],
  exposed: ['red', 'not protected'],
  failed: ['red', 'failed'],
  skipped: ['dim', 'skipped'],
} as const;

/** @throws ExitStatus when something failed, and with `isStrict` also for what works but does not protect */
export function reportFindings(cli: Cli, findings: readonly Finding[], isStrict: boolean): void {
  show(cli, findings);
  const isBad = findings.some(({ status }) => status === 'failed' || (isStrict && status === 'exposed'));
  if (isBad) throw new ExitStatus(EXIT.error);
}

function show(cli: Cli, findings: readonly Finding[]): void {
  const { output } = cli;
  if (output.format !== 'table') {
    output.list(findings, [], '');
    return;
  }
  const width = Math.max(...findings.map((finding) => finding.check.length));
  for (const { check, status, detail, fix } of findings) {
    const [colour, word] = MARKS[status];
    output.raw(`${output.paint(colour, word.padEnd(13), 'stdout')}  ${check.padEnd(width)}  ${printable(detail)}\n`);
    if (fix !== null) output.raw(`${' '.repeat(15)}${' '.repeat(width)}  → ${printable(fix)}\n`);
  }
  const count = findings.filter((finding) => finding.status === 'failed').length;
  output.note(count === 0 ? 'Nothing failed.' : `${count} failed.`);
}
