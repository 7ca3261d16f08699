/**
 * `alterd logs`: the daemon's log, wherever its stdout goes. alterd keeps no log of its own: what it prints belongs to what
 * started it, so this finds out where that is and says so when it can't follow it.
 */
import { spawn } from 'node:child_process';
import { readFileSync, readlinkSync, statSync } from 'node:fs';
import type { Command } from 'commander';
import { apiPath } from '../../api/client.ts';
import type { StatusView } from '../../api/status.ts';
import { AlterError } from '../../domain/errors.ts';
import type { Cli } from '../cli.ts';
import { example } from '../define.ts';
import { ExitStatus } from '../exit-codes.ts';

interface LogFlags {
  readonly lines: string;
  readonly follow: boolean;
}

const DEFAULT_UNIT = 'alterd.service';

export function defineLogs(command: Command, cli: Cli): void {
  command.option('-n, --lines <count>', 'start with the last lines', '50').option('--no-follow', 'end after them');
  example(command, 'alterd logs --lines 100').action(async (flags: LogFlags) => {
    if (!/^\d{1,6}$/.test(flags.lines)) throw new AlterError('invalid_input', { problems: ['--lines is a number'] });
    const [program, ...args] = await followerOf(cli, flags);
    throw new ExitStatus(await follow(program, args));
  });
}

/** The command line that shows the log. @throws AlterError not_found, vault_unavailable */
async function followerOf(cli: Cli, { lines, follow }: LogFlags): Promise<[string, ...string[]]> {
  const pid = await daemonPid(cli);
  const unit = pid === null ? DEFAULT_UNIT : unitOf(pid);
  const target = pid === null ? '' : stdoutOf(pid);
  if (target.startsWith('/') && statSync(target, { throwIfNoEntry: false })?.isFile() === true) {
    return ['tail', '-n', lines, ...(follow ? ['-F'] : []), '--', target];
  }
  if (unit !== null && (pid === null || target.startsWith('socket:'))) {
    return ['journalctl', '--unit', unit, '--lines', lines, '--no-hostname', ...(follow ? ['--follow'] : ['--no-pager'])];
  }
  throw new AlterError(
    'not_found',
    { what: 'log that can be followed', name: target || 'stdout of the daemon' },
    {
      hint: 'The daemon logs to whatever started it: look there, or start it as `alterd start > alterd.log`, or as a systemd unit.',
    },
  );
}

/** null when no daemon answers: then an installed unit may still have left a log. */
async function daemonPid(cli: Cli): Promise<number | null> {
  try {
    return (await cli.client().read<StatusView>(apiPath('status'))).pid;
  } catch (error) {
    if (error instanceof AlterError && error.code === 'vault_unavailable') {
      cli.output.warn(error.message);
      return null;
    }
    throw error;
  }
}

function stdoutOf(pid: number): string {
  try {
    return readlinkSync(`/proc/${pid}/fd/1`);
  } catch {
    return '';
  }
}

/** The systemd service that the daemon belongs to. */
function unitOf(pid: number): string | null {
  try {
    return /\/([^/]+\.service)$/m.exec(readFileSync(`/proc/${pid}/cgroup`, 'utf8'))?.[1] ?? null;
  } catch {
    return null;
  }
}

function follow(program: string, args: readonly string[]): Promise<number> {
  return new Promise((resolve, reject) => {
    // Ctrl-C ends the child, and with it this.
    process.on('SIGINT', () => {});
    const child = spawn(program, args, { stdio: 'inherit' });
    child.once('error', (cause: NodeJS.ErrnoException) => {
      reject(
        new AlterError(
          'not_found',
          { what: 'program', name: program },
          { cause, hint: `It is needed to read the log (${cause.code}).` },
        ),
      );
    });
    child.once('exit', (code, signal) => resolve(signal === null ? (code ?? 0) : 0));
  });
}
