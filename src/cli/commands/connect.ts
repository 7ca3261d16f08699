/** `alterd connect`: an account is connected once, by whoever owns it, and agents use it for months without ever holding a token. */
import type { Command } from 'commander';
import { apiPath } from '../../api/client.ts';
import type { ConnectedView } from '../../api/connect.ts';
import type { ProviderView } from '../../api/provider-view.ts';
import type { GrantView } from '../../api/views.ts';
import { AlterError } from '../../domain/errors.ts';
import type { Cli } from '../cli.ts';
import {
  connectByBrowser,
  connectByDevice,
  connectByImport,
  connectByPaste,
  type ImportFlags,
  importPlanOf,
  type Wanted,
} from '../connect/ways.ts';
import { collect, collectList, example } from '../define.ts';
import { parseFuture } from '../duration.ts';
import { readUserSession } from '../user-session.ts';

export interface ConnectFlags extends ImportFlags {
  readonly label?: string;
  readonly scopes?: readonly string[];
  readonly agent?: string;
  readonly system?: boolean;
  readonly user?: boolean;
  readonly methods?: readonly string[];
  readonly paths?: readonly string[];
  readonly expires?: string;
  readonly field?: readonly string[];
  readonly grant?: string;
  readonly allowPrivate?: boolean;
  readonly device?: boolean;
  readonly paste?: boolean;
  readonly browser: boolean;
  readonly port?: string;
}

export function defineConnect(command: Command, cli: Cli): void {
  command
    .argument('<provider>')
    .option('--agent <name>', 'who may use the account')
    .option('--system', 'every active agent may use it')
    .option('--user', 'the account is of whoever is signed in, who delegates it to the agent')
    .option('--label <text>', 'a name of its own, to pick it by')
    .option('--scopes <list>', "what to ask for, in place of the provider's usual scopes", collectList)
    .option('--methods <list>', 'only these methods, such as GET,HEAD', collectList)
    .option('--paths <list>', "only these paths, such as '/user,/repos/**'", collectList)
    .option('--expires <when>', 'end of the grant: a duration (30d) or a time (2031-01-31T12:00:00Z)')
    .option('--field <name=value>', 'a field of the provider, such as a site or a tenant', collect)
    .option('--grant <id>', 'connect this grant again; the same account must consent')
    .option('--allow-private', 'the provider may have private or loopback addresses')
    .option('--device', 'by a code that is entered on another device')
    .option('--no-browser', 'only print the address')
    .option('--paste', 'the browser is on another machine: paste the address that it ends at')
    .option('--port <number>', 'port of the redirect address, where the provider wants it exact')
    .option('--import-refresh-token', 'take over a refresh token from stdin or the prompt')
    .option('--client-credentials', 'as the client itself, without a person')
    .option(
      '--client-id <id>',
      'with --client-credentials: a client of this connection alone; its secret from stdin or the prompt',
    )
    .option('--client-secret-file <file>', 'or from a file')
    .option('--service-account <file>', 'as a service account, from its JSON')
    .option('--subject-token-file <file>', 'exchange a token of your own for those of the provider')
    .option('--app-key <file>', 'as an installation of an app, with its private key')
    .option('--installation <id>', 'the installation for --app-key');
  example(command, 'alterd connect github --agent research-bot --scopes repo').action((provider: string, flags: ConnectFlags) =>
    connectAccount(cli, provider, flags),
  );
}

/** Connects, and shows what came of it with the next command. */
export async function connectAccount(cli: Cli, provider: string, flags: ConnectFlags): Promise<void> {
  const wanted = wantedOf(cli, provider, flags);
  if (flags.scopes !== undefined) await noteUnlisted(cli, provider, flags.scopes);
  const connected = await connectBy(cli, flags, wanted);
  showConnected(cli, connected);
  const { grant } = await cli.client().read<{ grant: GrantView }>(apiPath('grants', connected.grant_id));
  const host = grant.hosts.find((each) => !each.includes('*') && !each.includes('://')) ?? 'HOST';
  const as = grant.principal === 'user' ? '--user ' : '';
  cli.output.hint(`Next: \`alterd run ${as}--agent ${grant.agent ?? flags.agent ?? 'NAME'} -- curl -s https://${host}/\`.`);
}

/** A typing error is told before anybody consents; what the catalogue does not know may still be right. */
async function noteUnlisted(cli: Cli, provider: string, scopes: readonly string[]): Promise<void> {
  const { oauth, slug } = (await cli.client().read<{ provider: ProviderView }>(apiPath('providers', provider))).provider;
  if (oauth === null || oauth.scopes.length === 0) return;
  const unlisted = scopes.filter((scope) => oauth.scopes.every((each) => each.name !== scope));
  if (unlisted.length === 0) return;
  cli.output.note(
    `alterd's file of ${slug} does not describe ${unlisted.join(', ')}; asking for it all the same (\`alterd provider show ${slug}\` lists what it knows).`,
  );
}

function connectBy(cli: Cli, flags: ConnectFlags, wanted: Wanted): Promise<ConnectedView> {
  const plan = importPlanOf(flags);
  const port = portOf(flags.port);
  if (plan !== null) return connectByImport(cli, wanted, plan);
  if (flags.device === true) return connectByDevice(cli, wanted);
  if (flags.paste === true) return connectByPaste(cli, wanted, port);
  return connectByBrowser(cli, wanted, { browser: flags.browser, port });
}

function wantedOf(cli: Cli, provider: string, flags: ConnectFlags): Wanted {
  const owners = [flags.agent !== undefined || flags.user === true, flags.system === true].filter((isNamed) => isNamed).length;
  if (flags.grant === undefined && owners !== 1)
    throw new AlterError(
      'invalid_input',
      { problems: ['say who may use it: either --agent NAME, --user or --system'] },
      { hint: `For example: \`alterd connect ${provider} --agent research-bot\`.` },
    );
  return {
    provider,
    agent: flags.agent,
    system: flags.system,
    user_session: flags.user === true ? readUserSession(cli) : undefined,
    label: flags.label,
    scopes: flags.scopes,
    methods: flags.methods,
    paths: flags.paths,
    expires_at: flags.expires === undefined ? undefined : parseFuture(flags.expires, '--expires'),
    fields: flags.field === undefined ? undefined : Object.fromEntries(flags.field.map(pairOf)),
    grant_id: flags.grant,
    allow_private: flags.allowPrivate,
  };
}

function pairOf(text: string): [string, string] {
  const split = text.indexOf('=');
  if (split < 1) throw new AlterError('invalid_input', { problems: ['--field is written NAME=VALUE'] });
  return [text.slice(0, split), text.slice(split + 1)];
}

function portOf(text: string | undefined): number {
  const port = text === undefined ? 0 : Number(text);
  if (Number.isInteger(port) && port >= 0 && port < 65_536) return port;
  throw new AlterError('invalid_input', { problems: [`--port ${JSON.stringify(text)} is not a port`] });
}

function showConnected(cli: Cli, connected: ConnectedView): void {
  cli.output.record(connected, [
    ['grant', connected.grant_id],
    ['provider', connected.provider],
    ['account', connected.account_name ?? connected.account_id],
    ['label', connected.label],
    ['scopes', connected.scopes.join(' ')],
    ['connected', connected.reconnected ? 'again; every grant of the account goes on' : 'for the first time'],
  ]);
}
