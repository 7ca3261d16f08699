/** `alterd import`: what `alterd export` has written, into this vault, all of it or nothing. The same file again changes nothing. */
import { readFileSync } from 'node:fs';
import type { Command } from 'commander';
import type { ImportView } from '../../api/transfer.ts';
import { AlterError } from '../../domain/errors.ts';
import type { Cli } from '../cli.ts';
import { example } from '../define.ts';
import { EXIT, ExitStatus } from '../exit-codes.ts';
import { type PassphraseFlags, readPassphrase, withPassphrase } from '../passphrase.ts';
import { withTransfer } from '../transfer.ts';

interface ImportFlags extends PassphraseFlags {
  readonly dryRun?: boolean;
  readonly allowReferences?: boolean;
}

const WORDS: Readonly<Record<ImportView['outcome'], string>> = {
  imported: 'imported',
  unchanged: 'nothing to do: all of it is here already',
  before: 'nothing to do: this file was imported before',
  planned: 'would be imported (--dry-run)',
  conflict: 'would be refused (--dry-run)',
};

/** As all commands call them. */
const NAMES: Readonly<Record<string, string>> = { credentials: 'secrets', clients: 'OAuth clients' };

export function defineImport(command: Command, cli: Cli): void {
  command
    .argument('<file>', 'as `alterd export` wrote it')
    .option('--dry-run', 'say what would happen, and change nothing')
    .option(
      '--allow-references',
      'take secrets along whose values are fetched on this machine, from commands, files or variables',
    );
  withPassphrase(command);
  example(command, 'alterd import vault.sealed --dry-run').action(async (file: string, flags: ImportFlags) => {
    const bytes = read(file);
    const passphrase = await readPassphrase(flags, false);
    const view = await withTransfer(cli, flags.dryRun !== true, (transfer) =>
      transfer.import(bytes, passphrase, { dryRun: flags.dryRun === true, allowReferences: flags.allowReferences === true }),
    );
    report(cli, view, file);
    if (view.outcome === 'conflict') throw new ExitStatus(EXIT.conflict);
  });
}

function read(file: string): Buffer {
  try {
    return readFileSync(file);
  } catch (cause) {
    const { code = 'unknown error' } = cause as NodeJS.ErrnoException;
    throw new AlterError('invalid_input', { problems: [`${file} can't be read (${code})`] }, { cause });
  }
}

function report(cli: Cli, view: ImportView, file: string): void {
  const { added, unchanged, conflicts } = view;
  cli.output.record(view, [
    ['outcome', WORDS[view.outcome]],
    ['export', `${view.id} of ${view.exported_at}`],
    ...Object.entries(added).map(([kind, count]): [string, string] => [
      NAMES[kind] ?? kind,
      `${count} ${view.outcome === 'before' ? 'not here any more' : 'new'}, ${unchanged[kind as keyof typeof unchanged]} here already`,
    ]),
  ]);
  for (const conflict of conflicts)
    if (view.outcome === 'before') cli.output.note(`Changed since: ${conflict}`);
    else cli.output.error(conflict);
  if (view.missing_providers.length > 0)
    cli.output.warn(
      `provider files of the source are missing here: ${view.missing_providers.join(', ')}; \`alterd provider add FILE\``,
    );
  for (const reference of view.references) cli.output.warn(`is fetched on this machine from now on: ${reference}`);
  const more = view.references.length > 0 ? ' --allow-references' : '';
  if (view.outcome === 'planned') cli.output.hint(`Do it: \`alterd import ${file}${more}\`.`);
  if (view.outcome === 'before' && Object.values(added).some((count) => count > 0))
    cli.output.hint(
      'What was removed here since is meant to be gone. To have it again: export anew at the source, and import that file.',
    );
  if (view.outcome !== 'imported') return;
  const agents = view.agents.join(',') || 'AGENT';
  cli.output.hint('Everything keeps its id, and keys of agents go on working. For a central vault, once for each machine:');
  for (const line of ['alterd vault host invite web-01', `alterd vault host assign web-01 --agent ${agents}`])
    cli.output.note(`    ${line}`);
}
