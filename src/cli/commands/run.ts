/**
 * `alterd run`: a command as an agent. It gets a session key that can only narrow what the agent may do, in its environment
 * alone; the session is revoked when the command ends, and ends by itself if alterd run is killed.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { constants } from 'node:os';
import type { Command } from 'commander';
import { type ApiClient, apiPath } from '../../api/client.ts';
import { AlterError } from '../../domain/errors.ts';
import { type AgentSession, applied, openAgentSession, type SessionOptions } from '../agent-environment.ts';
import type { Cli } from '../cli.ts';
import { collect, example } from '../define.ts';
import { parseDenials } from '../deny.ts';
import { parseDuration } from '../duration.ts';
import { ExitStatus } from '../exit-codes.ts';
import { readUserSession } from '../user-session.ts';

interface RunFlags {
  readonly agent?: string;
  readonly user?: boolean;
  readonly grant?: readonly string[];
  readonly deny?: readonly string[];
  readonly label?: string;
  readonly ttl: string;
}

/** What shells answer. */
const NOT_FOUND = 127;
const NOT_EXECUTABLE = 126;
const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGQUIT'] as const;
const REVOKE_WAIT_MS = 2_000;

export function defineRun(command: Command, cli: Cli): void {
  command
    .argument('<command...>', 'the command with its arguments, after --')
    .usage('--agent <name> [options] -- <command...>')
    .option('--agent <name>', 'who it acts as (or ALTERD_AGENT)')
    .option('--user', 'for the person who is signed in (`alterd login`): with what that person delegated')
    .option('--grant <id>', 'only with this grant, by id or label; repeatable', collect)
    .option('--deny <rule>', 'not even where the agent may: method=DELETE, path=/admin/**, host=…; repeatable', collect)
    .option('--label <text>', 'a name for the audit entries')
    .option('--ttl <duration>', 'the session ends by itself after this', '24h')
    .addHelpText(
      'after',
      '\nCalls to localhost, 127.0.0.1 and ::1 go straight there (NO_PROXY), but for those of them that a grant of the\nagent names: these go through alterd on all ports. Go programs never use a proxy for loopback.',
    );
  example(command, "alterd run --agent research-bot --deny 'method=DELETE' -- curl -s https://api.github.com/user").action(
    async (words: string[], flags: RunFlags) => {
      requireSeparator(words, cli.argv);
      const client = cli.client();
      const options = {
        agent: agentOf(flags.agent ?? cli.env.ALTERD_AGENT),
        grantIds: flags.grant,
        denials: parseDenials(flags.deny ?? []),
        ttlMs: parseDuration(flags.ttl, '--ttl'),
        label: flags.label,
        userSession: flags.user === true ? readUserSession(cli) : undefined,
      };
      // Before there is a session: from here on no signal may end this process without revoking it.
      const signals = catchSignals();
      try {
        throw new ExitStatus(await runAs(client, options, words, signals, cli));
      } finally {
        signals.release();
      }
    },
  );
}

async function runAs(
  client: ApiClient,
  options: SessionOptions,
  words: readonly string[],
  signals: CaughtSignals,
  cli: Cli,
): Promise<number> {
  const session = await openAgentSession(client, options, cli.env);
  if (session.loopback !== null) cli.output.note(session.loopback);
  try {
    return await runChild(words, applied(session.environment, cli.env), signals, cli);
  } finally {
    await revoke(client, session, cli);
  }
}

/** @throws AlterError invalid_input */
export function agentOf(name: string | undefined): string {
  if (name !== undefined && name !== '') return name;
  throw new AlterError(
    'invalid_input',
    { problems: ['--agent NAME says who the command acts as'] },
    { hint: 'See the agents: `alterd agent list`.' },
  );
}

/**
 * Options of the command must not be taken for ours: without `--` only a command that ends the line, word for word, is clear.
 * @throws AlterError invalid_input
 */
function requireSeparator(words: readonly string[], argv: readonly string[]): void {
  const last = argv.slice(-words.length);
  if (argv.includes('--') || (words.every((word, i) => word === last[i]) && !words.some((word) => word.startsWith('-')))) return;
  throw new AlterError(
    'invalid_input',
    { problems: ['put -- before the command'] },
    { hint: `alterd run --agent NAME -- ${words.join(' ')} …` },
  );
}

interface CaughtSignals {
  /** What came before there was a command to pass it on to. */
  readonly early: () => NodeJS.Signals | null;
  passTo(child: ChildProcess): void;
  release(): void;
}

function catchSignals(): CaughtSignals {
  let child: ChildProcess | null = null;
  let early: NodeJS.Signals | null = null;
  const isTerminal = process.stdin.isTTY === true || process.stderr.isTTY === true;
  const listeners = SIGNALS.map((signal) => {
    // A terminal sends Ctrl-C and Ctrl-\ to the command itself; passing them on would deliver them twice.
    const isFromTerminal = isTerminal && (signal === 'SIGINT' || signal === 'SIGQUIT');
    const listener = (): void => {
      if (child === null) early ??= signal;
      else if (!isFromTerminal) child.kill(signal);
    };
    process.on(signal, listener);
    return [signal, listener] as const;
  });
  return {
    early: () => early,
    passTo: (started) => {
      child = started;
    },
    release: () => {
      for (const [signal, listener] of listeners) process.off(signal, listener);
    },
  };
}

const statusOfSignal = (signal: NodeJS.Signals): number => 128 + constants.signals[signal];

function runChild(words: readonly string[], env: NodeJS.ProcessEnv, signals: CaughtSignals, cli: Cli): Promise<number> {
  const early = signals.early();
  if (early !== null) return Promise.resolve(statusOfSignal(early));
  const [file = '', ...args] = words;
  return new Promise((resolve) => {
    const child = spawn(file, args, { stdio: 'inherit', env });
    signals.passTo(child);
    child.once('error', (error: NodeJS.ErrnoException) => {
      cli.output.error(startFailure(file, error));
      resolve(error.code === 'ENOENT' ? NOT_FOUND : NOT_EXECUTABLE);
    });
    child.once('exit', (code, signal) => resolve(signal === null ? (code ?? 1) : statusOfSignal(signal)));
  });
}

function startFailure(file: string, error: NodeJS.ErrnoException): string {
  if (error.code === 'ENOENT') return `command not found: ${file}`;
  return `${file} can't be started (${error.code ?? error.message})`;
}

async function revoke(client: ApiClient, session: AgentSession, cli: Cli): Promise<void> {
  const done = client.remove(apiPath('sessions', session.sessionId)).then(
    () => true,
    // A daemon that has ended took the session with it.
    (error: unknown) => error instanceof AlterError && (error.code === 'vault_unavailable' || error.code === 'not_found'),
  );
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<boolean>((resolve) => {
    timer = setTimeout(() => resolve(false), REVOKE_WAIT_MS);
  });
  if (!(await Promise.race([done, late])))
    cli.output.warn(`the session was not revoked; it ends by itself at ${session.expiresAt}`);
  clearTimeout(timer);
}
