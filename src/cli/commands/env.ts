/** `alterd env`: the variables that `alterd run` would set, for a shell to take over. They hold a session key: data for `eval`. */
import { type Command, Option } from 'commander';
import { apiPath } from '../../api/client.ts';
import { type ExportFormat, formatExports } from '../../ca/export-format.ts';
import { openAgentSession } from '../agent-environment.ts';
import type { Cli } from '../cli.ts';
import { collect, example } from '../define.ts';
import { parseDenials } from '../deny.ts';
import { parseDuration } from '../duration.ts';
import { readUserSession } from '../user-session.ts';
import { agentOf } from './run.ts';

type Shell = ExportFormat | 'zsh';

interface EnvFlags {
  readonly agent?: string;
  readonly user?: boolean;
  readonly shell?: Shell;
  readonly grant?: readonly string[];
  readonly deny?: readonly string[];
  readonly label?: string;
  readonly ttl: string;
  readonly revoke?: string;
}

export function defineEnv(command: Command, cli: Cli): void {
  command
    .option('--agent <name>', 'who the shell acts as (or ALTERD_AGENT)')
    .option('--user', 'for the person who is signed in (`alterd login`)')
    .addOption(new Option('--shell <shell>', 'form of the exports').choices(['bash', 'zsh', 'fish', 'powershell', 'dotenv']))
    .option('--grant <id>', 'only with this grant, by id or label; repeatable', collect)
    .option('--deny <rule>', 'method=DELETE, path=/admin/**, host=…; repeatable', collect)
    .option('--label <text>', 'a name for the audit entries')
    .option('--ttl <duration>', 'the session ends by itself after this', '12h')
    .option('--revoke <session>', 'end a session that was made so ($ALTERD_SESSION), and print nothing');
  example(command, 'eval "$(alterd env --agent research-bot)"').action(async (flags: EnvFlags) => {
    if (flags.revoke !== undefined) {
      await cli.client().remove(apiPath('sessions', flags.revoke));
      cli.output.note('The session is revoked.');
      return;
    }
    const session = await openAgentSession(
      cli.client(),
      {
        agent: agentOf(flags.agent ?? cli.env.ALTERD_AGENT),
        grantIds: flags.grant,
        denials: parseDenials(flags.deny ?? []),
        ttlMs: parseDuration(flags.ttl, '--ttl'),
        label: flags.label,
        userSession: flags.user === true ? readUserSession(cli) : undefined,
      },
      cli.env,
    );
    const { set, unset, notes } = session.environment;
    if (cli.output.format === 'table') cli.output.raw(formatExports({ set, unset }, formatOf(flags.shell, cli.env.SHELL)));
    else
      cli.output.record({ agent: session.agent, session_id: session.sessionId, expires_at: session.expiresAt, set, unset }, []);
    cli.output.note(`These variables hold a session key of ${session.agent}, good until ${session.expiresAt}.`);
    for (const note of notes) cli.output.note(note);
    cli.output.hint(`End it earlier: \`alterd env --revoke ${session.sessionId}\`.`);
  });
}

function formatOf(shell: Shell | undefined, loginShell: string | undefined): ExportFormat {
  if (shell === undefined) return loginShell?.endsWith('/fish') === true ? 'fish' : 'bash';
  return shell === 'zsh' ? 'bash' : shell;
}
