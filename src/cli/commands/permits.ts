/** `alterd approvals permits`: what people let pass without being asked each time. */
import type { Command } from 'commander';
import { apiPath } from '../../api/client.ts';
import type { PermitView } from '../../api/permits.ts';
import { agentText } from '../../domain/agent-text.ts';
import type { Cli } from '../cli.ts';
import { example } from '../define.ts';

export function definePermits(command: Command, cli: Cli): void {
  const list = command.command('list').description('the permits in force');
  example(list, 'alterd approvals permits list').action(async () => {
    const { permits } = await cli.client().read<{ permits: PermitView[] }>(apiPath('permits'));
    cli.output.list(
      permits,
      [
        { header: 'ID', cell: (each) => each.id },
        { header: 'AGENT', cell: (each) => each.agent },
        { header: 'FOR', cell: (each) => agentText(each.user ?? each.user_id ?? '', 60) },
        { header: 'CALLS', cell: callsOf },
        { header: 'GRANT', cell: (each) => (each.grant_label === '' ? each.grant_id : (each.grant_label ?? each.grant_id)) },
        { header: 'RULE', cell: (each) => each.rule },
        { header: 'UNTIL', cell: (each) => each.expires_at ?? '(no end)' },
        { header: 'BY', cell: (each) => each.created_by },
      ],
      'No permits: everything that needs an approval is asked each time.',
    );
  });

  const revoke = command.command('revoke <permit>').description('ask again from now on');
  example(revoke, 'alterd approvals permits revoke prm_0123456789abcdef').action(async (id: string) => {
    await cli.confirm(`Revoke the permit ${id}? These calls are asked about again.`);
    const { permit } = await cli.client().send<{ permit: PermitView }>(apiPath('permits', id, 'revoke'), {});
    cli.output.record(permit, [
      ['permit', permit.id],
      ['agent', permit.agent],
      ['for', permit.user ?? permit.user_id ?? '(no user)'],
      ['calls', callsOf(permit)],
      ['', 'revoked: these calls are asked about again'],
    ]);
  });
  example(command, 'alterd approvals permits list');
}

/** The agent chose the path. */
const callsOf = ({ method, origin, path }: PermitView): string =>
  `${agentText(method, 40)} ${origin}${path === null ? '' : agentText(path)}`;
