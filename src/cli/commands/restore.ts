/** `alterd restore`: a backup in the place of the vault that is here, while no daemon runs. What was here is kept aside. */
import { resolve } from 'node:path';
import type { Command } from 'commander';
import { AlterError } from '../../domain/errors.ts';
import type { Cli } from '../cli.ts';
import { example } from '../define.ts';
import { loadSettings } from '../settings.ts';
import { isAnswered } from '../transfer.ts';

export function defineRestore(command: Command, cli: Cli): void {
  command.argument('<directory>', 'as `alterd backup` made it');
  example(command, 'alterd restore /var/lib/alterd/backups/monday').action(async (directory: string) => {
    if (await isAnswered(cli))
      throw new AlterError('conflict', {
        reason: 'The daemon runs, and its vault can not be changed under it',
        hint: 'Stop it first, for example `systemctl stop alterd` (or alterd-vault).',
      });
    const paths = cli.paths();
    await cli.confirm(`Put the backup in ${directory} in the place of the vault in ${paths.stateDir}?`);
    // Loaded only here: it is the daemon's half of the program.
    const { restoreBackup } = await import('../../restore.ts');
    const load = () => loadSettings(cli, paths, {});
    const report = await restoreBackup({ paths, from: resolve(directory), load, warn: (message) => cli.output.warn(message) });
    cli.output.record(report, [
      ['backup', `${report.id} of ${report.made_at}`],
      ['restored', report.restored.join(', ')],
      ['journal', report.journal === 'kept' ? 'the one that was here, which is newer' : 'from the backup'],
      ['kept aside', report.aside],
      ['change of the vault', report.epoch],
    ]);
    for (const file of report.left) cli.output.note(`Left alone (it is different, or not this user's to write): ${file}`);
    if (report.journal === 'kept')
      cli.output.warn(
        `what was changed or revoked after ${report.made_at} is undone: \`alterd audit list --since ${report.made_at}\` shows it`,
      );
    cli.output.hint(
      'Start the daemon (`alterd start`, or `alterd vault start`). Accounts whose tokens were renewed since may have to be connected again.',
    );
  });
}
