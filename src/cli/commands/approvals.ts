/** `alterd approvals`: requests that wait for a person, and the decisions. */
import type { Command } from 'commander';
import type { ApprovalView } from '../../api/approvals.ts';
import { apiPath } from '../../api/client.ts';
import { cardLines } from '../approval-card.ts';
import { watchApprovals } from '../approval-screen.ts';
import type { Cli } from '../cli.ts';
import { example } from '../define.ts';
import { parseDuration } from '../duration.ts';
import { findUserSession } from '../user-session.ts';

export function defineApprovals(command: Command, cli: Cli): void {
  const list = command.command('list').description('what waits, and what was decided').option('--pending', 'only what waits');
  example(list, 'alterd approvals list --pending').action(async (flags: { pending?: boolean }) => {
    const { approvals } = await cli
      .client()
      .read<{ approvals: ApprovalView[] }>(`${apiPath('approvals')}${flags.pending === true ? '?status=pending' : ''}`);
    cli.output.list(
      approvals,
      [
        { header: 'ID', cell: (each) => each.id },
        { header: 'STATUS', cell: (each) => each.status },
        { header: 'AGENT', cell: (each) => each.agent },
        { header: 'REQUEST', cell: (each) => `${each.method} ${each.origin}${each.path ?? ''}` },
        { header: 'RULE', cell: (each) => each.rule },
        { header: 'UNTIL', cell: (each) => each.expires_at },
        { header: 'BY', cell: (each) => each.decided_by },
      ],
      'Nothing waits for an approval.',
    );
  });

  const watch = command.command('watch').description('decide as they come: a live screen on a terminal, lines of JSON elsewhere');
  example(watch, 'alterd approvals watch').action(() => watchApprovals(cli));

  const show = command.command('show <approval>').description('one of them, whole');
  example(show, 'alterd approvals show apr_0123456789abcdef').action(async (id: string) => {
    const { approval } = await cli.client().read<{ approval: ApprovalView }>(apiPath('approvals', id));
    showCard(cli, approval);
  });

  const approve = command
    .command('approve <approval>')
    .description('let exactly this request pass, once')
    .option('--for <duration>', 'and further calls of the agent with this method and path for a while, such as 15m');
  example(approve, 'alterd approvals approve apr_0123456789abcdef').action(async (id: string, flags: { for?: string }) => {
    const body = {
      user_session: findUserSession(cli),
      for_ms: flags.for === undefined ? undefined : parseDuration(flags.for, '--for'),
    };
    const { approval } = await cli.client().send<{ approval: ApprovalView }>(apiPath('approvals', id, 'approve'), body);
    showCard(cli, approval);
    if (approval.status === 'approved')
      cli.output.hint('Nobody waits for it now; the same request passes when the agent sends it again.');
  });

  const deny = command.command('deny <approval>').description('refuse it');
  example(deny, 'alterd approvals deny apr_0123456789abcdef').action(async (id: string) => {
    const { approval } = await cli.client().send<{ approval: ApprovalView }>(apiPath('approvals', id, 'deny'), {
      user_session: findUserSession(cli),
    });
    showCard(cli, approval);
  });
  example(command, 'alterd approvals watch');
}

function showCard(cli: Cli, approval: ApprovalView): void {
  if (cli.output.format === 'table') cli.output.raw(`${cardLines(approval).join('\n')}\n`);
  else cli.output.record(approval, []);
}
