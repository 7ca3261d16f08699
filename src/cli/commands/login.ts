/** `alterd login`, `logout` and `whoami`: a person says who they are, with an identity provider, to the daemon. */
import { spawn } from 'node:child_process';
import type { Command } from 'commander';
import { type ApiClient, apiPath } from '../../api/client.ts';
import type { LoginAnswer, StartedLogin, WhoAmI } from '../../api/login.ts';
import type { UserView } from '../../api/people-views.ts';
import { AlterError } from '../../domain/errors.ts';
import type { Cli } from '../cli.ts';
import { example } from '../define.ts';
import { awaitCallback } from '../loopback-callback.ts';
import { dropUserSession, findUserSession, keepUserSession, readUserSession } from '../user-session.ts';

interface LoginFlags {
  readonly issuer?: string;
  readonly device?: boolean;
}

export function defineLogin(command: Command, cli: Cli): void {
  command
    .option('--issuer <name>', 'which identity provider, when several are configured')
    .option('--device', 'sign in on another device: for machines without a browser');
  example(command, 'alterd login --issuer corp --device').action(async (flags: LoginFlags) => {
    const client = cli.client();
    const answer = flags.device === true ? await throughDevice(client, flags, cli) : await throughBrowser(client, flags, cli);
    if (answer.user === undefined || answer.user_session === undefined)
      throw new AlterError('re_auth_required', { reason: 'the sign-in did not end' });
    keepUserSession(cli, answer.user_session);
    const { user_session: _handle, ...shown } = answer;
    cli.output.record(shown, [...userFields(answer.user), ['signed in until', answer.expires_at]]);
    cli.output.hint('Next: `alterd run --user --agent NAME -- COMMAND`, or `alterd delegate GRANT --agent NAME`.');
  });
}

async function throughBrowser(client: ApiClient, flags: LoginFlags, cli: Cli): Promise<LoginAnswer> {
  const callback = await awaitCallback();
  try {
    const started = await client.send<StartedLogin>(apiPath('login'), {
      issuer: flags.issuer,
      redirect_uri: callback.redirectUri,
    });
    const url = started.authorization_url ?? '';
    cli.output.note(`Sign in with ${started.issuer} in the browser:`);
    cli.output.note(url);
    openBrowser(url, cli);
    return await client.send<LoginAnswer>(apiPath('login', started.login_id), { callback_url: await callback.came });
  } finally {
    callback.close();
  }
}

async function throughDevice(client: ApiClient, flags: LoginFlags, cli: Cli): Promise<LoginAnswer> {
  const started = await client.send<StartedLogin>(apiPath('login'), { issuer: flags.issuer });
  cli.output.note(
    `Open ${started.verification_uri_complete ?? started.verification_uri} and enter the code ${started.user_code}.`,
  );
  for (;;) {
    const answer = await client.send<LoginAnswer>(apiPath('login', started.login_id), {});
    if (answer.status === 'signed_in') return answer;
  }
}

/** What can't be opened is shown above all the same. BROWSER wins, as elsewhere; `none` opens nothing. */
function openBrowser(url: string, cli: Cli): void {
  const program = cli.env.BROWSER ?? (process.platform === 'darwin' ? 'open' : 'xdg-open');
  if (program === 'none' || !/^https:\/\//.test(url)) return;
  const child = spawn(program, [url], { stdio: 'ignore', detached: true, env: cli.env });
  child.on('error', () => {});
  child.unref();
}

export function defineLogout(command: Command, cli: Cli): void {
  example(command, 'alterd logout').action(async () => {
    const handle = findUserSession(cli);
    dropUserSession(cli);
    if (handle !== undefined) await cli.client().send(apiPath('user-session', 'end'), { user_session: handle }).catch(isOver);
    cli.output.note(handle === undefined ? 'Nobody was signed in.' : 'Signed out.');
    cli.output.hint('Sign in again: `alterd login`.');
  });
}

/** A daemon that was restarted has forgotten the sign-in already. */
function isOver(error: unknown): void {
  if (!(error instanceof AlterError) || error.code !== 're_auth_required') throw error;
}

export function defineWhoami(command: Command, cli: Cli): void {
  example(command, 'alterd whoami --output json').action(async () => {
    const session = readUserSession(cli);
    const answer = await cli.client().send<WhoAmI>(apiPath('user-session', 'whoami'), { user_session: session });
    cli.output.record(answer, [
      ...userFields(answer.user),
      ['signed in with', answer.issuer],
      ['signed in until', answer.expires_at],
    ]);
  });
}

export const userFields = (user: UserView): [string, string | null][] => [
  ['user', user.email ?? user.subject],
  ['id', user.id],
  ['name', user.name],
  ['issuer', user.issuer],
  ['subject', user.subject],
  ['groups', user.groups.join(', ')],
  ['status', user.status],
];
