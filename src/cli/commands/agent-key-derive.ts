/** `alterd agent key derive`: a key that can do less than the one it comes from, for a shorter time, and ends with it. */
import type { Command } from 'commander';
import { apiPath } from '../../api/client.ts';
import type { KeyView } from '../../api/views.ts';
import type { Cli } from '../cli.ts';
import { collect, example } from '../define.ts';
import { parseDenials } from '../deny.ts';
import { parseFuture } from '../duration.ts';

export interface BindingFlags {
  readonly unit?: string;
  readonly exe?: string;
  readonly cidr?: string;
}

export const withBindingOptions = (command: Command): Command =>
  command
    .option('--unit <unit>', 'only a process of this systemd unit may present it')
    .option('--exe <path>', 'only this program may present it')
    .option('--cidr <block>', 'only callers of this network may present it');

export const bindingOf = (flags: BindingFlags): object => ({
  bound_unit: flags.unit,
  bound_executable: flags.exe,
  bound_cidr: flags.cidr,
});

interface DeriveFlags extends BindingFlags {
  readonly expires: string;
  readonly grant?: readonly string[];
  readonly deny?: readonly string[];
}

export function defineDerive(parent: Command, cli: Cli): void {
  const derive = withBindingOptions(parent.command('derive <key>'))
    .description('a narrower, shorter key from one of the agent, by its id or prefix; it is shown once')
    .option('--expires <when>', 'a duration (30d) or a time (2031-01-31T12:00:00Z), never beyond the key itself', '24h')
    .option('--grant <id>', 'only with this grant, by id or label; repeatable', collect)
    .option('--deny <rule>', 'not even where the agent may: method=DELETE, path=/admin/**, host=…; repeatable', collect);
  example(derive, "alterd agent key derive alter_key_agent_x8K2 --expires 1h --deny 'method=DELETE'").action(
    async (key: string, flags: DeriveFlags) => {
      const made = await cli.client().send<{ key: string; key_info: KeyView }>(apiPath('keys', key, 'derive'), {
        expires_at: parseFuture(flags.expires, '--expires'),
        grant_ids: flags.grant,
        ...parseDenials(flags.deny ?? []),
        ...bindingOf(flags),
      });
      cli.output.record(made, [
        ['id', made.key_info.id],
        ['key', made.key],
        ['expires', made.key_info.expires_at],
      ]);
      cli.output.note('This key is shown only now; alterd keeps a hash of it.');
      cli.output.hint(`End it early: \`alterd agent key revoke ${made.key_info.id}\`.`);
    },
  );
}
