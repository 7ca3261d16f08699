/** `alterd agent`: agents and their keys. A key is shown once, when it is made. */
import type { Command } from 'commander';
import { apiPath } from '../../api/client.ts';
import type { AgentView, GrantView, KeyView } from '../../api/views.ts';
import { AlterError } from '../../domain/errors.ts';
import { slugProblem } from '../../vault/names.ts';
import type { Cli } from '../cli.ts';
import { collect, collectList, example } from '../define.ts';
import { defineAgentKey, showKey } from './agent-key.ts';

type ListedAgent = AgentView & { readonly keys: number; readonly grants: number };

interface AgentDetails {
  readonly agent: AgentView;
  readonly keys: readonly KeyView[];
  readonly grants: readonly GrantView[];
  readonly sessions: number;
}

export function defineAgent(command: Command, cli: Cli): void {
  defineCreate(command, cli);
  defineReading(command, cli);
  defineStatusChange(command, cli, 'pause', 'paused', 'stop an agent until it is resumed; ends its sessions');
  defineStatusChange(command, cli, 'resume', 'active', 'let a paused agent work again');
  defineStatusChange(command, cli, 'revoke', 'revoked', 'end an agent for good; its record stays');
  defineRemove(command, cli);
  defineAgentKey(command, cli);
  example(command, 'alterd agent create research-bot');
}

function defineCreate(command: Command, cli: Cli): void {
  const create = command
    .command('create <name>')
    .description('make an agent with its first key, which is shown once')
    .option('--service', 'a program that works for nobody in particular')
    .option('--providers <list>', 'only grants of these providers count for it', collectList)
    .option('--parent <agent>', 'the agent that it works under, and ends with')
    .option('--meta <key=value>', 'a fact for people; repeatable', collect);
  example(create, 'alterd agent create research-bot').action(async (name: string, flags: CreateFlags) => {
    requireName(name);
    const made = await cli.client().send<{ agent: AgentView; key: string; key_info: KeyView }>(apiPath('agents'), {
      name,
      type: flags.service === true ? 'service' : undefined,
      providers: flags.providers,
      parent: flags.parent,
      metadata: flags.meta === undefined ? undefined : Object.fromEntries(flags.meta.map(factOf)),
    });
    await showKey(cli, made.agent.name, made, [
      ['agent', made.agent.name],
      ['id', made.agent.id],
    ]);
    cli.output.hint(`Next: \`alterd grant create PROVIDER --agent ${made.agent.name}\`.`);
  });
}

/** @throws AlterError invalid_input, with a name that would do */
function requireName(name: string): void {
  const problem = slugProblem(JSON.stringify(name), name);
  if (problem === undefined) return;
  const slug = name
    .toLowerCase()
    .replaceAll(/[^a-z0-9_]+/g, '-')
    .replaceAll(/^[-_]+|[-_]+$/g, '')
    .slice(0, 63);
  throw new AlterError(
    'invalid_input',
    { problems: [problem] },
    { hint: `For example: \`alterd agent create ${slugProblem('', slug) === undefined ? slug : 'research-bot'}\`.` },
  );
}

interface CreateFlags {
  readonly service?: boolean;
  readonly providers?: readonly string[];
  readonly parent?: string;
  readonly meta?: readonly string[];
}

/** @throws AlterError invalid_input */
function factOf(text: string): [string, string] {
  const at = text.indexOf('=');
  if (at > 0) return [text.slice(0, at), text.slice(at + 1)];
  throw new AlterError('invalid_input', { problems: [`--meta is written KEY=VALUE, not ${JSON.stringify(text)}`] });
}

function defineReading(command: Command, cli: Cli): void {
  const list = command.command('list').description('all agents');
  example(list, 'alterd agent list --output json').action(async () => {
    const { agents } = await cli.client().read<{ agents: ListedAgent[] }>(apiPath('agents'));
    cli.output.list(
      agents,
      [
        { header: 'NAME', cell: (agent) => agent.name },
        { header: 'STATUS', cell: (agent) => agent.status },
        { header: 'KEYS', cell: (agent) => agent.keys },
        { header: 'GRANTS', cell: (agent) => agent.grants },
        { header: 'CREATED', cell: (agent) => agent.created_at },
      ],
      'No agents yet: `alterd agent create NAME` makes one.',
    );
  });
  const show = command.command('show <agent>').description('an agent with its keys and grants');
  example(show, 'alterd agent show research-bot').action(async (name: string) => {
    const details = await cli.client().read<AgentDetails>(apiPath('agents', name));
    cli.output.record(details, [
      ['agent', details.agent.name],
      ['id', details.agent.id],
      ['status', details.agent.status],
      ['created', details.agent.created_at],
      ['type', details.agent.type],
      ['providers', details.agent.providers === null ? 'any' : details.agent.providers.join(', ')],
      ['works under', details.agent.parent_id],
      ...Object.entries(details.agent.metadata).map(([key, value]): [string, string] => [`meta ${key}`, value]),
      ['sessions', details.sessions],
      ...details.keys.map((key): [string, string] => ['key', keyText(key)]),
      ...details.grants.map((grant): [string, string] => ['grant', grantText(grant)]),
    ]);
  });
}

const keyText = (key: KeyView): string =>
  `${key.prefix}…  ${key.status}${key.expires_at === null ? '' : `, ends ${key.expires_at}`}${key.bound_uid === null ? '' : `, uid ${key.bound_uid}`}`;

const grantText = (grant: GrantView): string =>
  [
    `${grant.id}  ${grant.status}`,
    `${grant.provider} (${grant.hosts.join(', ')})`,
    (grant.methods ?? ['any method']).join(','),
    (grant.paths ?? ['any path']).join(','),
    grant.principal === 'system' ? 'system' : '',
  ]
    .filter((part) => part !== '')
    .join('  ');

function defineStatusChange(command: Command, cli: Cli, verb: string, status: AgentView['status'], summary: string): void {
  const change = command.command(`${verb} <agent>`).description(summary);
  example(change, `alterd agent ${verb} research-bot`).action(async (name: string) => {
    if (status === 'revoked') await cli.confirm(`Revoke the agent ${name} for good?`);
    const { agent } = await cli.client().send<{ agent: AgentView }>(apiPath('agents', name, 'status'), { status });
    cli.output.record(agent, [
      ['agent', agent.name],
      ['status', agent.status],
    ]);
    if (status === 'paused') cli.output.hint(`Let it work again with \`alterd agent resume ${agent.name}\`.`);
    else if (status === 'active') cli.output.hint(`Next: \`alterd run --agent ${agent.name} -- COMMAND\`.`);
    else cli.output.hint(`Remove it with its grants: \`alterd agent remove ${agent.name}\`.`);
  });
}

function defineRemove(command: Command, cli: Cli): void {
  const remove = command.command('remove <agent>').description('remove an agent with its keys, sessions and grants');
  example(remove, 'alterd agent remove research-bot --yes').action(async (name: string) => {
    const { agent, grants } = await cli.client().read<AgentDetails>(apiPath('agents', name));
    const own = grants.filter((grant) => grant.principal === 'agent').length;
    await cli.confirm(`Remove the agent ${agent.name} with its keys and ${own} grant(s)?`);
    await cli.client().remove(apiPath('agents', agent.id));
    cli.output.note(`Removed the agent ${agent.name}.`);
    cli.output.hint('See what is left: `alterd agent list`.');
  });
}
