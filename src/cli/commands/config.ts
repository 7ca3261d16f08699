/** `alterd config`: what is configured and where each value comes from. Works without the daemon. */
import { resolve } from 'node:path';
import type { Command } from 'commander';
import { apiPath } from '../../api/client.ts';
import type { ReloadView } from '../../api/config.ts';
import { loadConfig } from '../../config/load.ts';
import type { ConfigView } from '../../config/view.ts';
import type { Cli } from '../cli.ts';
import { example } from '../define.ts';
import { configFileOf, isConfigFilePresent, loadSettings } from '../settings.ts';

export function defineConfig(command: Command, cli: Cli): void {
  defineShow(command, cli);
  const validate = command.command('validate [file]').description('check a configuration file; every problem at once');
  example(validate, 'alterd config validate').action((file: string | undefined) => {
    const chosen = file === undefined ? configFileOf(cli, cli.paths()) : { file: resolve(file), mustExist: true };
    loadConfig({ ...chosen, env: cli.env });
    cli.output.record({ file: chosen.file, valid: true }, [
      ['file', chosen.file],
      ['valid', 'yes'],
    ]);
    cli.output.hint('Let the daemon take it over: `alterd config reload`.');
  });
  const path = command.command('path').description('the configuration file in force');
  example(path, 'alterd config path').action(() => {
    const paths = cli.paths();
    const { file } = configFileOf(cli, paths);
    if (cli.output.format === 'table') cli.output.raw(`${file}\n`);
    else cli.output.record({ file, exists: isConfigFilePresent(cli, paths) }, []);
    if (!isConfigFilePresent(cli, paths))
      cli.output.hint('It is not there yet, so the defaults hold; `alterd init` makes one with every key.');
  });
  const reload = command.command('reload').description('let the daemon read its configuration anew');
  example(reload, 'alterd config reload').action(async () => {
    const { changed, restart_required } = await cli.client().send<ReloadView>(apiPath('reload'));
    cli.output.record({ changed, restart_required }, [
      ['changed', changed.join(', ')],
      ['need a restart', restart_required.join(', ')],
    ]);
  });
  example(command, 'alterd config show');
}

function defineShow(command: Command, cli: Cli): void {
  const show = command
    .command('show')
    .description('effective values and where each comes from')
    .option('--running', 'those of the daemon that runs, instead of those that a start would have');
  example(show, 'alterd config show').action(async (flags: { running?: boolean }) => {
    const view: ConfigView =
      flags.running === true
        ? (await cli.client().read<{ values: ConfigView }>(apiPath('config'))).values
        : loadSettings(cli, cli.paths(), {}).view;
    const rows = Object.entries(view).map(([key, entry]) => ({ key, ...entry }));
    cli.output.list(
      rows,
      [
        { header: 'KEY', cell: (row) => row.key },
        { header: 'VALUE', cell: (row) => JSON.stringify(row.value) },
        { header: 'FROM', cell: (row) => row.from ?? row.source },
      ],
      '',
    );
  });
}
