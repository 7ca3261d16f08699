/** `alterd vault quotas`: limits that all hosts share, and who has how much of them. */
import type { Command } from 'commander';
import { apiPath } from '../../api/client.ts';
import type { QuotaView } from '../../api/quotas.ts';
import type { Cli } from '../cli.ts';
import { example } from '../define.ts';

export function defineVaultQuotas(parent: Command, cli: Cli): void {
  const quotas = parent.command('quotas').description('limits that all hosts share: what is left, and who has the rest');
  example(quotas, 'alterd vault quotas --output json').action(async () => {
    const answer = await cli.client().read<{ quotas: QuotaView[] }>(apiPath('quotas'));
    cli.output.list(
      answer.quotas,
      [
        { header: 'LIMIT', cell: ({ rule }) => rule },
        { header: 'AGENT', cell: ({ agent }) => agent },
        { header: 'GRANT', cell: ({ grant_id }) => grant_id },
        { header: 'REQUESTS', cell: ({ limit, per_ms }) => `${limit} in ${per_ms / 1_000} s` },
        { header: 'LEFT', cell: ({ left }) => left },
        { header: 'SPENT', cell: ({ hosts }) => byHost(hosts, 'spent') },
        { header: 'IN HAND', cell: ({ hosts }) => byHost(hosts, 'held') },
      ],
      'Nothing is out. A limit in a policy of the vault is one for all hosts unless it has scope = "host".',
    );
  });
}

const byHost = (hosts: QuotaView['hosts'], what: 'held' | 'spent'): string =>
  hosts.flatMap((each) => (each[what] === 0 ? [] : [`${each.host} ${each[what]}`])).join(', ');
