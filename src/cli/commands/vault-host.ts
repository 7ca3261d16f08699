/** `alterd vault host`: the machines that borrow from this vault. An enrolment token is shown once, when it is made. */
import type { Command } from 'commander';
import { apiPath } from '../../api/client.ts';
import type { HostView, InvitationView, WithheldGrant } from '../../api/hosts.ts';
import type { Cli } from '../cli.ts';
import { collectList, example } from '../define.ts';
import { parseDuration } from '../duration.ts';
import type { Cell } from '../output.ts';

interface HostDetails {
  readonly host: HostView;
  readonly withheld: readonly WithheldGrant[];
}

export function defineVaultHost(parent: Command, cli: Cli): void {
  const command = parent.command('host').alias('hosts').description('the machines that borrow from this vault');
  defineInvite(command, cli);
  defineReading(command, cli);
  defineAudit(command, cli);
  defineAssignment(command, cli, 'assign', 'let a host have agents, with all that these can use');
  defineAssignment(command, cli, 'unassign', 'take agents from a host; what it borrowed for them ends at once');
  defineStatusChange(command, cli, 'pause', 'paused', 'lend a host nothing until it is resumed');
  defineStatusChange(command, cli, 'resume', 'active', 'let a paused host borrow again');
  defineStatusChange(command, cli, 'revoke', 'revoked', 'end a host for good; its record stays');
  defineRemove(command, cli);
  example(command, 'alterd vault host invite web-01');
}

function defineInvite(command: Command, cli: Cli): void {
  const invite = command
    .command('invite <name>')
    .description('a new host: prints what to type there, and a token that is good once')
    .option('--expires-in <duration>', 'how long the token is good (default: 24h)');
  example(invite, 'alterd vault host invite web-01 --expires-in 1h').action(async (name: string, flags: InviteFlags) => {
    showInvitation(cli, await cli.client().send<InvitationView>(apiPath('hosts'), { name, ...lifeOf(flags) }));
    cli.output.hint(`What it may borrow: \`alterd vault host assign ${name} --agent AGENT\`.`);
  });
  const rekey = command
    .command('rekey <host>')
    .description('another token for a host that is there; its keys stay good until the token is used')
    .option('--expires-in <duration>', 'how long the token is good (default: 24h)');
  example(rekey, 'alterd vault host rekey web-01').action(async (name: string, flags: InviteFlags) => {
    showInvitation(cli, await cli.client().send<InvitationView>(apiPath('hosts', name, 'invitation'), lifeOf(flags)));
    cli.output.hint('A host that is well changes its keys by itself, without a token: `alterd enroll --rekey` there.');
  });
}

interface InviteFlags {
  readonly expiresIn?: string;
}

const lifeOf = ({ expiresIn }: InviteFlags): object =>
  expiresIn === undefined ? {} : { expires_in_ms: parseDuration(expiresIn, '--expires-in') };

function showInvitation(cli: Cli, invitation: InvitationView): void {
  const { host, token, url, fingerprint, expires_at } = invitation;
  const line = `alterd enroll ${url} --fingerprint ${fingerprint}`;
  cli.output.record({ ...invitation, command: line }, [
    ['host', host.name],
    ['fingerprint', fingerprint],
    ['good until', expires_at],
    ['token', token],
    ['on the host', line],
  ]);
  cli.output.hint('The command asks for the token; in a script: `… --token-stdin < FILE`. It is not shown again.');
}

function defineReading(command: Command, cli: Cli): void {
  const list = command.command('list').description('all hosts');
  example(list, 'alterd vault host list --output json').action(async () => {
    const { hosts } = await cli.client().read<{ hosts: HostView[] }>(apiPath('hosts'));
    cli.output.list(
      hosts,
      [
        { header: 'NAME', cell: (host) => host.name },
        { header: 'STATUS', cell: (host) => host.status },
        { header: 'AGENTS', cell: (host) => host.agents.join(',') },
        { header: 'VERSION', cell: (host) => host.version },
        { header: 'ENROLLED', cell: (host) => host.enrolled_at },
        { header: 'LAST SEEN', cell: (host) => host.last_seen_at },
      ],
      'No hosts yet. Invite one: `alterd vault host invite NAME`.',
    );
  });
  const show = command.command('show <host>').description('a host, what it has, and what it can not get');
  example(show, 'alterd vault host show web-01').action(async (name: string) => {
    const details = await cli.client().read<HostDetails>(apiPath('hosts', name));
    cli.output.record(details, [
      ...hostFields(details.host),
      ...details.withheld.map((grant): [string, Cell] => [
        'withheld',
        `${grant.grant_id}  ${grant.provider} ${grant.label}: its daemon does not know ${grant.missing.join(', ')}`,
      ]),
    ]);
    if (details.withheld.length > 0) cli.output.hint('A newer alterd on the host knows more; it says so when it starts.');
  });
}

