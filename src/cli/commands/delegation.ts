/** `alterd delegate` and `alterd delegation`: which agent may use which grant of a person, until when. */
import type { Command } from 'commander';
import { apiPath } from '../../api/client.ts';
import type { DelegationView } from '../../api/people-views.ts';
import type { Cli } from '../cli.ts';
import { example } from '../define.ts';
import { parseFuture } from '../duration.ts';
import { findUserSession } from '../user-session.ts';

interface DelegateFlags {
  readonly agent: string;
  readonly user?: string;
  readonly operator?: boolean;
  readonly expires?: string;
}

export function defineDelegate(command: Command, cli: Cli): void {
  command
    .argument('<grant>', 'a grant of a user or a group, by id or label')
    .requiredOption('--agent <name>', 'which agent may use it')
    .option('--user <user>', 'as an operator, for this user: an id, an e-mail or a subject')
    .option('--operator', "as an operator, though somebody is signed in: for the grant's owner, or every member of its group")
    .option('--expires <when>', 'a duration (30d) or a time (2031-01-31T12:00:00Z); 90d when left out');
  example(command, 'alterd delegate my-github --agent research-bot --expires 30d').action(
    async (grant: string, flags: DelegateFlags) => {
      const isOperator = flags.user !== undefined || flags.operator === true;
      const { delegation } = await cli.client().send<{ delegation: DelegationView }>(apiPath('delegations'), {
        grant,
        agent: flags.agent,
        user: flags.user,
        user_session: isOperator ? undefined : findUserSession(cli),
        expires_at: flags.expires === undefined ? undefined : parseFuture(flags.expires, '--expires'),
      });
      showDelegation(cli, delegation);
      cli.output.hint(
        `Next: \`alterd run --user --agent ${flags.agent} -- COMMAND\`. Take it back: \`alterd delegation revoke ${delegation.id}\`.`,
      );
    },
  );
}

export function defineDelegation(command: Command, cli: Cli): void {
  const list = command
    .command('list')
    .description('all delegations')
    .option('--agent <name>', 'only those to this agent')
    .option('--user <user>', 'only those of this user, by id or e-mail');
  example(list, 'alterd delegation list --agent research-bot').action(async (flags: { agent?: string; user?: string }) => {
    const { delegations } = await cli.client().read<{ delegations: DelegationView[] }>(apiPath('delegations'));
    cli.output.list(
      delegations.filter(
        (each) =>
          (flags.agent === undefined || each.agent === flags.agent) &&
          (flags.user === undefined || each.user === flags.user || each.user_id === flags.user),
      ),
      [
        { header: 'ID', cell: (each) => each.id },
        { header: 'USER', cell: whose },
        { header: 'AGENT', cell: (each) => each.agent },
        { header: 'GRANT', cell: (each) => each.grant_label || each.grant_id },
        { header: 'PROVIDER', cell: (each) => each.provider },
        { header: 'STATUS', cell: (each) => each.status },
        { header: 'EXPIRES', cell: (each) => each.expires_at },
      ],
      'No delegations: `alterd delegate GRANT --agent NAME` makes one.',
    );
  });
  const revoke = command
    .command('revoke <delegation>')
    .description('take a delegation back at once')
    .option('--operator', 'as an operator, though somebody is signed in');
  example(revoke, 'alterd delegation revoke 8c2f3f4e-1d5b-4a53-9f0e-3b3d0f7a1c55 --yes').action(
    async (id: string, flags: { operator?: boolean }) => {
      await cli.confirm(`Take the delegation ${id} back? The agent is refused at once.`);
      const { delegation } = await cli.client().send<{ delegation: DelegationView }>(apiPath('delegations', id, 'revoke'), {
        user_session: flags.operator === true ? undefined : findUserSession(cli),
      });
      showDelegation(cli, delegation);
      cli.output.hint('See what is left: `alterd delegation list`.');
    },
  );
  example(command, 'alterd delegation list');
}

const whose = (each: DelegationView): string => each.user ?? `(every member of ${each.group ?? '?'})`;

function showDelegation(cli: Cli, each: DelegationView): void {
  cli.output.record(each, [
    ['delegation', each.id],
    ['user', whose(each)],
    ['agent', each.agent],
    ['grant', each.grant_label === '' ? each.grant_id : `${each.grant_label} (${each.grant_id})`],
    ['provider', each.provider],
    ['status', each.status],
    ['expires', each.expires_at],
  ]);
}
