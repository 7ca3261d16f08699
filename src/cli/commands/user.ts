/** `alterd user`: the people who signed in or whose tokens came, and what ends their access. */
import type { Command } from 'commander';
import { apiPath } from '../../api/client.ts';
import type { DelegationView, UserView } from '../../api/people-views.ts';
import type { GrantView } from '../../api/views.ts';
import type { Cli } from '../cli.ts';
import { example } from '../define.ts';
import { userFields } from './login.ts';

interface UserDetails {
  readonly user: UserView;
  readonly grants: readonly GrantView[];
  readonly delegations: readonly DelegationView[];
  readonly sessions: number;
}

export function defineUser(command: Command, cli: Cli): void {
  const list = command.command('list').description('everybody who came so far');
  example(list, 'alterd user list').action(async () => {
    const { users } = await cli.client().read<{ users: UserView[] }>(apiPath('users'));
    cli.output.list(
      users,
      [
        { header: 'ID', cell: (user) => user.id },
        { header: 'USER', cell: (user) => user.email ?? user.subject },
        { header: 'ISSUER', cell: (user) => user.issuer },
        { header: 'GROUPS', cell: (user) => user.groups.join(',') },
        { header: 'STATUS', cell: (user) => user.status },
        { header: 'LAST SEEN', cell: (user) => user.last_seen_at },
      ],
      'No users yet: they appear with `alterd login`, or with the first token of theirs.',
    );
  });
  const show = command
    .command('show <user>')
    .description('a user with grants and delegations; USER is an id, an e-mail or a subject');
  example(show, 'alterd user show anna@example.com').action(async (name: string) => {
    const details = await cli.client().read<UserDetails>(apiPath('users', name));
    cli.output.record(details, [
      ...userFields(details.user),
      ['last seen', details.user.last_seen_at],
      ['sessions', details.sessions],
      ...details.grants.map((grant): [string, string] => [
        'grant',
        `${grant.id}  ${grant.status}  ${grant.provider} ${grant.label}`,
      ]),
      ...details.delegations.map((each): [string, string] => [
        'delegation',
        `${each.id}  ${each.status}  ${each.grant_label || each.grant_id} to ${each.agent ?? '?'}`,
      ]),
    ]);
  });
  defineChange(
    command,
    cli,
    'deactivate',
    'deactivated',
    'end all access at once; sessions and open connections of the user end',
  );
  defineChange(command, cli, 'activate', 'active', 'let a user in again');
  const remove = command
    .command('remove <user>')
    .description('remove a user with grants and delegations; a new token makes the user anew');
  example(remove, 'alterd user remove anna@example.com --yes').action(async (name: string) => {
    const { user, grants } = await cli.client().read<UserDetails>(apiPath('users', name));
    await cli.confirm(`Remove the user ${user.email ?? user.subject} with ${grants.length} grant(s)?`);
    await cli.client().remove(apiPath('users', user.id));
    cli.output.note(`Removed the user ${user.email ?? user.subject}.`);
    cli.output.hint('To keep somebody out who still gets tokens, deactivate instead: `alterd user deactivate USER`.');
  });
  example(command, 'alterd user deactivate anna@example.com');
}

function defineChange(command: Command, cli: Cli, verb: string, status: UserView['status'], summary: string): void {
  const change = command.command(`${verb} <user>`).description(summary);
  example(change, `alterd user ${verb} anna@example.com`).action(async (name: string) => {
    if (status === 'deactivated') await cli.confirm(`Deactivate the user ${name}? Whatever runs for the user ends.`);
    const { user } = await cli.client().send<{ user: UserView }>(apiPath('users', name, 'status'), { status });
    cli.output.record(user, userFields(user));
    cli.output.hint(
      status === 'active'
        ? 'See who there is: `alterd user list`.'
        : `Let the user in again: \`alterd user activate ${user.id}\`.`,
    );
  });
}