const hostFields = (host: HostView): [string, Cell][] => [
  ['name', host.name],
  ['id', host.id],
  ['status', host.status],
  ['agents', host.agents.join(', ')],
  ['system grants', host.system_grants],
  ['version', host.version],
  ['signing key', host.signing_key],
  ['token good until', host.invited_until],
  ['enrolled', host.enrolled_at],
  ['last seen', host.last_seen_at],
];

interface HostRows {
  readonly journals: readonly string[];
  readonly journal: string | null;
  readonly rows: readonly { readonly line: string; readonly arrived_at: string }[];
}

function defineAudit(command: Command, cli: Cli): void {
  const audit = command
    .command('audit <host>')
    .description('what a host has sent of its audit journal, oldest first, as `alterd audit export` writes it')
    .option('--after <row>', 'rows behind this one (default: 0)')
    .option('--limit <count>', 'at most so many (default: 100, at most 1000)')
    .option('--journal <mark>', 'of an older journal of the host');
  example(audit, 'alterd vault host audit web-01 --after 5000 --limit 1000 > web-01.jsonl').action(
    async (name: string, flags: { readonly after?: string; readonly limit?: string; readonly journal?: string }) => {
      const query = new URLSearchParams(Object.entries(flags).filter((pair): pair is [string, string] => pair[1] !== undefined));
      const { journals, rows } = await cli.client().read<HostRows>(`${apiPath('hosts', name, 'audit')}?${query}`);
      for (const { line } of rows) cli.output.raw(`${line}\n`);
      if (rows.length === 0) cli.output.hint(`Nothing there. What the host still has to send: \`alterd status\` on it.`);
      if (journals.length > 1) cli.output.hint(`It has had ${journals.length} journals: ${journals.join(', ')}.`);
    },
  );
}

function defineAssignment(command: Command, cli: Cli, verb: 'assign' | 'unassign', summary: string): void {
  const assign = command
    .command(`${verb} <host>`)
    .description(summary)
    .option('--agent <names>', 'agents by name; repeatable', collectList)
    .option('--system-grants', 'the grants of the system as well');
  example(assign, `alterd vault host ${verb} web-01 --agent research-bot`).action(
    async (name: string, flags: { readonly agent?: readonly string[]; readonly systemGrants?: boolean }) => {
      const { host } = await cli.client().send<{ host: HostView }>(apiPath('hosts', name, verb), {
        agents: flags.agent ?? [],
        ...(flags.systemGrants === true ? { system_grants: verb === 'assign' } : {}),
      });
      cli.output.record(host, hostFields(host));
    },
  );
}

function defineStatusChange(
  command: Command,
  cli: Cli,
  verb: 'pause' | 'resume' | 'revoke',
  status: Exclude<HostView['status'], 'invited'>,
  summary: string,
): void {
  const change = command.command(`${verb} <host>`).description(summary);
  example(change, `alterd vault host ${verb} web-01`).action(async (name: string) => {
    if (status === 'revoked') await cli.confirm(`Revoke the host ${name}? It never gets anything again.`);
    const { host } = await cli.client().send<{ host: HostView }>(apiPath('hosts', name, 'status'), { status });
    cli.output.record(host, hostFields(host));
    if (status === 'paused') cli.output.hint(`Let it work again: \`alterd vault host resume ${host.name}\`.`);
  });
}

function defineRemove(command: Command, cli: Cli): void {
  const remove = command.command('remove <host>').description('forget a host that is revoked, or never came');
  example(remove, 'alterd vault host remove web-01').action(async (name: string) => {
    await cli.confirm(`Remove the host ${name}?`);
    await cli.client().remove(apiPath('hosts', name));
    cli.output.note(`Removed the host ${name}.`);
  });
}
