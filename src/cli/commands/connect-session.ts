/**
 * `alterd connect-session`: links with which somebody else connects their account, in their own browser.
 * The link is shown once; whoever has it may use it, so it is handed over like a password.
 */
import type { Command } from 'commander';
import { apiPath } from '../../api/client.ts';
import type { ConnectSessionView, NewConnectSessionView } from '../../api/connect-sessions.ts';
import { AlterError } from '../../domain/errors.ts';
import type { Cli } from '../cli.ts';
import { collectList, example } from '../define.ts';
import { parseDuration } from '../duration.ts';

interface CreateFlags {
  readonly agent?: string;
  readonly system?: boolean;
  readonly grant?: string;
  readonly user?: string;
  readonly label?: string;
  readonly methods?: readonly string[];
  readonly paths?: readonly string[];
  readonly scope?: readonly string[];
  readonly origin?: string;
  readonly returnUrl?: string;
  readonly maxTtl?: string;
  readonly ttl?: string;
  readonly allowPrivate?: boolean;
}

export function defineConnectSession(command: Command, cli: Cli): void {
  defineCreate(command, cli);
  const list = command.command('list').description('links that can still be used, and pages that are open');
  example(list, 'alterd connect-session list').action(async () => {
    const { sessions } = await cli.client().read<{ sessions: ConnectSessionView[] }>(apiPath('connect', 'sessions'));
    cli.output.list(
      sessions,
      [
        { header: 'ID', cell: (session) => session.id },
        { header: 'STATE', cell: (session) => session.state },
        { header: 'PROVIDERS', cell: (session) => session.providers.join(',') },
        { header: 'AGENT', cell: (session) => session.agent ?? '(system)' },
        { header: 'USER', cell: (session) => session.user },
        { header: 'LABEL', cell: (session) => session.label },
        { header: 'ENDS', cell: (session) => session.expires_at },
      ],
      'No Connect sessions now.',
    );
  });
  example(command, 'alterd connect-session create github --agent research-bot');
}

function defineCreate(command: Command, cli: Cli): void {
  const create = command
    .command('create <provider...>')
    .description('make a link with which one person connects an account; it works once, for ten minutes')
    .option('--agent <name>', 'who may use what is connected')
    .option('--system', 'every active agent may use it')
    .option(
      '--user <user>',
      'the link is for this person, who owns the grant and delegates it to the agent: an id, an e-mail or a subject',
    )
    .option('--grant <id>', 'connect the account of this grant anew')
    .option('--label <text>', 'a name for the grant, to pick it by')
    .option('--methods <list>', 'only these methods, such as GET,HEAD', collectList)
    .option('--paths <list>', "only these paths, such as '/user,/repos/**'", collectList)
    .option('--scope <list>', 'scopes that the person can not take away', collectList)
    .option('--origin <url>', 'the page that opens the popup, and hears the result')
    .option('--return-url <url>', 'where a visit of the full page ends')
    .option('--max-ttl <duration>', 'the longest life of the grant that the person may choose')
    .option('--ttl <duration>', 'the life that is proposed')
    .option('--allow-private', 'the provider may have a private address');
  example(create, 'alterd connect-session create github --agent research-bot --max-ttl 30d').action(
    async (providers: string[], flags: CreateFlags) => {
      if ([flags.agent, flags.system, flags.grant].filter((each) => each !== undefined).length !== 1)
        throw new AlterError('invalid_input', { problems: ['say who may use it: --agent NAME, --system, or --grant ID'] });
      if (flags.user !== undefined && flags.agent === undefined)
        throw new AlterError('invalid_input', {
          problems: ['--user: name the agent that the person delegates to: --agent NAME'],
        });
      if (flags.scope !== undefined && providers.length > 1)
        throw new AlterError('invalid_input', { problems: ['--scope: name one provider, whose scopes they are'] });
      const made = await cli.client().send<NewConnectSessionView>(apiPath('connect', 'sessions'), bodyOf(providers, flags));
      cli.output.record(made, [
        ['link', made.connect_url],
        ['expires', made.expires_at],
        ['redirect address', made.redirect_uri],
      ]);
      cli.output.hint(
        'Open the link, or hand it over like a password: it works once. The provider must know the redirect address. See the result: `alterd grant list`.',
      );
    },
  );
}

const bodyOf = (providers: readonly string[], flags: CreateFlags): Record<string, unknown> => ({
  allowed_providers: providers,
  required_scopes: flags.scope === undefined ? undefined : { [providers[0] ?? '']: flags.scope },
  agent: flags.agent,
  system: flags.system,
  grant_id: flags.grant,
  user: flags.user,
  requested_grant: { label: flags.label, methods: flags.methods, paths: flags.paths },
  allowed_origin: flags.origin,
  return_url: flags.returnUrl,
  grant_policy: { max_ttl_seconds: secondsOf(flags.maxTtl, '--max-ttl'), default_ttl_seconds: secondsOf(flags.ttl, '--ttl') },
  allow_private: flags.allowPrivate,
});

const secondsOf = (text: string | undefined, what: string): number | undefined =>
  text === undefined ? undefined : Math.floor(parseDuration(text, what) / 1_000);
