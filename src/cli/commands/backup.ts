/** `alterd backup`: copies of vault, journal and sealed keys into a new directory, with the daemon running or without. Never the master key. */
import { resolve } from 'node:path';
import type { Command } from 'commander';
import { type BackupView, backupView } from '../../api/backup.ts';
import { apiPath } from '../../api/client.ts';
import type { Cli } from '../cli.ts';
import { example } from '../define.ts';
import { loadSettings } from '../settings.ts';
import { isAnswered } from '../transfer.ts';

export function defineBackup(command: Command, cli: Cli): void {
  command.requiredOption(
    '--out <directory>',
    'where to make it; it must not be there yet, and the daemon must be able to write there',
  );
  example(command, 'alterd backup --out /var/lib/alterd/backups/monday').action(async ({ out }: { readonly out: string }) => {
    const view = await make(cli, resolve(out));
    cli.output.record(view, [
      ['directory', view.directory],
      ['backup', `${view.id} of ${view.made_at}`],
      ['files', `${view.files.length}, ${Math.ceil(view.bytes / 1024)} KiB`],
      ['change of the vault', view.epoch],
    ]);
    if (view.database === 'postgresql')
      cli.output.warn('the database is not in it: back it up at the same time with `pg_dump --format=custom`');
    cli.output.hint(
      `The master key (source "${view.key_source}") is not in it, and without it nothing of it opens: keep a copy of the key elsewhere.`,
    );
  });
}

async function make(cli: Cli, directory: string): Promise<BackupView> {
  if (await isAnswered(cli)) return (await cli.client().send<{ backup: BackupView }>(apiPath('backup'), { directory })).backup;
  const paths = cli.paths();
  // Loaded only here: it is the daemon's half of the program.
  const { withOfflineVault } = await import('../../offline-vault.ts');
  const loaded = loadSettings(cli, paths, {});
  cli.output.note('No daemon answers; working on its files.');
  return withOfflineVault({ paths, loaded, mayCreate: false, warn: (message) => cli.output.warn(message) }, async ({ backup }) =>
    backupView(await backup.write(directory)),
  );
}
