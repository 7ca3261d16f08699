/** `alterd agent key`: several keys per agent, so that one can be changed without a stop. */
import type { Command } from 'commander';
import { apiPath } from '../../api/client.ts';
import type { StatusView } from '../../api/status.ts';
import type { KeyView } from '../../api/views.ts';
import { AlterError } from '../../domain/errors.ts';
import type { Cli } from '../cli.ts';
import { example } from '../define.ts';
import { parseDuration, parseFuture } from '../duration.ts';
import type { Cell } from '../output.ts';
import { type BindingFlags, bindingOf, defineDerive, withBindingOptions } from './agent-key-derive.ts';

interface Minted {
  readonly key: string;
  readonly key_info: KeyView;
}

export function defineAgentKey(parent: Command, cli: Cli): void {
  const command = parent.command('key').alias('keys').description('the keys of an agent');
  defineMinting(command, cli);
  defineDerive(command, cli);
  defineKeyList(command, cli);
  defineRevoke(command, cli);
  example(command, 'alterd agent key rotate research-bot --overlap 1h');
}

/** The one time that a key is told, with how to use it. */
export async function showKey(
  cli: Cli,
  agent: string,
  made: Minted,
  fields: readonly (readonly [string, Cell])[],
): Promise<void> {
  cli.output.record(made, [...fields, ['key', made.key], ['expires', made.key_info.expires_at]]);
  cli.output.note('This key is shown only now; alterd keeps a hash of it.');
  const { proxy } = await cli.client().read<StatusView>(apiPath('status'));
  if (proxy.tcp !== null)
    cli.output.note(
      `Where alterd does not start the agent: HTTPS_PROXY=http://${agent}:KEY@${proxy.tcp}, with the CA of \`alterd ca show\`.`,
    );
  cli.output.hint(`Most simply, without handling the key: \`alterd run --agent ${agent} -- COMMAND\`.`);
}

function defineMinting(command: Command, cli: Cli): void {
  const create = withBindingOptions(command.command('create <agent>'))
    .description('another key, which is shown once')
    .option('--expires <when>', 'a duration (30d) or a time (2031-01-31T12:00:00Z)')
    .option('--uid <uid>', 'only this user of the machine may present it');
  example(create, 'alterd agent key create research-bot --expires 30d').action(
    async (agent: string, flags: BindingFlags & { expires?: string; uid?: string }) => {
      const made = await cli.client().send<Minted>(apiPath('agents', agent, 'keys'), {
        expires_at: flags.expires === undefined ? undefined : parseFuture(flags.expires, '--expires'),
        bound_uid: flags.uid === undefined ? undefined : parseUid(flags.uid),
        ...bindingOf(flags),
      });
      await showKey(cli, agent, made, [['id', made.key_info.id]]);
    },
  );
  const rotate = command
    .command('rotate <agent>')
    .description('a new key; the old ones end after the overlap')
    .option('--overlap <duration>', 'how long the old keys stay good', '24h');
  example(rotate, 'alterd agent key rotate research-bot --overlap 1h').action(
    async (agent: string, flags: { overlap: string }) => {
      const made = await cli
        .client()
        .send<Minted>(apiPath('agents', agent, 'keys', 'rotate'), { overlap_ms: parseDuration(flags.overlap, '--overlap') });
      await showKey(cli, agent, made, [['id', made.key_info.id]]);
      cli.output.hint(`The old keys end after ${flags.overlap}; see them with \`alterd agent key list ${agent}\`.`);
    },
  );
}

function defineKeyList(command: Command, cli: Cli): void {
  const list = command.command('list <agent>').description('the keys of an agent; a key itself is never shown again');
  example(list, 'alterd agent key list research-bot').action(async (agent: string) => {
    const { keys } = await cli.client().read<{ keys: KeyView[] }>(apiPath('agents', agent, 'keys'));
    cli.output.list(
      keys,
      [
        { header: 'ID', cell: (key) => key.id },
        { header: 'PREFIX', cell: (key) => `${key.prefix}…` },
        { header: 'STATUS', cell: (key) => key.status },
        { header: 'CREATED', cell: (key) => key.created_at },
        { header: 'EXPIRES', cell: (key) => key.expires_at },
        { header: 'LAST USED', cell: (key) => key.last_used_at },
        { header: 'BOUND TO', cell: boundText },
        { header: 'FROM', cell: (key) => key.parent_key_id },
      ],
      `No keys: \`alterd agent key create ${agent}\` makes one.`,
    );
  });
}

function defineRevoke(command: Command, cli: Cli): void {
  const revoke = command
    .command('revoke <key>')
    .description('end a key at once, by its id or prefix')
    .option('--force', 'also when it is the last one of its agent');
  example(revoke, 'alterd agent key revoke alter_key_agent_x8K2').action(async (key: string, flags: { force?: boolean }) => {
    await cli.confirm(`Revoke the key ${key}? Whoever uses it is refused at once.`);
    const { key_info } = await cli.client().send<{ key_info: KeyView }>(apiPath('keys', key, 'revoke'), { force: flags.force });
    cli.output.record(key_info, [
      ['key', `${key_info.prefix}…`],
      ['status', key_info.status],
    ]);
    cli.output.hint('A new one: `alterd agent key create NAME`.');
  });
}

const boundText = (key: KeyView): string =>
  [key.bound_uid === null ? null : `uid ${key.bound_uid}`, key.bound_unit, key.bound_executable, key.bound_cidr]
    .filter((part) => part !== null)
    .join(', ');

function parseUid(text: string): number {
  if (/^\d{1,10}$/.test(text)) return Number(text);
  throw new AlterError('invalid_input', { problems: [`--uid is a number, not ${JSON.stringify(text)}`] });
}
