/** `alterd access` and `alterd reach`: who reaches a secret, and what an agent reaches, each with the path that leads there. */
import type { Command } from 'commander';
import { apiPath } from '../../api/client.ts';
import type { AccessView } from '../../api/people-views.ts';
import type { Cli } from '../cli.ts';
import { example } from '../define.ts';
import type { Column } from '../output.ts';

const PATHS: Readonly<Record<AccessView['path'], string>> = {
  agent: 'agent grant',
  delegation: 'delegation',
  group: 'group',
  system: 'system',
};

const shared: readonly Column<AccessView>[] = [
  { header: 'PATH', cell: (each) => PATHS[each.path] },
  { header: 'USER', cell: (each) => each.user },
  { header: 'GROUP', cell: (each) => each.group },
];
const grant: Column<AccessView> = { header: 'GRANT', cell: (each) => each.grant_label || each.grant_id };
const until: Column<AccessView> = { header: 'UNTIL', cell: (each) => each.expires_at };

export function defineAccess(command: Command, cli: Cli): void {
  command.argument('<name>', 'a secret by its name, or a grant by its id or label');
  example(command, 'alterd access github --output json').action(async (name: string) => {
    const { access } = await cli.client().read<{ access: AccessView[] }>(apiPath('access', name));
    cli.output.list(
      access,
      [
        { header: 'AGENT', cell: (each) => each.agent },
        ...shared,
        grant,
        { header: 'METHODS', cell: (each) => each.methods?.join(',') ?? 'any' },
        until,
      ],
      'Nobody reaches it now.',
    );
  });
}

export function defineReach(command: Command, cli: Cli): void {
  command.argument('<agent>', 'an agent by name or id');
  example(command, 'alterd reach research-bot').action(async (agent: string) => {
    const { reach } = await cli.client().read<{ reach: AccessView[] }>(apiPath('reach', agent));
    cli.output.list(
      reach,
      [
        { header: 'PROVIDER', cell: (each) => each.provider },
        { header: 'SECRET', cell: (each) => each.secret },
        { header: 'HOSTS', cell: (each) => each.hosts.join(',') },
        ...shared,
        grant,
        until,
      ],
      'It reaches nothing now.',
    );
  });
}
