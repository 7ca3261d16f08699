/** `alterd vault start`: a central vault in the foreground. SIGTERM and Ctrl-C end it, SIGHUP makes it read its configuration anew. */
import type { Command } from 'commander';
import type { DaemonLog } from '../../log.ts';
import type { RunningVaultServer } from '../../vault-server.ts';
import type { Cli } from '../cli.ts';
import { example } from '../define.ts';
import { EXIT, ExitStatus } from '../exit-codes.ts';
import { loadSettings } from '../settings.ts';
import { untilSignal } from '../signals.ts';
import { refuseCoreDumps, reload } from './start.ts';

interface StartFlags {
  readonly listen?: string;
  readonly publicName?: string;
  readonly logLevel?: string;
  readonly acceptRestore?: boolean;
}

export function defineVaultStart(command: Command, cli: Cli): void {
  const start = command
    .command('start')
    .description('serve the vault to hosts, in the foreground')
    .option('--listen <address>', 'HOST:PORT for hosts (vault_server.listen)')
    .option('--public-name <names>', 'how hosts reach it: NAME or NAME:PORT, several with commas (vault_server.public_names)')
    .option('--log-level <level>', 'trace, debug, info, warn, error, fatal or silent (log.level)')
    .option('--accept-restore', 'go on with a vault that is older than its audit journal, after you restored a backup');
  example(start, 'alterd vault start --listen 0.0.0.0:4790 --public-name vault.example.com').action(async (flags: StartFlags) => {
    // SECURITY: without a listener of ours SIGUSR1 makes Node open a debugger on loopback, which reads all memory (S-71).
    process.on('SIGUSR1', () => {});
    const paths = cli.paths();
    const overrides = {
      'vault_server.listen': flags.listen,
      'vault_server.public_names': flags.publicName,
      'log.level': flags.logLevel,
    };
    const reloadConfig = () => loadSettings(cli, paths, overrides);
    const loaded = reloadConfig();
    const [{ startVaultServer }, { createLog }] = await Promise.all([import('../../vault-server.ts'), import('../../log.ts')]);
    const log = createLog(loaded.config.log.level);
    const ended = untilSignal();
    const acceptRestore = flags.acceptRestore === true;
    const onTakeOver = (agents: number): Promise<void> => takeOver(cli, log, agents);
    const server = await startVaultServer({ paths, loaded, reloadConfig, log, acceptRestore, onTakeOver });
    announce(cli, server, log);
    void refuseCoreDumps(log);
    process.on('SIGHUP', () => void reload(server, log));
    log.info({ signal: await ended.signal }, 'stopping');
    await server.stop();
    log.info({}, 'stopped');
    throw new ExitStatus(EXIT.ok);
  });
}

/** Nothing brings the daemon's own back, so it is asked once. */
async function takeOver(cli: Cli, log: DaemonLog, agents: number): Promise<void> {
  await cli.confirm(
    `This vault is a daemon's own, with ${agents} agent${agents === 1 ? '' : 's'}. Once it is a central one, \`alterd start\` refuses here for good, and its agents need a host that is enrolled. Make it a central vault?`,
  );
  log.warn({ agents }, "a daemon's own vault is a central one from now on");
  cli.output.hint(
    'Agents of this machine need a host: `alterd vault host invite NAME`, then `alterd --home DIR enroll …` and `alterd --home DIR start`.',
  );
}

function announce(cli: Cli, server: RunningVaultServer, log: DaemonLog): void {
  const { version, pid, stateDir } = server.facts();
  const { url, fingerprint, vaultId } = server.fleet;
  log.info({ version, pid, listen: server.address, vault: url, fingerprint, vault_id: vaultId, state_dir: stateDir }, 'ready');
  for (const path of server.made) cli.output.note(`Made ${path}`);
  if (process.stderr.isTTY !== true && server.made.length === 0) return;
  cli.output.note(`alterd ${version} serves hosts on ${server.address}, as ${url}. In a second terminal:`);
  const home = cli.globals.home === undefined ? '' : ` --home ${cli.globals.home}`;
  for (const line of NEXT) cli.output.note(`    bin/alterd${home} ${line}`);
}

const NEXT = [
  'secret add github --token-stdin',
  'agent create research-bot',
  'grant create github --agent research-bot --methods GET',
  'vault host invite web-01',
  'vault host assign web-01 --agent research-bot',
];
