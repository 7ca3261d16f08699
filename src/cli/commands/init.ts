/** `alterd init`: makes what an installation needs and is missing. Never overwrites anything; works without the daemon. */
import type { Command } from 'commander';
import type { Cli } from '../cli.ts';
import { example } from '../define.ts';
import { loadSettings } from '../settings.ts';

export function defineInit(command: Command, cli: Cli): void {
  example(command, 'alterd init').action(async () => {
    const paths = cli.paths();
    const { config } = loadSettings(cli, paths, {});
    // Loaded only here: it brings the vault with it.
    const { initInstallation } = await import('../../installation.ts');
    const report = await initInstallation(paths, config);
    const made = new Set(report.made);
    const rows = [
      { what: 'state directory', path: paths.stateDir },
      { what: 'configuration directory', path: paths.configDir },
      { what: 'configuration', path: paths.configFile },
      { what: 'master key', path: paths.masterKeyFile },
      { what: 'vault', path: paths.vaultDb },
      { what: 'local CA', path: paths.caDir },
      { what: 'CA bundle', path: paths.bundleFile },
    ].map((row) => ({ ...row, made: made.has(row.path) }));
    cli.output.list(
      rows,
      [
        { header: 'WHAT', cell: (row) => row.what },
        { header: 'PATH', cell: (row) => row.path },
        { header: 'STATE', cell: (row) => (row.made ? 'made' : 'was there') },
      ],
      '',
    );
    cli.output.hint('Next: `alterd start`.');
  });
}
