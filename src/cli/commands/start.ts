/** `alterd start`: the daemon in the foreground. SIGTERM and Ctrl-C drain it, SIGHUP makes it read its configuration anew. */
import { type Command, Option } from 'commander';
import { forbidCoreDumps } from '../../core-dumps.ts';
import type { RunningDaemon } from '../../daemon.ts';
import { AlterError } from '../../domain/errors.ts';
import { startWriter } from '../../journal/worker-link.ts';
import type { DaemonLog } from '../../log.ts';
import type { Cli } from '../cli.ts';
import { example } from '../define.ts';
import { EXIT, ExitStatus } from '../exit-codes.ts';
import { loadSettings } from '../settings.ts';
import { untilSignal } from '../signals.ts';

interface StartFlags {
  readonly listen?: string;
  readonly egress?: string;
  readonly logLevel?: string;
  readonly acceptRestore?: boolean;
}

export function defineStart(command: Command, cli: Cli): void {
  command
    .option('--listen <address>', 'HOST:PORT of the proxy, or "off" (listen.tcp)')
    .addOption(new Option('--egress <mode>', 'what happens to hosts without a grant (egress)').choices(['tunnel', 'refuse']))
    .option('--log-level <level>', 'trace, debug, info, warn, error, fatal or silent (log.level)')
    .option('--accept-restore', 'go on with a vault that is older than its audit journal, after you restored a backup');
  example(command, 'alterd start --listen 127.0.0.1:4780').action(async (flags: StartFlags) => {
    // SECURITY: without a listener of ours SIGUSR1 makes Node open a debugger on loopback, which reads all memory (S-71).
    process.on('SIGUSR1', () => {});
    const writer = startWriter();
    const paths = cli.paths();
    const overrides = { 'listen.tcp': flags.listen, egress: flags.egress, 'log.level': flags.logLevel };
    const reloadConfig = () => loadSettings(cli, paths, overrides);
    const loaded = reloadConfig();
    // Loaded now and not with the CLI: no other command pays for the daemon.
    const [{ startDaemon }, { createLog }] = await Promise.all([import('../../daemon.ts'), import('../../log.ts')]);
    const log = createLog(loaded.config.log.level);
    const ended = untilSignal();
    const daemon = await startDaemon({ paths, loaded, reloadConfig, log, acceptRestore: flags.acceptRestore === true, writer });
    announce(cli, daemon, log);
    void refuseCoreDumps(log);
    process.on('SIGHUP', () => void reload(daemon, log));
    log.info({ signal: await ended.signal }, 'stopping');
    await daemon.stop();
    log.info({}, 'stopped');
    throw new ExitStatus(EXIT.ok);
  });
}

/** A wrong configuration changes nothing: the daemon goes on with the one that it has. */
export async function reload(daemon: Pick<RunningDaemon, 'reload'>, log: DaemonLog): Promise<void> {
  try {
    const { changed, restartRequired } = await daemon.reload();
    log.info({ changed, restart_required: restartRequired }, 'configuration reloaded');
  } catch (error) {
    const problems = error instanceof AlterError ? [error.message] : [String(error)];
    log.error({ problems }, 'the new configuration is wrong; the old one stays in force');
  }
}

/** After the start, which must not wait for it. */
export async function refuseCoreDumps(log: DaemonLog): Promise<void> {
  const reason = await forbidCoreDumps();
  if (reason !== null) log.warn({ reason }, 'core dumps of this process stay possible, and would hold secrets');
}

function announce(cli: Cli, daemon: RunningDaemon, log: DaemonLog): void {
  const { proxy, pid, version, caFile, stateDir } = daemon.facts();
  log.info({ version, pid, proxy_tcp: proxy.tcp, proxy_unix: proxy.unix, ca_file: caFile, state_dir: stateDir }, 'ready');
  for (const path of daemon.made) cli.output.note(`Made ${path}`);
  // Nobody reads hints in a journal; a person at a terminal, or at the first start, does.
  if (process.stderr.isTTY !== true && daemon.made.length === 0) return;
  cli.output.note(`alterd ${version} listens on ${proxy.tcp ?? proxy.unix ?? 'nothing'}. In a second terminal:`);
  for (const line of NEXT) cli.output.note(`    ${line}`);
}

const NEXT = [
  'bin/alterd secret add github --token-stdin',
  'bin/alterd agent create research-bot',
  "bin/alterd grant create github --agent research-bot --methods GET --paths '/user,/repos/**'",
  'bin/alterd run --agent research-bot -- curl -s https://api.github.com/user',
];
