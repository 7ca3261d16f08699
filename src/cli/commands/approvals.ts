/** `alterd approvals`: requests that wait for a person, and the decisions. */
import type { Command } from 'commander';
import type { ApprovalView } from '../../api/approvals.ts';
import { apiPath } from '../../api/client.ts';
import { AlterError } from '../../domain/errors.ts';
import { cardLines } from '../approval-card.ts';
import { watchApprovals } from '../approval-screen.ts';
import type { Cli } from '../cli.ts';
import { example } from '../define.ts';
import { parseDuration } from '../duration.ts';
import { findUserSession } from '../user-session.ts';
import { definePermits } from './permits.ts';

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
    .option('--for <duration>', 'and further calls of the agent with this method and path for a while, such as 15m')
    .option('--as-rule', 'and all further calls of the agent with this method and path, until you revoke the permit');
  example(approve, 'alterd approvals approve apr_0123456789abcdef').action(async (id: string, flags: ApproveFlags) => {
    const body = { user_session: findUserSession(cli), ...bodyOf(flags) };
    const { approval } = await cli.client().send<{ approval: ApprovalView }>(apiPath('approvals', id, 'approve'), body);
    showCard(cli, approval);
    if (flags.for !== undefined || flags.asRule === true)
      cli.output.hint(
        'Whatever the body and the query say: `alterd approvals permits list`, `alterd approvals permits revoke ID`.',
      );
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
  definePermits(command.command('permits').description('what passes without being asked each time'), cli);
  example(command, 'alterd approvals watch');
}

interface ApproveFlags {
  readonly for?: string;
  readonly asRule?: boolean;
}

function bodyOf(flags: ApproveFlags): object {
  if (flags.asRule !== true) return flags.for === undefined ? {} : { for_ms: parseDuration(flags.for, '--for') };
  if (flags.for !== undefined)
    throw new AlterError('invalid_input', { problems: ['--for: a rule has no end; give one of --for and --as-rule'] });
  return { as_rule: true };
}

function showCard(cli: Cli, approval: ApprovalView): void {
  if (cli.output.format === 'table') cli.output.raw(`${cardLines(approval).join('\n')}\n`);
  else cli.output.record(approval, []);
}
