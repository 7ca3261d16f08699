/**
 * The command tree over commander: global options, lazily defined commands, and errors in our words.
 * It ends no process: every outcome is an exit status that main.ts hands over.
 */
import { Command, CommanderError, Option } from 'commander';
import { AlterError } from '../domain/errors.ts';
import { VERSION } from '../runtime/version.ts';
import { type Cli, type GlobalOptions, openCli, type Surroundings } from './cli.ts';
import { COMMANDS, type CommandEntry } from './command-table.ts';
import { Cancelled, EXIT, ExitStatus, exitCodeOf } from './exit-codes.ts';
import { suggestionFor } from './nearest.ts';
import { FORMATS } from './output.ts';
import { explainedSystemError } from './system-errors.ts';
import { explainedUsage } from './usage.ts';

export interface Program {
  readonly command: Command;
  readonly cli: Cli;
}

/** The tree, with the commands' own options still undefined. */
export function buildProgram(surroundings: Surroundings): Program {
  const program = new Command('alterd');
  const wholeTree = async (): Promise<Command> => {
    await Promise.all(COMMANDS.map(define));
    return program;
  };
  const cli = openCli(() => program.opts<GlobalOptions>(), wholeTree, surroundings);
  program
    .description('Lets agents use credentials that they never hold.')
    .option('--home <dir>', 'directory of the installation (default: the XDG directories, or ALTERD_HOME)')
    .option('--config <file>', 'configuration file (or ALTERD_CONFIG)')
    .addOption(
      new Option('--output <format>', 'form of the data on stdout').choices(FORMATS).default('table').env('ALTERD_OUTPUT'),
    )
    .option('--yes', 'answer yes to every question')
    .option('--quiet', 'no hints and notes on stderr')
    .version(VERSION, '--version', 'print the version')
    .helpOption('--help', 'print help')
    .helpCommand(false)
    .exitOverride()
    .configureHelp({ showGlobalOptions: true })
    .configureOutput({
      writeOut: (text) => void surroundings.stdout.write(text),
      writeErr: (text) => void surroundings.stderr.write(text),
      outputError: (text) => {
        const { problem, hint } = explainedUsage(text, program, surroundings.argv);
        cli.output.error(problem);
        cli.output.hint(hint);
      },
    })
    .addHelpText('after', '\nExample:\n  alterd run --agent research-bot -- curl -s https://api.github.com/user');
  const defined = new Map<string, Promise<void>>();
  const define = (entry: CommandEntry): Promise<void> => {
    const pending = defined.get(entry.name) ?? defineOne(program, cli, entry);
    defined.set(entry.name, pending);
    return pending;
  };
  for (const entry of COMMANDS) {
    const command = program.command(entry.name).description(entry.summary);
    if (entry.alias !== undefined) command.alias(entry.alias);
  }
  program.hook('preSubcommand', (_program, chosen) => {
    const entry = COMMANDS.find((each) => each.name === chosen.name());
    return entry === undefined ? undefined : define(entry);
  });
  return { command: program, cli };
}

async function defineOne(program: Command, cli: Cli, entry: CommandEntry): Promise<void> {
  const command = program.commands.find((each) => each.name() === entry.name);
  const define = await entry.load();
  if (command === undefined) return;
  define(command, cli);
  withoutHelpCommands(command);
}

/** `alterd help …` is the one way to say it in words. */
function withoutHelpCommands(command: Command): void {
  command.helpCommand(false);
  command.commands.forEach(withoutHelpCommands);
}

/** Runs one command line and answers its exit status. */
export async function runProgram(surroundings: Surroundings): Promise<number> {
  const { argv } = surroundings;
  const { command, cli } = buildProgram(surroundings);
  try {
    await command.parseAsync(argv.length === 0 ? ['--help'] : helpFirst(argv), { from: 'user' });
    return EXIT.ok;
  } catch (thrown) {
    return await statusOf(thrown, cli);
  }
}

/** `alterd help agent create` is `alterd agent create --help`. */
const helpFirst = (argv: readonly string[]): string[] => (argv[0] === 'help' ? [...argv.slice(1), '--help'] : [...argv]);

async function statusOf(thrown: unknown, cli: Cli): Promise<number> {
  if (thrown instanceof CommanderError) {
    // Help that was asked for is an answer; help that came because something was missing is a usage error.
    return thrown.code === 'commander.helpDisplayed' || thrown.code === 'commander.version' ? EXIT.ok : EXIT.usage;
  }
  if (thrown instanceof ExitStatus) return thrown.status;
  if (thrown instanceof Cancelled) {
    cli.output.error(thrown.message);
    return EXIT.cancelled;
  }
  if (thrown instanceof AlterError) {
    await reportFailure(thrown, cli);
    return exitCodeOf(thrown.code);
  }
  const explained = explainedSystemError(thrown);
  cli.output.error(explained?.problem ?? (thrown instanceof Error ? thrown.message : String(thrown)));
  if (explained !== null) cli.output.hint(explained.hint);
  if (cli.env.ALTERD_LOG_LEVEL === 'debug' && thrown instanceof Error) cli.output.note(thrown.stack ?? '');
  return EXIT.error;
}

async function reportFailure(error: AlterError, cli: Cli): Promise<void> {
  const { problems } = error.details as { problems?: readonly string[] };
  for (const text of problems ?? [error.message]) cli.output.error(text);
  const suggestion = cli.globals.quiet === true ? null : await suggestionFor(error, cli);
  if (suggestion !== null) cli.output.hint(suggestion);
  if (error.hint !== undefined) cli.output.hint(error.hint);
}
